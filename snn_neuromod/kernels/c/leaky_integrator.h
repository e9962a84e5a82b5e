/* Leaky integrator: snn_neuromod/dynamics/leaky_integrator.py; y[t] = kappa y[t-1] + share I[t]. */
typedef struct {
    int64_t num_steps, rows, num, threads, normalise;
    const REAL *kappa, *share;                         /* (N) */
    const REAL *current, *first;                       /* (T, rows, N), (rows, N) */
    REAL *output;                                      /* (T, rows, N) */
    const REAL *grad_output;
    REAL *grad_current, *grad_y, *grad_kappa;          /* (T, rows, N), others (rows, N) */
} NAME(LEAKY);

CLONES static void NAME(leaky_forward_task)(const NAME(LEAKY) *p, Part part) {
    const int64_t num = p->num, step = p->rows * num, wide = (part.col1 - part.col0) * sizeof(REAL);
    for (int64_t t = 0; t < p->num_steps; t++) {
        for (int64_t b = part.row0; b < part.row1; b++) {
            const int64_t row = b * num, now = t * step + row;
            const REAL *const current = p->current + now, *const old = t ? p->output + now - step : p->first + row;
            REAL *const output = p->output + now;
            if (t + 1 < p->num_steps) {
                prefetch(p->current + now + step + part.col0, wide, 0);
                prefetch(p->output + now + step + part.col0, wide, 1);
            }
            SIMD for (int64_t n = part.col0; n < part.col1; n++)
                output[n] = p->kappa[n] * old[n] + p->share[n] * current[n];
        }
    }
}

void NAME(leaky_forward)(const NAME(LEAKY) *p) {
    expect(p->output, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, 0, NAME(leaky_forward_task)(p, part));
}

/* grad_y holds what later steps add: in the end, the gradient of the first state. */
CLONES static void NAME(leaky_backward_task)(const NAME(LEAKY) *p, Part part) {
    const int64_t num = p->num, step = p->rows * num, wide = (part.col1 - part.col0) * sizeof(REAL);
    const int64_t normalise = p->normalise;
    for (int64_t t = p->num_steps - 1; t >= 0; t--) {
        for (int64_t b = part.row0; b < part.row1; b++) {
            const int64_t row = b * num, now = t * step + row;
            const REAL *const grad = p->grad_output + now;
            const REAL *const old = t ? p->output + now - step : p->first + row;
            REAL *const delta = p->grad_current + now, *const grad_y = p->grad_y + row;
            if (t) {
                prefetch(p->grad_output + now - step + part.col0, wide, 0);
                prefetch(p->grad_current + now - step + part.col0, wide, 1);
            }
            if (p->grad_kappa)
                SIMD for (int64_t n = part.col0; n < part.col1; n++)
                    p->grad_kappa[row + n] += (old[n] - (normalise ? p->current[now + n] : 0)) * (grad[n] + grad_y[n]);
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL lambda = grad[n] + grad_y[n];
                delta[n] = p->share[n] * lambda;
                grad_y[n] = p->kappa[n] * lambda;
            }
        }
    }
}

void NAME(leaky_backward)(const NAME(LEAKY) *p) {
    expect(p->grad_current, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, 0, NAME(leaky_backward_task)(p, part));
}
