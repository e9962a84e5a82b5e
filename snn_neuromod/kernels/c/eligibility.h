/* Eligibility traces that are carried from segment to segment: snn_neuromod/learning/eprop/carried.py.
 *
 *   e_y[b][i][j] <- sum over x of f_yx[b][j] e_x[b][i][j] + sum over t of s[t][b][i] d_y[t][b][j]
 *   dL/dw[i][j] += sum over b and y of g_y[b][j] e_y[b][i][j]
 *
 * for variables x and y of neuron j, and the spikes s of input i: one of these, or the first and then the second. The
 * last variables may have traces that are the same for all neurons, as then are their f and d.
 */
typedef struct {
    int64_t steps, rows, inputs, num, threads; /* without steps the traces stay */
    int64_t all, own;                          /* variables, and the first ones, whose traces are each neuron's own */
    const REAL *s;                             /* (steps, rows, inputs) */
    REAL *grad_w;                              /* (inputs, num); NULL: not wanted, of own traces alone */
    /* of each variable, of which NULL is zero: (rows, inputs, num) or (rows, inputs), (rows, num), (steps, rows, num),
     * (rows, num) each */
    REAL *const *e;
    const REAL *const *g, *const *d, *const *f;
    NAME(Lists) *lists; /* of each sample the spikes of each input, and at which steps they came */
} NAME(ELIGIBILITY);

#if defined(SNN_CLONES)
#define VECTOR 64
#include "carry.h"
#define VECTOR 32
#include "carry.h"
#endif
#define VECTOR PLAIN
#include "carry.h"

CLONES static NAME(Lists) NAME(sent)(const NAME(ELIGIBILITY) *p, int64_t b) {
    const NAME(Lists) l = NAME(new_lists)(p->steps, p->inputs, 1);
    l.start[0] = 0;
    for (int64_t t = 0; t < p->steps; t++) {
        const REAL *const s = p->s + (t * p->rows + b) * p->inputs;
        l.start[t + 1] = l.start[t] + NAME(events_of_reals)(s, p->inputs, l.events + l.start[t]);
    }
    NAME(turn_events)(&l, p->steps, p->inputs);
    return l;
}

/* The traces of sample b that all neurons have the same, which nothing else reads any more. */
static void NAME(carry_shared)(const NAME(ELIGIBILITY) *p, int64_t b) {
    const NAME(Lists) *const l = p->lists + b;
    for (int64_t i = 0; i < p->inputs; i++) {
        REAL new[CARRIED] = {0};
        for (int64_t y = p->own; y < p->all; y++) {
            for (int64_t x = p->own; x < p->all; x++) {
                const REAL *const f = p->f[y * p->all + x];
                if (f) new[y] += f[b * p->num] * p->e[x][b * p->inputs + i];
            }
            for (int64_t k = l->turned_start[i]; p->d[y] && k < l->turned_start[i + 1]; k++)
                new[y] += l->turned[k].value * p->d[y][(l->turned[k].at * p->rows + b) * p->num];
        }
        for (int64_t y = p->own; y < p->all; y++) p->e[y][b * p->inputs + i] = new[y];
    }
}

/* sizes and data in the order of ELIGIBILITY. */
EXPORT void NAME(eligibility)(const int64_t *sizes, void *const *data) {
    const int64_t all = sizes[5];
    const REAL *const *const rest = (const REAL *const *)data + 2;
    const NAME(ELIGIBILITY) p = {
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], all, sizes[6], data[0], data[1],
        (REAL *const *)data + 2, rest + all, rest + 2 * all, rest + 3 * all, malloc(sizes[1] * sizeof(NAME(Lists)))};
    const int64_t each = (p.inputs + p.threads - 1) / p.threads;
    _Pragma("omp parallel num_threads(p.threads) if (p.threads > 1)")
    {
        _Pragma("omp for schedule(static)")
        for (int64_t b = 0; b < p.rows; b++) p.lists[b] = NAME(sent)(&p, b);
        _Pragma("omp for schedule(static)")
        for (int64_t i = 0; i < p.inputs; i += each) BEST(carry_task)(&p, i, smaller(i + each, p.inputs));
        _Pragma("omp for schedule(static)")
        for (int64_t b = 0; b < p.rows; b++) {
            if (p.steps) NAME(carry_shared)(&p, b);
            free(p.lists[b].events), free(p.lists[b].start);
        }
    }
    free(p.lists);
}
