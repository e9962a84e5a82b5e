/* Traces taken on by a segment, for one width of vectors. */
#include "width.h"

/* Reads the vector at column j of a row of `num` numbers, 0 beyond its end. */
INLINE void V(read)(V(vec) *value, const REAL *row, int64_t j, int64_t num) {
    if (j + WIDTH <= num) *value = *(const V(vec) *)(row + j);
    else *value = (V(vec)){0}, memcpy(value, row + j, (num - j) * sizeof(REAL));
}

INLINE void V(write)(REAL *row, int64_t j, int64_t num, const V(vec) *value) {
    if (j + WIDTH <= num) *(V(vec) *)(row + j) = *value;
    else memcpy(row + j, value, (num - j) * sizeof(REAL));
}

#define EACH _Pragma("GCC unroll 4") for (int y = 0; y < count; y++)

/* The vector at column j of input i, whose `fired` spikes come at the steps `found`; `count` is constant. */
INLINE void V(carry)(
    const NAME(ELIGIBILITY) *p, int64_t b, int64_t i, int64_t j, const uint8_t *found, int64_t fired, const int count) {
    FUSED_BLOCK
    const int64_t num = p->num, row = (b * p->inputs + i) * num;
    V(vec) old[CARRIED], new[CARRIED], value;
    EACH V(read)(&old[y], p->e[y] + row, j, num);
    EACH {
        new[y] = (V(vec)){0};
#pragma GCC unroll 4
        for (int x = 0; x < count; x++) {
            const REAL *const f = p->f[y * count + x];
            if (!f) continue;
            V(read)(&value, f + b * num, j, num);
            new[y] += value * old[x];
        }
    }
    for (int64_t t = 0; t < fired; t++) {
        const int64_t sent = found[t] * p->rows + b;
        const REAL s = p->s[sent * p->inputs + i];
        EACH {
            if (!p->d[y]) continue;
            V(read)(&value, p->d[y] + sent * num, j, num);
            new[y] += s * value;
        }
    }
    EACH V(write)(p->e[y] + row, j, num, &new[y]);
}

INLINE void V(carry_sample)(const NAME(ELIGIBILITY) *p, int64_t b, const int count) {
    const int64_t inputs = p->inputs, steps = p->steps;
    NAME(Event) *const list = malloc((inputs + AT_ONCE) * sizeof(NAME(Event)) + inputs * (steps + 1));
    uint8_t *const found = (uint8_t *)(list + inputs + AT_ONCE), *const fired = found + inputs * steps;
    memset(fired, 0, inputs);
    for (int64_t t = 0; t < steps; t++) {
        const int64_t all = NAME(events_of_reals)(p->s + (t * p->rows + b) * inputs, inputs, list);
        for (int64_t k = 0; k < all; k++) found[list[k].at * steps + fired[list[k].at]++] = (uint8_t)t;
    }
    for (int64_t i = 0; i < inputs; i++)
        for (int64_t j = 0; j < p->num; j += WIDTH) V(carry)(p, b, i, j, found + i * steps, fired[i], count);
    free(list);
}

TARGET static void V(carry_task)(const NAME(ELIGIBILITY) *p, int64_t b) {
    switch (p->count) {
    case 1: V(carry_sample)(p, b, 1); break;
    case 2: V(carry_sample)(p, b, 2); break;
    case 3: V(carry_sample)(p, b, 3); break;
    default: V(carry_sample)(p, b, 4);
    }
}
#undef EACH
#undef VECTOR
