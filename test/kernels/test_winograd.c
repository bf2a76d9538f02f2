// SPDX-License-Identifier: Apache-2.0
// Winograd convolution where random small cases (test_conv.c) do not reach: deep and large layers, the bound
// of the float error, the same bits at every level and number of threads, and integers at the edge of the
// proof.
#include "kernels/kernel_test.h"

typedef struct layer {
    int64_t images, side, k, n;
} layer;

typedef struct layer_case {
    layer l;
    tsl_attr items[2];
    tsl_attrs attrs;
    int64_t pads[4], ones[2];
    test_tensor x, w, bias, y;
    float scale;
    float w_scales[1024];
    tsl_tensor inputs[3];
    tsl_step step;
} layer_case;

static const float one = 1;

static void allocate(
    test_tensor *m, tslim_dtype dtype, uint32_t rank, const int64_t *dims, bool channels_last) {
    m->tensor = (tsl_tensor){.dtype = dtype, .rank = rank};
    memcpy(m->tensor.dims, dims, rank * sizeof(*dims));
    if (dtype == TSLIM_DTYPE_INT8) m->tensor.quant = (tsl_quant){.scales = &one, .n_scales = 1};
    for (int i = 0; channels_last && i < 4; i++) m->tensor.border[i] = 1;
    m->tensor.constant = !channels_last;
    test_tensor_layout(&m->tensor, channels_last, 0);
    test_tensor_allocate(m);
}

// A layer with a border of 1, its operands random floats or INT8 in the whole range.
static layer_case *make(layer l, tslim_dtype dtype, tslim_dtype y_dtype) {
    layer_case *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    t->l = l;
    for (int i = 0; i < 4; i++) t->pads[i] = 1;
    t->items[0] = (tsl_attr){.id = TSL_ATTR_pads, .type = TSL_ATTR_TYPE_INTS, .name = "pads", .count = 4};
    t->items[0].ints = t->pads;
    t->attrs = (tsl_attrs){t->items, 1};
    int64_t x[4] = {l.images, l.k, l.side, l.side}, w[4] = {l.n, l.k, 3, 3},
            y[4] = {l.images, l.n, l.side, l.side};
    allocate(&t->x, dtype, 4, x, true);
    allocate(&t->w, dtype, 4, w, false);
    allocate(&t->bias, TSLIM_DTYPE_FLOAT, 1, &l.n, false);
    allocate(&t->y, y_dtype, 4, y, true);
    test_tensor_randomize(&t->x.tensor, -128, 127);
    test_tensor_randomize(&t->w.tensor, -127, 127);
    test_tensor_randomize(&t->bias.tensor, 0, 0);
    return t;
}

static void finish(layer_case *t) {
    t->inputs[0] = t->x.tensor;
    t->inputs[1] = t->w.tensor;
    t->inputs[2] = t->bias.tensor;
    t->step = (tsl_step){.op = TSL_OP_CONV,
        .opset = 13,
        .name = "conv",
        .attrs = &t->attrs,
        .inputs = t->inputs,
        .outputs = &t->y.tensor,
        .n_inputs = 3,
        .n_outputs = 1,
        .epilogue = {.residual = -1, .lo = -INFINITY, .hi = INFINITY}};
}

static void destroy(layer_case *t) {
    test_tensor *all[] = {&t->x, &t->w, &t->bias, &t->y};
    for (int i = 0; i < 4; i++) test_tensor_free(all[i]);
    free(t);
}

// The outputs at a level, in the caller's hands.
static char *run(layer_case *t, tslim_isa isa, uint32_t threads, tsl_winograd_choice winograd) {
    tslim_context *context;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = threads;
    assert_int_equal(tslim_context_create(&options, &context), TSLIM_OK);
    t->step.winograd = winograd;
    run_step_at(context, isa, &t->step);
    tslim_context_destroy(context);
    char *y = malloc(t->y.memory.bytes);
    assert_non_null(y);
    memcpy(y, t->y.memory.data, t->y.memory.bytes);
    return y;
}

static void check_equal_at_levels(layer_case *t, const char *wanted, tsl_winograd_choice choice) {
    for (int i = 0; i < N_TEST_LEVELS; i++) {
        if (!tslim_isa_available(test_levels[i])) continue;
        for (uint32_t threads = 1; threads <= 3; threads += 2) {
            char *y = run(t, test_levels[i], threads, choice);
            assert_memory_equal(y, wanted, t->y.memory.bytes);
            free(y);
        }
    }
}

static const layer layers[] = {
    {1, 56, 64, 64}, {3, 14, 256, 40}, {1, 28, 130, 33}, {2, 30, 20, 17}, {1, 7, 520, 32}, {1, 14, 512, 16}};
enum { N_LAYERS = sizeof(layers) / sizeof(layers[0]) };

// Against direct sums, which are right to 1e-6 or so.
static void test_float(void **unused) {
    (void)unused;
    for (int i = 0; i < N_LAYERS; i++) {
        layer_case *t = make(layers[i], TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT);
        finish(t);
        tslim_isa best = tslim_isa_available(TSLIM_ISA_AVX2) ? TSLIM_ISA_AVX2 : TSLIM_ISA_PORTABLE;
        free(run(t, best, 1, TSL_WINOGRAD_NEVER));
        int64_t elements = tsl_tensor_elements(&t->y.tensor);
        double *direct = malloc((size_t)elements * sizeof(*direct)), largest = 0, error = 0;
        assert_non_null(direct);
        for (int64_t e = 0; e < elements; e++) {
            direct[e] = test_tensor_get(&t->y.tensor, e);
            largest = fmax(largest, fabs(direct[e]));
        }
        char *y = run(t, best, 1, TSL_WINOGRAD_WHERE_POSSIBLE);
        for (int64_t e = 0; e < elements; e++)
            error = fmax(error, fabs(test_tensor_get(&t->y.tensor, e) - direct[e]));
        if (!(error < 2e-5 * largest))
            fail_msg("layer %d: an error of %g, outputs up to %g", i, error, largest);
        assert_true(error > 0); // it was Winograd's
        check_equal_at_levels(t, y, TSL_WINOGRAD_WHERE_POSSIBLE);
        free(y);
        free(direct);
        destroy(t);
    }
}

static void check_integers(layer_case *t) {
    finish(t);
    tslim_isa best = tslim_isa_available(TSLIM_ISA_AVX2) ? TSLIM_ISA_AVX2 : TSLIM_ISA_PORTABLE;
    char *y = run(t, best, 1, TSL_WINOGRAD_NEVER);
    check_equal_at_levels(t, y, TSL_WINOGRAD_WHERE_POSSIBLE);
    free(y);
    destroy(t);
}

static void test_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < N_LAYERS; i++) check_integers(make(layers[i], TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT));
}

// Every product at its extreme: with 229 channels sums reach 33,500,000 of 2^25 = 33,554,432.
static void test_extreme_sums(void **unused) {
    (void)unused;
    for (int signs = 0; signs < 8; signs++) {
        layer_case *t = make((layer){1, 9, 229, 16}, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT);
        int64_t x = tsl_tensor_elements(&t->x.tensor), w = tsl_tensor_elements(&t->w.tensor);
        for (int64_t i = 0; i < x; i++) {
            int alternating = signs & 4 ? (int)(i % 2) : signs & 1;
            *(int8_t *)test_tensor_at(&t->x.tensor, i) = alternating ? -128 : 127;
        }
        for (int64_t i = 0; i < w; i++) *(int8_t *)test_tensor_at(&t->w.tensor, i) = signs & 2 ? -127 : 127;
        check_integers(t);
    }
}

static const char *kernel_name(layer_case *t, tsl_winograd_choice choice, char name[64]) {
    tslim_context *context;
    tsl_arena arena;
    tsl_kernel kernel = {0};
    assert_int_equal(tslim_context_create(NULL, &context), TSLIM_OK);
    tsl_arena_init(&arena, context);
    finish(t);
    t->step.winograd = choice;
    assert_int_equal(
        tsl_cpu_backend.prepare(context, TSLIM_ISA_PORTABLE, &t->step, &arena, &kernel), TSLIM_OK);
    snprintf(name, 64, "%s", kernel.name);
    tsl_arena_clear(&arena);
    tslim_context_destroy(context);
    return name;
}

// Weights that could make a sum of 2^25 are summed directly.
static void test_proof(void **unused) {
    (void)unused;
    char name[64];
    static const int64_t channels[] = {229, 230};
    for (int i = 0; i < 2; i++) {
        layer_case *t = make((layer){1, 9, channels[i], 16}, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8);
        // One output channel decides.
        for (int64_t e = 0; e < channels[i] * 9; e++)
            *(int8_t *)test_tensor_at(&t->w.tensor, 5 * channels[i] * 9 + e) = e % 2 ? -127 : 127;
        assert_string_equal(kernel_name(t, TSL_WINOGRAD_WHERE_POSSIBLE, name),
            i == 0 ? "winograd s8 portable" : "conv s8 portable");
        // Half of the products have either sign: non-negative activations reach half the sum.
        t->x.tensor.non_negative = true;
        assert_string_equal(kernel_name(t, TSL_WINOGRAD_WHERE_POSSIBLE, name), "winograd s8 portable");
        destroy(t);
    }
}

static void test_choice(void **unused) {
    (void)unused;
    char name[64];
    layer_case *t = make((layer){1, 28, 128, 128}, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT);
    assert_string_equal(kernel_name(t, TSL_WINOGRAD_BY_SHAPE, name), "winograd f32 portable");
    assert_string_equal(kernel_name(t, TSL_WINOGRAD_NEVER, name), "conv f32 portable");
    destroy(t);
    t = make((layer){1, 2, 512, 512}, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT); // one tile, mostly empty
    assert_string_equal(kernel_name(t, TSL_WINOGRAD_BY_SHAPE, name), "conv f32 portable");
    destroy(t);
}

int main(void) {
    tsl_rng_seed(&test_rng, 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_extreme_sums),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
