/* Products of weights with inputs that are mostly 0; the formulas stand in kernels/products.py. */
#include "vector.h"

typedef struct {
    int64_t rows, inputs, outputs, threads;
    const void *x;                      /* (rows, inputs), bytes or reals */
    const REAL *w, *first;              /* (strips, inputs, STRIP), (outputs) */
    REAL *out;                          /* (rows, outputs) */
    const REAL *grad_out;               /* (rows, outputs) */
    REAL *grad_w;                       /* (inputs, outputs padded) */
} NAME(SPIKES);

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
