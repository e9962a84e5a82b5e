/* Input through the recurrent weights, and what goes back through them. */

/* out[rows[r]][j] = first[rows[r]][j] + sum over i of x[r][i] w[i][j]; with columns out[rows[r]][columns[j]] += the sum.
 * rows NULL: r itself. out may be first. */
typedef struct {
    REAL *out;
    const REAL *first;
    int64_t stride; /* of out and first */
    const int32_t *rows;
    const int64_t *columns;
    const REAL *x, *w; /* (high, num_in), (num_in, num_out padded) */
    int64_t high, num_in, num_out;
} NAME(Product);

#if defined(SNN_CLONES)
#define VECTOR 64
#include "product.h"
#define VECTOR 32
#include "product.h"
#endif
#define VECTOR PLAIN
#include "product.h"

/* Synapses among the neurons in groups of equal delay, as in kernels/synapses.py. */
typedef struct {
    const REAL *w;          /* of each group (sources, N padded), in the reverse pass (N, sources padded) */
    const REAL *past;       /* spikes before the first step, (longest, rows, N), oldest first */
    const int64_t *groups;  /* number of groups, longest delay; of each group its delay and number of sources */
    const int64_t *sources; /* the neurons that send, group after group; NULL: all neurons */
} NAME(Synapses);

/* Room to compute a task's input of one step. */
typedef struct {
    REAL *rows;          /* (rows of the task, N) */
    NAME(Event) *events; /* of all rows */
    int64_t *start;      /* (rows of the task and one) */
    int32_t *many;       /* (rows of the task) */
} NAME(Space);

INLINE NAME(Space) NAME(new_space)(int64_t high, int64_t num) {
    const int64_t all = high * num;
    REAL *const rows = malloc(all * sizeof(REAL) + (all + AT_ONCE) * sizeof(NAME(Event)) + (high + 1) * (sizeof(int64_t) + sizeof(int32_t)));
    NAME(Event) *const events = (NAME(Event) *)(rows + all);
    int64_t *const start = (int64_t *)(events + all + AT_ONCE);
    return (NAME(Space)){rows, events, start, (int32_t *)(start + high + 1)};
}

/* Writes a task's input of step t, (rows of the task, N): `current`, (T, rows, N), and what arrives through the synapses.
 * Rows with few spikes take those alone. */
CLONES FUSED static void NAME(recurrent_input)(
    REAL *out, NAME(Space) space, const NAME(Synapses) *s, const REAL *current, const REAL *spikes, int64_t t, Part part,
    int64_t rows, int64_t num) {
    const int64_t longest = s->groups[1], high = part.row1 - part.row0, *sources = s->sources;
    const REAL *w = s->w, *first = current + (t * rows + part.row0) * num;
    for (int64_t g = 0; g < s->groups[0]; g++) {
        const int64_t sent = t - s->groups[2 + 2 * g], count = s->groups[3 + 2 * g];
        const REAL *const z = (sent < 0 ? s->past + (longest + sent) * rows * num : spikes + sent * rows * num);
        int64_t dense = 0, listed = 0;
        for (int64_t r = 0; r < high; r++) {
            REAL *const row = space.rows + dense * count;
            const REAL *z_row = z + (part.row0 + r) * num;
            if (sources) {
                for (int64_t k = 0; k < count; k++) row[k] = z_row[sources[k]];
                z_row = row;
            }
            space.start[r] = listed;
            const int64_t fired = NAME(events_of_reals)(z_row, count, space.events + listed);
            if (fired > MANY * count) {
                if (!sources) memcpy(row, z_row, count * sizeof(REAL));
                space.many[dense++] = (int32_t)r;
            } else listed += fired;
        }
        space.start[high] = listed;
        const NAME(Sums) sums = {out, first, w, num, num, PADDED(num), space.events, space.start, high, num};
        BEST(add)(&sums);
        if (dense) {
            const NAME(Product) p = {out, out, num, space.many, NULL, space.rows, w, dense, count, num};
            BEST(product)(&p);
        }
        first = out;
        w += count * PADDED(num);
        if (sources) sources += count;
    }
}

/* Writes to grad_z, (rows, N), `first` and what the spikes of step t do through the synapses; delta is the gradient of
 * the input. grad_z may be first. */
INLINE void NAME(add_transposed)(
    REAL *grad_z, const REAL *first, const NAME(Synapses) *s, const REAL *delta, int64_t t, int64_t num_steps, Part part,
    int64_t rows, int64_t num) {
    const int64_t *sources = s->sources, from = part.row0 * num, high = part.row1 - part.row0;
    const REAL *w = s->w, *sum = first + from;
    REAL *const out = grad_z + from;
    for (int64_t g = 0; g < s->groups[0]; g++) {
        const int64_t read = t + s->groups[2 + 2 * g], count = s->groups[3 + 2 * g];
        if (read < num_steps) {
            if (sources && sum != out) memcpy(out, sum, high * num * sizeof(REAL));
            const REAL *const x = delta + read * rows * num + from;
            const NAME(Product) p = {out, sources ? out : sum, num, NULL, sources, x, w, high, num, count};
            BEST(product)(&p);
            sum = out;
        }
        w += num * PADDED(count);
        if (sources) sources += count;
    }
    if (sum != out) memcpy(out, sum, high * num * sizeof(REAL));
}
