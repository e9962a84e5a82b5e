/* Traces of some inputs taken on, and their gradient, for one width of vectors. */
#include "width.h"

#define HIGH 4 /* inputs that share what is read of the neurons; those after them are asked for meanwhile */
#define EACH _Pragma("GCC unroll 4") for (int y = 0; y < count; y++)
#define ROWS _Pragma("GCC unroll 4") for (int r = 0; r < high; r++)

/* A vector of which `wide` numbers are there, the others 0. */
INLINE void V(read)(V(vec) *value, const REAL *from, int64_t wide) {
    if (wide == WIDTH) *value = *(const V(vec) *)from;
    else *value = (V(vec)){0}, memcpy(value, from, wide * sizeof(REAL));
}

INLINE void V(write)(REAL *to, int64_t wide, const V(vec) *value) {
    if (wide == WIDTH) *(V(vec) *)to = *value;
    else memcpy(to, value, wide * sizeof(REAL));
}

/* The vectors at column j of `high` inputs from i, of sample b; high, count and, but at the end of a row, wide are constant. */
INLINE void V(carry)(const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, int64_t j, int64_t wide, const int high, const int count) {
    FUSED_BLOCK
    const int64_t num = p->num, at = b * num + j, row = b * p->inputs + i;
    V(vec) old[CARRIED][HIGH], new[CARRIED][HIGH] = {0}, value;
    EACH ROWS {
        const REAL *const e = p->e[y] + (row + r) * num + j;
        __builtin_prefetch(e + HIGH * num, 1, 2);
        V(read)(&old[y][r], e, wide);
    }
    EACH {
#pragma GCC unroll 4
        for (int x = 0; x < count; x++) {
            const REAL *const f = p->f[y * p->all + x];
            if (!f) continue;
            V(read)(&value, f + at, wide);
            ROWS new[y][r] += value * old[x][r];
        }
        for (int64_t x = count; x < p->all; x++) {
            const REAL *const f = p->f[y * p->all + x];
            if (!f) continue;
            V(read)(&value, f + at, wide);
            ROWS new[y][r] += value * p->e[x][row + r];
        }
    }
    const NAME(Lists) *const l = p->lists + b;
    ROWS for (int64_t k = l->turned_start[i + r]; k < l->turned_start[i + r + 1]; k++) {
        const NAME(Event) s = l->turned[k];
        EACH {
            if (!p->d[y]) continue;
            V(read)(&value, p->d[y] + s.at * p->rows * num + at, wide);
            new[y][r] += s.value * value;
        }
    }
    EACH ROWS V(write)(p->e[y] + (row + r) * num + j, wide, &new[y][r]);
}

/* What these give to the gradient. */
INLINE void V(gather)(const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, int64_t j, int64_t wide, const int high, const int count) {
    FUSED_BLOCK
    const int64_t num = p->num, row = b * p->inputs + i;
    V(vec) sum[HIGH], g, value;
    ROWS V(read)(&sum[r], p->grad_w + (i + r) * num + j, wide);
    EACH {
        if (!p->g[y]) continue;
        V(read)(&g, p->g[y] + b * num + j, wide);
        ROWS {
            const REAL *const e = p->e[y] + (row + r) * num + j;
            __builtin_prefetch(e + HIGH * num, 0, 2);
            V(read)(&value, e, wide);
            sum[r] += g * value;
        }
    }
    ROWS V(write)(p->grad_w + (i + r) * num + j, wide, &sum[r]);
}

INLINE void V(carry_columns)(
    const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, int64_t j, int64_t wide, const int high, const int count) {
    if (p->steps) V(carry)(p, b, i, j, wide, high, count);
    if (p->grad_w) V(gather)(p, b, i, j, wide, high, count);
}

INLINE void V(carry_inputs)(const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, const int high, const int count) {
    int64_t j = 0;
    for (; j + WIDTH <= p->num; j += WIDTH) V(carry_columns)(p, b, i, j, WIDTH, high, count);
    if (j < p->num) V(carry_columns)(p, b, i, j, p->num - j, high, count);
}

INLINE void V(carry_range)(const NAME(ELIGIBILITY) *p, int64_t from, int64_t to, const int count) {
    for (int64_t b = 0; b < p->rows; b++) {
        int64_t i = from;
        for (; i + HIGH <= to; i += HIGH) V(carry_inputs)(p, b, i, HIGH, count);
        for (; i < to; i++) V(carry_inputs)(p, b, i, 1, count);
    }
}

TARGET static void V(carry_task)(const NAME(ELIGIBILITY) *p, int64_t from, int64_t to) {
    switch (p->own) {
    case 1: V(carry_range)(p, from, to, 1); break;
    case 2: V(carry_range)(p, from, to, 2); break;
    case 3: V(carry_range)(p, from, to, 3); break;
    case 4: V(carry_range)(p, from, to, 4);
    }
}
#undef HIGH
#undef EACH
#undef ROWS
#undef VECTOR
