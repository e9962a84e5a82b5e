/* The time loop of a layer with weights among its neurons: products stand between the bodies of `driver.h`'s steps.
 *
 * Some rows go through all steps together and share a pass over the weights. What a row's neurons get is computed in the
 * same order whatever the number of threads: tiles begin anew at every row, of narrow layers at every BLOCK rows.
 */
#define divided OWN(divided)
#define rows_in_tiles OWN(rows_in_tiles)
#define forward_together OWN(forward_together)
#define backward_together OWN(backward_together)

typedef struct {
    Work *w;
    int64_t first, wide; /* neurons of all rows */
} Tile;

typedef struct {
    NAME(Synapses) synapses;
    NAME(Space) space;
    const REAL *given; /* (T, rows, N): input from outside, in the reverse pass the gradient of the spikes */
    REAL *arriving;    /* where that is taken together with what comes through the weights, at x_step or gz_step */
    Part part;
    const Tile *tiles;
    int64_t num_tiles;
} Task;

#define EACH_TILE(task) (const Tile *i = (task)->tiles; i < (task)->tiles + (task)->num_tiles; i++)

INLINE int64_t rows_in_tiles(int64_t num) { return num < TILE ? BLOCK : 1; }

/* Tiles of a task. Those of different rows share what does not change with time, unless that differs between rows. */
static int64_t divided(const Call *call, Tile *tiles, Work *works, Fixed *fixed, Part part) {
    const int64_t num = call->num, rows = rows_in_tiles(num);
    int64_t count = 0, shared = 1;
    for (int k = 0; k < NUM_PARAMS; k++) shared &= call->strides[3 * k + 1] == 0;
    for (int64_t row = part.row0; row < part.row1; row += rows) {
        const int64_t stop = smaller(row + rows, part.row1) * num;
        for (int64_t first = row * num, same = 0; first < stop; first += TILE, same++, count++) {
            tiles[count] = (Tile){works + count, first, smaller(TILE, stop - first)};
            works[count].fixed = fixed + (shared ? same : count);
            if (same == count || !shared) once(call, works + count, first, tiles[count].wide);
        }
    }
    return count;
}

static void forward_together(const Call *call, const Task *task) {
    const int64_t E = call->E, num = call->num;
    for EACH_TILE(task)
        for (int k = 0; k < NUM_STATES; k++) load(i->w->s[k][0], call->s[k], i->first, i->wide);
    for (int64_t t = 0; t < call->T; t++) {
        REAL *const input = task->arriving + t * call->x_step + task->part.row0 * num;
        NAME(recurrent_input)(
            input, task->space, &task->synapses, task->given, call->z, t, task->part, E / num, num);
        for EACH_TILE(task) {
            for (int j = 0; j < NUM_KEPT && call->keep && t % EVERY == 0; j++)
                store(call->m[j] + t / EVERY * E, i->w->s[KEPT[j]][0], i->first, i->wide);
            forth(call, i->w, i->first, i->wide, t, t + 1);
        }
    }
    for EACH_TILE(task)
        for (int k = 0; k < NUM_STATES; k++) store(call->s[k], i->w->s[k][0], i->first, i->wide);
}

static void backward_together(const Call *call, const Task *task) {
    const int64_t E = call->E, T = call->T, num = call->num;
    for EACH_TILE(task) {
        for (int k = 0; k < NUM_STATES; k++) load(i->w->s[k][0], call->s[k], i->first, i->wide);
        load_gradients(call, i->w, i->first, i->wide);
    }
    for (int64_t start = (T - 1) / EVERY * EVERY; start >= 0; start -= EVERY) {
        const int64_t stop = smaller(start + EVERY, T);
        for EACH_TILE(task) {
            for (int j = 0; j < NUM_KEPT; j++)
                load(i->w->s[KEPT[j]][0], call->m[j] + start / EVERY * E, i->first, i->wide);
            if (AGAIN && (READS || call->learns)) found(call, i->w, i->first, i->wide, start, stop);
        }
        for (int64_t t = stop - 1; t >= start; t--) {
            REAL *const signal = task->arriving + t * call->gz_step;
            NAME(add_transposed)(
                signal, task->given + t * E, &task->synapses, call->gx, t, T, task->part, E / num, num);
            for EACH_TILE(task) back(call, i->w, i->first, i->wide, start, t, t + 1);
        }
    }
    for EACH_TILE(task) store_gradients(call, i->w, i->first, i->wide);
}

/* sizes, data: as of KERNEL. The input is written, as a whole where it is kept, else step by step in the place of one;
 * so are, in the place of one step, the gradients of the spikes.
 * groups: as in weights.h. synapses: spikes before the first step, weights (in the reverse pass transposed), sources,
 * and what is `given`. */
EXPORT int RECURRENT(const int64_t *sizes, void *const *data, const int64_t *groups, void *const *synapses) {
    const int reverse = sizes[5] != 0;
    Call call = call_of(sizes, data);
    if (!reverse && !call.keep) call.x_step = 0;
    if (reverse) call.gz_step = 0;
    expect_results(&call, reverse);
    if (!reverse && call.keep) expect(data[0], call.T * call.E * sizeof(REAL));
    const NAME(Synapses) all = {synapses[1], synapses[1], synapses[0], groups, synapses[2]};
    const int64_t num = call.num, rows = num < 1 ? 0 : call.E / num;
    const int64_t high = reverse ? rows_of_task(rows, sizes[3]) : BLOCK, tasks = high < 1 ? 0 : (rows + high - 1) / high;
    const int64_t together = rows_in_tiles(num), tiles = high / together * ((together * num + TILE - 1) / TILE);
    int failed = 0;
#ifdef _OPENMP
#pragma omp parallel num_threads((int)(sizes[3] < tasks ? sizes[3] : tasks)) if (tasks > 1 && sizes[3] > 1) reduction(| : failed)
#endif
    {
        void *const memory = malloc(tiles * (sizeof(Work) + sizeof(Fixed) + sizeof(Tile)) + 64);
        Fixed *const fixed = aligned(memory);
        Work *const works = (Work *)(fixed + tiles);
        Tile *const list = (Tile *)(works + tiles);
        const NAME(Space) space = NAME(new_space)((Part){0, high, 0, num}, num);
        failed |= memory == NULL || space.input == NULL;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t k = 0; k < tasks; k++) {
            if (memory == NULL || space.input == NULL) continue;
            const Part part = {k * high, smaller((k + 1) * high, rows), 0, num};
            const Task task = {all, space, synapses[3], reverse ? data[2] : data[0], part, list,
                               divided(&call, list, works, fixed, part)};
            if (reverse) backward_together(&call, &task);
            else forward_together(&call, &task);
        }
        free(space.input);
        free(memory);
    }
    return failed;
}
