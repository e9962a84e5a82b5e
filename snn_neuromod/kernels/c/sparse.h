/* The products for one type IN of inputs; OF(f) names it. */

#include "gather.h"

#define HIGH 32 /* rows that share the weights of a strip while these are in cache */

/* Rows row0 to row1 of out[r] = first + x[r] w. */
CLONES FUSED static void OF(sparse_rows)(const NAME(SPIKES) *p, int64_t row0, int64_t row1) {
    const int64_t inputs = p->inputs, outputs = p->outputs;
    int32_t *const list = malloc(HIGH * inputs * sizeof(int32_t));
    for (int64_t row = row0; row < row1; row += HIGH) {
        const int64_t high = smaller(HIGH, row1 - row);
        const IN *const x = (const IN *)p->x + row * inputs;
        REAL *const out = p->out + row * outputs;
        int64_t count[HIGH];
        for (int64_t r = 0; r < high; r++) count[r] = OF(events)(x + r * inputs, inputs, list + r * inputs);
        for (int64_t j = 0; j < outputs; j += STRIP) {
            const REAL *const strip = p->w + j * inputs;
            const int64_t columns = smaller(STRIP, outputs - j);
            TILES(PADDED(columns), for (int64_t r = 0; r < high; r++) OF(gather_tile)(
                out + r * outputs, p->first, x + r * inputs, strip + at, STRIP, list + r * inputs, count[r], outputs,
                j + at, wide));
        }
    }
    free(list);
}

EXPORT void OF(sparse_forward)(const int64_t *sizes, void *const *data) {
    const NAME(SPIKES) p = NAME(spikes_of)(sizes, data);
    const int64_t each = p.rows / p.threads + 1;
    expect(p.out, p.rows * p.outputs * sizeof(REAL));
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t row = 0; row < p.rows; row += each) OF(sparse_rows)(&p, row, smaller(row + each, p.rows));
}

#define EVENTS 240 /* rows whose events are sorted by input at a time */

/* `wide` vectors (constant) of the gradient of one input's weights; `found` are its events' rows of the strip. */
INLINE void OF(gradient_tile)(
    REAL *grad_w, const REAL *strip, const IN *x, const uint8_t *found, int64_t count, int64_t inputs, const int wide) {
    FUSED_BLOCK
    NAME(vector) sum[TILE];
    for (int k = 0; k < wide; k++) sum[k] = *(const NAME(vector) *)(strip + found[0] * STRIP + k * WIDTH) * (REAL)x[found[0] * inputs];
    for (int64_t e = 1; e < count; e++) {
        const REAL *const g = strip + found[e] * STRIP, z = x[found[e] * inputs];
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) sum[k] += z * *(const NAME(vector) *)(g + k * WIDTH);
    }
    for (int k = 0; k < wide; k++) *(NAME(vector) *)(grad_w + k * WIDTH) += sum[k];
}

/* grad_w[i][n] = sum over r of x[r][i] grad_out[r][n] for inputs from0 to from1. */
CLONES FUSED static void OF(sparse_gradient)(const NAME(SPIKES) *p, int64_t from0, int64_t from1) {
    const int64_t own = from1 - from0, inputs = p->inputs, outputs = p->outputs, padded = PADDED(outputs);
    REAL *const strip = calloc(EVENTS * STRIP, sizeof(REAL));
    int32_t *const list = malloc(own * (sizeof(int32_t) + EVENTS + 1));
    uint8_t *const found = (uint8_t *)(list + own), *const counts = found + own * EVENTS;
    memset(p->grad_w + from0 * padded, 0, own * padded * sizeof(REAL));
    for (int64_t first = 0; first < p->rows; first += EVENTS) {
        const int64_t high = smaller(EVENTS, p->rows - first);
        const IN *const x = (const IN *)p->x + first * inputs + from0;
        memset(counts, 0, own);
        for (int64_t r = 0; r < high; r++) {
            const int64_t count = OF(events)(x + r * inputs, own, list);
            for (int64_t e = 0; e < count; e++) found[list[e] * EVENTS + counts[list[e]]++] = (uint8_t)r;
        }
        for (int64_t j = 0; j < outputs; j += STRIP) {
            const int64_t columns = smaller(STRIP, outputs - j);
            const REAL *const from = p->grad_out + first * outputs + j;
            if (columns == STRIP)
                for (int64_t r = 0; r < high; r++) memcpy(strip + r * STRIP, from + r * outputs, STRIP * sizeof(REAL));
            else
                for (int64_t r = 0; r < high; r++)
                    memcpy(strip + r * STRIP, from + r * outputs, columns * sizeof(REAL));
            TILES(PADDED(columns), for (int64_t i = 0; i < own; i++) if (counts[i]) OF(gradient_tile)(
                p->grad_w + (from0 + i) * padded + j + at, strip + at, x + i, found + i * EVENTS, counts[i], inputs,
                wide));
        }
    }
    free(list);
    free(strip);
}

EXPORT void OF(sparse_weight_gradient)(const int64_t *sizes, void *const *data) {
    const NAME(SPIKES) p = NAME(spikes_of)(sizes, data);
    const int64_t each = p.inputs / p.threads + 1;
    _Pragma("omp parallel for schedule(static) num_threads(p.threads) if (p.threads > 1)")
    for (int64_t from = 0; from < p.inputs; from += each)
        OF(sparse_gradient)(&p, from, smaller(from + each, p.inputs));
}
#undef EVENTS
#undef HIGH
#undef IN
#undef OF
