/* Izhikevich's neuron: snn_neuromod/dynamics/izhikevich.py. */
typedef struct {
    int64_t num_steps, rows, num, threads;
    int64_t detach_reset, adapts, shape; /* adapts: 0 where the adjoint follows the membrane's past alone */
    double at_spike, clip; /* psi over its scale at a spike, NaN for the shape's own; bound of dv/dv, or infinity */
    const REAL *a, *b, *c, *d, *dt, *scale, *inverse_width; /* (N) */
    const REAL *current, *z_first;
    NAME(Synapses) synapses;
    REAL *v_state, *u_state, *spikes, *v, *u;               /* u: every MARK-th step */
    const REAL *grad_spikes;
    REAL *grad_current, *grad_v, *grad_u, *grad_z, *grad_a, *grad_b, *grad_c, *grad_d;
} NAME(IZHIKEVICH);

CLONES static void NAME(izhikevich_forward_task)(const NAME(IZHIKEVICH) *p, Part part) {
    const int64_t num = p->num, step = p->rows * num, wide = (part.col1 - part.col0) * sizeof(REAL);
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
            REAL *const u_of = p->u_state + row, *const z_new = p->spikes + now;
            if (t + 1 < p->num_steps) {
                if (!space.input) prefetch(p->current + now + step + part.col0, wide, 0);
                if (p->v) prefetch(p->v + now + 2 * step + part.col0, wide, 1);
                prefetch(p->spikes + now + step + part.col0, wide, 1);
            }
            if (p->u && t % MARK == 0) memcpy(p->u + mark, u_of + part.col0, wide);
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL z = z_old[n], dt = p->dt[n];
                const REAL v = v_old[n] - (v_old[n] - p->c[n]) * z, u = u_of[n] + p->d[n] * z;
                const REAL v_next = v + dt * ((REAL)0.04 * (v * v) + 5 * v + 140 - u + drive[n]);
                u_of[n] = u + dt * p->a[n] * (p->b[n] * v - u);
                v_new[n] = v_next;
                z_new[n] = v_next - 30 > 0 ? 1 : 0;
            }
        }
    }
    free(space.input);
}

void NAME(izhikevich_forward)(const NAME(IZHIKEVICH) *p) {
    const int64_t bytes = p->num_steps * p->rows * p->num * sizeof(REAL);
    expect(p->spikes, bytes);
    if (p->v) expect(p->v, bytes);
    TASKS(p, p->synapses.groups != NULL, NAME(izhikevich_forward_task)(p, part));
}

/* u before each of the steps of the stretch from step `start`, (steps, part). */
INLINE void NAME(izhikevich_again)(const NAME(IZHIKEVICH) *p, Part part, int64_t start, int64_t steps, REAL *u_of) {
    const int64_t num = p->num, step = p->rows * num, wide = part.col1 - part.col0, own = (part.row1 - part.row0) * wide;
    for (int64_t b = part.row0; b < part.row1; b++) {
        const int64_t row = b * num + part.col0;
        REAL *const first = u_of + (b - part.row0) * wide - part.col0;
        memcpy(first + part.col0, p->u + start / MARK * step + row, wide * sizeof(REAL));
        for (int64_t k = 0; k + 1 < steps; k++) {
            const int64_t now = (start + k) * step + b * num;
            const REAL *const z_old = start + k ? p->spikes + now - step : p->z_first + b * num, *const v_old = p->v + now;
            const REAL *const u_old = first + k * own;
            REAL *const u_new = first + (k + 1) * own;
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL z = z_old[n], v = v_old[n] - (v_old[n] - p->c[n]) * z, u = u_old[n] + p->d[n] * z;
                u_new[n] = u + p->dt[n] * p->a[n] * (p->b[n] * v - u);
            }
        }
    }
}

/* Derivative of v by itself. */
INLINE REAL NAME(slope)(REAL v, REAL dt, REAL clip) {
    const REAL slope = 1 + dt * ((REAL)0.08 * v + 5);
    return slope > clip ? clip : slope < -clip ? -clip : slope;
}

/* What the neurons' own parameters receive. */
INLINE void NAME(izhikevich_parameters)(
    const NAME(IZHIKEVICH) *p, Part part, int64_t row, const REAL *v_old, const REAL *u_old, const REAL *z_old,
    const REAL *lambda_v) {
    const REAL *const lambda_u = p->grad_u + row, clip = p->clip;
#define V(n) (v_old[n] - (v_old[n] - p->c[n]) * z_old[n])
    if (p->grad_a)
        SIMD for (int64_t n = part.col0; n < part.col1; n++)
            p->grad_a[row + n] += p->dt[n] * lambda_u[n] * (p->b[n] * V(n) - (u_old[n] + p->d[n] * z_old[n]));
    if (p->grad_b)
        SIMD for (int64_t n = part.col0; n < part.col1; n++)
            p->grad_b[row + n] += p->dt[n] * lambda_u[n] * p->a[n] * V(n);
    if (p->grad_c)
        SIMD for (int64_t n = part.col0; n < part.col1; n++) {
            const REAL dt = p->dt[n], by_u = dt * p->a[n] * p->b[n] * lambda_u[n];
            p->grad_c[row + n] += z_old[n] * (NAME(slope)(V(n), dt, clip) * lambda_v[n] + by_u);
        }
    if (p->grad_d)
        SIMD for (int64_t n = part.col0; n < part.col1; n++) {
            const REAL dt = p->dt[n];
            p->grad_d[row + n] += z_old[n] * ((1 - dt * p->a[n]) * lambda_u[n] - dt * lambda_v[n]);
        }
#undef V
}

/* Row b at step t; psi becomes lambda^v. */
INLINE void NAME(izhikevich_backward_row)(
    const NAME(IZHIKEVICH) *p, Part part, int64_t t, int64_t b, const REAL *u_old, REAL *restrict psi) {
    const REAL adapts = p->adapts, attached = adapts * !p->detach_reset, clip = p->clip;
    const int64_t num = p->num, step = p->rows * num, row = b * num, now = t * step + row;
    const REAL *const v_new = p->v + now + step, *const v_old = p->v + now, *const grad = p->grad_spikes + now;
    const REAL *const z_old = t ? p->spikes + now - step : p->z_first + row;
    REAL *const grad_v = p->grad_v + row, *const grad_u = p->grad_u + row, *const grad_z = p->grad_z + row;
    REAL *const delta = p->grad_current + now;
    if (t) {
        const int64_t before = now - step + part.col0, bytes = (part.col1 - part.col0) * sizeof(REAL);
        prefetch(p->v + before, bytes, 0);
        prefetch(p->grad_spikes + before, bytes, 0);
        prefetch(p->grad_current + before, bytes, 1);
        if (t > 1) prefetch(p->spikes + before - step, bytes, 0);
    }
    SIMD for (int64_t n = part.col0; n < part.col1; n++) psi[n] = v_new[n] - 30;
    NAME(psi_of)(psi + part.col0, p->inverse_width + part.col0, part.col1 - part.col0, p->at_spike, p->shape);
    SIMD for (int64_t n = part.col0; n < part.col1; n++)
        psi[n] = grad_v[n] + psi[n] * p->scale[n] * (grad[n] + grad_z[n]);
    NAME(izhikevich_parameters)(p, part, row, v_old, u_old, z_old, psi);
    SIMD for (int64_t n = part.col0; n < part.col1; n++) {
        const REAL z = z_old[n], dt = p->dt[n], lambda_v = psi[n], lambda_u = grad_u[n];
        const REAL v = v_old[n] - (v_old[n] - p->c[n]) * z, jump = p->c[n] - v_old[n];
        const REAL vv = NAME(slope)(v, dt, clip), uv = dt * p->a[n] * p->b[n], uu = 1 - dt * p->a[n];
        const REAL by_v = vv * lambda_v + uv * lambda_u, by_u = uu * lambda_u - dt * lambda_v; /* of v' and u' */
        delta[n] = dt * lambda_v;
        grad_v[n] = (1 - z) * by_v;
        grad_u[n] = adapts * by_u;
        grad_z[n] = attached * (jump * by_v + p->d[n] * by_u);
    }
}

/* grad_v, grad_u and grad_z hold what later steps add to the adjoints: in the end, the gradient of the first state. */
CLONES static void NAME(izhikevich_backward_task)(const NAME(IZHIKEVICH) *p, Part part) {
    const int64_t num = p->num, wide = part.col1 - part.col0, own = (part.row1 - part.row0) * wide;
    REAL *const psi = malloc((num + (p->grad_a ? MARK * own : 0)) * sizeof(REAL)), *const u = p->grad_a ? psi + num : NULL;
    for (int64_t start = (p->num_steps - 1) / MARK * MARK; start >= 0; start -= MARK) {
        const int64_t stop = smaller(start + MARK, p->num_steps);
        if (u) NAME(izhikevich_again)(p, part, start, stop - start, u);
        for (int64_t t = stop - 1; t >= start; t--) {
            for (int64_t b = part.row0; b < part.row1; b++) {
                const REAL *const u_old = u ? u + (t - start) * own + (b - part.row0) * wide - part.col0 : NULL;
                NAME(izhikevich_backward_row)(p, part, t, b, u_old, psi);
            }
            if (t && p->synapses.w)
                NAME(add_transposed)(
                    p->grad_z, p->grad_z, &p->synapses, p->grad_current, t - 1, p->num_steps, part, p->rows, num);
        }
    }
    free(psi);
}

void NAME(izhikevich_backward)(const NAME(IZHIKEVICH) *p) {
    expect(p->grad_current, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, p->synapses.w != NULL, NAME(izhikevich_backward_task)(p, part));
}
