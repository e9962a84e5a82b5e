/* For one type of number. */
static REAL *NAME(between)(int64_t count, double low, double high) {
    REAL *const out = malloc(count * sizeof(REAL));
    for (int64_t i = 0; i < count; i++) out[i] = (REAL)(low + (high - low) * number());
    return out;
}

static REAL *NAME(numbers)(int64_t count) { return NAME(between)(count, -1, 1); }

static REAL *NAME(zeros)(int64_t count) { return NAME(between)(count, 0, 0); }

/* No weights; one group of all neurons; or groups of 1, 2 and 25 steps, each of every third neuron. */
static NAME(Synapses) NAME(synapses)(int groups, int64_t rows, int64_t num) {
    static const int64_t delays[] = {1, 2, 25};
    const int64_t longest = groups == 3 ? 25 : 1;
    int64_t *const layout = malloc((2 + 2 * groups) * sizeof(int64_t)), *const sources = malloc(num * sizeof(int64_t));
    int64_t from = 0, forth = 0, back = 0;
    layout[0] = groups, layout[1] = longest;
    for (int g = 0; g < groups; g++) {
        int64_t count = 0;
        for (int64_t n = 0; n < num; n++)
            if (groups == 1 || n % 3 == g) sources[from++] = n, count++;
        layout[2 + 2 * g] = delays[g], layout[3 + 2 * g] = count;
        forth += count * PADDED(num), back += num * PADDED(count);
    }
    return (NAME(Synapses)){
        NAME(numbers)(forth), NAME(numbers)(back), NAME(zeros)(longest * rows * num), layout,
        groups == 1 ? NULL : sources};
}

static void NAME(count)(const REAL *spikes, int64_t count) {
    for (int64_t i = 0; i < count; i++) fired += spikes[i] > (REAL)0.5;
}

static void NAME(run_alif)(int64_t steps, int64_t rows, int64_t num, int groups, int form) {
    const int64_t one = rows * num, all = steps * one, marks = (steps / MARK + 1) * one;
    NAME(ALIF) p = {
        .num_steps = steps, .rows = rows, .num = num, .threads = 2, .subtracts = form == 0, .empties = form > 1,
        .stdp = form == 2, .refractory = form > 0 ? 2 : 0, .shape = form, .at_spike = NAN, .while_held = -1,
        .alpha = NAME(between)(num, 0.5, 1), .rho = NAME(between)(num, 0.5, 1), .beta = NAME(between)(num, 0, 1),
        .v_th = NAME(between)(num, 0.5, 1), .scale = NAME(between)(num, 0, 1), .inverse_width = NAME(between)(num, 1, 2),
        .current = NAME(between)(all, -1, form == 1 ? 20 : 2), .z_first = NAME(zeros)(one),
        .v_state = NAME(zeros)(one), .a_state = NAME(zeros)(one), .held_state = NAME(zeros)(one),
        .spikes = NAME(zeros)(all), .v = NAME(zeros)(all + one), .a = NAME(zeros)(marks),
        .held = form ? NAME(zeros)(marks) : NULL, .grad_spikes = NAME(numbers)(all), .grad_current = NAME(zeros)(all),
        .grad_v = NAME(zeros)(one), .grad_a = NAME(zeros)(one), .grad_z = NAME(zeros)(one),
        .grad_alpha = NAME(zeros)(one), .grad_rho = NAME(zeros)(one), .grad_beta = NAME(zeros)(one),
        .grad_v_th = NAME(zeros)(one)};
    if (groups) p.synapses = NAME(synapses)(groups, rows, num);
    NAME(alif_forward)(&p);
    NAME(alif_backward)(&p);
    NAME(count)(p.spikes, all);
    p.v = p.a = p.held = NULL; /* nothing kept */
    NAME(alif_forward)(&p);
}

static void NAME(run_izhikevich)(int64_t steps, int64_t rows, int64_t num, int groups) {
    const int64_t one = rows * num, all = steps * one;
    NAME(IZHIKEVICH) p = {
        .num_steps = steps, .rows = rows, .num = num, .threads = 2, .shape = EXPONENTIAL, .at_spike = NAN, .clip = 1,
        .a = NAME(between)(num, 0, 0.1), .b = NAME(between)(num, 0, 0.3), .c = NAME(between)(num, -65, -50),
        .d = NAME(between)(num, 2, 8), .dt = NAME(between)(num, 0.5, 1), .scale = NAME(between)(num, 0, 1),
        .inverse_width = NAME(between)(num, 0.03, 0.03), .current = NAME(between)(all, 0, 60), .z_first = NAME(zeros)(one),
        .v_state = NAME(between)(one, -65, -55), .u_state = NAME(between)(one, -13, -13), .spikes = NAME(zeros)(all),
        .v = NAME(zeros)(all + one), .u = NAME(zeros)((steps / MARK + 1) * one), .grad_spikes = NAME(numbers)(all),
        .grad_current = NAME(zeros)(all), .grad_v = NAME(zeros)(one), .grad_u = NAME(zeros)(one),
        .grad_z = NAME(zeros)(one), .grad_a = NAME(zeros)(one), .grad_b = NAME(zeros)(one),
        .grad_c = NAME(zeros)(one), .grad_d = NAME(zeros)(one)};
    memcpy(p.v, p.v_state, one * sizeof(REAL));
    if (groups) p.synapses = NAME(synapses)(groups, rows, num);
    NAME(izhikevich_forward)(&p);
    NAME(izhikevich_backward)(&p);
    NAME(count)(p.spikes, all);
}

static void NAME(run_spikes)(int64_t rows, int64_t inputs, int64_t outputs, const uint8_t *x) {
    const int64_t padded = PADDED(outputs), strip = 256 / sizeof(REAL), strips = (outputs + strip - 1) / strip;
    uint8_t *const bytes = malloc(rows * inputs);
    REAL *const reals = NAME(zeros)(rows * inputs);
    memcpy(bytes, x, rows * inputs);
    for (int64_t i = 0; i < rows * inputs; i++) reals[i] = (REAL)-0.5 * x[i]; /* -0 is 0 too */
    NAME(SPIKES) p = {
        .rows = rows, .inputs = inputs, .outputs = outputs, .threads = 2, .x = bytes,
        .w = NAME(numbers)(strips * inputs * strip), .first = NAME(numbers)(outputs), .out = NAME(zeros)(rows * outputs),
        .grad_out = NAME(numbers)(rows * outputs), .grad_w = NAME(zeros)(inputs * padded)};
    NAME(sparse_forward_of_bytes)(&p);
    NAME(sparse_weight_gradient_of_bytes)(&p);
    p.x = reals;
    NAME(sparse_forward_of_reals)(&p);
    NAME(sparse_weight_gradient_of_reals)(&p);
}

static void NAME(run_eligibility)(int64_t steps, int64_t rows, int64_t inputs, int64_t num, int count) {
    NAME(ELIGIBILITY) p = {
        .steps = steps, .rows = rows, .inputs = inputs, .num = num, .threads = 2, .count = count,
        .s = NAME(numbers)(steps * rows * inputs), .grad_w = NAME(zeros)(inputs * num)};
    for (int y = 0; y < count; y++) {
        p.e[y] = NAME(numbers)(rows * inputs * num), p.g[y] = NAME(numbers)(rows * num);
        p.d[y] = NAME(numbers)(steps * rows * num), p.f[y][y] = NAME(numbers)(rows * num);
    }
    NAME(eligibility_forward)(&p);
    NAME(eligibility_gradient)(&p);
}

static void NAME(run_all)(const uint8_t *x) {
    static const int64_t sizes[] = {1, 17, 65}, lengths[] = {1, 18};
    for (int s = 0; s < 3; s++) {
        for (int l = 0; l < 2; l++) {
            const int64_t steps = lengths[l], num = sizes[s], rows = 5 - s;
            for (int groups = 0; groups < 4; groups += groups ? 2 : 1) {
                for (int form = 0; form < 4; form++) NAME(run_alif)(steps, rows, num, groups, form);
                NAME(run_izhikevich)(steps, rows, num, groups);
            }
        }
        for (int count = 1; count <= CARRIED; count++) NAME(run_eligibility)(1 + 17 * s, 2, sizes[s], sizes[2 - s], count);
        NAME(run_spikes)(3, sizes[s], 9 + 60 * s, x);
    }
}
