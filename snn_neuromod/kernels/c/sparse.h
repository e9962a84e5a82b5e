/* Sums over inputs of one type IN; OF(f) names it. */

/* Lists the events of `high` rows of x, inputs from..from+wide. */
INLINE void OF(list)(const NAME(Sparse) *p, const NAME(Lists) *l, int64_t row, int64_t high, int64_t from, int64_t wide) {
    l->start[0] = 0;
    for (int64_t r = 0; r < high; r++) {
        const IN *const x = (const IN *)p->x + (row + r) * p->inputs + from;
        l->start[r + 1] = l->start[r] + OF(events)(x, wide, l->events + l->start[r]);
    }
}

/* Rows from..from+high of the product. */
CLONES static void OF(product_rows)(const NAME(Sparse) *p, int64_t from, int64_t high) {
    const NAME(Lists) l = NAME(new_lists)(high, smaller(p->block, p->inputs), 0);
    int64_t block = 0;
    do { /* once at least: without inputs the sums are what they start from */
        OF(list)(p, &l, from, high, block, smaller(p->block, p->inputs - block));
        NAME(add_to_product)(p, &l, block, from, high);
    } while ((block += p->block) < p->inputs);
    free(l.events), free(l.start);
}

/* The gradient of the weights of inputs from..from+high. */
CLONES static void OF(gradient_inputs)(const NAME(Sparse) *p, int64_t from, int64_t high) {
    const int64_t most = smaller(p->block, p->rows);
    const NAME(Lists) l = NAME(new_lists)(most, high, 1);
    char *const room = calloc((high * PADDED(p->outputs) + most * p->strip) * sizeof(REAL) + 64, 1);
    REAL *const grad = (REAL *)(((uintptr_t)room + 63) / 64 * 64); /* vectors that lie in one line of the cache */
    for (int64_t block = 0; block < p->rows; block += p->block) {
        const int64_t terms = smaller(p->block, p->rows - block);
        OF(list)(p, &l, block, terms, from, high);
        NAME(turn_events)(&l, terms, high);
        NAME(add_to_gradient)(p, &l, grad, grad + high * PADDED(p->outputs), block, terms, high);
    }
    NAME(turn)(p->out + from, p->inputs, grad, PADDED(p->outputs), high, p->outputs);
    free(l.events), free(l.start), free(room);
}

EXPORT void OF(sparse_forward)(const int64_t *sizes, void *const *data) {
    const NAME(Sparse) p = NAME(sparse_of)(sizes, data);
    const int64_t each = smaller(MOST_SUMS, p.rows / p.threads + 1);
    expect(p.out, p.rows * p.outputs * sizeof(REAL));
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t from = 0; from < p.rows; from += each) OF(product_rows)(&p, from, smaller(each, p.rows - from));
}
EXPORT void OF(sparse_weight_gradient)(const int64_t *sizes, void *const *data) {
    const NAME(Sparse) p = NAME(sparse_of)(sizes, data);
    const int64_t each = smaller(MOST_SUMS, p.inputs / p.threads + 1);
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t from = 0; from < p.inputs; from += each) OF(gradient_inputs)(&p, from, smaller(each, p.inputs - from));
}
