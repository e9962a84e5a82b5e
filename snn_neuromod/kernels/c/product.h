/* Product of a few rows with a matrix of weights, for one width of vectors: V(f) names it, VECTOR is the width in bytes.
 *
 * Sums are kept in registers, as many rows and vectors at a time as there are registers for; each row is summed in the
 * same order wherever it stands.
 */
typedef REAL V(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
#define WIDTH (VECTOR / (int64_t)sizeof(REAL))
#define HIGH (VECTOR < 64 ? 4 : 8) /* rows of a tile */
#define ACROSS 2                   /* vectors of a tile */

/* `high` rows (constant) from row r and `across` vectors (constant) of columns from j. */
INLINE void V(tile)(const NAME(Product) *p, int64_t r, int64_t j, const int high, const int across) {
    FUSED_BLOCK
    const int64_t width = PADDED(p->num_out);
    const REAL *const x = p->x + r * p->num_in;
    V(vec) sum[HIGH][ACROSS];
    for (int k = 0; k < high; k++)
        for (int c = 0; c < across; c++) sum[k][c] = (V(vec)){0};
    for (int64_t i = 0; i < p->num_in; i++) {
        V(vec) w[ACROSS];
        for (int c = 0; c < across; c++) w[c] = *(const V(vec) *)(p->w + i * width + j + c * WIDTH);
#pragma GCC unroll 8
        for (int k = 0; k < high; k++)
#pragma GCC unroll 2
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

INLINE void V(columns)(const NAME(Product) *p, int64_t j, const int across) {
    int64_t r = 0;
    for (; r + HIGH <= p->high; r += HIGH) V(tile)(p, r, j, HIGH, across);
    for (; r + HIGH / 4 <= p->high; r += HIGH / 4) V(tile)(p, r, j, HIGH / 4, across);
    for (; r < p->high; r++) V(tile)(p, r, j, 1, across);
}

TARGET static void V(product)(const NAME(Product) *p) {
    int64_t j = 0;
    for (; j + ACROSS * WIDTH <= PADDED(p->num_out); j += ACROSS * WIDTH) V(columns)(p, j, ACROSS);
    if (j < p->num_out) V(columns)(p, j, 1);
}
#undef WIDTH
#undef HIGH
#undef ACROSS
#undef VECTOR
#undef TARGET
#undef V
