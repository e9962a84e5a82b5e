/* Products with the recurrent weights. */

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

/* out[n] = sum over i of z[i] w_from[i][n]: only the rows of neurons that spiked. `list` holds N numbers. */
INLINE void NAME(add_events)(REAL *restrict out, const REAL *w_from, const REAL *z, int64_t num, int32_t *list) {
    const int64_t count = NAME(events)(z, num, list);
    int64_t k = 0;
    memset(out, 0, num * sizeof(REAL));
    for (; k + 4 <= count; k += 4) {
        const REAL *restrict w0 = w_from + list[k] * num, *restrict w1 = w_from + list[k + 1] * num;
        const REAL *restrict w2 = w_from + list[k + 2] * num, *restrict w3 = w_from + list[k + 3] * num;
        const REAL z0 = z[list[k]], z1 = z[list[k + 1]], z2 = z[list[k + 2]], z3 = z[list[k + 3]];
        SIMD for (int64_t n = 0; n < num; n++)
            out[n] += (z0 * w0[n] + z1 * w1[n]) + (z2 * w2[n] + z3 * w3[n]);
    }
    for (; k < count; k++) {
        const REAL *restrict w0 = w_from + list[k] * num;
        const REAL z0 = z[list[k]];
        SIMD for (int64_t n = 0; n < num; n++) out[n] += z0 * w0[n];
    }
}

typedef REAL NAME(vec) __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
#define WIDTH (64 / (int64_t)sizeof(REAL))

/* `rows` rows (constant) and one vector of columns j of add_transposed. */
INLINE void NAME(tile)(
    REAL *out, const REAL *delta, const REAL *w, int64_t num, int64_t padded, int64_t j, const int rows) {
    NAME(vec) sum[BLOCK];
    for (int r = 0; r < rows; r++) sum[r] = (NAME(vec)){0};
    for (int64_t i = 0; i < num; i++) {
        const NAME(vec) w_i = *(const NAME(vec) *)(w + i * padded + j);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) sum[r] += delta[r * num + i] * w_i;
    }
    for (int r = 0; r < rows; r++)
        for (int64_t k = 0; k < WIDTH && j + k < num; k++) out[r * num + j + k] += sum[r][k];
}

/* out[b][j] += sum over i of delta[b][i] w[i][j]; rows of w are padded to full vectors. */
CLONES __attribute__((noinline, optimize("fp-contract=fast"))) static void NAME(add_transposed)(
    REAL *out, const REAL *delta, const REAL *w, int64_t rows, int64_t num) {
    const int64_t padded = (num + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t j = 0; j < num; j += WIDTH) {
        int64_t b = 0;
        for (; b + BLOCK <= rows; b += BLOCK)
            NAME(tile)(out + b * num, delta + b * num, w, num, padded, j, BLOCK);
        for (; b < rows; b++) NAME(tile)(out + b * num, delta + b * num, w, num, padded, j, 1);
    }
}
#undef WIDTH

#define EVENTS 64 /* steps and rows whose spikes are sorted by neuron at a time */

/* Spikes before row r of delta, rows counted through all steps. */
INLINE const REAL *NAME(sent)(const REAL *before, const REAL *spikes, int64_t r, int64_t per_step, int64_t num) {
    return r < per_step ? before + r * num : spikes + (r - per_step) * num;
}

/* Rows from0 to from1 of grad[i][n] = sum over r of z[r][i] delta[r][n], z the spikes of one step before. */
CLONES static void NAME(weight_gradient_part)(
    REAL *grad, const REAL *delta, const REAL *before, const REAL *spikes, int64_t rows, int64_t per_step, int64_t num,
    int64_t from0, int64_t from1) {
    const int64_t own = from1 - from0;
    int32_t *list = malloc(own * (sizeof(int32_t) + EVENTS + 1));
    uint8_t *found = (uint8_t *)(list + own), *counts = found + own * EVENTS;
    memset(grad + from0 * num, 0, own * num * sizeof(REAL));
    for (int64_t first = 0; first < rows; first += EVENTS) {
        memset(counts, 0, own);
        for (int64_t r = first; r < smaller(first + EVENTS, rows); r++) {
            const REAL *z = NAME(sent)(before, spikes, r, per_step, num) + from0;
            const int64_t count = NAME(events)(z, own, list);
            for (int64_t k = 0; k < count; k++) {
                const int64_t i = list[k];
                found[i * EVENTS + counts[i]++] = (uint8_t)(r - first);
            }
        }
        for (int64_t i = 0; i < own; i++) {
            REAL *restrict out = grad + (from0 + i) * num;
            for (int64_t k = 0; k < counts[i]; k += 2) {
                const int64_t r0 = first + found[i * EVENTS + k];
                const int64_t r1 = k + 1 < counts[i] ? first + found[i * EVENTS + k + 1] : r0;
                const REAL z0 = NAME(sent)(before, spikes, r0, per_step, num)[from0 + i];
                const REAL z1 = r1 == r0 ? 0 : NAME(sent)(before, spikes, r1, per_step, num)[from0 + i];
                const REAL *restrict d0 = delta + r0 * num, *restrict d1 = delta + r1 * num;
                SIMD for (int64_t n = 0; n < num; n++) out[n] += z0 * d0[n] + z1 * d1[n];
            }
        }
    }
    free(list);
}

/* Gradient (neuron from, neuron to) of the recurrent weights; only spikes cost anything. */
void NAME(weight_gradient)(
    REAL *grad, const REAL *delta, const REAL *before, const REAL *spikes, int64_t num_steps, int64_t per_step,
    int64_t num, int64_t threads) {
    const int64_t each = (num + threads - 1) / threads;
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")
    for (int64_t from = 0; from < num; from += each)
        NAME(weight_gradient_part)(
            grad, delta, before, spikes, num_steps * per_step, per_step, num, from, smaller(from + each, num));
}
#undef EVENTS
