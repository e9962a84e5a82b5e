/* Pseudo-derivative of a spike over its scale, as in snn_neuromod/surrogate.py; x = d / (w u). */
INLINE REAL NAME(profile)(REAL x, const int shape) {
    const REAL size = x < 0 ? -x : x;
    switch (shape) {
    case TRIANGULAR: return size < 1 ? 1 - size : 0;
    case EXPONENTIAL: return NAME(exp)(x < 0 ? x : 0);
    case BOXCAR: return size < (REAL)0.5 ? 1 : 0;
    case FAST_SIGMOID: return 1 / ((1 + size) * (1 + size));
    case GAUSSIAN: return NAME(exp)(-x * x / 2);
    default: return 1 / (1 + x * x);
    }
}

/* Turns distances d into psi(d) over its scale; at_spike, if not NaN, is the value at a spike. */
INLINE void NAME(psi_of)(REAL *d, const REAL *inverse_width, int64_t num, REAL at_spike, int64_t shape) {
    const int given = at_spike == at_spike;
#define LOOP(kind)                                                      \
    case kind:                                                          \
        SIMD for (int64_t n = 0; n < num; n++) {                        \
            const REAL psi = NAME(profile)(d[n] * inverse_width[n], kind); \
            d[n] = given && d[n] > 0 ? at_spike : psi;                  \
        }                                                               \
        break;
    switch (shape) {
        LOOP(TRIANGULAR) LOOP(EXPONENTIAL) LOOP(BOXCAR) LOOP(FAST_SIGMOID) LOOP(GAUSSIAN) LOOP(ARCTAN)
    }
#undef LOOP
}
