/* Input through the recurrent weights, and what goes back through them. */

/* Writes the indices of all numbers but 0 to `list`, which holds `num`, and returns how many there are. */
INLINE int64_t NAME(events)(const REAL *z, int64_t num, int32_t *list) {
    int64_t count = 0;
    for (int64_t i = 0; i < num; i += 8) {
        const int64_t wide = smaller(8, num - i);
        if (wide == 8) { /* spikes are rare: skip eight silent neurons at once */
            uint64_t bits[sizeof(REAL)], any = 0;
            memcpy(bits, z + i, sizeof bits);
            for (int k = 0; k < (int)sizeof(REAL); k++) any |= bits[k];
            if (!any) continue;
        }
        for (int64_t k = i; k < i + wide; k++) {
            list[count] = (int32_t)k;
            count += z[k] != 0;
        }
    }
    return count;
}

/* out[n] += sum over i of z[i] w_from[i][n]: only the rows of the `count` neurons in `list`. */
INLINE void NAME(add_events)(
    REAL *restrict out, const REAL *w_from, const REAL *z, int64_t num, const int32_t *list, int64_t count) {
    const int64_t width = PADDED(num);
    int64_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const REAL *restrict w0 = w_from + list[k] * width, *restrict w1 = w_from + list[k + 1] * width;
        const REAL *restrict w2 = w_from + list[k + 2] * width, *restrict w3 = w_from + list[k + 3] * width;
        const REAL z0 = z[list[k]], z1 = z[list[k + 1]], z2 = z[list[k + 2]], z3 = z[list[k + 3]];
        SIMD for (int64_t n = 0; n < num; n++)
            out[n] += (z0 * w0[n] + z1 * w1[n]) + (z2 * w2[n] + z3 * w3[n]);
    }
    for (; k < count; k++) {
        const REAL *restrict w0 = w_from + list[k] * width;
        const REAL z0 = z[list[k]];
        SIMD for (int64_t n = 0; n < num; n++) out[n] += z0 * w0[n];
    }
}

/* out[rows[r]][columns[j]] += sum over i of x[r][i] w[i][j]; rows and columns NULL: r and j themselves. */
typedef struct {
    REAL *out;
    int64_t stride; /* of out */
    const int32_t *rows;
    const int64_t *columns;
    const REAL *x, *w; /* (high, num_in), (num_in, num_out padded) */
    int64_t high, num_in, num_out;
} NAME(Product);

#if defined(SNN_CLONES)
#define VECTOR 64
#define TARGET FUSED __attribute__((target("avx512f"), noinline))
#define V(f) NAME(f##_512)
#include "product.h"
#define VECTOR 32
#define TARGET FUSED __attribute__((target("avx2,fma"), noinline))
#define V(f) NAME(f##_256)
#include "product.h"
#endif
#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX2__)
#define VECTOR 32
#else
#define VECTOR 16
#endif
#define TARGET FUSED __attribute__((noinline))
#define V(f) NAME(f##_plain)
#include "product.h"

static void NAME(product)(const NAME(Product) *p) {
#if defined(SNN_CLONES)
    if (__builtin_cpu_supports("avx512f")) NAME(product_512)(p);
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) NAME(product_256)(p);
    else
#endif
    NAME(product_plain)(p);
}

/* Synapses among the neurons in groups of equal delay, as in kernels/delays.py. */
typedef struct {
    const REAL *w_from, *w; /* of each group (sources, N padded) and (N, sources padded) */
    const REAL *past;       /* spikes before the first step, (longest, rows, N), oldest first */
    const int64_t *groups;  /* number of groups, longest delay; of each group its delay and number of sources */
    const int64_t *sources; /* the neurons that send, group after group; NULL: all neurons */
} NAME(Synapses);

/* A task's input of one step, and room to compute it. */
typedef struct {
    REAL *input, *rows; /* (rows of the task, N) twice */
    int32_t *list, *many; /* (N), (rows of the task) */
} NAME(Space);

INLINE NAME(Space) NAME(new_space)(Part part, int64_t num) {
    const int64_t high = part.row1 - part.row0;
    REAL *const input = malloc(2 * high * num * sizeof(REAL) + (num + high) * sizeof(int32_t));
    int32_t *const list = (int32_t *)(input + 2 * high * num);
    return (NAME(Space)){input, input + high * num, list, list + num};
}

/* Adds to the task's input what arrives through the synapses at step t. Rows with few spikes take those alone. */
INLINE void NAME(add_recurrent)(
    NAME(Space) space, const NAME(Synapses) *s, const REAL *spikes, int64_t t, Part part, int64_t rows, int64_t num) {
    const int64_t longest = s->groups[1], *sources = s->sources;
    const REAL *w_from = s->w_from;
    for (int64_t g = 0; g < s->groups[0]; g++) {
        const int64_t sent = t - s->groups[2 + 2 * g], count = s->groups[3 + 2 * g];
        const REAL *const z = (sent < 0 ? s->past + (longest + sent) * rows * num : spikes + sent * rows * num);
        int64_t dense = 0;
        for (int64_t b = part.row0; b < part.row1; b++) {
            REAL *const row = space.rows + dense * count;
            if (sources)
                for (int64_t k = 0; k < count; k++) row[k] = z[b * num + sources[k]];
            const REAL *const z_row = sources ? row : z + b * num;
            const int64_t fired = NAME(events)(z_row, count, space.list);
            if (fired > MANY * count) {
                if (!sources) memcpy(row, z_row, count * sizeof(REAL));
                space.many[dense++] = (int32_t)(b - part.row0);
            } else {
                NAME(add_events)(space.input + (b - part.row0) * num, w_from, z_row, num, space.list, fired);
            }
        }
        if (dense) {
            const NAME(Product) p = {space.input, num, space.many, NULL, space.rows, w_from, dense, count, num};
            NAME(product)(&p);
        }
        w_from += count * PADDED(num);
        if (sources) sources += count;
    }
}

/* Adds to grad_z, (rows, N), what the spikes of step t do through the synapses; delta is the gradient of the input. */
INLINE void NAME(add_transposed)(
    REAL *grad_z, const NAME(Synapses) *s, const REAL *delta, int64_t t, int64_t num_steps, Part part, int64_t rows,
    int64_t num) {
    const int64_t *sources = s->sources, first = part.row0 * num;
    const REAL *w = s->w;
    for (int64_t g = 0; g < s->groups[0]; g++) {
        const int64_t read = t + s->groups[2 + 2 * g], count = s->groups[3 + 2 * g];
        if (read < num_steps) {
            const REAL *const x = delta + read * rows * num + first;
            const NAME(Product) p = {grad_z + first, num, NULL, sources, x, w, part.row1 - part.row0, num, count};
            NAME(product)(&p);
        }
        w += num * PADDED(count);
        if (sources) sources += count;
    }
}

#define EVENTS 240 /* steps and rows whose spikes are sorted by neuron at a time */

/* Spikes that row r of delta read, rows counted through all steps; the first `early` ones read those of `before`. */
INLINE const REAL *NAME(sent)(const REAL *before, const REAL *spikes, int64_t r, int64_t early, int64_t num_from) {
    return r < early ? before + r * num_from : spikes + (r - early) * num_from;
}

/* Rows from0 to from1 of grad[i][n] = sum over r of z[r][i] delta[r][n], z the spikes that r read. */
CLONES static void NAME(weight_gradient_part)(
    REAL *grad, const REAL *delta, const REAL *before, const REAL *spikes, int64_t rows, int64_t early,
    int64_t num_from, int64_t num, int64_t from0, int64_t from1) {
    const int64_t own = from1 - from0;
    int32_t *list = malloc(own * (sizeof(int32_t) + EVENTS + 1));
    uint8_t *found = (uint8_t *)(list + own), *counts = found + own * EVENTS;
    memset(grad + from0 * num, 0, own * num * sizeof(REAL));
    for (int64_t first = 0; first < rows; first += EVENTS) {
        memset(counts, 0, own);
        for (int64_t r = first; r < smaller(first + EVENTS, rows); r++) {
            const REAL *z = NAME(sent)(before, spikes, r, early, num_from) + from0;
            const int64_t count = NAME(events)(z, own, list);
            for (int64_t k = 0; k < count; k++) {
                const int64_t i = list[k];
                found[i * EVENTS + counts[i]++] = (uint8_t)(r - first);
            }
        }
        for (int64_t i = 0; i < own; i++) {
            REAL *restrict out = grad + (from0 + i) * num;
            for (int64_t k = 0; k < counts[i]; k += 4) {
                const REAL *d[4];
                REAL z[4];
                for (int64_t e = 0; e < 4; e++) { /* beyond the last one: once more, times zero */
                    const int64_t r = first + found[i * EVENTS + smaller(k + e, counts[i] - 1)];
                    d[e] = delta + r * num;
                    z[e] = k + e < counts[i] ? NAME(sent)(before, spikes, r, early, num_from)[from0 + i] : 0;
                }
                const REAL *restrict d0 = d[0], *restrict d1 = d[1], *restrict d2 = d[2], *restrict d3 = d[3];
                SIMD for (int64_t n = 0; n < num; n++)
                    out[n] += (z[0] * d0[n] + z[1] * d1[n]) + (z[2] * d2[n] + z[3] * d3[n]);
            }
        }
    }
    free(list);
}

/* Gradient (neuron from, neuron to) of recurrent weights; only spikes cost anything. */
void NAME(weight_gradient)(
    REAL *grad, const REAL *delta, const REAL *before, const REAL *spikes, int64_t rows, int64_t early,
    int64_t num_from, int64_t num, int64_t threads) {
    const int64_t each = (num_from + threads - 1) / threads;
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")
    for (int64_t from = 0; from < num_from; from += each)
        NAME(weight_gradient_part)(
            grad, delta, before, spikes, rows, early, num_from, num, from, smaller(from + each, num_from));
}
#undef EVENTS
