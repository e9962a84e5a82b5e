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
    REAL *rows;           /* (rows of the task, N) */
    NAME(Event) *events;  /* (N) */
    int32_t *list, *many; /* (N), (rows of the task) */
} NAME(Space);

INLINE NAME(Space) NAME(new_space)(int64_t high, int64_t num) {
    REAL *const rows = malloc(high * num * sizeof(REAL) + num * sizeof(NAME(Event)) + (num + high) * sizeof(int32_t));
    NAME(Event) *const events = (NAME(Event) *)(rows + high * num);
    int32_t *const list = (int32_t *)(events + num);
    return (NAME(Space)){rows, events, list, list + num};
}

/* Writes a task's input of step t, (rows of the task, N): `current`, (T, rows, N), and what arrives through the synapses.
 * Rows with few spikes take those alone. */
CLONES FUSED static void NAME(recurrent_input)(
    REAL *out, NAME(Space) space, const NAME(Synapses) *s, const REAL *current, const REAL *spikes, int64_t t, Part part,
    int64_t rows, int64_t num) {
    const int64_t longest = s->groups[1], *sources = s->sources;
    const REAL *w = s->w;
    for (int64_t g = 0; g < s->groups[0]; g++) {
        const int64_t sent = t - s->groups[2 + 2 * g], count = s->groups[3 + 2 * g];
        const REAL *const z = (sent < 0 ? s->past + (longest + sent) * rows * num : spikes + sent * rows * num);
        int64_t dense = 0;
        for (int64_t b = part.row0; b < part.row1; b++) {
            REAL *const row = space.rows + dense * count, *const input = out + (b - part.row0) * num;
            const REAL *const first = g ? input : current + (t * rows + b) * num;
            if (sources)
                for (int64_t k = 0; k < count; k++) row[k] = z[b * num + sources[k]];
            const REAL *const z_row = sources ? row : z + b * num;
            const int64_t fired = NAME(events_of_reals)(z_row, count, space.list);
            if (input != first) memcpy(input, first, num * sizeof(REAL));
            if (fired > MANY * count) {
                if (!sources) memcpy(row, z_row, count * sizeof(REAL));
                space.many[dense++] = (int32_t)(b - part.row0);
            } else {
                for (int64_t e = 0; e < fired; e++)
                    space.events[e] = (NAME(Event)){space.list[e], z_row[space.list[e]]};
                BEST(gather)(input, w, space.events, fired, num);
            }
        }
        if (dense) {
            const NAME(Product) p = {out, out, num, space.many, NULL, space.rows, w, dense, count, num};
            BEST(product)(&p);
        }
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
