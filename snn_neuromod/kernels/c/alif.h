/* ALIF and STDP-ALIF: snn_neuromod/dynamics/alif.py and stdp_alif.py.
 *
 *   v[t] = alpha kept[t-1] v[t-1] + I[t] - subtracts v_th z[t-1],  kept = 1 - empties z - [stdp and held = 1]
 *   a[t] = rho a[t-1] + z[t-1]
 *   z[t] = H(v[t] - v_th - beta a[t]) unless held[t] > 0
 *
 * Of a and held only every MARK-th step is stored; the backward pass finds the others again from the spikes.
 */
typedef struct {
    int64_t num_steps, rows, num, threads;
    int64_t subtracts, empties, stdp, refractory; /* form of the reset; refractory steps */
    int64_t detach_reset, adapts, shape; /* adapts: 0 where the adjoint follows the membrane's past alone */
    double at_spike, while_held; /* psi over its scale there; at_spike is NaN for the shape's own */
    const REAL *alpha, *rho, *beta, *v_th, *scale, *inverse_width;      /* (N) */
    const REAL *current, *z_first;                                      /* (T, rows, N), (rows, N) */
    NAME(Synapses) synapses;
    REAL *v_state, *a_state, *held_state;                               /* first state in, last state out */
    REAL *spikes, *v, *a, *held;                                        /* (T, rows, N), (T + 1, rows, N), marks */
    const REAL *grad_spikes;                                            /* (T, rows, N) */
    REAL *grad_current, *grad_v, *grad_a, *grad_z;                      /* (T, rows, N), others (rows, N) */
    REAL *grad_alpha, *grad_rho, *grad_beta, *grad_v_th;                /* (rows, N) */
} NAME(ALIF);

INLINE REAL NAME(count_down)(REAL held, REAL z, REAL refractory) {
    const REAL left = held > 1 ? held - 1 : 0;
    return z > 0 ? refractory : left;
}

INLINE void NAME(alif_forward_part)(const NAME(ALIF) *p, Part part, const int refractory) {
    const int64_t num = p->num, step = p->rows * num, wide = (part.col1 - part.col0) * sizeof(REAL);
    const REAL subtracts = p->subtracts, empties = p->empties, stdp = p->stdp, steps_held = p->refractory;
    const NAME(Space) space = p->synapses.groups ? NAME(new_space)(part, num) : (NAME(Space)){0};
    for (int64_t t = 0; t < p->num_steps; t++) {
        if (space.input)
            NAME(recurrent_input)(
                space.input, space, &p->synapses, p->current, p->spikes, t, part, p->rows, num);
        for (int64_t b = part.row0; b < part.row1; b++) {
            const int64_t row = b * num, now = t * step + row, mark = t / MARK * step + row + part.col0;
            const REAL *const drive = space.input ? space.input + (b - part.row0) * num : p->current + now;
            const REAL *const z_old = t ? p->spikes + now - step : p->z_first + row;
            const REAL *const v_old = p->v ? p->v + now : p->v_state + row;
            REAL *const v_new = p->v ? p->v + now + step : p->v_state + row;
            REAL *const a = p->a_state + row, *const held = p->held_state + row, *const z_new = p->spikes + now;
            if (t + 1 < p->num_steps) {
                if (!space.input) prefetch(p->current + now + step + part.col0, wide, 0);
                if (p->v) prefetch(p->v + now + 2 * step + part.col0, wide, 1);
                prefetch(p->spikes + now + step + part.col0, wide, 1);
            }
            if (p->a && t % MARK == 0) memcpy(p->a + mark, a + part.col0, wide);
            if (p->held && t % MARK == 0) memcpy(p->held + mark, held + part.col0, wide);
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL z = z_old[n], ended = stdp && held[n] == 1 ? 1 : 0;
                const REAL kept = 1 - empties * z - ended;
                const REAL v = p->alpha[n] * kept * v_old[n] + drive[n] - subtracts * p->v_th[n] * z;
                const REAL a_new = p->rho[n] * a[n] + z;
                const REAL held_new = refractory ? NAME(count_down)(held[n], z, steps_held) : 0;
                if (refractory) held[n] = held_new;
                v_new[n] = v;
                a[n] = a_new;
                z_new[n] = ((v - (p->v_th[n] + p->beta[n] * a_new) > 0) & !(held_new > 0)) ? 1 : 0;
            }
        }
    }
    free(space.input);
}

CLONES static void NAME(alif_forward_task)(const NAME(ALIF) *p, Part part) {
    if (p->refractory) NAME(alif_forward_part)(p, part, 1);
    else NAME(alif_forward_part)(p, part, 0);
}

void NAME(alif_forward)(const NAME(ALIF) *p) {
    expect(p->spikes, p->num_steps * p->rows * p->num * sizeof(REAL));
    if (p->v) expect(p->v, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, p->synapses.groups != NULL, NAME(alif_forward_task)(p, part));
}

/* One row at one step of the backward pass: states before (old) and after (new) the step. */
typedef struct {
    const REAL *v_old, *a_old, *held_old, *z_old, *v_new, *a_new, *held_new;
    int64_t row, now, col0, num; /* where the row is in (rows, N) and in (T, rows, N); its neurons */
} NAME(Row);

INLINE void NAME(alif_backward_row)(
    const NAME(ALIF) *p, NAME(Row) r, REAL *restrict q, REAL *restrict lambda_a, const int stdp, const int refractory) {
    const REAL subtracts = p->subtracts, empties = p->empties, adapts = p->adapts, attached = adapts * !p->detach_reset;
    const REAL while_held = p->while_held;
    const REAL *const alpha = p->alpha + r.col0, *const rho = p->rho + r.col0, *const beta = p->beta + r.col0;
    const REAL *const v_th = p->v_th + r.col0, *const scale = p->scale + r.col0, *const grad = p->grad_spikes + r.now;
    REAL *const grad_v = p->grad_v + r.row, *const grad_a = p->grad_a + r.row, *const grad_z = p->grad_z + r.row;
    REAL *const lambda_v = p->grad_current + r.now;
    SIMD for (int64_t n = 0; n < r.num; n++) q[n] = r.v_new[n] - (v_th[n] + beta[n] * r.a_new[n]);
    NAME(psi_of)(q, p->inverse_width + r.col0, r.num, p->at_spike, p->shape);
    if (refractory)
        SIMD for (int64_t n = 0; n < r.num; n++) q[n] = r.held_new[n] > 0 ? while_held : q[n];
    SIMD for (int64_t n = 0; n < r.num; n++) {
        const REAL psi = q[n] * scale[n], q_n = psi * (grad[n] + grad_z[n]);
        const REAL lambda_v_n = grad_v[n] + q_n, lambda_a_n = grad_a[n] - beta[n] * q_n;
        const REAL kept = 1 - empties * r.z_old[n] - (stdp && r.held_old[n] == 1 ? 1 : 0);
        const REAL by_reset = attached * (subtracts * v_th[n] + empties * alpha[n] * r.v_old[n]);
        lambda_v[n] = lambda_v_n;
        grad_v[n] = alpha[n] * kept * lambda_v_n;
        grad_a[n] = adapts * rho[n] * lambda_a_n;
        grad_z[n] = adapts * lambda_a_n - by_reset * lambda_v_n;
        q[n] = q_n;
        lambda_a[n] = lambda_a_n;
    }
}

/* What the neurons' own parameters receive; q = psi lambda^z. */
INLINE void NAME(alif_parameters)(
    const NAME(ALIF) *p, NAME(Row) r, const REAL *q, const REAL *lambda_a, const int stdp) {
    const REAL subtracts = p->subtracts, empties = p->empties;
    const REAL *const lambda_v = p->grad_current + r.now;
    if (p->grad_alpha)
        SIMD for (int64_t n = 0; n < r.num; n++) {
            const REAL kept = 1 - empties * r.z_old[n] - (stdp && r.held_old[n] == 1 ? 1 : 0);
            p->grad_alpha[r.row + n] += kept * r.v_old[n] * lambda_v[n];
        }
    if (p->grad_rho)
        SIMD for (int64_t n = 0; n < r.num; n++) p->grad_rho[r.row + n] += r.a_old[n] * lambda_a[n];
    if (p->grad_beta)
        SIMD for (int64_t n = 0; n < r.num; n++) p->grad_beta[r.row + n] -= q[n] * r.a_new[n];
    if (p->grad_v_th)
        SIMD for (int64_t n = 0; n < r.num; n++)
            p->grad_v_th[r.row + n] -= q[n] + subtracts * r.z_old[n] * lambda_v[n];
}

/* a, and held if there is one, before and after each of the steps of the stretch from step `start`, (steps + 1, part). */
INLINE void NAME(alif_again)(const NAME(ALIF) *p, Part part, int64_t start, int64_t steps, REAL *a, REAL *held) {
    const int64_t num = p->num, step = p->rows * num, wide = part.col1 - part.col0, own = (part.row1 - part.row0) * wide;
    const REAL refractory = p->refractory;
    for (int64_t b = part.row0; b < part.row1; b++) {
        const int64_t row = b * num + part.col0, here = (b - part.row0) * wide, mark = start / MARK * step + row;
        memcpy(a + here, p->a + mark, wide * sizeof(REAL));
        if (held) memcpy(held + here, p->refractory ? p->held + mark : p->held_state + row, wide * sizeof(REAL));
        for (int64_t k = 0; k < steps; k++) {
            const int64_t t = start + k;
            const REAL *const z = t ? p->spikes + (t - 1) * step + row : p->z_first + row;
            const REAL *const a_old = a + k * own + here;
            REAL *const a_new = a + (k + 1) * own + here;
            SIMD for (int64_t n = 0; n < wide; n++) a_new[n] = p->rho[part.col0 + n] * a_old[n] + z[n];
            if (!held) continue;
            const REAL *const held_old = held + k * own + here;
            REAL *const held_new = held + (k + 1) * own + here;
            if (p->refractory)
                SIMD for (int64_t n = 0; n < wide; n++) held_new[n] = NAME(count_down)(held_old[n], z[n], refractory);
            else memcpy(held_new, held_old, wide * sizeof(REAL));
        }
    }
}

/* grad_v, grad_a and grad_z hold what later steps add to the adjoints: in the end, the gradient of the first state. */
INLINE void NAME(alif_backward_part)(const NAME(ALIF) *p, Part part, const int stdp, const int refractory) {
    const int64_t num = p->num, step = p->rows * num, wide = part.col1 - part.col0, own = (part.row1 - part.row0) * wide;
    const int learned = p->grad_alpha || p->grad_rho || p->grad_beta || p->grad_v_th, holds = stdp || refractory;
    REAL *const a = malloc(((1 + holds) * (MARK + 1) * own + 2 * wide) * sizeof(REAL));
    REAL *const q = a + (MARK + 1) * own, *const lambda_a = q + wide, *const held = holds ? lambda_a + wide : NULL;
    for (int64_t start = (p->num_steps - 1) / MARK * MARK; start >= 0; start -= MARK) {
        const int64_t stop = smaller(start + MARK, p->num_steps);
        NAME(alif_again)(p, part, start, stop - start, a, held);
        for (int64_t t = stop - 1; t >= start; t--) {
            for (int64_t b = part.row0; b < part.row1; b++) {
                const int64_t row = b * num + part.col0, now = t * step + row;
                const int64_t here = (t - start) * own + (b - part.row0) * wide, bytes = wide * sizeof(REAL);
                if (t) {
                    prefetch(p->v + now - step, bytes, 0);
                    prefetch(p->grad_spikes + now - step, bytes, 0);
                    prefetch(p->grad_current + now - step, bytes, 1);
                }
                const NAME(Row) r = {
                    p->v + now, a + here, holds ? held + here : NULL, t ? p->spikes + now - step : p->z_first + row,
                    p->v + now + step, a + here + own, holds ? held + here + own : NULL, row, now, part.col0, wide};
                NAME(alif_backward_row)(p, r, q, lambda_a, stdp, refractory);
                if (learned) NAME(alif_parameters)(p, r, q, lambda_a, stdp);
            }
            if (t && p->synapses.w)
                NAME(add_transposed)(
                    p->grad_z, p->grad_z, &p->synapses, p->grad_current, t - 1, p->num_steps, part, p->rows, num);
        }
    }
    free(a);
}

/* Memory that a form of the neuron does not have must not even be loaded and masked: that is slow. */
CLONES static void NAME(alif_backward_task)(const NAME(ALIF) *p, Part part) {
    if (p->stdp) NAME(alif_backward_part)(p, part, 1, p->refractory > 0);
    else if (p->refractory) NAME(alif_backward_part)(p, part, 0, 1);
    else NAME(alif_backward_part)(p, part, 0, 0);
}

void NAME(alif_backward)(const NAME(ALIF) *p) {
    expect(p->grad_current, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, p->synapses.w != NULL, NAME(alif_backward_task)(p, part));
}
