/* SRC, mSRC and BSRC: snn_neuromod/dynamics/src.py, msrc.py, bsrc.py.
 *
 *   i[t]   = alpha i[t-1] + I[t],   x[t] = rho tanh(i[t] / rho)
 *   a[t]   = x[t] + r h[t-1] + r_s f(h_s[t-1]) + b (+ r_u (h_u[t-1] + h_u0)),   f = h_s (SRC) or (h_s + h_s0)^2
 *   h[t]   = z h[t-1] + (1 - z) tanh a[t],   output max(0, h[t])
 *   z_s[t] = z_hyp + (z_dep - z_hyp) sigma[t],   sigma[t] = logistic(10 (h[t-1] - 0.5))
 *   h_s[t] = z_s[t] h_s[t-1] + (1 - z_s[t]) h[t-1],   h_u[t] = z_u h_u[t-1] + (1 - z_u) h[t-1]
 *
 * Only every MARK-th state is stored; the backward pass computes the others again. A task is SRC_BLOCK neurons of the
 * batch, whose variables stay in cache while time passes.
 */
typedef struct {
    int64_t num_steps, rows, num, threads;
    int64_t kind, straight_through, detach_recurrence;
    int64_t strides[SRC_PARAMS][2];     /* of each parameter between rows and between neurons: num or 1, or 0 */
    int64_t per_step;                   /* stride of the modulation between steps, or 0 */
    const REAL *params[SRC_PARAMS];
    const REAL *current;                /* (T, rows, N) */
    REAL *spikes;                       /* (T, rows, N) */
    REAL *state[SRC_STATES];            /* (rows, N): first state in, last state out */
    REAL *marks[SRC_STATES];            /* (T / MARK + 1, rows, N) */
    const REAL *grad_spikes;            /* (T, rows, N) */
    REAL *grad_current;                 /* (T, rows, N) */
    REAL *grad_state[SRC_STATES];       /* (rows, N): of the last state in, of the first out */
    REAL *grad_params[SRC_PARAMS];      /* (rows, N), of a modulation per step (T, rows, N) */
} NAME(SRC);

/* What a task works with; rows of one number for each of its neurons. */
typedef struct {
    REAL params[SRC_ROWS][SRC_BLOCK];                  /* with those that follow from them */
    REAL states[SRC_STATES][MARK + 1][SRC_BLOCK];      /* before each step of a stretch, and after the last */
    REAL y[MARK][SRC_BLOCK], c[MARK][SRC_BLOCK], sigma[MARK][SRC_BLOCK]; /* tanh(i / rho), tanh a, sigma */
    REAL lambda_a[SRC_BLOCK], lambda_h[SRC_BLOCK], lambda_s[SRC_BLOCK], lambda_u[SRC_BLOCK];
    REAL grad_state[SRC_STATES][SRC_BLOCK], grad_params[SRC_PARAMS][SRC_BLOCK];
} NAME(Work);

/* A parameter of the neurons from `first` on, as a row. */
INLINE void NAME(spread)(
    REAL *restrict out, const REAL *data, const int64_t *strides, int64_t num, int64_t first, int64_t wide) {
    for (int64_t n = 0, row = first / num, col = first % num; n < wide; row++, col = 0) {
        const int64_t stop = smaller(wide, n + num - col);
        const REAL *const from = data + row * strides[0] + col * strides[1] - n;
        if (strides[1])
            for (; n < stop; n++) out[n] = from[n];
        else
            for (; n < stop; n++) out[n] = data[row * strides[0]];
    }
}

INLINE void NAME(src_modulation)(const NAME(SRC) *p, NAME(Work) *w, int64_t t, int64_t first, int64_t wide) {
    if (p->per_step)
        NAME(spread)(
            w->params[H_S0], p->params[H_S0] + t * p->per_step, p->strides[H_S0], p->num, first, wide);
}

INLINE void NAME(src_params)(const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide) {
    for (int k = 0; k < SRC_PARAMS; k++) {
        if (p->params[k]) NAME(spread)(w->params[k], p->params[k], p->strides[k], p->num, first, wide);
        else memset(w->params[k], 0, sizeof w->params[k]);
    }
    for (int64_t n = 0; n < wide; n++) {
        const REAL rho = w->params[RHO][n];
        const int bounded = rho <= (sizeof(REAL) == 4 ? (REAL)3e38 : (REAL)1e308);
        w->params[GAIN][n] = bounded ? rho : 0;
        w->params[OPEN][n] = bounded ? 0 : 1;
        w->params[INVERSE_RHO][n] = bounded ? 1 / rho : 0;
        w->params[D_Z][n] = w->params[Z_DEP][n] - w->params[Z_HYP][n];
    }
}

/* One step, in sums of one product and one number each, which every variant rounds alike; `keep` writes what the
 * backward pass reads, else the spikes are written. `old` and `new` may be the same. Each function has a loop of its own: in
 * one loop the processor would wait for one after the other. */
INLINE void NAME(src_step)(
    NAME(Work) *w, const REAL *current, int64_t old, int64_t new, int64_t wide, REAL *spikes,
    const int kind, const int keep) {
    REAL(*const states)[MARK + 1][SRC_BLOCK] = w->states;
    const REAL *const i_old = states[I][old], *const h = states[H][old];
    const REAL *const h_s = states[H_S][old], *const h_u = states[H_U][old];
    REAL *const i = states[I][new], *const h_new = states[H][new], *const h_s_new = states[H_S][new];
    REAL *const y = w->y[old], *const c = w->c[old], *const sigma = w->sigma[old];
#define OF(k) w->params[k][n]
    SIMD for (int64_t n = 0; n < wide; n++) {
        i[n] = OF(ALPHA) * i_old[n] + current[n];
        y[n] = NAME(tanh)(i[n] * OF(INVERSE_RHO));
    }
    SIMD for (int64_t n = 0; n < wide; n++) sigma[n] = NAME(logistic)(10 * h[n] - 5);
    SIMD for (int64_t n = 0; n < wide; n++) {
        const REAL shifted = h_s[n] + OF(H_S0), f = kind == SRC ? h_s[n] : shifted * shifted;
        const REAL x = OF(GAIN) * y[n] + (OF(OPEN) * i[n] + OF(B));
        const REAL slow = kind == BSRC ? OF(R_U) * (h_u[n] + OF(H_U0)) + x : x;
        c[n] = NAME(tanh)(OF(R) * h[n] + (OF(R_S) * f + slow));
    }
    SIMD for (int64_t n = 0; n < wide; n++) {
        const REAL z_s = OF(Z_HYP) + OF(D_Z) * sigma[n], last = h[n];
        if (kind == BSRC) states[H_U][new][n] = last + OF(Z_U) * (h_u[n] - last);
        h_s_new[n] = last + z_s * (h_s[n] - last);
        h_new[n] = c[n] + OF(Z) * (last - c[n]);
        if (!keep) spikes[n] = h_new[n] > 0 ? h_new[n] : 0;
    }
#undef OF
}

/* Steps from `start`, before which the states stand in row 0, to `stop`; `keep` as in src_step. */
INLINE void NAME(src_steps)(
    const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide, int64_t start, int64_t stop, const int kind,
    const int keep) {
    const int64_t step = p->rows * p->num, bytes = wide * sizeof(REAL);
    for (int64_t t = start; t < stop; t++) {
        const int64_t now = t * step + first, old = keep ? t - start : 0, new = keep ? old + 1 : 0;
        if (t + 1 < p->num_steps) prefetch(p->current + now + step, bytes, 0);
        if (keep) prefetch(p->grad_spikes + now, bytes, 0), prefetch(p->grad_current + now, bytes, 1);
        else if (t + 1 < p->num_steps) prefetch(p->spikes + now + step, bytes, 1);
        NAME(src_modulation)(p, w, t, first, wide);
        NAME(src_step)(w, p->current + now, old, new, wide, keep ? NULL : p->spikes + now, kind, keep);
    }
}

CLONES FUSED static void NAME(src_stretch)(
    const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide, int64_t start, int64_t stop, int keep) {
#define CASE(kind)                                                                     \
    case kind:                                                                         \
        if (keep) NAME(src_steps)(p, w, first, wide, start, stop, kind, 1);            \
        else NAME(src_steps)(p, w, first, wide, start, stop, kind, 0);                 \
        break;
    switch (p->kind) { CASE(SRC) CASE(MSRC) CASE(BSRC) }
#undef CASE
}

/* Copies row 0 of the states, or of their gradients, from or to memory. */
INLINE void NAME(src_fetch)(REAL (*rows)[SRC_BLOCK], int64_t apart, REAL *const *from, int64_t at, int64_t wide) {
    for (int k = 0; k < SRC_STATES; k++)
        if (from[k]) memcpy(rows[k * apart], from[k] + at, wide * sizeof(REAL));
}

INLINE void NAME(src_store)(REAL (*rows)[SRC_BLOCK], int64_t apart, REAL *const *to, int64_t at, int64_t wide) {
    for (int k = 0; k < SRC_STATES; k++)
        if (to[k]) memcpy(to[k] + at, rows[k * apart], wide * sizeof(REAL));
}

static void NAME(src_forward_task)(const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide) {
    const int64_t step = p->rows * p->num;
    NAME(src_params)(p, w, first, wide);
    NAME(src_fetch)(w->states[0], MARK + 1, p->state, first, wide);
    for (int64_t start = 0; start < p->num_steps; start += MARK) {
        NAME(src_store)(w->states[0], MARK + 1, p->marks, start / MARK * step + first, wide);
        NAME(src_stretch)(p, w, first, wide, start, smaller(start + MARK, p->num_steps), 0);
    }
    NAME(src_store)(w->states[0], MARK + 1, p->state, first, wide);
}

/* Adjoints of one step, the k-th of its stretch; no spike passes a gradient where h <= silent. w->grad_state holds what
 * later steps add to those of the states. */
INLINE void NAME(src_back)(
    NAME(Work) *w, const REAL *grad, REAL *delta, int64_t k, int64_t wide, REAL silent, const int kind,
    const int attached) {
    REAL(*const states)[MARK + 1][SRC_BLOCK] = w->states, (*const carry)[SRC_BLOCK] = w->grad_state;
    REAL(*const of)[SRC_BLOCK] = w->params;
    SIMD for (int64_t n = 0; n < wide; n++) {
        const REAL y = w->y[k][n], c = w->c[k][n], passed = states[H][k + 1][n] > silent ? grad[n] : 0;
        const REAL lambda_h = passed + carry[H][n], lambda_s = carry[H_S][n], lambda_u = carry[H_U][n];
        const REAL lambda_a = (1 - of[Z][n]) * (1 - c * c) * lambda_h;
        const REAL lambda_i = carry[I][n] + (1 - y * y) * lambda_a;
        delta[n] = lambda_i;
        carry[I][n] = of[ALPHA][n] * lambda_i;
        w->lambda_a[n] = lambda_a;
        w->lambda_h[n] = lambda_h;
        w->lambda_s[n] = lambda_s;
        w->lambda_u[n] = lambda_u;
        if (attached) {
            const REAL h = states[H][k][n], h_s = states[H_S][k][n], sigma = w->sigma[k][n];
            const REAL z_s = of[Z_HYP][n] + of[D_Z][n] * sigma, steepness = 10 * of[D_Z][n] * sigma * (1 - sigma);
            const REAL slope = of[R_S][n] * (kind == SRC ? 1 : 2 * (h_s + of[H_S0][n]));
            const REAL by_slow = (1 - z_s + steepness * (h_s - h)) * lambda_s;
            const REAL by_ultra_slow = kind == BSRC ? (1 - of[Z_U][n]) * lambda_u : 0;
            carry[H][n] = of[Z][n] * lambda_h + of[R][n] * lambda_a + by_slow + by_ultra_slow;
            carry[H_S][n] = z_s * lambda_s + slope * lambda_a;
            if (kind == BSRC) carry[H_U][n] = of[Z_U][n] * lambda_u + of[R_U][n] * lambda_a;
        }
    }
}

/* What one step adds to the gradients of the parameters. */
INLINE void NAME(src_learned)(
    const NAME(SRC) *p, NAME(Work) *w, const REAL *lambda_i, int64_t k, int64_t wide, REAL *by_modulation) {
    REAL(*const of)[SRC_BLOCK] = w->params, (*const grad)[SRC_BLOCK] = w->grad_params;
    const REAL *const lambda_a = w->lambda_a, *const lambda_h = w->lambda_h;
    const REAL *const lambda_s = w->lambda_s, *const lambda_u = w->lambda_u;
    const REAL *const i = w->states[I][k], *const i_new = w->states[I][k + 1], *const h = w->states[H][k];
    const REAL *const h_s = w->states[H_S][k], *const h_u = w->states[H_U][k];
    const REAL *const y = w->y[k], *const c = w->c[k], *const sigma = w->sigma[k];
    const int linear = p->kind == SRC;
#define LEARN(key, what) \
    if (p->grad_params[key]) SIMD for (int64_t n = 0; n < wide; n++) grad[key][n] += what
    LEARN(ALPHA, lambda_i[n] * i[n]);
    LEARN(RHO, lambda_a[n] * (y[n] - i_new[n] * of[INVERSE_RHO][n] * (1 - y[n] * y[n])));
    LEARN(R, lambda_a[n] * h[n]);
    LEARN(R_S, lambda_a[n] * (linear ? h_s[n] : (h_s[n] + of[H_S0][n]) * (h_s[n] + of[H_S0][n])));
    LEARN(Z, lambda_h[n] * (h[n] - c[n]));
    LEARN(Z_HYP, lambda_s[n] * (h_s[n] - h[n]) * (1 - sigma[n]));
    LEARN(Z_DEP, lambda_s[n] * (h_s[n] - h[n]) * sigma[n]);
    LEARN(B, lambda_a[n]);
    LEARN(R_U, lambda_a[n] * (h_u[n] + of[H_U0][n]));
    LEARN(Z_U, lambda_u[n] * (h_u[n] - h[n]));
    LEARN(H_U0, lambda_a[n] * of[R_U][n]);
    if (by_modulation)
        SIMD for (int64_t n = 0; n < wide; n++)
            by_modulation[n] = 2 * of[R_S][n] * (h_s[n] + of[H_S0][n]) * lambda_a[n];
    else LEARN(H_S0, 2 * of[R_S][n] * (h_s[n] + of[H_S0][n]) * lambda_a[n]);
#undef LEARN
}

CLONES FUSED static void NAME(src_reverse)(
    const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide, int64_t start, int64_t stop) {
    const int64_t step = p->rows * p->num;
    const int attached = !p->detach_recurrence;
    const REAL silent = p->straight_through ? (REAL)-INFINITY : 0;
    int learned = 0;
    for (int k = 0; k < SRC_PARAMS; k++) learned |= p->grad_params[k] != NULL;
    for (int64_t t = stop - 1; t >= start; t--) {
        const int64_t now = t * step + first, k = t - start;
        const REAL *const grad = p->grad_spikes + now;
        REAL *const delta = p->grad_current + now;
        NAME(src_modulation)(p, w, t, first, wide);
#define CASE(kind)                                                                    \
    case kind:                                                                        \
        if (attached) NAME(src_back)(w, grad, delta, k, wide, silent, kind, 1);       \
        else NAME(src_back)(w, grad, delta, k, wide, silent, kind, 0);                \
        break;
        switch (p->kind) { CASE(SRC) CASE(MSRC) CASE(BSRC) }
#undef CASE
        if (learned)
            NAME(src_learned)(
                p, w, delta, k, wide, p->per_step && p->grad_params[H_S0] ? p->grad_params[H_S0] + now : NULL);
        if (!attached && t == p->num_steps - 1) /* only the last state hears of a gradient from outside */
            memset(w->grad_state[H], 0, (SRC_STATES - H) * sizeof w->grad_state[H]);
    }
}

static void NAME(src_backward_task)(const NAME(SRC) *p, NAME(Work) *w, int64_t first, int64_t wide) {
    const int64_t step = p->rows * p->num;
    NAME(src_params)(p, w, first, wide);
    memset(w->grad_params, 0, sizeof w->grad_params);
    memset(w->grad_state, 0, sizeof w->grad_state);
    NAME(src_fetch)(w->grad_state, 1, p->grad_state, first, wide);
    for (int64_t start = (p->num_steps - 1) / MARK * MARK; start >= 0; start -= MARK) {
        const int64_t stop = smaller(start + MARK, p->num_steps);
        NAME(src_fetch)(w->states[0], MARK + 1, p->marks, start / MARK * step + first, wide);
        NAME(src_stretch)(p, w, first, wide, start, stop, 1);
        NAME(src_reverse)(p, w, first, wide, start, stop);
    }
    NAME(src_store)(w->grad_state, 1, p->grad_state, first, wide);
    for (int k = 0; k < SRC_PARAMS; k++)
        if (p->grad_params[k] && !(k == H_S0 && p->per_step))
            memcpy(p->grad_params[k] + first, w->grad_params[k], wide * sizeof(REAL));
}

#define SRC_TASKS(task)                                                                         \
    do {                                                                                        \
        const int64_t all = p->rows * p->num;                                                   \
        const int threads = all * p->num_steps < SRC_SMALL ? 1 : (int)p->threads;               \
        _Pragma("omp parallel num_threads(threads) if (threads > 1)") {                         \
            void *const memory = malloc(sizeof(NAME(Work)) + 64);                               \
            NAME(Work) *const w = (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);          \
            _Pragma("omp for schedule(static)")                                                 \
            for (int64_t first = 0; first < all; first += SRC_BLOCK)                            \
                task(p, w, first, smaller(SRC_BLOCK, all - first));                             \
            free(memory);                                                                       \
        }                                                                                       \
    } while (0)

void NAME(src_forward)(const NAME(SRC) *p) {
    expect(p->spikes, p->num_steps * p->rows * p->num * sizeof(REAL));
    SRC_TASKS(NAME(src_forward_task));
}

void NAME(src_backward)(const NAME(SRC) *p) {
    const int64_t bytes = p->num_steps * p->rows * p->num * sizeof(REAL);
    expect(p->grad_current, bytes);
    if (p->per_step && p->grad_params[H_S0]) expect(p->grad_params[H_S0], bytes);
    SRC_TASKS(NAME(src_backward_task));
}
#undef SRC_TASKS
