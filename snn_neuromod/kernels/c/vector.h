/* Vectors of numbers and sums over some rows of a matrix. */
typedef REAL NAME(vector) __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
#define WIDTH (64 / (int64_t)sizeof(REAL))
#define TILE 4                /* vectors of outputs that stay in registers */
#define STRIP (TILE * WIDTH)  /* columns that are held side by side, so that all rows of a few columns stay in cache */

/* Reads the vector at column j of a row of `num` numbers, 0 beyond its end. */
INLINE void NAME(read)(NAME(vector) *value, const REAL *row, int64_t j, int64_t num) {
    if (j + WIDTH <= num) *value = *(const NAME(vector) *)(row + j);
    else *value = (NAME(vector)){0}, memcpy(value, row + j, (num - j) * sizeof(REAL));
}

INLINE void NAME(write)(REAL *row, int64_t j, int64_t num, const NAME(vector) *value) {
    if (j + WIDTH <= num) *(NAME(vector) *)(row + j) = *value;
    else memcpy(row + j, value, (num - j) * sizeof(REAL));
}

/* All columns of a row in tiles: `call` uses the first column `at` and the constant number of vectors `wide`. */
#define TILES(padded, call)                                                                    \
    do {                                                                                       \
        int64_t at = 0;                                                                        \
        for (const int wide = TILE; at + TILE * WIDTH <= (padded); at += TILE * WIDTH) call;   \
        for (const int wide = 2; at + 2 * WIDTH <= (padded); at += 2 * WIDTH) call;            \
        for (const int wide = 1; at < (padded); at += WIDTH) call;                             \
    } while (0)
