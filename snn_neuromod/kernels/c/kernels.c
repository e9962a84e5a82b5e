/* Fused kernels: the loop over time inside, one pass over memory each way.
 *
 * Symbols and equations as in snn_neuromod/dynamics; a lambda is the adjoint of its variable, as in kernels/backends/eager/adjoint.py.
 * Arrays are contiguous, time first: (T, rows, N). Every row, that is, every sample, is computed in the same order
 * whatever the number of threads, so results do not depend on it. The forward pass rounds as the eager one does
 * (-ffp-contract=off) except in the recurrent input, which is summed in another order.
 */
#include "common.h"

#define CHUNK 1024 /* neurons of a task: its arrays stay in cache while time passes */
#define MARK 16    /* steps between two states that are stored, where the others are cheap to find again */

#define CARRIED 4 /* variables with eligibility traces */

#define SRC_BLOCK 256    /* neurons of a task of the SRC family */
#define SRC_SMALL 32768 /* neurons times steps below which one thread is fastest */

enum { TRIANGULAR, EXPONENTIAL, BOXCAR, FAST_SIGMOID, GAUSSIAN, ARCTAN };
enum { SRC, MSRC, BSRC };
enum { I, H, H_S, H_U, SRC_STATES };
enum { ALPHA, RHO, R, R_S, Z, Z_HYP, Z_DEP, B, H_S0, R_U, Z_U, H_U0, SRC_PARAMS };
enum { GAIN = SRC_PARAMS, OPEN, INVERSE_RHO, D_Z, SRC_ROWS };

/* Asks for memory that is read, or written, soon: a part's next step lies too far away for the processor to guess. */
INLINE void prefetch(const void *from, int64_t bytes, const int write) {
    for (int64_t k = 0; k < bytes; k += 64)
        if (write) __builtin_prefetch((const char *)from + k, 1);
        else __builtin_prefetch((const char *)from + k, 0);
}

#define TASKS(p, recurrent, call)                                                                   \
    do {                                                                                            \
        const int64_t high = (recurrent) ? rows_of_task((p)->rows, (p)->threads) : 1;               \
        const int64_t wide = (recurrent) || (p)->num < 1 ? (p)->num : smaller((p)->num, CHUNK);     \
        const int64_t down = high < 1 ? 0 : ((p)->rows + high - 1) / high;                          \
        const int64_t across = wide < 1 ? 0 : ((p)->num + wide - 1) / wide;                         \
        _Pragma("omp parallel for schedule(static) num_threads((p)->threads) if ((p)->threads > 1)")\
        for (int64_t task = 0; task < down * across; task++) {                                      \
            const int64_t row = task / across * high, col = task % across * wide;                   \
            const Part part = {row, smaller(row + high, (p)->rows), col, smaller(col + wide, (p)->num)}; \
            call;                                                                                   \
        }                                                                                           \
    } while (0)

/* exp(x) for x <= 0, to rounding; a polynomial, because the library's function would not be vectorised. */
INLINE float exp_float(float x) {
    x = x > -87.0f ? x : -87.0f;
    const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* nearest integer */
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    union { int32_t i; float f; } power = {((int32_t)n + 127) << 23};
    return y * power.f;
}

INLINE double exp_double(double x) { return exp(x); }

#include "rate_code.h"
#include "tanh.h"

#define REAL float
#define CLONES CLONES_OF("arch=x86-64-v4", "arch=x86-64-v3")
#define NAME(f) f##_float
#include "psi.h"
#include "spikes.h"
#include "weights.h"
#include "alif.h"
#include "izhikevich.h"
#include "leaky_integrator.h"
#include "src.h"
#include "eligibility.h"
#undef REAL
#undef NAME
#undef CLONES
#define REAL double
#define CLONES CLONES_OF("arch=x86-64-v3")
#define NAME(f) f##_double
#include "psi.h"
#include "spikes.h"
#include "weights.h"
#include "alif.h"
#include "izhikevich.h"
#include "leaky_integrator.h"
#include "src.h"
#include "eligibility.h"

/* Says which sources this library was built from. */
uint32_t snn_source(void) { return SNN_SOURCE; }

int snn_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

int snn_clones(void) {
#ifdef SNN_CLONES
    return 1;
#else
    return 0;
#endif
}

/* Size of the arguments of each kernel, as kernels/backends/c/library.py numbers them. */
int64_t snn_size(int64_t which) {
    switch (which) {
    case 0: return sizeof(ALIF_double);
    case 1: return sizeof(IZHIKEVICH_double);
    case 2: return sizeof(LEAKY_double);
    case 3: return sizeof(SRC_double);
    case 4: return sizeof(ELIGIBILITY_double);
    default: return sizeof(SPIKES_double);
    }
}
