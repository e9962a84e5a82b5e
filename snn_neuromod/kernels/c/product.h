/* Product of a few rows with a matrix of weights, for one width of vectors: V(f) names it, VECTOR is the width in bytes.
 *
 * Sums are kept in registers, four rows at a time; each row is summed in the same order wherever it stands.
 */
typedef REAL V(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
#define WIDTH (VECTOR / (int64_t)sizeof(REAL))
#define ACROSS (VECTOR < 64 ? 2 : 1) /* vectors of a tile */

/* `high` rows (constant) from row r and the columns from j. */
INLINE void V(tile)(const NAME(Product) *p, int64_t r, int64_t j, const int high) {
    FUSED_BLOCK
    const int64_t width = PADDED(p->num_out);
    const REAL *const x = p->x + r * p->num_in;
    V(vec) sum[BLOCK][ACROSS];
    for (int k = 0; k < high; k++)
        for (int c = 0; c < ACROSS; c++) sum[k][c] = (V(vec)){0};
    for (int64_t i = 0; i < p->num_in; i++) {
        V(vec) w[ACROSS];
        for (int c = 0; c < ACROSS; c++) w[c] = *(const V(vec) *)(p->w + i * width + j + c * WIDTH);
#pragma GCC unroll 4
        for (int k = 0; k < high; k++)
#pragma GCC unroll 2
            for (int c = 0; c < ACROSS; c++) sum[k][c] += x[k * p->num_in + i] * w[c];
    }
    for (int k = 0; k < high; k++) {
        REAL *const out = p->out + (p->rows ? p->rows[r + k] : r + k) * p->stride;
        const int64_t wide = smaller(ACROSS * WIDTH, p->num_out - j);
        if (p->columns)
            for (int64_t n = 0; n < wide; n++) out[p->columns[j + n]] += sum[k][n / WIDTH][n % WIDTH];
        else
            for (int64_t n = 0; n < wide; n++) out[j + n] += sum[k][n / WIDTH][n % WIDTH];
    }
}

TARGET static void V(product)(const NAME(Product) *p) {
    for (int64_t j = 0; j < p->num_out; j += ACROSS * WIDTH) {
        int64_t r = 0;
        for (; r + BLOCK <= p->high; r += BLOCK) V(tile)(p, r, j, BLOCK);
        for (; r < p->high; r++) V(tile)(p, r, j, 1);
    }
}
#undef WIDTH
#undef ACROSS
#undef VECTOR
#undef TARGET
#undef V
