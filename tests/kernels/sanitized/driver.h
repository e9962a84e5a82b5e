/* For one type of number. */
static REAL *NAME(between)(int64_t count, double low, double high) {
    REAL *const out = malloc(count * sizeof(REAL));
    for (int64_t i = 0; i < count; i++) out[i] = (REAL)(low + (high - low) * number());
    return out;
}

static REAL *NAME(numbers)(int64_t count) { return NAME(between)(count, -1, 1); }

static REAL *NAME(zeros)(int64_t count) { return NAME(between)(count, 0, 0); }

static void NAME(run_spikes)(int64_t rows, int64_t inputs, int64_t outputs, const uint8_t *x) {
    const int64_t strip = smaller(256 / sizeof(REAL), PADDED(outputs)), strips = (outputs + strip - 1) / strip;
    uint8_t *const bytes = malloc(rows * inputs);
    REAL *const reals = NAME(zeros)(rows * inputs);
    memcpy(bytes, x, rows * inputs);
    for (int64_t i = 0; i < rows * inputs; i++) reals[i] = (REAL)-0.5 * x[i]; /* -0 is 0 too */
    const int64_t given[] = {rows, inputs, outputs, 2, 64, strip};
    REAL *const weights = NAME(numbers)(strips * inputs * strip), *const first = NAME(numbers)(outputs);
    REAL *const grad = NAME(numbers)(rows * outputs);
    REAL *const out = NAME(zeros)(rows * outputs), *const grad_w = NAME(zeros)(outputs * inputs);
    NAME(sparse_forward_of_bytes)(given, (void *[]){bytes, weights, first, out});
    NAME(sparse_weight_gradient_of_bytes)(given, (void *[]){bytes, grad, NULL, grad_w});
    NAME(sparse_forward_of_reals)(given, (void *[]){reals, weights, first, out});
    NAME(sparse_weight_gradient_of_reals)(given, (void *[]){reals, grad, NULL, grad_w});
}

static void NAME(run_eligibility)(int64_t steps, int64_t rows, int64_t inputs, int64_t num, int all, int own) {
    const int64_t given[] = {steps, rows, inputs, num, 2, all, own}, still[] = {0, rows, inputs, num, 2, all, own};
    void *data[2 + (3 + CARRIED) * CARRIED] = {NAME(numbers)(steps * rows * inputs), NAME(zeros)(inputs * num)};
    for (int y = 0; y < all; y++) {
        data[2 + y] = NAME(numbers)(rows * inputs * (y < own ? num : 1)), data[2 + all + y] = NAME(numbers)(rows * num);
        data[2 + 2 * all + y] = NAME(numbers)(steps * rows * num);
        for (int x = y < own ? 0 : own; x < all; x++) data[2 + (3 + y) * all + x] = NAME(numbers)(rows * num);
    }
    NAME(eligibility)(given, data);
    NAME(eligibility)(still, data);
}

static void NAME(run_all)(const uint8_t *x) {
    static const int64_t sizes[] = {1, 17, 65};
    for (int s = 0; s < 3; s++) {
        for (int all = 1; all <= CARRIED; all++)
            for (int own = 0; own <= all; own++) NAME(run_eligibility)(1 + 17 * s, 2, sizes[s], sizes[2 - s], all, own);
        NAME(run_spikes)(3, sizes[s], 9 + 60 * s, x), NAME(run_spikes)(65, 3, 9 + 60 * s, x);
    }
}
