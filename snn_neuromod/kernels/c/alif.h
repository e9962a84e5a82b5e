/* ALIF and STDP-ALIF: snn_neuromod/dynamics/alif.py and stdp_alif.py.
 *
 *   v[t] = alpha kept[t-1] v[t-1] + I[t] - subtracts v_th z[t-1],  kept = 1 - empties z - [stdp and held = 1]
 *   a[t] = rho a[t-1] + z[t-1]
 *   z[t] = H(v[t] - v_th - beta a[t]) unless held[t] > 0
 */
typedef struct {
    int64_t num_steps, rows, num, threads;
    int64_t subtracts, empties, stdp, refractory; /* form of the reset; refractory steps */
    int64_t detach_reset, shape;
    double at_spike, while_held; /* psi over its scale there; at_spike is NaN for the shape's own */
    const REAL *alpha, *rho, *beta, *v_th, *scale, *inverse_width;            /* (N) */
    const REAL *current, *w_from, *before;                                    /* (T, rows, N), (from, to), (rows, N) */
    const REAL *z_first;                                                      /* state before the first step, (rows, N) */
    REAL *v_state, *a_state, *held_state;                                     /* first state in, last state out */
    REAL *spikes, *v, *a, *held;                                              /* (T, rows, N), states (T + 1, rows, N) */
    const REAL *grad_spikes, *w;                                              /* (T, rows, N), (to, from padded) */
    REAL *grad_current, *grad_v, *grad_a, *grad_z, *grad_before;              /* (T, rows, N), others (rows, N) */
    REAL *grad_alpha, *grad_rho, *grad_beta, *grad_v_th;                      /* (rows, N) */
} NAME(ALIF);

INLINE void NAME(alif_forward_part)(const NAME(ALIF) *p, Part part, const int refractory) {
    const int64_t num = p->num, step = p->rows * num;
    const REAL subtracts = p->subtracts, empties = p->empties, stdp = p->stdp, steps_held = p->refractory;
    REAL *const sum = malloc(num * (sizeof(REAL) + sizeof(int32_t)));
    for (int64_t t = 0; t < p->num_steps; t++) {
        for (int64_t b = part.row0; b < part.row1; b++) {
            const int64_t row = b * num, now = t * step + row;
            const REAL *const current = p->current + now, *const z_old = t ? p->spikes + now - step : p->z_first + row;
            const REAL *const v_old = p->v ? p->v + now : p->v_state + row;
            const REAL *const a_old = p->v ? p->a + now : p->a_state + row;
            const REAL *const held_old = p->held ? p->held + now : p->held_state + row;
            REAL *const v_new = p->v ? p->v + now + step : p->v_state + row;
            REAL *const a_new = p->v ? p->a + now + step : p->a_state + row;
            REAL *const held_new = p->held ? p->held + now + step : p->held_state + row;
            REAL *const z_new = p->spikes + now;
            if (p->w_from) {
                NAME(add_events)(sum, p->w_from, t ? z_old : p->before + row, num, (int32_t *)(sum + num));
                SIMD for (int64_t n = 0; n < num; n++) sum[n] += current[n];
            }
            const REAL *const drive = p->w_from ? sum : current;
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL z = z_old[n], ended = stdp && held_old[n] == 1 ? 1 : 0;
                const REAL kept = 1 - empties * z - ended;
                const REAL v = p->alpha[n] * kept * v_old[n] + drive[n] - subtracts * p->v_th[n] * z;
                const REAL a = p->rho[n] * a_old[n] + z;
                REAL held = 0;
                if (refractory) {
                    held = held_old[n] > 1 ? held_old[n] - 1 : 0;
                    held = z > 0 ? steps_held : held;
                    held_new[n] = held;
                }
                v_new[n] = v;
                a_new[n] = a;
                z_new[n] = (v - (p->v_th[n] + p->beta[n] * a) > 0) & !(held > 0) ? 1 : 0;
            }
        }
    }
    free(sum);
}

CLONES static void NAME(alif_forward_task)(const NAME(ALIF) *p, Part part) {
    if (p->refractory) NAME(alif_forward_part)(p, part, 1);
    else NAME(alif_forward_part)(p, part, 0);
}

void NAME(alif_forward)(const NAME(ALIF) *p) { TASKS(p, p->w_from != NULL, NAME(alif_forward_task)(p, part)); }

/* What the neurons' own parameters receive at one step; q = psi lambda^z. */
INLINE void NAME(alif_parameters)(
    const NAME(ALIF) *p, Part part, int64_t row, int64_t now, const REAL *q, const REAL *lambda_a) {
    const int64_t step = p->rows * p->num;
    const REAL *const v_old = p->v + now, *const a_old = p->a + now, *const a_new = p->a + now + step;
    const REAL *const held_old = p->held ? p->held + now : p->held_state + row;
    const REAL *const z_old = now >= step ? p->spikes + now - step : p->z_first + row;
    const REAL *const lambda_v = p->grad_current + now;
    const REAL subtracts = p->subtracts, empties = p->empties, stdp = p->stdp;
    for (int64_t n = part.col0; n < part.col1; n++) {
        const REAL kept = 1 - empties * z_old[n] - (stdp && held_old[n] == 1 ? 1 : 0);
        if (p->grad_alpha) p->grad_alpha[row + n] += kept * v_old[n] * lambda_v[n];
        if (p->grad_rho) p->grad_rho[row + n] += a_old[n] * lambda_a[n];
        if (p->grad_beta) p->grad_beta[row + n] -= q[n] * a_new[n];
        if (p->grad_v_th) p->grad_v_th[row + n] -= q[n] + subtracts * z_old[n] * lambda_v[n];
    }
}

/* grad_v, grad_a and grad_z hold what later steps add to the adjoints: in the end, the gradient of the first state. */
INLINE void NAME(alif_backward_part)(const NAME(ALIF) *p, Part part, const int refractory, const int shape) {
    const int64_t num = p->num, step = p->rows * num;
    const REAL subtracts = p->subtracts, empties = p->empties, stdp = p->stdp, attached = !p->detach_reset;
    const REAL at_spike = p->at_spike, while_held = p->while_held;
    const int given = at_spike == at_spike, learned = p->grad_alpha || p->grad_rho || p->grad_beta || p->grad_v_th;
    REAL *const q = malloc(2 * num * sizeof(REAL)), *const lambda_a = q + num;
    for (int64_t t = p->num_steps - 1; t >= 0; t--) {
        for (int64_t b = part.row0; b < part.row1; b++) {
            const int64_t row = b * num, now = t * step + row;
            const REAL *const v_new = p->v + now + step, *const a_new = p->a + now + step;
            const REAL *const held_new = refractory ? p->held + now + step : p->held_state + row;
            const REAL *const v_old = p->v + now, *const z_old = t ? p->spikes + now - step : p->z_first + row;
            const REAL *const held_old = refractory ? p->held + now : p->held_state + row;
            const REAL *const grad = p->grad_spikes + now;
            REAL *const grad_v = p->grad_v + row, *const grad_a = p->grad_a + row, *const grad_z = p->grad_z + row;
            REAL *const lambda_v = p->grad_current + now;
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL distance = v_new[n] - (p->v_th[n] + p->beta[n] * a_new[n]);
                REAL psi = NAME(profile)(distance * p->inverse_width[n], shape);
                if (given) psi = distance > 0 ? at_spike : psi;
                if (refractory) psi = held_new[n] > 0 ? while_held : psi;
                const REAL q_n = psi * p->scale[n] * (grad[n] + grad_z[n]);
                const REAL lambda_v_n = grad_v[n] + q_n, lambda_a_n = grad_a[n] - p->beta[n] * q_n;
                const REAL kept = 1 - empties * z_old[n] - (stdp && held_old[n] == 1 ? 1 : 0);
                const REAL by_reset = attached * (subtracts * p->v_th[n] + empties * p->alpha[n] * v_old[n]);
                lambda_v[n] = lambda_v_n;
                grad_v[n] = p->alpha[n] * kept * lambda_v_n;
                grad_a[n] = p->rho[n] * lambda_a_n;
                grad_z[n] = lambda_a_n - by_reset * lambda_v_n;
                q[n] = q_n;
                lambda_a[n] = lambda_a_n;
            }
            if (learned) NAME(alif_parameters)(p, part, row, now, q, lambda_a);
        }
        if (p->w) {
            const int64_t first = part.row0 * num;
            NAME(add_transposed)(
                (t ? p->grad_z : p->grad_before) + first, p->grad_current + t * step + first, p->w,
                part.row1 - part.row0, num);
        }
    }
    free(q);
}

CLONES static void NAME(alif_backward_task)(const NAME(ALIF) *p, Part part) {
    if (p->held) WITH_SHAPE(p->shape, NAME(alif_backward_part), p, part, 1)
    else WITH_SHAPE(p->shape, NAME(alif_backward_part), p, part, 0)
}

void NAME(alif_backward)(const NAME(ALIF) *p) { TASKS(p, p->w != NULL, NAME(alif_backward_task)(p, part)); }
