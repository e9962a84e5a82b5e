/* Izhikevich's neuron: snn_neuromod/dynamics/izhikevich.py. */
typedef struct {
    int64_t num_steps, rows, num, threads;
    int64_t detach_reset, shape;
    double at_spike, clip; /* psi over its scale at a spike, NaN for the shape's own; bound of dv/dv, or infinity */
    const REAL *a, *b, *c, *d, *dt, *scale, *inverse_width; /* (N) */
    const REAL *current, *w_from, *before, *z_first;
    REAL *v_state, *u_state, *spikes, *v;
    const REAL *grad_spikes, *w;
    REAL *grad_current, *grad_v, *grad_u, *grad_z, *grad_before;
} NAME(IZHIKEVICH);

CLONES static void NAME(izhikevich_forward_task)(const NAME(IZHIKEVICH) *p, Part part) {
    const int64_t num = p->num, step = p->rows * num;
    REAL *const sum = malloc(num * (sizeof(REAL) + sizeof(int32_t)));
    for (int64_t t = 0; t < p->num_steps; t++) {
        for (int64_t row_of = part.row0; row_of < part.row1; row_of++) {
            const int64_t row = row_of * num, now = t * step + row;
            const REAL *const current = p->current + now, *const z_old = t ? p->spikes + now - step : p->z_first + row;
            const REAL *const v_old = p->v ? p->v + now : p->v_state + row;
            REAL *const v_new = p->v ? p->v + now + step : p->v_state + row;
            REAL *const u_of = p->u_state + row, *const z_new = p->spikes + now;
            if (p->w_from) {
                NAME(add_events)(sum, p->w_from, t ? z_old : p->before + row, num, (int32_t *)(sum + num));
                SIMD for (int64_t n = 0; n < num; n++) sum[n] += current[n];
            }
            const REAL *const drive = p->w_from ? sum : current;
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
    free(sum);
}

void NAME(izhikevich_forward)(const NAME(IZHIKEVICH) *p) {
    const int64_t bytes = p->num_steps * p->rows * p->num * sizeof(REAL);
    expect(p->spikes, bytes);
    if (p->v) expect(p->v, bytes);
    TASKS(p, p->w_from != NULL, NAME(izhikevich_forward_task)(p, part));
}

/* grad_v, grad_u and grad_z hold what later steps add to the adjoints: in the end, the gradient of the first state. */
CLONES static void NAME(izhikevich_backward_task)(const NAME(IZHIKEVICH) *p, Part part) {
    const int64_t num = p->num, step = p->rows * num;
    const REAL attached = !p->detach_reset, clip = p->clip;
    REAL *const psi = malloc(num * sizeof(REAL));
    for (int64_t t = p->num_steps - 1; t >= 0; t--) {
        for (int64_t row_of = part.row0; row_of < part.row1; row_of++) {
            const int64_t row = row_of * num, now = t * step + row;
            const REAL *const v_new = p->v + now + step, *const v_old = p->v + now;
            const REAL *const z_old = t ? p->spikes + now - step : p->z_first + row, *const grad = p->grad_spikes + now;
            REAL *const grad_v = p->grad_v + row, *const grad_u = p->grad_u + row, *const grad_z = p->grad_z + row;
            REAL *const delta = p->grad_current + now;
            SIMD for (int64_t n = part.col0; n < part.col1; n++) psi[n] = v_new[n] - 30;
            NAME(psi_of)(
                psi + part.col0, p->inverse_width + part.col0, part.col1 - part.col0, p->at_spike, p->shape);
            SIMD for (int64_t n = part.col0; n < part.col1; n++) {
                const REAL z = z_old[n], dt = p->dt[n];
                const REAL lambda_v = grad_v[n] + psi[n] * p->scale[n] * (grad[n] + grad_z[n]), lambda_u = grad_u[n];
                const REAL v = v_old[n] - (v_old[n] - p->c[n]) * z, jump = p->c[n] - v_old[n];
                const REAL slope = 1 + dt * ((REAL)0.08 * v + 5), uv = dt * p->a[n] * p->b[n], uu = 1 - dt * p->a[n];
                const REAL vv = slope > clip ? clip : slope < -clip ? -clip : slope;
                delta[n] = dt * lambda_v;
                grad_v[n] = (1 - z) * (vv * lambda_v + uv * lambda_u);
                grad_u[n] = uu * lambda_u - dt * lambda_v;
                grad_z[n] = attached * ((vv * jump - dt * p->d[n]) * lambda_v + (uv * jump + uu * p->d[n]) * lambda_u);
            }
        }
        if (p->w) {
            const int64_t first = part.row0 * num;
            NAME(add_transposed)(
                (t ? p->grad_z : p->grad_before) + first, p->grad_current + t * step + first, p->w,
                part.row1 - part.row0, num);
        }
    }
    free(psi);
}

void NAME(izhikevich_backward)(const NAME(IZHIKEVICH) *p) {
    expect(p->grad_current, p->num_steps * p->rows * p->num * sizeof(REAL));
    TASKS(p, p->w != NULL, NAME(izhikevich_backward_task)(p, part));
}
