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
    NAME(Synapses) synapses;
    NAME(Space) space;
    REAL *arriving; /* where what is given is taken together with what comes through the weights, at x_step or gz_step */
    Part part;
    Work *works;
    int64_t num_tiles;
} Task;

INLINE int64_t rows_in_tiles(int64_t num) { return num < TILE ? BLOCK : 1; }

/* Divides a task into tiles. Those of different rows share what does not change with time, unless that differs between rows. */
static int64_t divided(const Call *call, const Room *room, Part part) {
    const int64_t num = call->num, rows = rows_in_tiles(num);
    int64_t count = 0, shared = 1;
    for (int k = 0; k < NUM_PARAMS; k++) shared &= call->strides[3 * k + 1] == 0;
    for (int64_t row = part.row0; row < part.row1; row += rows) {
        const int64_t stop = smaller(row + rows, part.row1) * num;
        for (int64_t first = row * num, same = 0; first < stop; first += TILE, same++, count++) {
            Work *const w = room->works + count;
            w->first = first;
            w->wide = smaller(TILE, stop - first);
            w->fixed = room->fixed + (shared ? same : count);
            if (same == count || !shared) refresh(call, w, 0, first, w->wide, 1);
        }
    }
    return count;
}

static void forward_together(const Call *call, const Task *task) {
    const int64_t num = call->num, tiles = task->num_tiles;
    Work *const works = task->works;
    for EACH(tiles) load_states(call, w);
    for (int64_t t = 0; t < call->T; t++) {
        REAL *const input = task->arriving + t * call->x_step + task->part.row0 * num;
        NAME(recurrent_input)(
            input, task->space, &task->synapses, call->given, call->z, t, task->part, call->E / num, num);
        if (t % EVERY == 0)
            for EACH(tiles) store_kept(call, w, t);
        forth(call, works, tiles, t, t + 1);
    }
    for EACH(tiles) store_states(call, w);
}

static void backward_together(const Call *call, const Task *task) {
    const int64_t T = call->T, num = call->num, tiles = task->num_tiles;
    Work *const works = task->works;
    for EACH(tiles) load_states(call, w), load_gradients(call, w);
    const int finds = AGAIN && (READS || call->learns);
    for (int64_t start = (T - 1) / EVERY * EVERY; start >= 0; start -= EVERY) {
        const int64_t stop = smaller(start + EVERY, T);
        if (finds) {
            for EACH(tiles) load_kept(call, w, start);
            found(call, works, tiles, start, stop);
        }
        for (int64_t t = stop - 1; t >= start; t--) {
            REAL *const signal = task->arriving + t * call->gz_step;
            NAME(add_transposed)(
                signal, call->given + t * call->E, &task->synapses, call->gx, t, T, task->part, call->E / num, num);
            back(call, works, tiles, start, t, t + 1);
        }
    }
    for EACH(tiles) store_gradients(call, w);
}

/* sizes, data: as of KERNEL. The input is written, as a whole where it is kept, else step by step in the place of one;
 * so are, in the place of one step, the gradients of the spikes.
 * groups: as in weights.h. synapses: spikes before the first step, weights (in the reverse pass transposed), sources,
 * and what is `given`. */
EXPORT int RECURRENT(const int64_t *sizes, void *const *data, const int64_t *groups, void *const *synapses) {
    const int reverse = sizes[5] != 0;
    Call call = call_of(sizes, data);
    call.given = synapses[3];
    if (!reverse && !call.keep) call.x_step = 0;
    if (reverse) call.gz_step = 0;
    expect_results(&call, reverse);
    if (!reverse && call.keep) expect(data[0], call.T * call.E * sizeof(REAL));
    const NAME(Synapses) all = {synapses[1], synapses[0], groups, synapses[2]};
    const int64_t num = call.num, rows = num < 1 ? 0 : call.E / num;
    const int64_t high = rows_of_task(rows, num, sizes[3]), tasks = high < 1 ? 0 : (rows + high - 1) / high;
    const int64_t together = rows_in_tiles(num), tiles = high / together * ((together * num + TILE - 1) / TILE);
    int failed = 0;
#ifdef _OPENMP
#pragma omp parallel num_threads((int)(sizes[3] < tasks ? sizes[3] : tasks)) if (tasks > 1 && sizes[3] > 1) reduction(| : failed)
#endif
    {
        const Room room = new_room(tiles, tiles, reverse);
        const NAME(Space) space = NAME(new_space)(high, num);
        const int there = room.memory != NULL && space.rows != NULL;
        failed |= !there;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t k = 0; k < tasks; k++) {
            if (!there) continue;
            const Part part = {k * high, smaller((k + 1) * high, rows)};
            const Task task = {all, space, reverse ? data[2] : data[0], part, room.works, divided(&call, &room, part)};
            if (reverse) backward_together(&call, &task);
            else forward_together(&call, &task);
        }
        free(space.rows);
        free(room.memory);
    }
    return failed;
}
