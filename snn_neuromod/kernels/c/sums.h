/* Sums that take the rows of a block of terms one after the other, for one width of vectors. */
#include "width.h"

/* The first block starts from `begin`, the last one writes to `out`, whose rows are `row` apart: NULL for the sums. */
INLINE void V(add_blocks)(
    const NAME(Lists) *l, const REAL *w, REAL *sums, const REAL *begin, REAL *out, int64_t row, int64_t terms,
    int64_t block, int64_t high, const int wide) {
    const int64_t *start = l->start;
    for (int64_t b = 0; b < terms; b += block) {
        const int own = b || !begin, kept = b + block < terms || !out;
        const REAL *from = own ? sums : begin;
        REAL *to = kept ? sums : out;
        for (int64_t r = 0; r < high; r++, start++, from += own ? STRIP : 0, to += kept ? STRIP : row)
            V(add_events)(to, from, w + b * STRIP, STRIP, l->events + start[0], l->events + start[1], wide);
    }
}

/* What the events of a span add to `high` sums of `columns` columns. */
TARGET static void V(add_strip)(
    const NAME(Lists) *l, const REAL *w, const REAL *begin, REAL *out, int64_t row, int64_t columns, int64_t terms,
    int64_t block, int64_t high) {
    for (int64_t at = 0; at < columns; at += HELD * WIDTH) {
        const REAL *const from = begin ? begin + at : NULL;
        REAL *const to = out ? out + at : NULL;
        switch (smaller(HELD, (columns - at + WIDTH - 1) / WIDTH)) {
#define WIDE(k) case k: V(add_blocks)(l, w + at, l->sums + at, from, to, row, terms, block, high, k); break;
        WIDE(1) WIDE(2) WIDE(3) WIDE(4)
#if VECTOR < 64
        WIDE(5) WIDE(6) WIDE(7) WIDE(8)
#endif
#undef WIDE
        }
    }
}
#undef VECTOR
