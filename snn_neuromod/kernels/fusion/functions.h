/* exp, tanh and the logistic function, exact to a few roundings everywhere; polynomials, because the library's functions
 * would not be vectorised. NaN stays NaN. */

/* p such that exp(x) = 2^n (1 + p), and n plus an offset that `power` does not see. The first part of log(2) has few
 * digits: its product with n is exact. */
#define OFFSET_float 0x4B400000
#define OFFSET_double 0x4338000000000000
INLINE float reduced_float(float x, int32_t *n) {
    const float whole = 12582912.0f; /* adding it rounds to an integer, which its last bits then hold */
    union { float f; int32_t i; } shifted = {x * 1.44269504f + whole};
    const float k = shifted.f - whole, r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    float q = 1.38888636e-3f; /* minimax over |r| <= log(2) / 2 */
    q = q * r + 8.36921157e-3f;
    q = q * r + 4.16671401e-2f;
    q = q * r + 1.66665049e-1f;
    q = q * r + 0.5f;
    *n = shifted.i;
    return q * (r * r) + r;
}

INLINE double reduced_double(double x, int64_t *n) {
    const double whole = 6755399441055744.0;
    union { double f; int64_t i; } shifted = {x * 1.4426950408889634 + whole};
    const double k = shifted.f - whole, r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
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
    *n = shifted.i;
    return q * (r * r) + r;
}

INLINE float power_float(int32_t n) {
    union { int32_t i; float f; } power = {(int32_t)((uint32_t)n << 23) + 0x3F800000};
    return power.f;
}
INLINE double power_double(int64_t n) {
    union { int64_t i; double f; } power = {(int64_t)((uint64_t)n << 52) + 0x3FF0000000000000};
    return power.f;
}

#define MATH_float(name) name##f
#define MATH_double(name) name
/* In two factors, because 2^n alone may be infinite or subnormal where the result is not. */
#define FUNCTIONS(REAL, INT, suffix, least, normal, most)                                   \
    INLINE REAL exp_##suffix(REAL x) {                                                      \
        INT n;                                                                              \
        x = x > most ? most : x;                                                            \
        x = x < least ? least : x;                                                          \
        const REAL p = reduced_##suffix(x, &n);                                             \
        const INT half = (n - OFFSET_##suffix) >> 1;                                        \
        const REAL power = power_##suffix(half);                                            \
        return (power * p + power) * power_##suffix(n - half);                              \
    }                                                                                       \
    INLINE REAL sigmoid_##suffix(REAL x) {                                                  \
        INT n;                                                                              \
        const REAL below = x > 40 ? 40 : x, bounded = below < normal ? normal : below;      \
        const REAL p = reduced_##suffix(bounded, &n), power = power_##suffix(n);            \
        const REAL e = power * p + power;                                                   \
        return e / (e + 1);                                                                 \
    }                                                                                       \
    INLINE REAL tanh_##suffix(REAL x) {                                                     \
        INT n;                                                                              \
        const REAL twice = 2 * MATH_##suffix(fabs)(x);                                      \
        const REAL p = reduced_##suffix(twice > 40 ? 40 : twice, &n), power = power_##suffix(n); \
        const REAL m = power * p + (power - 1); /* exp(2 |x|) - 1 */                        \
        return MATH_##suffix(copysign)(m / (m + 2), x);                                     \
    }
FUNCTIONS(float, int32_t, float, -104.0f, -87.0f, 89.0f)
FUNCTIONS(double, int64_t, double, -746.0, -708.0, 710.0)
#undef FUNCTIONS
#undef MATH_float
#undef MATH_double
