/* The time loop around printed bodies: `refresh`, `step`, `again`, `learning_step`, `last_step` and `other_step` stand
 * above it.
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
#define load_states OWN(load_states)
#define store_states OWN(store_states)
#define load_kept OWN(load_kept)
#define store_kept OWN(store_kept)
#define Room OWN(Room)
#define new_room OWN(new_room)
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
INLINE void ahead(const REAL *from, int64_t num, const int write) {
    for (int64_t n = 0; n < num; n += 64 / (int64_t)sizeof(REAL))
        if (write) __builtin_prefetch(from + n, 1);
        else __builtin_prefetch(from + n, 0);
}

/* States before all steps, after them. */
static void load_states(const Call *call, Work *w) {
    for (int k = 0; k < NUM_STATES; k++) load(w->levels->s[k], call->s[k], w->first, w->wide);
}
static void store_states(const Call *call, const Work *w) {
    for (int k = 0; k < NUM_STATES; k++) store(call->s[k], w->levels->s[k], w->first, w->wide);
}
/* States before a stretch. */
static void load_kept(const Call *call, Work *w, int64_t start) {
    for (int j = 0; j < NUM_KEPT; j++)
        load(w->levels->s[KEPT[j]], call->m[j] + start / EVERY * call->E, w->first, w->wide);
}
static void store_kept(const Call *call, const Work *w, int64_t start) {
    for (int j = 0; j < NUM_KEPT && call->keep; j++)
        store(call->m[j] + start / EVERY * call->E, w->levels->s[KEPT[j]], w->first, w->wide);
}
/* Gradients of the last state, of the first after all steps, and sums of those of parameters. */
static void load_gradients(const Call *call, Work *w) {
    for (int k = 0; k < NUM_STATES; k++)
        if (call->a[k]) load(w->a[k], call->a[k], w->first, w->wide);
        else memset(w->a[k], 0, sizeof w->a[k]);
    for (int k = 0; k < NUM_PARAMS; k++)
        if (call->g[k] && !call->strides[3 * k]) load(w->g[k], call->g[k], w->first, w->wide);
        else memset(w->g[k], 0, sizeof w->g[k]);
}
static void store_gradients(const Call *call, const Work *w) {
    for (int k = 0; k < NUM_STATES; k++)
        if (call->a[k]) store(call->a[k], w->a[k], w->first, w->wide);
    for (int k = 0; k < NUM_PARAMS; k++)
        if (call->g[k] && !call->strides[3 * k]) store(call->g[k], w->g[k], w->first, w->wide);
}

#define EACH(num) (Work *w = works; w < works + (num); w++)

/* Steps of a stretch for some tiles, in their own functions for each instruction set. */
CLONES ROUNDED static void forth(const Call *call, Work *works, int64_t num, int64_t start, int64_t stop) {
    ROUNDED_BLOCK
    for EACH(num)
        for (int64_t t = start; t < stop; t++) {
            if (t + 1 < call->T) {
                ahead(call->given + (t + 1) * call->E + w->first, w->wide, 0);
                if (!call->streams) ahead(call->z + (t + 1) * call->E + w->first, w->wide, 1);
            }
            if (call->moves) refresh(call, w, t, w->first, w->wide, 0);
            step(call, w, t, 0, w->first, w->wide);
        }
}
CLONES ROUNDED static void found(const Call *call, Work *works, int64_t num, int64_t start, int64_t stop) {
    ROUNDED_BLOCK
    for EACH(num)
        for (int64_t t = start; t < stop; t++) {
            ahead(call->x + (t + 1 < call->T ? t + 1 : t) * call->x_step + w->first, w->wide, 0);
            if (call->gz_step) {
                ahead(call->given + t * call->E + w->first, w->wide, 0);
                if (!call->streams) ahead(call->gx + t * call->E + w->first, w->wide, 1);
            }
            if (call->moves) refresh(call, w, t, w->first, w->wide, 0);
            again(call, w, t, t - start, w->first, w->wide);
        }
}
/* From the step before `stop` to `from`, of the stretch that begins at `start`. */
CLONES FUSED static void back(
    const Call *call, Work *works, int64_t num, int64_t start, int64_t from, int64_t stop) {
    FUSED_BLOCK
    const int finds = AGAIN && (READS || call->learns);
    for EACH(num)
        for (int64_t t = stop - 1; t >= from; t--) {
            if ((!finds || !call->gz_step) && t > 0) {
                ahead(call->given + (t - 1) * call->E + w->first, w->wide, 0);
                if (!call->streams) ahead(call->gx + (t - 1) * call->E + w->first, w->wide, 1);
            }
            if (call->moves) refresh(call, w, t, w->first, w->wide, 0);
#if DIFFERS
            if (t == call->T - 1) last_step(call, w, t, t - start, w->first, w->wide);
            else
#endif
            if (call->learns) learning_step(call, w, t, t - start, w->first, w->wide);
            else other_step(call, w, t, t - start, w->first, w->wide);
        }
}

static void forward(const Call *call, Work *w) {
    load_states(call, w);
    for (int64_t start = 0; start < call->T; start += EVERY) {
        store_kept(call, w, start);
        forth(call, w, 1, start, smaller(start + EVERY, call->T));
    }
    store_states(call, w);
}

static void backward(const Call *call, Work *w) {
    load_states(call, w);
    load_gradients(call, w);
    const int finds = AGAIN && (READS || call->learns);
    for (int64_t start = (call->T - 1) / EVERY * EVERY; start >= 0; start -= EVERY) {
        const int64_t stop = smaller(start + EVERY, call->T);
        if (finds) load_kept(call, w, start);
        if (finds) found(call, w, 1, start, stop);
        back(call, w, 1, start, start, stop);
    }
    store_gradients(call, w);
}

/* sizes: T, E, neurons of a row, threads, whether to keep, direction, strides of each parameter by step, row and neuron.
 * data: input, spikes, their gradients, then parameters, numbers of options, states, kept states, gradients of states,
 * of which NULL is 0, and of all parameters, of which NULL is not wanted: it is added to what is there, or written step
 * by step where the parameter is given per step. */
static Call call_of(const int64_t *sizes, void *const *data) {
    void *const *const states = data + 4 + NUM_PARAMS + NUM_NUMBERS;
    Call call = {sizes[0], sizes[1], sizes[2], sizes[4], sizes[1], sizes[1], 0, 0, sizes + 6, data[0], data[1],
                 data[2], data[3], data[sizes[5] ? 2 : 0],
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

/* Memory for some tiles with these many different sets of fixed rows; NULL if there was none. */
typedef struct {
    void *memory;
    Fixed *fixed;
    Work *works;
} Room;

static Room new_room(int64_t tiles, int64_t sets, int reverse) {
    const int64_t levels = (reverse ? EVERY + 1 : 1) * tiles;
    void *const memory = malloc(levels * sizeof(Level) + sets * sizeof(Fixed) + sizeof(Scratch) + tiles * sizeof(Work) + 64);
    if (memory == NULL) return (Room){NULL, NULL, NULL};
    Level *const level = (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    Work *const works = (Work *)(level + levels);
    Fixed *const fixed = (Fixed *)(works + tiles);
    for (int64_t k = 0; k < tiles; k++) {
        works[k].levels = level + k;
        works[k].apart = tiles;
        works[k].fixed = fixed;
        works[k].scratch = (Scratch *)(fixed + sets);
    }
    return (Room){memory, fixed, works};
}

/* Returns 0, or 1 if there was no memory. */
EXPORT int KERNEL(const int64_t *sizes, void *const *data) {
    Call call = call_of(sizes, data);
    expect_results(&call, sizes[5] != 0);
    call.streams = STREAMS && worth_streaming(sizes[5] ? call.gx : call.z, call.E * sizeof(REAL), call.T);
    const int64_t tiles = (call.E + TILE - 1) / TILE, threads = call.E * call.T < SMALL ? 1 : sizes[3];
    int failed = 0, moves = 0; /* whether parameters differ from tile to tile */
    for (int k = 0; k < NUM_PARAMS; k++) moves |= call.strides[3 * k + 1] || call.strides[3 * k + 2];
#ifdef _OPENMP
#pragma omp parallel num_threads((int)(threads < tiles ? threads : tiles)) if (tiles > 1 && threads > 1) reduction(| : failed)
#endif
    {
        const Room room = new_room(1, 1, sizes[5] != 0);
        Work *const w = room.works;
        int known = 0;
        failed |= w == NULL;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t k = 0; k < tiles; k++) {
            if (w == NULL) continue;
            w->first = k * TILE;
            w->wide = smaller(call.E - w->first, TILE);
            if (!known || moves) refresh(&call, w, 0, w->first, moves ? w->wide : TILE, 1);
            known = 1;
            if (sizes[5]) backward(&call, w);
            else forward(&call, w);
        }
        if (STREAMS) streamed();
        free(room.memory);
    }
    return failed;
}
