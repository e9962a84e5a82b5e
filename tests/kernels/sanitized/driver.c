/* Every kernel on small, awkward sizes, each array as large as it has to be and no larger; see test_sanitized.py. */
#include "kernels.c"
#include <stdio.h>
#undef REAL
#undef NAME

static uint32_t seed = 1;
static double fired = 0; /* spikes of printed kernels */

static double number(void) { return (seed = seed * 1664525u + 1013904223u) / 4294967296.0; }

#define REAL float
#define NAME(f) f##_float
#include "driver.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(f) f##_double
#include "driver.h"

/* Printed kernels: `CASE(function, that of recurrent layers, parameters, numbers of options, states, kept states)` of
 * each, from the test. */
typedef int Printed(const int64_t *, void *const *);
typedef int Recurrent(const int64_t *, void *const *, const int64_t *, void *const *);
typedef struct {
    Printed *run;
    Recurrent *recurrent;
    int real, params, numbers, states, kept;
} Case;
#define CASE(name, recurrent, ...) \
    {name##_float, recurrent##_float, 4, __VA_ARGS__}, {name##_double, recurrent##_double, 8, __VA_ARGS__},
static const Case CASES[] = {
#include "cases.h"
};

static void *filled(int real, int64_t count, double low, double high) {
    return real == 4 ? (void *)between_float(count, low, high) : (void *)between_double(count, low, high);
}

/* Weights of one group of all neurons, or of groups of 1, 2 and 25 steps, each of every third neuron. */
typedef struct {
    int64_t layout[8];
    void *forth[4], *back[4]; /* spikes before the first step, weights, sources, what is given */
} Wires;

static Wires wires(int real, int groups, int64_t rows, int64_t num, void *input, void *grad) {
    static const int64_t delays[] = {1, 2, 25};
    const int64_t longest = groups == 3 ? 25 : 1, whole = 64 / real;
    int64_t *const sources = malloc(num * sizeof(int64_t)), from = 0, forth = 0, back = 0;
    Wires w = {{groups, longest}};
    for (int g = 0; g < groups; g++) {
        int64_t count = 0;
        for (int64_t n = 0; n < num; n++)
            if (groups == 1 || n % 3 == g) sources[from++] = n, count++;
        w.layout[2 + 2 * g] = delays[g], w.layout[3 + 2 * g] = count;
        forth += count * ((num + whole - 1) / whole * whole), back += num * ((count + whole - 1) / whole * whole);
    }
    w.forth[0] = w.back[0] = filled(real, longest * rows * num, 0, 0);
    w.forth[1] = filled(real, forth, -1, 1), w.back[1] = filled(real, back, -1, 1);
    w.forth[2] = w.back[2] = groups == 1 ? NULL : sources;
    w.forth[3] = input, w.back[3] = grad;
    return w;
}

static void call(const Case *c, const int64_t *sizes, void *const *data, const Wires *w) {
    void *const *const through = sizes[5] ? w->back : w->forth;
    if (w->layout[0] ? c->recurrent(sizes, data, w->layout, through) : c->run(sizes, data)) abort();
}

/* Forth and back; the last parameter is given per step, and none, the last or all need a gradient. */
static void run_printed(const Case *c, int64_t steps, int64_t rows, int64_t num, int learned, int groups) {
    const int64_t E = rows * num, all = steps * E, stretches = (steps + 15) / 16;
    int64_t *const sizes = calloc(6 + 3 * c->params, sizeof(int64_t));
    void **const data = calloc(4 + 2 * c->params + c->numbers + 2 * c->states + c->kept, sizeof(void *)), **at = data;
    void *const input = filled(c->real, all, -1, 20), *const grad = filled(c->real, all, -1, 1);
    const Wires w = groups ? wires(c->real, groups, rows, num, input, grad) : (Wires){{0}};
    sizes[0] = steps, sizes[1] = E, sizes[2] = num, sizes[3] = 2, sizes[4] = 1;
    *at++ = groups ? filled(c->real, all, 0, 0) : input, *at++ = filled(c->real, all, 0, 0);
    *at++ = groups ? filled(c->real, E, 0, 0) : grad, *at++ = filled(c->real, all, 0, 0);
    for (int k = 0; k < c->params; k++) {
        const int moves = k == c->params - 1;
        if (moves) sizes[6 + 3 * k] = E, sizes[7 + 3 * k] = num;
        sizes[8 + 3 * k] = 1;
        *at++ = filled(c->real, moves ? all : num, 0.1, 0.9);
    }
    for (int k = 0; k < c->numbers; k++) *at++ = filled(c->real, 1, 1, 1);
    for (int k = 0; k < c->states; k++) *at++ = filled(c->real, E, -1, 1);
    for (int k = 0; k < c->kept; k++) *at++ = filled(c->real, stretches * E, 0, 0);
    call(c, sizes, data, &w);
    for (int64_t n = 0; n < all; n++) fired += c->real == 4 ? ((float *)data[1])[n] > 0.5 : ((double *)data[1])[n] > 0.5;
    for (int k = 0; k < c->states; k++) *at++ = filled(c->real, E, -1, 1);
    for (int k = 0; k < c->params; k++)
        if (learned > c->params - 1 - k) *at++ = filled(c->real, k == c->params - 1 ? all : E, 0, 0);
        else *at++ = NULL;
    sizes[5] = 1;
    call(c, sizes, data, &w);
    if (!groups || learned) return;
    sizes[4] = sizes[5] = 0; /* nothing kept */
    data[0] = filled(c->real, E, 0, 0);
    call(c, sizes, data, &w);
}

static void run_all_printed(void) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++)
        for (int groups = 0; groups < 4; groups += groups ? 2 : 1)
            for (int few = 0; few < 3; few++) {
                const int learned = few == 2 ? CASES[k].params : few;
                run_printed(CASES + k, 1, 1, 1, learned, groups);
                run_printed(CASES + k, 18, 3, 65, learned, groups);
                if (!groups) run_printed(CASES + k, 33, 2, 64, learned, groups);
            }
}

int main(void) {
    uint8_t x[3 * 65], spikes[18 * 3 * 65];
    int32_t limit[3 * 65];
    uint32_t key[6] = {1, 2, 3, 4, 5, 6};
    for (int i = 0; i < 3 * 65; i++) limit[i] = (int32_t)(16777216 * number());
    rate_code((const int64_t[]){18, 3, 65, 2}, (void *const[]){spikes, limit, key});
    for (int i = 0; i < 3 * 65; i++) x[i] = spikes[i];
    run_all_float(x);
    run_all_double(x);
    run_all_printed();
    if (!(fired > 0)) return 1;
    puts("finished");
    return 0;
}
