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

/* Printed kernels: `CASE(function, parameters, numbers of options, states, kept states)` of each, from the test. */
typedef int Printed(const int64_t *, void *const *);
typedef struct {
    Printed *run;
    int real, params, numbers, states, kept;
} Case;
#define CASE(name, ...) {name##_float, 4, __VA_ARGS__}, {name##_double, 8, __VA_ARGS__},
static const Case CASES[] = {
#include "cases.h"
};

static void *filled(int real, int64_t count, double low, double high) {
    return real == 4 ? (void *)between_float(count, low, high) : (void *)between_double(count, low, high);
}

/* Forth and back; the last parameter is given per step, and none, the last or all need a gradient. */
static void run_printed(const Case *c, int64_t steps, int64_t rows, int64_t num, int learned) {
    const int64_t E = rows * num, all = steps * E, stretches = (steps + 15) / 16;
    int64_t *const sizes = calloc(6 + 3 * c->params, sizeof(int64_t));
    void **const data = calloc(4 + 2 * c->params + c->numbers + 2 * c->states + c->kept, sizeof(void *)), **at = data;
    sizes[0] = steps, sizes[1] = E, sizes[2] = num, sizes[3] = 2, sizes[4] = 1;
    *at++ = filled(c->real, all, -1, 1), *at++ = filled(c->real, all, 0, 0);
    *at++ = filled(c->real, all, -1, 1), *at++ = filled(c->real, all, 0, 0);
    for (int k = 0; k < c->params; k++) {
        const int moves = k == c->params - 1;
        if (moves) sizes[6 + 3 * k] = E, sizes[7 + 3 * k] = num;
        sizes[8 + 3 * k] = 1;
        *at++ = filled(c->real, moves ? all : num, 0.1, 0.9);
    }
    for (int k = 0; k < c->numbers; k++) *at++ = filled(c->real, 1, 1, 1);
    for (int k = 0; k < c->states; k++) *at++ = filled(c->real, E, -1, 1);
    for (int k = 0; k < c->kept; k++) *at++ = filled(c->real, stretches * E, 0, 0);
    if (c->run(sizes, data)) abort();
    for (int k = 0; k < c->states; k++) *at++ = filled(c->real, E, -1, 1);
    for (int k = 0; k < c->params; k++)
        if (learned > c->params - 1 - k) *at++ = filled(c->real, k == c->params - 1 ? all : E, 0, 0);
        else *at++ = NULL;
    sizes[5] = 1;
    if (c->run(sizes, data)) abort();
}

static void run_all_printed(void) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++)
        for (int learned = 0; learned < 3; learned++) {
            run_printed(CASES + k, 1, 1, 1, learned == 2 ? CASES[k].params : learned);
            run_printed(CASES + k, 18, 3, 65, learned == 2 ? CASES[k].params : learned);
            run_printed(CASES + k, 33, 2, 64, learned == 2 ? CASES[k].params : learned);
        }
}

int main(void) {
    uint8_t x[3 * 65], spikes[18 * 3 * 65];
    int32_t limit[3 * 65];
    uint32_t key[6] = {1, 2, 3, 4, 5, 6};
    for (int i = 0; i < 3 * 65; i++) limit[i] = (int32_t)(16777216 * number());
    rate_code(spikes, limit, key, 18, 3, 65, 2);
    for (int i = 0; i < 3 * 65; i++) x[i] = spikes[i];
    run_all_float(x);
    run_all_double(x);
    run_all_printed();
    if (!(fired > 0)) return 1;
    puts("finished");
    return 0;
}
