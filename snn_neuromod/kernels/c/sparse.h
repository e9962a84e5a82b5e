/* Events of one type IN of inputs, and the sums over them; OF(f) names it. */

/* Those of `high` rows: inputs span..span+terms. */
INLINE void OF(list_rows)(const NAME(Sparse) *p, const NAME(Lists) *l, int64_t span, int64_t terms, int64_t from, int64_t high) {
    int64_t *start = l->start, count = 0;
    for (int64_t b = 0; b < terms; b += p->block)
        for (int64_t r = 0; r < high; r++) {
            const IN *const x = (const IN *)p->x + (from + r) * p->inputs + span + b;
            const int64_t num = OF(events)(x, smaller(p->block, terms - b), l->list);
            *start++ = count;
            for (int64_t e = 0; e < num; e++)
                l->events[count++] = (NAME(Event)){l->list[e], (REAL)x[l->list[e]]};
        }
    *start = count;
}

/* Those of `high` inputs: rows span..span+terms. */
INLINE void OF(list_inputs)(const NAME(Sparse) *p, const NAME(Lists) *l, int64_t span, int64_t terms, int64_t from, int64_t high) {
    const int64_t apart = APART(p->block);
    int64_t *start = l->start, count = 0;
    for (int64_t b = 0; b < terms; b += p->block) {
        memset(l->fill, 0, high * sizeof(int32_t));
        for (int64_t r = 0; r < smaller(p->block, terms - b); r++) {
            const IN *const x = (const IN *)p->x + (span + b + r) * p->inputs + from;
            const int64_t num = OF(events)(x, high, l->list);
            for (int64_t e = 0; e < num; e++) {
                const int32_t i = l->list[e];
                l->bucket[i * apart + l->fill[i]++] = (NAME(Event)){(int32_t)r, (REAL)x[i]};
            }
        }
        for (int64_t i = 0; i < high; i++) {
            *start++ = count;
            memcpy(l->events + count, l->bucket + i * apart, l->fill[i] * sizeof(NAME(Event)));
            count += l->fill[i];
        }
    }
    *start = count;
}

/* Sums from..from+high. */
CLONES static void OF(sparse_sums)(const NAME(Sparse) *p, int64_t from, int64_t high) {
    const int64_t all = p->gradient ? p->rows : p->inputs, most = smaller(p->span, all), blocks = most / p->block + 1;
    NAME(Lists) l = {
        malloc((high * most + 1) * sizeof(NAME(Event))), malloc(p->gradient ? high * APART(p->block) * sizeof(NAME(Event)) : 1),
        malloc((blocks * high + 1) * sizeof(int64_t)), malloc((most + high) * sizeof(int32_t)),
        malloc(high * sizeof(int32_t)), calloc((high + 1) * STRIP, sizeof(REAL))};
    int64_t span = 0;
    do { /* once at least: without terms the sums are what they start from */
        const int64_t terms = smaller(p->span, all - span);
        if (p->gradient) OF(list_inputs)(p, &l, span, terms, from, high);
        else OF(list_rows)(p, &l, span, terms, from, high);
        NAME(add_span)(p, &l, span, terms, from, high);
    } while ((span += p->span) < all);
    free(l.events), free(l.bucket), free(l.start), free(l.list), free(l.fill), free(l.sums);
}

static void OF(sparse)(const int64_t *sizes, void *const *data, int gradient) {
    const NAME(Sparse) p = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], data[0], data[1], data[2], data[3], gradient};
    const int64_t num = gradient ? p.inputs : p.rows, each = smaller(TOGETHER, num / p.threads + 1);
    expect(p.out, num * p.outputs * sizeof(REAL));
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t from = 0; from < num; from += each) OF(sparse_sums)(&p, from, smaller(each, num - from));
}

/* sizes and data in the order of the structure. */
EXPORT void OF(sparse_forward)(const int64_t *sizes, void *const *data) { OF(sparse)(sizes, data, 0); }
EXPORT void OF(sparse_weight_gradient)(const int64_t *sizes, void *const *data) { OF(sparse)(sizes, data, 1); }
