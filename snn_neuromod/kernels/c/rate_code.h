/* The rate code of snn_neuromod/encoders.py. */

/* The finaliser of MurmurHash3. */
INLINE uint32_t mix(uint32_t k) {
    k = (k ^ k >> 16) * 0x85EBCA6Bu;
    k = (k ^ k >> 13) * 0xC2B2AE35u;
    return k ^ k >> 16;
}

/* Spikes (steps, samples, num) of one sample b; `limit` is its probabilities times 2^24, `key` its two words. */
CLONES_OF("arch=x86-64-v4", "arch=x86-64-v3") static void rate_sample(
    uint8_t *spikes, const int32_t *limit, const uint32_t *key, int64_t steps, int64_t samples, int64_t num, int64_t b) {
    uint32_t *const word = malloc(num * (3 * sizeof(uint32_t) + 1)), *const below = word + num, *const where = below + num;
    uint8_t *const fired = (uint8_t *)(where + num);
    int64_t count = 0;
    for (int64_t n = 0; n < num; n++) {
        if (limit[b * num + n] < 1) continue;
        where[count] = (uint32_t)n;
        below[count] = (uint32_t)limit[b * num + n];
        word[count++] = mix((uint32_t)n ^ key[2 * b]);
    }
    for (int64_t t = 0; t < steps; t++) {
        const uint32_t step = mix((uint32_t)t ^ key[2 * b + 1]);
        uint8_t *const now = spikes + (t * samples + b) * num;
        SIMD for (int64_t j = 0; j < count; j++) fired[j] = mix(word[j] + step) >> 8 < below[j];
        for (int64_t j = 0; j < count; j++) now[where[j]] = fired[j];
    }
    free(word);
}

/* sizes: steps, samples, numbers of each, threads; data: spikes, limit, key. */
EXPORT void rate_code(const int64_t *sizes, void *const *data) {
    const int64_t steps = sizes[0], samples = sizes[1], num = sizes[2], threads = sizes[3];
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")
    for (int64_t b = 0; b < samples; b++) rate_sample(data[0], data[1], data[2], steps, samples, num, b);
}
