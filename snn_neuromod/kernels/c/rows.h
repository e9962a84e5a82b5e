/* Rows of a matrix that events add, for one width of vectors. */
#include "width.h"

typedef REAL V(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

/* to = from + the sum over events of value w[at], `wide` vectors (constant); rows of w are `apart`. to may be from. */
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

/* Columns `at` to `num` of a sum, as many as there are `wide` vectors (constant) at a time; returns the next one. */
INLINE int64_t V(add_columns)(
    REAL *out, const REAL *w, const NAME(Event) *e, const NAME(Event) *stop, int64_t at, int64_t num, const int wide) {
    for (; at + wide * WIDTH <= num; at += wide * WIDTH) 
        V(add_events)(out + at, out + at, w + at, PADDED(num), e, stop, wide);
    return at;
}

/* out[n] += the sum over events of value w[at][n], with rows of w of PADDED(num). */
TARGET static void V(gather)(REAL *out, const REAL *w, const NAME(Event) *e, int64_t count, int64_t num) {
    REAL rest[64 / sizeof(REAL)] = {0};
    const NAME(Event) *const stop = e + count;
    int64_t at = V(add_columns)(out, w, e, stop, 0, num, HELD);
    if (HELD > 4) at = V(add_columns)(out, w, e, stop, at, num, 4);
    at = V(add_columns)(out, w, e, stop, at, num, 2);
    at = V(add_columns)(out, w, e, stop, at, num, 1);
    if (at == num) return;
    memcpy(rest, out + at, (num - at) * sizeof(REAL));
    V(add_events)(rest, rest, w + at, PADDED(num), e, stop, 1);
    memcpy(out + at, rest, (num - at) * sizeof(REAL));
}
#undef VECTOR
