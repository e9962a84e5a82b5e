/* Eligibility traces that are carried from segment to segment: snn_neuromod/learning/eprop/carried.py.
 *
 *   e_y[b][i][j] <- sum over x of f_yx[b][j] e_x[b][i][j] + sum over t of s[t][b][i] d_y[t][b][j]
 *   dL/dw[i][j] = sum over b and y of g_y[b][j] e_y[b][i][j]
 *
 * for variables x and y of neuron j, and the spikes s of input i. A task is a sample, of the gradient GATHERED inputs.
 */
typedef struct {
    int64_t steps, rows, inputs, num, threads, count; /* count: variables */
    const REAL *s;                                    /* (steps, rows, inputs) */
    REAL *grad_w;                                     /* (inputs, num) */
    /* of each variable, of which NULL is zero: (rows, inputs, num), (rows, num), (steps, rows, num), (rows, num) each */
    REAL *const *e;
    const REAL *const *g, *const *d, *const *f;
} NAME(ELIGIBILITY);

/* sizes and data in that order. */
static NAME(ELIGIBILITY) NAME(eligibility_of)(const int64_t *sizes, void *const *data) {
    const int64_t count = sizes[5];
    const REAL *const *const all = (const REAL *const *)data + 2;
    return (NAME(ELIGIBILITY)){sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], count, data[0], data[1],
                               (REAL *const *)data + 2, all + count, all + 2 * count, all + 3 * count};
}

#define WIDTH (64 / (int64_t)sizeof(REAL))
#define EACH _Pragma("GCC unroll 4") for (int y = 0; y < count; y++)

/* The vector at column j of input i, whose `fired` spikes come at the steps `found`; `count` is constant. */
INLINE void NAME(carry)(
    const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, int64_t j, const uint8_t *found, int64_t fired, const int count) {
    FUSED_BLOCK
    const int64_t num = p->num, row = (b * p->inputs + i) * num;
    NAME(vector) old[CARRIED], new[CARRIED], value;
    EACH NAME(read)(&old[y], p->e[y] + row, j, num);
    EACH {
        new[y] = (NAME(vector)){0};
#pragma GCC unroll 4
        for (int x = 0; x < count; x++) {
            const REAL *const f = p->f[y * count + x];
            if (!f) continue;
            NAME(read)(&value, f + b * num, j, num);
            new[y] += value * old[x];
        }
    }
    for (int64_t t = 0; t < fired; t++) {
        const int64_t sent = found[t] * p->rows + b;
        const REAL s = p->s[sent * p->inputs + i];
        EACH {
            if (!p->d[y]) continue;
            NAME(read)(&value, p->d[y] + sent * num, j, num);
            new[y] += s * value;
        }
    }
    EACH NAME(write)(p->e[y] + row, j, num, &new[y]);
}

INLINE void NAME(carry_sample)(const NAME(ELIGIBILITY) *p, int64_t b, const int count) {
    const int64_t inputs = p->inputs, steps = p->steps;
    int32_t *const list = malloc(inputs * (sizeof(int32_t) + steps + 1));
    uint8_t *const found = (uint8_t *)(list + inputs), *const fired = found + inputs * steps;
    memset(fired, 0, inputs);
    for (int64_t t = 0; t < steps; t++) {
        const int64_t all = NAME(events_of_reals)(p->s + (t * p->rows + b) * inputs, inputs, list);
        for (int64_t k = 0; k < all; k++) found[list[k] * steps + fired[list[k]]++] = (uint8_t)t;
    }
    for (int64_t i = 0; i < inputs; i++)
        for (int64_t j = 0; j < p->num; j += WIDTH) NAME(carry)(p, b, i, j, found + i * steps, fired[i], count);
    free(list);
}

CLONES FUSED static void NAME(carry_task)(const NAME(ELIGIBILITY) *p, int64_t b) {
    switch (p->count) {
    case 1: NAME(carry_sample)(p, b, 1); break;
    case 2: NAME(carry_sample)(p, b, 2); break;
    case 3: NAME(carry_sample)(p, b, 3); break;
    default: NAME(carry_sample)(p, b, 4);
    }
}

EXPORT void NAME(eligibility_forward)(const int64_t *sizes, void *const *data) {
    const NAME(ELIGIBILITY) p = NAME(eligibility_of)(sizes, data);
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t b = 0; b < p.rows; b++) NAME(carry_task)(&p, b);
}

#define GATHERED 64 /* inputs whose gradient stays in cache while the samples pass */

CLONES FUSED static void NAME(gather_task)(const NAME(ELIGIBILITY) *p, int64_t from, int64_t to) {
    const int64_t num = p->num;
    memset(p->grad_w + from * num, 0, (to - from) * num * sizeof(REAL));
    for (int64_t b = 0; b < p->rows; b++)
        for (int64_t y = 0; y < p->count; y++) {
            if (!p->g[y]) continue;
            const REAL *const g = p->g[y] + b * num;
            for (int64_t i = from; i < to; i++) {
                const REAL *const e = p->e[y] + (b * p->inputs + i) * num;
                REAL *const grad_w = p->grad_w + i * num;
                SIMD for (int64_t j = 0; j < num; j++) grad_w[j] += g[j] * e[j];
            }
        }
}

EXPORT void NAME(eligibility_gradient)(const int64_t *sizes, void *const *data) {
    const NAME(ELIGIBILITY) p = NAME(eligibility_of)(sizes, data);
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t i = 0; i < p.inputs; i += GATHERED) NAME(gather_task)(&p, i, smaller(i + GATHERED, p.inputs));
}
#undef GATHERED
#undef EACH
#undef WIDTH
