/* Which inputs are not 0, for one type IN of them; OF(f) names it. */

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
