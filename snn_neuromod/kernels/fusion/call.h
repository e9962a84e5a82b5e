/* What a kernel is called with, and what it does with parameters; printed bodies follow. Type and name of the kernel are
 * given as REAL and KERNEL; what stands once for each kernel is named after it. */
#define TILE 128
#define EVERY 16
#define SMALL 32768 /* neurons times steps below which one thread is fastest */
#define PASTED(a, b) a##_##b
#define JOINED(a, b) PASTED(a, b)
#define OWN(name) JOINED(KERNEL, name)
#define Call OWN(Call)
#define Work OWN(Work)
#define Fixed OWN(Fixed)
#define Level OWN(Level)
#define Scratch OWN(Scratch)
#define Task OWN(Task)
#define KEPT OWN(KEPT)
#define spread OWN(spread)
#define flush OWN(flush)
#define arriving OWN(arriving)
#define leaving OWN(leaving)
#define left OWN(left)
#define refresh OWN(refresh)
#define step OWN(step)
#define again OWN(again)
#define last_step OWN(last_step)
#define learning_step OWN(learning_step)
#define other_step OWN(other_step)

typedef struct {
    int64_t T, E, num, keep;
    int64_t x_step, gz_step; /* E, or 0 where there is memory for one step */
    int moves, learns; /* whether parameters are given per step; whether any needs a gradient */
    const int64_t *strides;
    const REAL *x;
    REAL *z;
    const REAL *gz;
    REAL *gx;
    const REAL *given; /* what comes from outside, of all steps: x, in the reverse pass gz, where no weights add to it */
    const REAL *const *p;
    REAL *const *s, *const *m, *const *a, *const *g; /* a: NULL is 0; g: NULL is not wanted */
    int streams; /* whether results are written past the caches */
} Call;

/* Loops take whole vectors: what is wide otherwise, at the end of a sequence's step, goes through a row of the tile. So do,
 * of steps that wait for memory, results too many for a cache: what stood there need not be read to be written over. */
#define WHOLE(wide) (((wide) + 15) / 16 * 16)
INLINE const REAL *arriving(REAL *restrict row, const REAL *from, int64_t wide) {
    if (wide == WHOLE(wide)) return from;
    memcpy(row, from, wide * sizeof(REAL));
    return row;
}
INLINE REAL *leaving(const Call *call, REAL *row, REAL *to, int64_t wide) {
    return wide == WHOLE(wide) && !call->streams ? to : row;
}
INLINE void left(const Call *call, REAL *to, const REAL *row, int64_t wide) {
    if (call->streams) stream(to, row, wide * sizeof(REAL));
    else if (wide != WHOLE(wide)) memcpy(to, row, wide * sizeof(REAL));
}

/* A tile's values of a parameter with these strides by step, row and neuron. */
INLINE void spread(REAL *restrict out, const Call *call, int k, int64_t t, int64_t first, int64_t wide) {
    const int64_t *strides = call->strides + 3 * k;
    const REAL *data = call->p[k] + t * strides[0];
    int64_t row = first / call->num, column = first % call->num;
    for (int64_t n = 0; n < wide; row++, column = 0) {
        const int64_t rest = n + call->num - column, stop = wide < rest ? wide : rest;
        for (int64_t c = column; n < stop; n++, c++) out[n] = data[row * strides[1] + c * strides[2]];
    }
}

/* The gradient of a parameter that is given per step: of one step. */
INLINE void flush(REAL *restrict row, const Call *call, int k, int64_t t, int64_t first, int64_t wide) {
    memcpy(call->g[k] + t * call->E + first, row, wide * sizeof(REAL));
    memset(row, 0, wide * sizeof(REAL));
}
