/* Sums of rows of a matrix, for one width of vectors; w has rows of whole vectors. */
#include "width.h"

typedef REAL V(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

/* Columns of one sum, `wide` vectors (constant). */
INLINE void V(add_events)(
    REAL *to, const REAL *from, const REAL *w, int64_t apart, const NAME(Event) *e, const NAME(Event) *stop, const int wide) {
    FUSED_BLOCK
    V(vec) even[8], odd[8];
    for (int k = 0; k < wide; k++) even[k] = odd[k] = (V(vec)){0};
    for (; VECTOR == 64 && e + 2 <= stop; e += 2) { /* four sums are too few to hide how long one addition takes */
        const REAL *const w0 = w + e[0].at * apart, *const w1 = w + e[1].at * apart, z0 = e[0].value, z1 = e[1].value;
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) {
            even[k] += z0 * *(const V(vec) *)(w0 + k * WIDTH);
            odd[k] += z1 * *(const V(vec) *)(w1 + k * WIDTH);
        }
    }
#pragma GCC unroll 1
    for (; e < stop; e++) {
        const REAL *const row = w + e->at * apart, z = e->value;
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) even[k] += z * *(const V(vec) *)(row + k * WIDTH);
    }
    for (int k = 0; k < wide; k++)
        *(V(vec) *)(to + k * WIDTH) = *(const V(vec) *)(from + k * WIDTH) + (even[k] + odd[k]);
}

/* Columns `at` to `num` of all sums, as many as there are `wide` vectors (constant) at a time; returns the next one. */
INLINE int64_t V(add_columns)(const NAME(Sums) *s, int64_t at, const int wide) {
    for (; at + wide * WIDTH <= s->num; at += wide * WIDTH)
        for (int64_t r = 0; r < s->high; r++)
            V(add_events)(
                s->out + r * s->row + at, s->first + r * s->first_row + at, s->w + at, s->w_row, s->events + s->start[r],
                s->events + s->start[r + 1], wide);
    return at;
}

TARGET static void V(add)(const NAME(Sums) *s) {
    int64_t at = V(add_columns)(s, 0, HELD);
    if (HELD > 4) at = V(add_columns)(s, at, 4);
    at = V(add_columns)(s, at, 2);
    at = V(add_columns)(s, at, 1);
    if (at == s->num) return;
    const int64_t bytes = (s->num - at) * sizeof(REAL);
    for (int64_t r = 0; r < s->high; r++) {
        REAL rest[WIDTH] = {0};
        memcpy(rest, s->first + r * s->first_row + at, bytes);
        V(add_events)(rest, rest, s->w + at, s->w_row, s->events + s->start[r], s->events + s->start[r + 1], 1);
        memcpy(s->out + r * s->row + at, rest, bytes);
    }
}
#undef VECTOR
