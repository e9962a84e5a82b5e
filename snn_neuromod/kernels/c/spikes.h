/* Products of weights with inputs that are mostly 0; the formulas stand in kernels/products.py. */
#include "vector.h"

typedef struct {
    int64_t rows, inputs, outputs, threads;
    const void *x;        /* (rows, inputs), bytes or reals */
    const REAL *w, *first; /* (strips, inputs, STRIP), (outputs) */
    REAL *out;            /* (rows, outputs) */
    const REAL *grad_out; /* (rows, outputs) */
    REAL *grad_w;         /* (inputs, outputs padded) */
} NAME(SPIKES);

/* sizes and data in that order; what a kernel does not need is NULL. */
static NAME(SPIKES) NAME(spikes_of)(const int64_t *sizes, void *const *data) {
    return (NAME(SPIKES)){sizes[0], sizes[1], sizes[2], sizes[3], data[0], data[1], data[2], data[3], data[4], data[5]};
}

#define IN uint8_t
#define OF(f) NAME(f##_of_bytes)
#include "sparse.h"
#define IN REAL
#define OF(f) NAME(f##_of_reals)
#include "sparse.h"
#undef TILES
#undef TILE
#undef STRIP
#undef WIDTH
