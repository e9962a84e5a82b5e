/* The time loop around printed bodies: `refresh`, `step`, `again`, `last_step` and `other_step` stand above it.
 *
 * Neurons go through all steps in tiles of TILE, which stay in cache. The reverse pass takes stretches of EVERY steps from
 * the last to the first: it finds the states of a stretch again from those kept at its beginning, then goes back. */
#define load OWN(load)
#define store OWN(store)
#define ahead OWN(ahead)
#define forth OWN(forth)
#define found OWN(found)
#define back OWN(back)
#define forward OWN(forward)
#define backward OWN(backward)
#define call_of OWN(call_of)
#define aligned OWN(aligned)
#define expect_results OWN(expect_results)
#define load_gradients OWN(load_gradients)
#define store_gradients OWN(store_gradients)
#if EXACT
#define ROUNDED
#define ROUNDED_BLOCK
#else
#define ROUNDED FUSED
#define ROUNDED_BLOCK FUSED_BLOCK
#endif

INLINE void load(REAL *restrict row, const REAL *from, int64_t first, int64_t wide) {
    memcpy(row, from + first, wide * sizeof(REAL));
}
INLINE void store(REAL *to, const REAL *restrict row, int64_t first, int64_t wide) {
    memcpy(to + first, row, wide * sizeof(REAL));
}
INLINE void *aligned(void *memory) { return (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }
INLINE void ahead(const REAL *from, int64_t num, const int write) {
    for (int64_t n = 0; n < num; n += 64 / (int64_t)sizeof(REAL))
        if (write) __builtin_prefetch(from + n, 1);
        else __builtin_prefetch(from + n, 0);
}
INLINE void once(const Call *call, Work *w, int64_t first, int64_t wide) { refresh(call, w, 0, first, wide, 1); }

/* Gradients of the last state, of the first after all steps, and sums of those of parameters. */
static void load_gradients(const Call *call, Work *w, int64_t first, int64_t wide) {
    for (int k = 0; k < NUM_STATES; k++)
        if (call->a[k]) load(w->a[k], call->a[k], first, wide);
        else memset(w->a[k], 0, sizeof w->a[k]);
    for (int k = 0; k < NUM_PARAMS; k++)
        if (call->g[k] && !call->strides[3 * k]) load(w->g[k], call->g[k], first, wide);
        else memset(w->g[k], 0, sizeof w->g[k]);
}
static void store_gradients(const Call *call, const Work *w, int64_t first, int64_t wide) {
    for (int k = 0; k < NUM_STATES; k++)
        if (call->a[k]) store(call->a[k], w->a[k], first, wide);
    for (int k = 0; k < NUM_PARAMS; k++)
        if (call->g[k] && !call->strides[3 * k]) store(call->g[k], w->g[k], first, wide);
}

/* Steps of a stretch, in their own functions for each instruction set. */
CLONES ROUNDED static void forth(
    const Call *call, Work *w, int64_t first, int64_t wide, int64_t start, int64_t stop) {
    ROUNDED_BLOCK
    for (int64_t t = start; t < stop; t++) {
        if (t + 1 < call->T) {
            ahead(call->x + (t + 1) * call->x_step + first, wide, 0);
            ahead(call->z + (t + 1) * call->E + first, wide, 1);
        }
        if (call->moves) refresh(call, w, t, first, wide, 0);
        step(call, w, t, 0, first, wide);
    }
}
CLONES ROUNDED static void found(
    const Call *call, Work *w, int64_t first, int64_t wide, int64_t start, int64_t stop) {
    ROUNDED_BLOCK
    for (int64_t t = start; t < stop; t++) {
        ahead(call->x + (t + 1 < call->T ? t + 1 : t) * call->x_step + first, wide, 0);
        ahead(call->gz + t * call->gz_step + first, wide, 0);
        ahead(call->gx + t * call->E + first, wide, 1);
        if (call->moves) refresh(call, w, t, first, wide, 0);
        again(call, w, t, t - start, first, wide);
    }
}
/* From the step before `stop` to `from`, of the stretch that begins at `start`. */
CLONES FUSED static void back(
    const Call *call, Work *w, int64_t first, int64_t wide, int64_t start, int64_t from, int64_t stop) {
    FUSED_BLOCK
    const int finds = AGAIN && (READS || call->learns);
    for (int64_t t = stop - 1; t >= from; t--) {
        if (!finds && t > 0) {
            ahead(call->gz + (t - 1) * call->gz_step + first, wide, 0);
            ahead(call->gx + (t - 1) * call->E + first, wide, 1);
        }
        if (call->moves) refresh(call, w, t, first, wide, 0);
#if DIFFERS
        if (t == call->T - 1) last_step(call, w, t, t - start, first, wide);
        else
#endif
        if (call->learns) learning_step(call, w, t, t - start, first, wide);
        else other_step(call, w, t, t - start, first, wide);
    }
}

static void forward(const Call *call, Work *w, int64_t first, int64_t wide) {
    const int64_t E = call->E, T = call->T;
    for (int k = 0; k < NUM_STATES; k++) load(w->s[k][0], call->s[k], first, wide);
    for (int64_t start = 0; start < T; start += EVERY) {
        for (int j = 0; j < NUM_KEPT && call->keep; j++)
            store(call->m[j] + start / EVERY * E, w->s[KEPT[j]][0], first, wide);
        forth(call, w, first, wide, start, start + EVERY < T ? start + EVERY : T);
    }
    for (int k = 0; k < NUM_STATES; k++) store(call->s[k], w->s[k][0], first, wide);
}

static void backward(const Call *call, Work *w, int64_t first, int64_t wide) {
    const int64_t E = call->E, T = call->T;
    for (int k = 0; k < NUM_STATES; k++) load(w->s[k][0], call->s[k], first, wide);
    load_gradients(call, w, first, wide);
    const int finds = AGAIN && (READS || call->learns);
    for (int64_t start = (T - 1) / EVERY * EVERY; start >= 0; start -= EVERY) {
        const int64_t stop = start + EVERY < T ? start + EVERY : T;
        for (int j = 0; finds && j < NUM_KEPT; j++) load(w->s[KEPT[j]][0], call->m[j] + start / EVERY * E, first, wide);
        if (finds) found(call, w, first, wide, start, stop);
        back(call, w, first, wide, start, start, stop);
    }
    store_gradients(call, w, first, wide);
}

/* sizes: T, E, neurons of a row, threads, whether to keep, direction, strides of each parameter by step, row and neuron.
 * data: input, spikes, their gradients, then parameters, numbers of options, states, kept states, gradients of states,
 * of which NULL is 0, and of all parameters, of which NULL is not wanted: it is added to what is there, or written step
 * by step where the parameter is given per step. */
static Call call_of(const int64_t *sizes, void *const *data) {
    void *const *const states = data + 4 + NUM_PARAMS + NUM_NUMBERS;
    Call call = {sizes[0], sizes[1], sizes[2], sizes[4], sizes[1], sizes[1], 0, 0, sizes + 6, data[0], data[1],
                 data[2], data[3],
                 (const REAL *const *)data + 4, (REAL *const *)states, (REAL *const *)states + NUM_STATES,
                 (REAL *const *)states + NUM_STATES + NUM_KEPT, (REAL *const *)states + 2 * NUM_STATES + NUM_KEPT};
    for (int k = 0; k < NUM_PARAMS; k++) {
        call.moves |= call.strides[3 * k] != 0;
        call.learns |= sizes[5] && call.g[k];
    }
    return call;
}

/* Fresh memory that a pass fills. */
static void expect_results(const Call *call, int reverse) {
    const int64_t bytes = call->T * call->E * (int64_t)sizeof(REAL);
    expect(reverse ? call->gx : call->z, bytes);
    for (int k = 0; k < NUM_PARAMS && call->learns; k++)
        if (call->g[k] && call->strides[3 * k]) expect(call->g[k], bytes);
}

/* Returns 0, or 1 if there was no memory. */
EXPORT int KERNEL(const int64_t *sizes, void *const *data) {
    const Call call = call_of(sizes, data);
    expect_results(&call, sizes[5] != 0);
    const int64_t tiles = (call.E + TILE - 1) / TILE, threads = call.E * call.T < SMALL ? 1 : sizes[3];
    int failed = 0, moves = 0; /* whether parameters differ from tile to tile */
    for (int k = 0; k < NUM_PARAMS; k++) moves |= call.strides[3 * k + 1] || call.strides[3 * k + 2];
#ifdef _OPENMP
#pragma omp parallel num_threads((int)(threads < tiles ? threads : tiles)) if (tiles > 1 && threads > 1) reduction(| : failed)
#endif
    {
        void *const memory = malloc(sizeof(Work) + sizeof(Fixed) + 64);
        int known = 0;
        failed |= memory == NULL;
        Fixed *const fixed = aligned(memory);
        Work *const w = (Work *)(fixed + 1);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t k = 0; k < tiles; k++) {
            const int64_t first = k * TILE, wide = call.E - first < TILE ? call.E - first : TILE;
            if (memory == NULL) continue;
            w->fixed = fixed;
            if (!known || moves) once(&call, w, first, moves ? wide : TILE);
            known = 1;
            if (sizes[5]) backward(&call, w, first, wide);
            else forward(&call, w, first, wide);
        }
        free(memory);
    }
    return failed;
}
