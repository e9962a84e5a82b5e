/* Which inputs are not 0, for one type IN of them; OF(f) names it. */

/* Lists all of `num` inputs but 0 and returns how many there are; what follows them in `list` is written too. */
INLINE int64_t OF(events)(const IN *x, int64_t num, NAME(Event) *list) {
    int64_t count = 0, i = 0;
    for (; i + 64 <= num; i += 64) {
        uint8_t flags[64];
        SIMD for (int k = 0; k < 64; k++) flags[k] = x[i + k] != 0;
        uint64_t left = packed(flags);
        const int64_t stop = count + __builtin_popcountll(left);
        for (; count < stop; count += AT_ONCE) /* one by one each would be a branch that nothing foretells */
            for (int k = 0; k < AT_ONCE; k++, left &= left - 1) {
                const int64_t at = i + __builtin_ctzll(left | (uint64_t)1 << 63);
                list[count + k] = (NAME(Event)){(int32_t)at, (REAL)x[at]};
            }
        count = stop;
    }
    for (; i < num; i++) {
        list[count] = (NAME(Event)){(int32_t)i, (REAL)x[i]};
        count += x[i] != 0;
    }
    return count;
}
