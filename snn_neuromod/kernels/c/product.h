/* Product of a few rows with a matrix of weights, for one width of vectors.
 *
 * Sums are kept in registers, as many rows and vectors at a time as there are registers for; each row is summed in the
 * same order wherever it stands.
 */
#include "width.h"

#define HIGH (VECTOR < 64 ? 4 : 8) /* rows of a tile */
#define SOON 16                    /* rows of weights from one that is read to one that is asked for */

/* `high` rows (constant) from row r and `across` vectors (constant) of columns from j. */
INLINE void V(tile)(const NAME(Product) *p, int64_t r, int64_t j, const int high, const int across) {
    FUSED_BLOCK
    const int64_t width = PADDED(p->num_out);
    const REAL *const x = p->x + r * p->num_in;
    V(vec) sum[HIGH][4];
    for (int k = 0; k < high; k++)
        for (int c = 0; c < across; c++) sum[k][c] = (V(vec)){0};
    for (int64_t i = 0; i < p->num_in; i++) {
        V(vec) w[4];
        for (int c = 0; c < across; c++) {
            const REAL *const from = p->w + i * width + j + c * WIDTH;
            w[c] = *(const V(vec) *)from;
            if (high == HIGH) __builtin_prefetch(from + SOON * width); /* fewer rows wait for loads alone */
        }
#pragma GCC unroll 8
        for (int k = 0; k < high; k++)
#pragma GCC unroll 4
            for (int c = 0; c < across; c++) sum[k][c] += x[k * p->num_in + i] * w[c];
    }
    for (int k = 0; k < high; k++) {
        const int64_t row = (p->rows ? p->rows[r + k] : r + k) * p->stride;
        REAL *const out = p->out + row;
        const REAL *const first = p->first + row;
        const int64_t wide = smaller(across * WIDTH, p->num_out - j);
        if (p->columns)
            for (int64_t n = 0; n < wide; n++) out[p->columns[j + n]] += sum[k][n / WIDTH][n % WIDTH];
        else if (wide == across * WIDTH)
            for (int c = 0; c < across; c++) *(V(vec) *)(out + j + c * WIDTH) = *(const V(vec) *)(first + j + c * WIDTH) + sum[k][c];
        else
            for (int64_t n = 0; n < wide; n++) out[j + n] = first[j + n] + sum[k][n / WIDTH][n % WIDTH];
    }
}

/* As many columns from j on as there are `across` vectors at a time; returns the next one. */
INLINE int64_t V(columns)(const NAME(Product) *p, int64_t r, int64_t stop, int64_t j, const int high, const int across) {
    for (; j + across * WIDTH <= PADDED(p->num_out); j += across * WIDTH)
        for (int64_t k = r; k < stop; k += high) V(tile)(p, k, j, high, across);
    return j;
}

/* As many rows from r on as there are `high` at a time; returns the next one. */
INLINE int64_t V(rows)(const NAME(Product) *p, int64_t r, const int high, const int across) {
    const int64_t stop = r + (p->high - r) / high * high;
    if (r == stop) return r;
    int64_t j = V(columns)(p, r, stop, 0, high, across);
    if (across > 2) j = V(columns)(p, r, stop, j, high, 2);
    V(columns)(p, r, stop, j, high, 1);
    return stop;
}

TARGET static void V(product)(const NAME(Product) *p) {
    int64_t r = 0;
    if (HIGH > 4) r = V(rows)(p, r, HIGH, 2);
    r = V(rows)(p, r, 4, 2);
    r = V(rows)(p, r, 2, 2);
    V(rows)(p, r, 1, 4);
}
#undef HIGH
#undef SOON
#undef VECTOR
