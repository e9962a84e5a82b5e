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
