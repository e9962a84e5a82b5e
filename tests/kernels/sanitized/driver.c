/* Every kernel on small, awkward sizes, each array as large as it has to be and no larger; see test_sanitized.py. */
#include "kernels.c"
#include <stdio.h>
#undef REAL
#undef NAME

static uint32_t seed = 1;
static double fired = 0;

static double number(void) { return (seed = seed * 1664525u + 1013904223u) / 4294967296.0; }

#define REAL float
#define NAME(f) f##_float
#include "driver.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(f) f##_double
#include "driver.h"

int main(void) {
    uint8_t x[3 * 65], spikes[18 * 3 * 65];
    int32_t limit[3 * 65];
    uint32_t key[6] = {1, 2, 3, 4, 5, 6};
    for (int i = 0; i < 3 * 65; i++) limit[i] = (int32_t)(16777216 * number());
    rate_code(spikes, limit, key, 18, 3, 65, 2);
    for (int i = 0; i < 3 * 65; i++) x[i] = spikes[i];
    run_all_float(x);
    run_all_double(x);
    if (!(fired > 0)) return 1;
    puts("finished");
    return 0;
}
