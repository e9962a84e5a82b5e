/* Of the products with inputs that are mostly 0 what layers with weights among their neurons need, for REAL. */
#include "vector.h"

#define IN REAL
#define OF(f) NAME(f##_of_reals)
#include "gather.h"
#undef IN
#undef OF
#undef TILES
#undef TILE
#undef STRIP
#undef WIDTH
