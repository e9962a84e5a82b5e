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

#if defined(SNN_CLONES)
#define VECTOR 64
#include "carry.h"
#define VECTOR 32
#include "carry.h"
#endif
#define VECTOR PLAIN
#include "carry.h"

EXPORT void NAME(eligibility_forward)(const int64_t *sizes, void *const *data) {
    const NAME(ELIGIBILITY) p = NAME(eligibility_of)(sizes, data);
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t b = 0; b < p.rows; b++) BEST(carry_task)(&p, b);
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
