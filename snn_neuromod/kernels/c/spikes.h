/* Sums over inputs that are mostly 0; the formulas stand in kernels/products.py.
 *
 * A product sums, for every row of x, over its inputs; the gradient of the weights, for every input, over the rows. Both
 * add up rows of a matrix: what is not 0 is listed as events, block by block, so that the rows that a block's events
 * add stay in the first cache while some sums take them, a strip of columns at a time.
 */
#define STRIP (256 / (int64_t)sizeof(REAL)) /* columns that are held side by side, so that all rows of a few columns stay in cache */
#define APART(block) ((block) + 64 / (int64_t)sizeof(NAME(Event))) /* an odd number of cache lines for whole 64 events */
#define TOGETHER 256 /* sums that take the rows of a block one after the other */

typedef struct {
    int64_t rows, inputs, outputs, threads;
    int64_t block, span; /* terms whose rows are in cache at a time, and whose events are listed: whole blocks */
    const void *x;     /* (rows, inputs), bytes or reals */
    const REAL *w;     /* what is summed, (strips, terms, STRIP): weights or gradient of the outputs */
    const REAL *first; /* (outputs), or NULL */
    REAL *out;         /* (rows, outputs); gradient: (outputs, inputs) */
    int gradient;      /* of the weights, not the product */
} NAME(Sparse);

/* The events of some sums within a span. */
typedef struct {
    NAME(Event) *events, *bucket;
    int64_t *start; /* where those of a block and a sum begin, block after block */
    int32_t *list, *fill;
    REAL *sums;     /* (TOGETHER, STRIP), and one row of what they start from */
} NAME(Lists);

#if defined(SNN_CLONES)
#define VECTOR 64
#include "sums.h"
#define VECTOR 32
#include "sums.h"
#endif
#define VECTOR PLAIN
#include "sums.h"

/* Takes sums first..first+high of columns j.. out of their matrix, or puts them there. */
INLINE void NAME(move_sums)(const NAME(Sparse) *p, REAL *sums, int64_t first, int64_t high, int64_t j, const int put) {
    const int64_t columns = smaller(STRIP, p->outputs - j), row = p->gradient ? 1 : p->outputs;
    const int64_t column = p->gradient ? p->inputs : 1;
    REAL *const out = p->out + first * row + j * column;
    if (p->gradient)
        for (int64_t c = 0; c < columns; c++)
            for (int64_t r = 0; r < high; r++)
                if (put) out[c * column + r] = sums[r * STRIP + c];
                else sums[r * STRIP + c] = out[c * column + r];
    else
        for (int64_t r = 0; r < high; r++) {
            REAL *const to = put ? out + r * row : sums + r * STRIP, *const from = put ? sums + r * STRIP : out + r * row;
            if (columns == STRIP) memcpy(to, from, STRIP * sizeof(REAL)); /* a constant number of moves */
            else memcpy(to, from, columns * sizeof(REAL));
        }
}

/* What the events of a span add to sums from..from+high. Whole strips of the product go to their place at once. */
static void NAME(add_span)(
    const NAME(Sparse) *p, const NAME(Lists) *l, int64_t span, int64_t terms, int64_t from, int64_t high) {
    const int64_t all = p->gradient ? p->rows : p->inputs;
    REAL *const begin = l->sums + high * STRIP;
    for (int64_t j = 0; j < p->outputs; j += STRIP) {
        const int64_t columns = smaller(STRIP, p->outputs - j);
        const int direct = !p->gradient && columns == STRIP && terms;
        REAL *const out = direct ? p->out + from * p->outputs + j : NULL;
        if (span) NAME(move_sums)(p, l->sums, from, high, j, 0);
        else if (p->first) memcpy(begin, p->first + j, columns * sizeof(REAL));
        if (!terms)
            for (int64_t r = 0; r < high; r++) memcpy(l->sums + r * STRIP, begin, STRIP * sizeof(REAL));
        BEST(add_strip)(
            l, p->w + (j * all + span * STRIP), span ? NULL : begin, out, p->outputs, columns, terms, p->block, high);
        if (!direct) NAME(move_sums)(p, l->sums, from, high, j, 1);
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
#undef TOGETHER
#undef APART
#undef STRIP
