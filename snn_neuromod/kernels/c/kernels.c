/* All kernels that are compiled when the package is installed.
 *
 * Arrays are contiguous, time first: (T, rows, N). Every row, that is, every sample, is computed in the same order
 * whatever the number of threads, so results do not depend on it. The forward pass rounds as the eager one does
 * (-ffp-contract=off) except in the recurrent input, which is summed in another order.
 */
#include "common.h"

#define CARRIED 4 /* variables with eligibility traces */

#include "rate_code.h"
#include "../fusion/functions.h"

#define REAL float
#define CLONES CLONES_OF("arch=x86-64-v4", "arch=x86-64-v3")
#define NAME(f) f##_float
#define MATH(name) name##f
#include "events.h"
#include "spikes.h"
#include "weights.h"
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
#include "events.h"
#include "spikes.h"
#include "weights.h"
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
