/* Sums over inputs that are mostly 0: rows of a matrix that the others add, for REAL. */
#define IN REAL
#define OF(f) NAME(f##_of_reals)
#include "nonzero.h"
#undef IN
#undef OF

/* One input other than 0: which row it adds, and how often. */
typedef struct {
    int32_t at;
    REAL value;
} NAME(Event);

#if defined(SNN_CLONES)
#define VECTOR 64
#include "rows.h"
#define VECTOR 32
#include "rows.h"
#endif
#define VECTOR PLAIN
#include "rows.h"
