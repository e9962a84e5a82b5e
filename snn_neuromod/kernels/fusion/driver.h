/* The time loop around printed bodies: `once`, `step`, `again`, `last_step` and `other_step` stand above it.
 *
 * Neurons go through all steps in tiles of TILE, which stay in cache. The reverse pass takes stretches of EVERY steps from
 * the last to the first: it finds the states of a stretch again from those kept at its beginning, then goes back. */

INLINE void load(REAL *restrict row, const REAL *from, int64_t first, int64_t wide) {
    memcpy(row, from + first, wide * sizeof(REAL));
}
INLINE void store(REAL *to, const REAL *restrict row, int64_t first, int64_t wide) {
    memcpy(to + first, row, wide * sizeof(REAL));
}
INLINE void *aligned(void *memory) { return (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }
INLINE void prefetch(const REAL *from, int64_t num, const int write) {
    for (int64_t n = 0; n < num; n += 64 / (int64_t)sizeof(REAL))
        if (write) __builtin_prefetch(from + n, 1);
        else __builtin_prefetch(from + n, 0);
}

static void forward(const Call *call, Work *w, int64_t first, int64_t wide) {
    const int64_t E = call->E, T = call->T;
    for (int k = 0; k < NUM_STATES; k++) load(w->s[k][0], call->s[k], first, wide);
    for (int64_t t = 0; t < T; t++) {
        if (t % EVERY == 0 && call->keep)
            for (int j = 0; j < NUM_KEPT; j++) store(call->m[j] + t / EVERY * E, w->s[KEPT[j]][0], first, wide);
        if (t + 1 < T) {
            prefetch(call->x + (t + 1) * E + first, wide, 0);
            prefetch(call->z + (t + 1) * E + first, wide, 1);
        }
        step(call, w, t, 0, first, wide);
    }
    for (int k = 0; k < NUM_STATES; k++) store(call->s[k], w->s[k][0], first, wide);
}

static void backward(const Call *call, Work *w, int64_t first, int64_t wide) {
    const int64_t E = call->E, T = call->T;
    for (int k = 0; k < NUM_STATES; k++) {
        load(w->s[k][0], call->s[k], first, wide);
        load(w->a[k], call->a[k], first, wide);
    }
    for (int j = 0; j < NUM_SUMS; j++) load(w->g[j], call->g[SUMS[j]], first, wide);
    for (int64_t start = (T - 1) / EVERY * EVERY; start >= 0; start -= EVERY) {
        const int64_t stop = start + EVERY < T ? start + EVERY : T;
        for (int j = 0; j < NUM_KEPT; j++) load(w->s[KEPT[j]][0], call->m[j] + start / EVERY * E, first, wide);
        for (int64_t t = start; AGAIN && t < stop; t++) {
            prefetch(call->x + (t + 1 < T ? t + 1 : t) * E + first, wide, 0);
            prefetch(call->gz + t * E + first, wide, 0);
            prefetch(call->gx + t * E + first, wide, 1);
            again(call, w, t, t - start, first, wide);
        }
        for (int64_t t = stop - 1; t >= start; t--) {
            if (!AGAIN && t > 0) {
                prefetch(call->gz + (t - 1) * E + first, wide, 0);
                prefetch(call->gx + (t - 1) * E + first, wide, 1);
            }
            if (t == T - 1) last_step(call, w, t, t - start, first, wide);
            else other_step(call, w, t, t - start, first, wide);
        }
    }
    for (int k = 0; k < NUM_STATES; k++) store(call->a[k], w->a[k], first, wide);
    for (int j = 0; j < NUM_SUMS; j++) store(call->g[SUMS[j]], w->g[j], first, wide);
}

/* sizes: T, E, neurons of a row, threads, whether to keep, direction, strides of each parameter by step, row and neuron.
 * data: input, spikes, their gradients, then parameters, states, kept states, gradients of states and of parameters, to
 * which is added what is no gradient per step. */
static Call call_of(const int64_t *sizes, void *const *data) {
    return (Call){sizes[0], sizes[1], sizes[2], sizes[4], sizes[1], sizes[1], sizes + 6, data[0], data[1], data[2],
                  data[3], (const REAL *const *)data + 4, (REAL *const *)data + 4 + NUM_PARAMS,
                  (REAL *const *)data + 4 + NUM_PARAMS + NUM_STATES,
                  (REAL *const *)data + 4 + NUM_PARAMS + NUM_STATES + NUM_KEPT,
                  (REAL *const *)data + 4 + NUM_PARAMS + 2 * NUM_STATES + NUM_KEPT};
}

/* Fresh memory that a pass fills. */
static void expect_results(const Call *call, int reverse) {
    expect(reverse ? call->gx : call->z, call->T * call->E * sizeof(REAL));
}

/* Returns 0, or 1 if there was no memory. */
EXPORT int KERNEL(const int64_t *sizes, void *const *data) {
    const Call call = call_of(sizes, data);
    expect_results(&call, sizes[5] != 0);
    const int64_t tiles = (call.E + TILE - 1) / TILE;
    int failed = 0, moves = 0; /* whether parameters differ from tile to tile */
    for (int k = 0; k < NUM_PARAMS; k++) moves |= call.strides[3 * k + 1] || call.strides[3 * k + 2];
#ifdef _OPENMP
#pragma omp parallel num_threads((int)(sizes[3] < tiles ? sizes[3] : tiles)) if (tiles > 1 && sizes[3] > 1) reduction(| : failed)
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
