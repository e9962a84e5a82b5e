/* tanh and the logistic function, exact to a few roundings everywhere; polynomials, because the library's functions would
 * not be vectorised. NaN stays NaN. */

/* 2^n, and p such that exp(x) = 2^n (1 + p), for |x| <= 40. */
INLINE float exp_parts_float(float x, float *p) {
    const float whole = 12582912.0f; /* adding it rounds to an integer, which its last bits then hold */
    union { float f; uint32_t i; } shifted = {x * 1.44269504f + whole}, power;
    const float r = x - (shifted.f - whole) * 0.693147181f;
    float q = 1.38888636e-3f; /* minimax over |r| <= log(2) / 2 */
    q = q * r + 8.36921157e-3f;
    q = q * r + 4.16671401e-2f;
    q = q * r + 1.66665049e-1f;
    q = q * r + 0.5f;
    *p = q * (r * r) + r;
    power.i = (shifted.i << 23) + 0x3F800000u;
    return power.f;
}

INLINE double exp_parts_double(double x, double *p) {
    const double whole = 6755399441055744.0;
    union { double f; uint64_t i; } shifted = {x * 1.4426950408889634 + whole}, power;
    const double n = shifted.f - whole, r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double q = 1.0 / 6227020800.0; /* 1/13!, the series */
    q = q * r + 1.0 / 479001600.0;
    q = q * r + 1.0 / 39916800.0;
    q = q * r + 1.0 / 3628800.0;
    q = q * r + 1.0 / 362880.0;
    q = q * r + 1.0 / 40320.0;
    q = q * r + 1.0 / 5040.0;
    q = q * r + 1.0 / 720.0;
    q = q * r + 1.0 / 120.0;
    q = q * r + 1.0 / 24.0;
    q = q * r + 1.0 / 6.0;
    q = q * r + 0.5;
    *p = q * (r * r) + r;
    power.i = (shifted.i << 52) + 0x3FF0000000000000u;
    return power.f;
}

#define BOUND 40 /* beyond it both functions are 0 or 1 to rounding */
#define TANH(REAL, suffix, size, sign)                                                  \
    INLINE REAL tanh_##suffix(REAL x) {                                                 \
        const REAL twice = 2 * size(x);                                                 \
        REAL p;                                                                         \
        const REAL power = exp_parts_##suffix(twice > BOUND ? BOUND : twice, &p);       \
        const REAL m = power * p + (power - 1); /* exp(2 |x|) - 1 */                    \
        return sign(m / (m + 2), x);                                                    \
    }                                                                                   \
    INLINE REAL logistic_##suffix(REAL x) {                                             \
        REAL p;                                                                         \
        const REAL bounded = x > BOUND ? BOUND : x < -BOUND ? -BOUND : x;               \
        const REAL power = exp_parts_##suffix(bounded, &p), e = power * p + power;      \
        return e / (e + 1);                                                             \
    }
TANH(float, float, fabsf, copysignf)
TANH(double, double, fabs, copysign)
#undef TANH
#undef BOUND
