// SPDX-License-Identifier: Apache-2.0
// The functions of vector_kernels.inc. At every level that this machine has they give the bits of portable C,
// on bit patterns of all kinds and on all small tails, with operands that end where reading faults. Portable
// C is held against double precision over the whole range of floats, and against the formulas of
// docs/numerics.md.
#include "kernels/vector_test.h"

// ---- Functions of one value ----

typedef struct function_case {
    tsl_op op;
    double alpha, beta;
    double relative; // the error that is allowed, to the larger of |y| and `scale`
    double scale; // of functions that pass through 0 with cancellation
    const char *name;
} function_case;

static const function_case functions[] = {
    {TSL_OP_RELU, 0, 0, 0, 0, "relu"},
    {TSL_OP_CLIP, 0, 0, 0, 0, "clip"},
    {TSL_OP_LEAKY_RELU, 0.0099999997764825821, 0, 1e-7, 0, "leaky relu"},
    {TSL_OP_SIGMOID, 0, 0, 3e-7, 0, "sigmoid"},
    {TSL_OP_HARD_SIGMOID, 0.20000000298023224, 0.5, 1e-7, 1e-1, "hard sigmoid"},
    {TSL_OP_HARD_SWISH, 0, 0, 3e-7, 1, "hard swish"},
    {TSL_OP_SILU, 0, 0, 4e-7, 0, "silu"},
    {TSL_OP_TANH, 0, 0, 3e-7, 0, "tanh"},
    {TSL_OP_ELU, 1, 0, 3e-7, 0, "elu"},
    {TSL_OP_SELU, 1.6732631921768188, 1.0507010221481323, 4e-7, 0, "selu"},
    {TSL_OP_CELU, 1.5, 0, 4e-7, 0, "celu"},
    {TSL_OP_GELU, 0, 0, 1e-6, 1e-2, "gelu"},
    {TSL_OP_GELU, 1, 0, 2e-6, 1e-2, "gelu by tanh"},
    {TSL_OP_MISH, 0, 0, 1e-6, 0, "mish"},
    {TSL_OP_SOFTSIGN, 0, 0, 2e-7, 0, "softsign"},
    {TSL_OP_THRESHOLDED_RELU, 1, 0, 0, 0, "thresholded relu"},
    {TSL_OP_SQRT, 0, 0, 1e-7, 0, "sqrt"},
    {TSL_OP_NEG, 0, 0, 0, 0, "neg"},
    {TSL_OP_ABS, 0, 0, 0, 0, "abs"},
    {TSL_OP_EXP, 0, 0, 1.2e-7, 0, "exp"},
    {TSL_OP_ERF, 0, 0, 5e-7, 0, "erf"},
    {TSL_OP_FLOOR, 0, 0, 0, 0, "floor"},
    {TSL_OP_CEIL, 0, 0, 0, 0, "ceil"},
    {TSL_OP_ROUND, 0, 0, 0, 0, "round"},
    {TSL_OP_SIGN, 0, 0, 0, 0, "sign"},
    {TSL_OP_RECIPROCAL, 0, 0, 1e-7, 0, "reciprocal"},
};
enum { N_FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static tsl_unary_f32_args unary_args(const function_case *c, const float *x, float *y, size_t n) {
    return (tsl_unary_f32_args){.op = c->op,
        .x = x,
        .y = y,
        .n = n,
        .alpha = (float)c->alpha,
        .beta = (float)c->beta,
        .lo = -INFINITY,
        .hi = INFINITY};
}

static void check_accuracy(const function_case *c, const float *x, const float *y, size_t n) {
    tsl_function f = {.op = c->op, .alpha = c->alpha, .beta = c->beta, .lo = -INFINITY, .hi = INFINITY};
    for (size_t i = 0; i < n; i++) {
        double wanted = tsl_function_value(&f, (double)x[i]);
        // A function that is tested as a float at infinity: inf * 0 is NaN there, the limit is 0.
        if (isinf(x[i]) && (isnan(y[i]) || isnan(wanted))) continue;
        double allowed = c->relative * fmax(fabs(wanted), c->scale) + 0x1p-148;
        if (fabs(wanted) < 0x1p-110) allowed += 0x1p-148 * fabs((double)x[i]); // x times a subnormal
        bool same = (isnan(wanted) && isnan(y[i])) || (float)wanted == y[i];
        if (!same && !(fabs((double)y[i] - wanted) <= allowed))
            fail_msg("%s(%a) is %a, not %a: %.2e off", c->name, (double)x[i], (double)y[i], wanted,
                fabs((double)y[i] - wanted) / fabs(wanted));
    }
}

// Every 2053rd float, from zero through the subnormals to infinity and NaN, of both signs.
static void test_functions_are_accurate(void **unused) {
    (void)unused;
    static float x[CAPACITY], y[CAPACITY];
    const tsl_cpu_functions *f = tsl_cpu_functions_get(TSLIM_ISA_AVX2);
    if (!tslim_isa_available(TSLIM_ISA_AVX2)) f = portable();
    for (size_t k = 0; k < N_FUNCTIONS; k++) {
        uint64_t bits = 0;
        while (bits <= UINT32_MAX) {
            size_t n = 0;
            for (; n < CAPACITY && bits <= UINT32_MAX; n++, bits += 2053) x[n] = from_bits((uint32_t)bits);
            tsl_unary_f32_args args = unary_args(&functions[k], x, y, n);
            f->unary_f32(&args);
            check_accuracy(&functions[k], x, y, n);
        }
    }
}

static void test_functions_at_special_values(void **unused) {
    (void)unused;
    static const struct {
        tsl_op op;
        float x, y;
    } cases[] = {{TSL_OP_EXP, INFINITY, INFINITY}, {TSL_OP_EXP, -INFINITY, 0}, {TSL_OP_EXP, 0, 1},
        {TSL_OP_TANH, INFINITY, 1}, {TSL_OP_TANH, -INFINITY, -1}, {TSL_OP_SIGMOID, INFINITY, 1},
        {TSL_OP_SIGMOID, -INFINITY, 0}, {TSL_OP_SIGMOID, 0, 0.5f}, {TSL_OP_ERF, INFINITY, 1},
        {TSL_OP_ERF, -INFINITY, -1}, {TSL_OP_ELU, -INFINITY, -1}, {TSL_OP_RELU, -INFINITY, 0},
        {TSL_OP_ROUND, 2.5f, 2}, {TSL_OP_ROUND, -3.5f, -4}, {TSL_OP_RECIPROCAL, 0, INFINITY}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        float y = 99;
        tsl_unary_f32_args args = {.op = cases[i].op, .x = &cases[i].x, .y = &y, .n = 1, .alpha = 1};
        args.lo = -INFINITY;
        args.hi = INFINITY;
        portable()->unary_f32(&args);
        if (y != cases[i].y)
            fail_msg("case %zu: f(%g) is %g, not %g", i, (double)cases[i].x, (double)y, (double)cases[i].y);
    }
    for (size_t k = 0; k < N_FUNCTIONS; k++) {
        float x = NAN, y = 0;
        tsl_unary_f32_args args = unary_args(&functions[k], &x, &y, 1);
        args.lo = -1;
        args.hi = 1;
        portable()->unary_f32(&args);
        if (!isnan(y)) fail_msg("%s(NaN) is %g", functions[k].name, (double)y);
    }
}

static void test_functions_agree(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 40 * N_FUNCTIONS; round++) {
        const function_case *c = &functions[round % N_FUNCTIONS];
        size_t n = 1 + below(round % 3 == 0 ? 400 : 40);
        const float *x = floats(0, n);
        float *y = guarded_resize(&memory[1], n * sizeof(float));
        float *z = guarded_resize(&memory[2], n * sizeof(float));
        tsl_unary_f32_args args = unary_args(c, x, y, n);
        if (round % 2) args.lo = -0.5f, args.hi = 1.5f;
        portable()->unary_f32(&args);
        args.y = z;
        FOR_LEVELS(f->unary_f32(&args); assert_same_floats(z, y, n, c->name, isas[level]);)
    }
}

// ---- Functions of two values ----

static float binary_reference(tsl_op op, float a, float b) {
    switch (op) {
    case TSL_OP_ADD:
        return a + b;
    case TSL_OP_SUB:
        return a - b;
    case TSL_OP_MUL:
        return a * b;
    case TSL_OP_DIV:
        return a / b;
    case TSL_OP_MAX:
        return isnan(a) || a > b ? a : b;
    case TSL_OP_MIN:
        return isnan(a) || a < b ? a : b;
    default:
        return a < 0 ? a * b : a; // PRelu
    }
}

static void test_binary_floats(void **unused) {
    (void)unused;
    static const tsl_op ops[] = {
        TSL_OP_ADD, TSL_OP_SUB, TSL_OP_MUL, TSL_OP_DIV, TSL_OP_MAX, TSL_OP_MIN, TSL_OP_PRELU};
    for (size_t round = 0; round < 2000; round++) {
        tsl_op op = ops[below(7)];
        size_t n = 1 + below(60);
        bool a_scalar = below(3) == 0, b_scalar = below(3) == 0;
        tsl_binary_f32_args args = {.op = op, .n = n, .a_scalar = a_scalar, .b_scalar = b_scalar};
        args.a = floats(0, a_scalar ? 1 : n);
        args.b = floats(1, b_scalar ? 1 : n);
        args.lo = round % 2 ? -2.0f : -INFINITY;
        args.hi = round % 2 ? 3.0f : INFINITY;
        float wanted[64];
        for (size_t i = 0; i < n; i++) {
            float y = binary_reference(op, args.a[a_scalar ? 0 : i], args.b[b_scalar ? 0 : i]);
            wanted[i] = y < args.lo ? args.lo : y > args.hi ? args.hi : y;
        }
        args.y = guarded_resize(&memory[2], n * sizeof(float));
        portable()->binary_f32(&args);
        for (size_t i = 0; i < n; i++)
            assert_true(args.y[i] == wanted[i] || (isnan(args.y[i]) && isnan(wanted[i])));
        memcpy(wanted, args.y, n * sizeof(float));
        FOR_LEVELS(f->binary_f32(&args); assert_same_floats(args.y, wanted, n, "binary", isas[level]);)
    }
}

static void test_scale_shift(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 500; round++) {
        size_t n = 1 + below(60);
        bool scalar = round % 2;
        tsl_scale_shift_f32_args args = {.n = n, .scalar = scalar, .lo = -5, .hi = 8, .x = floats(0, n)};
        args.scale = floats(1, scalar ? 1 : n);
        args.shift = floats(2, scalar ? 1 : n);
        args.y = guarded_resize(&memory[3], n * sizeof(float));
        float wanted[64];
        for (size_t i = 0; i < n; i++) {
            float y = fmaf(args.x[i], args.scale[scalar ? 0 : i], args.shift[scalar ? 0 : i]);
            wanted[i] = y < -5 ? -5 : y > 8 ? 8 : y;
        }
        portable()->scale_shift_f32(&args);
        assert_same_floats(args.y, wanted, n, "scale and shift", TSLIM_ISA_PORTABLE);
        FOR_LEVELS(f->scale_shift_f32(&args); assert_same_floats(args.y, wanted, n, "scale", isas[level]);)
    }
}

static double in_bounds(double x, double bound) {
    return x < -bound ? -bound : x > bound ? bound : x;
}
static double logistic(double x) {
    return 1 / (1 + exp(-x));
}
static void assert_about(float value, double wanted) {
    if (fabs((double)value - wanted) > 2e-6 * fmax(fabs(wanted), 1))
        fail_msg("%g instead of %g", (double)value, wanted);
}

static void test_lstm_cell(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 200; round++) {
        const size_t n = 1 + below(70), stride = n + below(5);
        float *gates = floats(0, 3 * stride + n), *before = floats(1, n), h[80], c[80], other[80];
        for (size_t i = 0; i < 3 * stride + n; i++) gates[i] = (float)tsl_rng_normal(&rng) * 4.0f;
        for (size_t i = 0; i < n; i++) before[i] = (float)tsl_rng_normal(&rng);
        tsl_lstm_cell_f32_args args = {.gates = gates, .n = n, .stride = stride, .c = c, .h = h};
        args.clip = round % 2 ? 3.0f : INFINITY;
        const double bound = (double)args.clip;
        memcpy(c, before, n * sizeof(float));
        portable()->lstm_cell_f32(&args);
        for (size_t i = 0; i < n; i++) {
            double gate[4];
            for (size_t k = 0; k < 4; k++) gate[k] = in_bounds((double)gates[k * stride + i], bound);
            double cell = logistic(gate[2]) * (double)before[i] + logistic(gate[0]) * tanh(gate[3]);
            assert_about(c[i], cell);
            assert_about(h[i], logistic(gate[1]) * tanh(cell));
        }
        args.c = guarded_resize(&memory[2], n * sizeof(float));
        args.h = other;
        FOR_LEVELS(memcpy(args.c, before, n * sizeof(float)); f->lstm_cell_f32(&args);
                   assert_same_floats(args.c, c, n, "lstm c", isas[level]);
                   assert_same_floats(args.h, h, n, "lstm h", isas[level]);)
    }
}

static void test_gru_cell(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 200; round++) {
        const size_t n = 1 + below(70);
        float *x = floats(0, n), *z = floats(1, n), *r = floats(2, n), *product = floats(3, n), h[80],
              before[80];
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)tsl_rng_normal(&rng) * 2.0f;
            product[i] = (float)tsl_rng_normal(&rng);
            before[i] = (float)tsl_rng_normal(&rng);
            z[i] = (float)logistic(tsl_rng_normal(&rng));
            r[i] = (float)logistic(tsl_rng_normal(&rng));
        }
        tsl_gru_cell_f32_args args = {.z = z, .x = x, .n = n, .h = h, .clip = round % 2 ? 1.0f : INFINITY};
        if (round % 3) args.r = r, args.product = product;
        memcpy(h, before, n * sizeof(float));
        portable()->gru_cell_f32(&args);
        for (size_t i = 0; i < n; i++) {
            double sum = (double)x[i] + (args.r ? (double)r[i] * (double)product[i] : 0);
            double candidate = tanh(in_bounds(sum, (double)args.clip));
            assert_about(h[i], (double)z[i] * (double)before[i] + (1 - (double)z[i]) * candidate);
        }
        args.h = guarded_resize(&memory[4], n * sizeof(float));
        FOR_LEVELS(memcpy(args.h, before, n * sizeof(float)); f->gru_cell_f32(&args);
                   assert_same_floats(args.h, h, n, "gru h", isas[level]);)
    }
}

static void test_normalization(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 300; round++) {
        const size_t n = 1 + below(round % 4 ? 100 : 3000);
        float *x = floats(0, n), *scale = floats(1, n), *shift = floats(2, n), center = (float)(round % 7);
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)tsl_rng_normal(&rng) + center;
            scale[i] = (float)tsl_rng_normal(&rng);
            shift[i] = (float)tsl_rng_normal(&rng);
        }
        double sum = 0, sizes = 0, total, other;
        tsl_sum_f32_args sums = {.x = x, .n = n, .squares = round % 2, .center = center, .total = &total};
        for (size_t i = 0; i < n; i++) {
            double value = (double)x[i], difference = value - (double)center;
            sum += sums.squares ? difference * difference : value;
            sizes += fabs(sums.squares ? difference * difference : value);
        }
        portable()->sum_f32(&sums);
        assert_true(fabs(total - sum) <= 1e-6 * sizes);
        sums.total = &other;
        FOR_LEVELS(f->sum_f32(&sums); assert_memory_equal(&total, &other, sizeof(total));)

        tsl_normalize_f32_args args = {
            .x = x, .n = n, .mean = center, .inverse = 0.75f, .scalar = round % 3 == 0};
        if (round % 5) args.scale = scale;
        if (round % 4) args.shift = shift;
        float *y = args.y = guarded_resize(&memory[3], n * sizeof(float));
        portable()->normalize_f32(&args);
        for (size_t i = 0; i < n; i++) {
            double a = args.scale ? (double)scale[args.scalar ? 0 : i] : 1;
            double b = args.shift ? (double)shift[args.scalar ? 0 : i] : 0;
            double wanted = ((double)x[i] - (double)center) * 0.75 * a + b;
            assert_true(
                fabs((double)y[i] - wanted) <= 1e-6 * (fabs(wanted) + fabs(b) + fabs(a * (double)x[i])));
        }
        args.y = guarded_resize(&memory[4], n * sizeof(float));
        FOR_LEVELS(f->normalize_f32(&args); assert_same_floats(args.y, y, n, "normalize", isas[level]);)
    }
}

static float *normals(size_t slot, size_t n) {
    float *p = guarded_resize(&memory[slot], n * sizeof(float));
    for (size_t i = 0; i < n; i++) p[i] = (float)tsl_rng_normal(&rng);
    return p;
}

// Pixels with a gap between them, of channels side by side.
static void test_channels(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 200; round++) {
        const size_t channels = 1 + below(40), step = channels + below(3), pixels = 1 + below(80);
        const size_t n = (pixels - 1) * step + channels;
        float numbers[4][64];
        double sum[64], product[64], sum_here[64], product_here[64];
        for (size_t i = 0; i < 4 * 64; i++) numbers[i / 64][i % 64] = (float)tsl_rng_normal(&rng);
        const float *p = normals(0, n), *q = normals(1, n);
        const ptrdiff_t bytes = (ptrdiff_t)(step * sizeof(float));
        tsl_channel_sums_f32_args sums = {.p = p,
            .q = q,
            .p_pixel = bytes,
            .q_pixel = bytes,
            .pixels = pixels,
            .channels = channels,
            .p_shift = numbers[0],
            .q_shift = numbers[1],
            .sum = sum,
            .product = product};
        memset(sum, 0, sizeof(sum));
        memset(product, 0, sizeof(product));
        portable()->channel_sums_f32(&sums);
        for (size_t c = 0; c < channels; c++) {
            double s = 0, m = 0;
            for (size_t i = 0; i < pixels; i++) {
                const double u = (double)p[i * step + c] - (double)numbers[0][c];
                s += u;
                m += u * ((double)q[i * step + c] - (double)numbers[1][c]);
            }
            assert_true(fabs(sum[c] - s) <= 1e-4 && fabs(product[c] - m) <= 1e-3);
        }
        sums.sum = sum_here;
        sums.product = product_here;
        FOR_LEVELS(memset(sum_here, 0, sizeof(sum_here)); memset(product_here, 0, sizeof(product_here));
                   f->channel_sums_f32(&sums); assert_memory_equal(sum_here, sum, channels * sizeof(double));
                   assert_memory_equal(product_here, product, channels * sizeof(double));)

        float *y = guarded_resize(&memory[3], n * sizeof(float));
        memset(y, 0, n * sizeof(float));
        tsl_channel_affine_f32_args args = {.p = p,
            .q = round % 2 ? q : NULL,
            .y = y,
            .p_pixel = bytes,
            .q_pixel = bytes,
            .y_pixel = bytes,
            .pixels = pixels,
            .channels = channels,
            .a = numbers[0],
            .b = numbers[1],
            .q_shift = numbers[2],
            .shift = numbers[3],
            .lo = round % 3 ? -INFINITY : 0,
            .hi = INFINITY};
        portable()->channel_affine_f32(&args);
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < channels; c++) {
                const size_t at = i * step + c;
                double wanted = (double)p[at] * (double)numbers[0][c] + (double)numbers[3][c];
                if (args.q) wanted += ((double)q[at] - (double)numbers[2][c]) * (double)numbers[1][c];
                assert_about(y[at], fmax(wanted, (double)args.lo));
            }
        args.y = guarded_resize(&memory[4], n * sizeof(float));
        memset(args.y, 0, n * sizeof(float));
        FOR_LEVELS(f->channel_affine_f32(&args); assert_same_floats(args.y, y, n, "channels", isas[level]);)
    }
}

static void test_weight_gradient(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 200; round++) {
        const bool by_channel = round % 4 == 0;
        const size_t channels = 1 + below(50), in = by_channel ? channels : 1 + below(5),
                     pixels = 1 + below(9);
        const size_t n_rows = 1 + below(3), n_offsets = 1 + below(20), spread = 6,
                     panels = (channels + 15) / 16;
        const float *dy = normals(0, n_rows * pixels * channels),
                    *x = normals(1, (n_rows * pixels + spread) * in);
        ptrdiff_t x_row[3], dy_row[3], offset[20];
        for (size_t r = 0; r < n_rows; r++) {
            x_row[r] = (ptrdiff_t)(r * pixels * in * sizeof(float));
            dy_row[r] = (ptrdiff_t)(r * pixels * channels * sizeof(float));
        }
        for (size_t i = 0; i < n_offsets; i++) // a later pixel, and one of its channels
            offset[i] = (ptrdiff_t)((below(spread) * in + (by_channel ? 0 : below(in))) * sizeof(float));
        const size_t count = panels * n_offsets * 16;
        float *sum = guarded_resize(&memory[2], count * sizeof(float)),
              *here = guarded_resize(&memory[3], count * sizeof(float));
        tsl_weight_gradient_f32_args args = {.x = x,
            .dy = dy,
            .x_row = x_row,
            .dy_row = dy_row,
            .x_pixel = (ptrdiff_t)(in * sizeof(float)),
            .dy_pixel = (ptrdiff_t)(channels * sizeof(float)),
            .n_rows = n_rows,
            .pixels = pixels,
            .offset = offset,
            .n_offsets = n_offsets,
            .channels = channels,
            .by_channel = by_channel,
            .sum = sum,
            .sum_panel = n_offsets * 16};
        for (size_t i = 0; i < count; i++) sum[i] = 1;
        portable()->weight_gradient_f32(&args);
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < n_offsets; i++) {
                double wanted = 1;
                for (size_t p = 0; p < n_rows * pixels; p++)
                    wanted += (double)dy[p * channels + c] *
                              (double)x[p * in + (size_t)offset[i] / sizeof(float) + (by_channel ? c : 0)];
                assert_true(fabs((double)sum[c / 16 * args.sum_panel + i * 16 + c % 16] - wanted) <= 1e-4);
            }
        args.sum = here;
        FOR_LEVELS(for (size_t i = 0; i < count; i++) here[i] = 1; f->weight_gradient_f32(&args);
                   for (size_t c = 0; c < channels; c++) for (size_t i = 0; i < n_offsets; i++) {
                       const size_t at = c / 16 * args.sum_panel + i * 16 + c % 16;
                       assert_memory_equal(&here[at], &sum[at], sizeof(float));
                   })
    }
}

// The same bits at every level; test_gradients.c holds all of them against differences.
static void test_function_gradient(void **unused) {
    (void)unused;
    static const tsl_op ops[] = {TSL_OP_RELU, TSL_OP_CLIP, TSL_OP_LEAKY_RELU, TSL_OP_SIGMOID,
        TSL_OP_HARD_SIGMOID, TSL_OP_HARD_SWISH, TSL_OP_SILU, TSL_OP_GELU, TSL_OP_TANH, TSL_OP_EXP,
        TSL_OP_SQRT, TSL_OP_RECIPROCAL};
    for (size_t round = 0; round < 600; round++) {
        const size_t n = 1 + below(100);
        const float *dy = floats(0, n), *t = floats(1, n);
        float *dx = guarded_resize(&memory[2], n * sizeof(float));
        tsl_function_gradient_f32_args args = {.op = ops[round % (sizeof(ops) / sizeof(ops[0]))],
            .dy = dy,
            .t = t,
            .dx = dx,
            .n = n,
            .alpha = 0.25f,
            .lo = -1.0f,
            .hi = 1.5f};
        portable()->function_gradient_f32(&args);
        for (size_t i = 0; i < n && (args.op == TSL_OP_RELU || args.op == TSL_OP_CLIP); i++) {
            const bool on = args.op == TSL_OP_RELU ? t[i] > 0 : t[i] > -1.0f && t[i] < 1.5f;
            assert_true(on ? dx[i] == dy[i] || (isnan(dx[i]) && isnan(dy[i])) : dx[i] == 0);
        }
        args.dx = guarded_resize(&memory[3], n * sizeof(float));
        FOR_LEVELS(f->function_gradient_f32(&args);
                   assert_same_floats(args.dx, dx, n, "gradient", isas[level]);)
    }
}

static void test_softmax(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 400; round++) {
        size_t n = 1 + below(round % 4 ? 70 : 1000);
        float *x = floats(0, n);
        for (size_t i = 0; i < n; i++) x[i] = (float)tsl_rng_normal(&rng) * (round % 5 ? 3.0f : 60.0f);
        tsl_softmax_f32_args args = {.x = x, .n = n, .logarithm = round % 2};
        double largest = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++) largest = fmax(largest, (double)x[i]);
        for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - largest);
        float *y = args.y = guarded_resize(&memory[1], n * sizeof(float));
        portable()->softmax_f32(&args);
        for (size_t i = 0; i < n; i++) {
            double shifted = (double)x[i] - largest;
            double wanted = args.logarithm ? shifted - log(sum) : exp(shifted) / sum;
            // The difference from the largest is rounded to float before the exponential.
            double allowed = (1e-6 + fabs(shifted) * 0x1p-23) * fmax(fabs(wanted), args.logarithm);
            assert_true(fabs((double)y[i] - wanted) <= allowed + 1e-37);
        }
        args.y = guarded_resize(&memory[2], n * sizeof(float));
        FOR_LEVELS(f->softmax_f32(&args); assert_same_floats(args.y, y, n, "softmax", isas[level]);)
    }
}

static void test_softmax_of_columns(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 400; round++) {
        size_t length = 1 + below(12), n = 1 + below(40), stride = n + below(3),
               count = (length - 1) * stride + n;
        float *x = floats(0, count);
        for (size_t i = 0; i < count; i++) x[i] = (float)tsl_rng_normal(&rng) * 3.0f;
        tsl_softmax_columns_f32_args args = {
            .x = x, .length = length, .stride = stride, .n = n, .logarithm = round % 2};
        float *y = args.y = guarded_resize(&memory[1], count * sizeof(float));
        memset(y, 0, count * sizeof(float));
        portable()->softmax_columns_f32(&args);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t k = 0; k < length; k++) sum += exp((double)x[k * stride + i]);
            for (size_t k = 0; k < length; k++) {
                double wanted = (double)x[k * stride + i] - log(sum);
                if (!args.logarithm) wanted = exp(wanted);
                assert_true(
                    fabs((double)y[k * stride + i] - wanted) <= 4e-6 * fmax(fabs(wanted), args.logarithm));
            }
        }
        args.y = guarded_resize(&memory[2], count * sizeof(float));
        memset(args.y, 0, count * sizeof(float)); // between the rows nothing is written
        FOR_LEVELS(f->softmax_columns_f32(&args);
                   assert_same_floats(args.y, y, count, "columns", isas[level]);)
    }
}

// test_vector [TO_SKIP]: a pattern of tests that an emulator cannot run.
int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_skip_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_are_accurate),
        cmocka_unit_test(test_functions_at_special_values),
        cmocka_unit_test(test_functions_agree),
        cmocka_unit_test(test_binary_floats),
        cmocka_unit_test(test_scale_shift),
        cmocka_unit_test(test_lstm_cell),
        cmocka_unit_test(test_gru_cell),
        cmocka_unit_test(test_normalization),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_weight_gradient),
        cmocka_unit_test(test_function_gradient),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_of_columns),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
