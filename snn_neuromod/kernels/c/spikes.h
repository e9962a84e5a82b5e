/* Products of weights with spikes that are bytes, mostly 0; the formulas stand in kernels/spikes.py. */
typedef REAL NAME(vector) __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
#define WIDTH (64 / (int64_t)sizeof(REAL))
#define TILE 4 /* vectors of outputs that stay in registers */

typedef struct {
    int64_t rows, inputs, outputs, padded, threads;    /* padded: outputs, up to whole vectors of 64 bytes */
    const uint8_t *x;                                  /* (rows, inputs) */
    const REAL *w, *first;                             /* (inputs, padded), (padded) */
    REAL *out;                                         /* (rows, outputs) */
    const REAL *grad_out;                              /* (rows, padded) */
    REAL *grad_w;                                      /* (inputs, padded) */
} NAME(SPIKES);

/* `wide` vectors (constant) of outputs from column j on. */
INLINE void NAME(spike_tile)(
    REAL *out, const uint8_t *x, const REAL *w, const REAL *first, const int32_t *list, int64_t count, int64_t padded,
    int64_t j, int64_t outputs, const int wide) {
    FUSED_BLOCK
    NAME(vector) sum[TILE], odd[TILE];
    for (int k = 0; k < wide; k++) sum[k] = *(const NAME(vector) *)(first + j + k * WIDTH), odd[k] = (NAME(vector)){0};
    int64_t e = 0;
    for (; e + 2 <= count; e += 2) {
        const REAL *const w0 = w + list[e] * padded + j, z0 = x[list[e]];
        const REAL *const w1 = w + list[e + 1] * padded + j, z1 = x[list[e + 1]];
#pragma GCC unroll 4
        for (int k = 0; k < wide; k++) {
            sum[k] += z0 * *(const NAME(vector) *)(w0 + k * WIDTH);
            odd[k] += z1 * *(const NAME(vector) *)(w1 + k * WIDTH);
        }
    }
    for (int k = 0; k < wide; k++) {
        if (e < count) sum[k] += (REAL)x[list[e]] * *(const NAME(vector) *)(w + list[e] * padded + j + k * WIDTH);
        sum[k] += odd[k];
    }
    for (int k = 0; k < wide; k++) memcpy(out + j + k * WIDTH, &sum[k], smaller(WIDTH, outputs - j - k * WIDTH) * sizeof(REAL));
}

/* out[r][n] = first[n] + sum over i of x[r][i] w[i][n] for rows row0 to row1. */
CLONES FUSED static void NAME(spike_rows)(
    const NAME(SPIKES) *p, int64_t row0, int64_t row1) {
    const int64_t padded = p->padded;
    int32_t *const list = malloc((p->inputs + 8) * sizeof(int32_t));
    for (int64_t r = row0; r < row1; r++) {
        const uint8_t *const x = p->x + r * p->inputs;
        REAL *const out = p->out + r * p->outputs;
        const int64_t count = byte_events(x, p->inputs, list);
        int64_t j = 0;
        for (; j + TILE * WIDTH <= padded; j += TILE * WIDTH)
            NAME(spike_tile)(out, x, p->w, p->first, list, count, padded, j, p->outputs, TILE);
        for (; j + 2 * WIDTH <= padded; j += 2 * WIDTH)
            NAME(spike_tile)(out, x, p->w, p->first, list, count, padded, j, p->outputs, 2);
        for (; j < padded; j += WIDTH)
            NAME(spike_tile)(out, x, p->w, p->first, list, count, padded, j, p->outputs, 1);
    }
    free(list);
}

void NAME(spike_forward)(const NAME(SPIKES) *p) {
    const int64_t each = p->rows / p->threads + 1;
    expect(p->out, p->rows * p->outputs * sizeof(REAL));
    _Pragma("omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)")
    for (int64_t row = 0; row < p->rows; row += each) NAME(spike_rows)(p, row, smaller(row + each, p->rows));
}

#define EVENTS 64 /* rows whose spikes are sorted by input at a time */

/* `wide` vectors (constant) of the gradient of one input's weights from column j on; `found` are its spikes' rows. */
INLINE void NAME(gradient_tile)(
    REAL *grad_w, const REAL *grad_out, const uint8_t *x, const uint8_t *found, int64_t count, int64_t inputs,
    int64_t padded, int64_t j, const int wide) {
    FUSED_BLOCK
    NAME(vector) sum[TILE];
    for (int k = 0; k < wide; k++) sum[k] = (NAME(vector)){0};
    for (int64_t e = 0; e < count; e++) {
        const REAL *const grad = grad_out + found[e] * padded + j, z = x[found[e] * inputs];
#pragma GCC unroll 4
        for (int k = 0; k < wide; k++) sum[k] += z * *(const NAME(vector) *)(grad + k * WIDTH);
    }
    for (int k = 0; k < wide; k++) *(NAME(vector) *)(grad_w + j + k * WIDTH) += sum[k];
}

/* grad_w[i][n] = sum over r of x[r][i] grad_out[r][n] for inputs from0 to from1. */
CLONES FUSED static void NAME(spike_gradient)(
    const NAME(SPIKES) *p, int64_t from0, int64_t from1) {
    const int64_t own = from1 - from0, padded = p->padded;
    int32_t *const list = malloc((own + 8) * sizeof(int32_t) + own * (EVENTS + 1));
    uint8_t *const found = (uint8_t *)(list + own + 8), *const counts = found + own * EVENTS;
    memset(p->grad_w + from0 * padded, 0, own * padded * sizeof(REAL));
    for (int64_t first = 0; first < p->rows; first += EVENTS) {
        const REAL *const grad_out = p->grad_out + first * padded;
        const uint8_t *const x = p->x + first * p->inputs + from0;
        memset(counts, 0, own);
        for (int64_t r = 0; r < smaller(EVENTS, p->rows - first); r++) {
            const int64_t count = byte_events(x + r * p->inputs, own, list);
            for (int64_t e = 0; e < count; e++) found[list[e] * EVENTS + counts[list[e]]++] = (uint8_t)r;
        }
        for (int64_t i = 0; i < own; i++) {
            if (!counts[i]) continue;
            REAL *const grad_w = p->grad_w + (from0 + i) * padded;
            const uint8_t *const rows = found + i * EVENTS;
            int64_t j = 0;
            for (; j + TILE * WIDTH <= padded; j += TILE * WIDTH)
                NAME(gradient_tile)(grad_w, grad_out, x + i, rows, counts[i], p->inputs, padded, j, TILE);
            for (; j + 2 * WIDTH <= padded; j += 2 * WIDTH)
                NAME(gradient_tile)(grad_w, grad_out, x + i, rows, counts[i], p->inputs, padded, j, 2);
            for (; j < padded; j += WIDTH)
                NAME(gradient_tile)(grad_w, grad_out, x + i, rows, counts[i], p->inputs, padded, j, 1);
        }
    }
    free(list);
}

void NAME(spike_weight_gradient)(const NAME(SPIKES) *p) {
    const int64_t each = p->inputs / p->threads + 1;
    _Pragma("omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)")
    for (int64_t from = 0; from < p->inputs; from += each)
        NAME(spike_gradient)(p, from, smaller(from + each, p->inputs));
}
#undef EVENTS
#undef TILE
#undef WIDTH
