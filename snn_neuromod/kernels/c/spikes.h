/* Products of weights with inputs that are mostly 0; the formulas stand in kernels/products.py.
 *
 * A product sums, for every row of x, over its inputs; the gradient of the weights, for every input, over the rows. Both
 * add up rows of a matrix, block by block of terms and a strip of columns at a time, so that the rows that some sums take
 * one after the other stay in cache.
 */
#define MOST_SUMS 1024 /* that a block of terms is read for */
#define TURNED 16      /* rows and columns that are turned at a time */

typedef struct {
    int64_t rows, inputs, outputs, threads;
    int64_t block, strip; /* terms, and columns that are held side by side */
    const void *x;        /* (rows, inputs), bytes or reals */
    const REAL *w;        /* what is summed: weights (strips, inputs, strip), or gradient of the outputs (rows, outputs) */
    const REAL *first;    /* what the sums of a product start from, (outputs) */
    REAL *out;            /* (rows, outputs); gradient: (outputs, inputs) */
} NAME(Sparse);

/* sizes and data in that order. */
static NAME(Sparse) NAME(sparse_of)(const int64_t *sizes, void *const *data) {
    return (NAME(Sparse)){sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], data[0], data[1], data[2], data[3]};
}

/* The events of some sums in a block. */
typedef struct {
    NAME(Event) *events, *turned;
    int64_t *start, *turned_start;
} NAME(Lists);

static NAME(Lists) NAME(new_lists)(int64_t rows, int64_t columns, int turned) {
    const int64_t most = rows * columns + AT_ONCE;
    NAME(Event) *const events = malloc((1 + turned) * most * sizeof(NAME(Event)));
    int64_t *const start = malloc((rows + columns + 3) * sizeof(int64_t));
    return (NAME(Lists)){events, events + most, start, start + rows + 1};
}

/* Events of `terms` rows, listed row after row, as those of `high` columns. */
static void NAME(turn_events)(const NAME(Lists) *l, int64_t terms, int64_t high) {
    int64_t *const next = l->turned_start + 1; /* where the next event of a column goes, in the end where they stop */
    memset(l->turned_start, 0, (high + 2) * sizeof(int64_t));
    for (int64_t e = 0; e < l->start[terms]; e++) next[l->events[e].at + 1]++;
    for (int64_t i = 0; i < high; i++) next[i + 1] += next[i];
    for (int64_t r = 0; r < terms; r++)
        for (int64_t e = l->start[r]; e < l->start[r + 1]; e++)
            l->turned[next[l->events[e].at]++] = (NAME(Event)){(int32_t)r, l->events[e].value};
}

/* to[c][r] = from[r][c]; rows of `from` are of whole vectors. */
static void NAME(turn)(REAL *to, int64_t to_row, const REAL *from, int64_t from_row, int64_t rows, int64_t columns) {
    REAL tile[TURNED][TURNED];
    for (int64_t c = 0; c < columns; c += TURNED)
        for (int64_t r = 0; r < rows; r += TURNED) {
            const int64_t high = smaller(TURNED, rows - r), wide = smaller(TURNED, columns - c);
            for (int64_t k = 0; k < high; k++) memcpy(tile[k], from + (r + k) * from_row + c, wide * sizeof(REAL));
            for (int64_t n = 0; n < wide; n++)
                for (int64_t k = 0; k < high; k++) to[(c + n) * to_row + r + k] = tile[k][n];
        }
}

/* What the listed events add to `high` sums of a product, rows from `from` on, from input `block` on. */
static void NAME(add_to_product)(const NAME(Sparse) *p, const NAME(Lists) *l, int64_t block, int64_t from, int64_t high) {
    for (int64_t j = 0; j < p->outputs; j += p->strip) {
        REAL *const out = p->out + from * p->outputs + j;
        const NAME(Sums) sums = {
            out, block ? out : p->first + j, p->w + j * p->inputs + block * p->strip,
            p->outputs, block ? p->outputs : 0, p->strip, l->events, l->start, high, smaller(p->strip, p->outputs - j)};
        BEST(add)(&sums);
    }
}

/* The same for the gradient of `high` inputs, (high, outputs padded), from row `block` on; `rows` has room for a strip. */
static void NAME(add_to_gradient)(
    const NAME(Sparse) *p, const NAME(Lists) *l, REAL *grad, REAL *rows, int64_t block, int64_t terms, int64_t high) {
    const int64_t width = PADDED(p->outputs);
    for (int64_t j = 0; j < p->outputs; j += p->strip) {
        const int64_t columns = smaller(p->strip, p->outputs - j);
        const REAL *const from = p->w + block * p->outputs + j;
        for (int64_t r = 0; r < terms; r++) memcpy(rows + r * p->strip, from + r * p->outputs, columns * sizeof(REAL));
        const NAME(Sums) sums = {
            grad + j, grad + j, rows, width, width, p->strip, l->turned, l->turned_start, high, PADDED(columns)};
        BEST(add)(&sums);
    }
}

#define IN uint8_t
#define OF(f) NAME(f##_of_bytes)
#include "nonzero.h"
#include "sparse.h"
#undef IN
#undef OF
#define IN REAL
#define OF(f) NAME(f##_of_reals)
#include "sparse.h"
#undef IN
#undef OF
#undef MOST_SUMS
#undef TURNED
