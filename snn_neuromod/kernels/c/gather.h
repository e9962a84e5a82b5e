/* What inputs that are mostly 0 bring, for one type IN of them; OF(f) names it. */

/* Writes the indices of all inputs but 0 to `list`, which holds `num`, and returns how many there are. */
INLINE int64_t OF(events)(const IN *x, int64_t num, int32_t *list) {
    int64_t count = 0, i = 0;
    for (; i + 64 <= num; i += 64) {
        uint8_t flags[64];
        SIMD for (int k = 0; k < 64; k++) flags[k] = x[i + k] != 0;
        for (uint64_t left = packed(flags); left; left &= left - 1) list[count++] = (int32_t)(i + __builtin_ctzll(left));
    }
    for (; i < num; i++) {
        list[count] = (int32_t)i;
        count += x[i] != 0;
    }
    return count;
}

/* `wide` vectors (constant) of outputs from column j on; w holds these columns, in rows that are `apart`. */
INLINE void OF(gather_tile)(
    REAL *out, const REAL *first, const IN *x, const REAL *w, int64_t apart, const int32_t *list, int64_t count,
    int64_t num, int64_t j, const int wide) {
    FUSED_BLOCK
    NAME(vector) sum[TILE], odd[TILE];
    for (int k = 0; k < wide; k++) sum[k] = odd[k] = (NAME(vector)){0};
    int64_t e = 0;
    for (; e + 2 <= count; e += 2) {
        const REAL *const w0 = w + list[e] * apart, z0 = x[list[e]];
        const REAL *const w1 = w + list[e + 1] * apart, z1 = x[list[e + 1]];
#pragma GCC unroll 4
        for (int k = 0; k < wide; k++) {
            sum[k] += z0 * *(const NAME(vector) *)(w0 + k * WIDTH);
            odd[k] += z1 * *(const NAME(vector) *)(w1 + k * WIDTH);
        }
    }
    for (int k = 0; k < wide; k++) {
        if (e < count) sum[k] += (REAL)x[list[e]] * *(const NAME(vector) *)(w + list[e] * apart + k * WIDTH);
        NAME(vector) value;
        NAME(read)(&value, first, j + k * WIDTH, num);
        value += sum[k] + odd[k];
        NAME(write)(out, j + k * WIDTH, num, &value);
    }
}

/* out[n] = first[n] + sum over i of x[i] w[i][n], of the `count` inputs in `list`; out may be first. */
INLINE void OF(gather)(
    REAL *out, const REAL *first, const IN *x, const REAL *w, const int32_t *list, int64_t count, int64_t num) {
    TILES(PADDED(num), OF(gather_tile)(out, first, x, w + at, PADDED(num), list, count, num, at, wide));
}
