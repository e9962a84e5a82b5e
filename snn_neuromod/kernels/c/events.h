/* Sums over inputs that are mostly 0: rows of a matrix that the others add, for REAL. */

/* One input other than 0: which row it adds, and how often. */
typedef struct {
    int32_t at;
    REAL value;
} NAME(Event);

/* out[r] = first[r] + the sum over events of value w[at], for `high` sums r of `num` columns. out may be first. */
typedef struct {
    REAL *out;
    const REAL *first, *w;
    int64_t row, first_row, w_row; /* how far rows are apart */
    const NAME(Event) *events;
    const int64_t *start; /* where the events of a sum begin; of the one after the last, where all end */
    int64_t high, num;
} NAME(Sums);

#define IN REAL
#define OF(f) NAME(f##_of_reals)
#include "nonzero.h"
#undef IN
#undef OF

#if defined(SNN_CLONES)
#define VECTOR 64
#include "sums.h"
#define VECTOR 32
#include "sums.h"
#endif
#define VECTOR PLAIN
#include "sums.h"
