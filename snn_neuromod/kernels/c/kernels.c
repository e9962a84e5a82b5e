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

enum { TRIANGULAR, EXPONENTIAL, BOXCAR, FAST_SIGMOID, GAUSSIAN, ARCTAN };

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

#include "rate_code.h"
#include "tanh.h"
#include "../fusion/functions.h"

#define REAL float
#define CLONES CLONES_OF("arch=x86-64-v4", "arch=x86-64-v3")
#define NAME(f) f##_float
#define MATH(name) name##f
#include "psi.h"
#include "spikes.h"
#include "weights.h"
#include "alif.h"
#include "izhikevich.h"
#include "eligibility.h"
#include "../fusion/printed/all.h"
#undef REAL
#undef NAME
#undef MATH
#undef CLONES
#define REAL double
#define CLONES CLONES_OF("arch=x86-64-v3")
#define NAME(f) f##_double
#define MATH(name) name
#include "psi.h"
#include "spikes.h"
#include "weights.h"
#include "alif.h"
#include "izhikevich.h"
#include "eligibility.h"
#include "../fusion/printed/all.h"

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
    case 2: return sizeof(ELIGIBILITY_double);
    default: return sizeof(SPIKES_double);
    }
}
