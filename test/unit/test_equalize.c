// SPDX-License-Identifier: Apache-2.0
// Channel equalization: the float network computes the same; all channels gain in INT8; what calibration
// keeps of channels is what was there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tinyslim/tinyslim.h>

#include "ir/bodies.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"
#include "quant/quantizer.h"
#include "support/graph_builder.h"
#include "support/samples.h"

#define CHANNELS 8
#define SIZE 10
#define WIDE 16
static const int64_t sample_dims[3] = {CHANNELS, SIZE, SIZE};

static tslim_context *make_context(void) {
    tslim_context *ctx;
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    return ctx;
}

// ---- Networks whose channels differ a thousandfold ----

// One convolution, channel c times 1000^(c / n).
static uint32_t uneven_conv(builder *b, const char *name, uint32_t x, int64_t channels) {
    x = build_conv(b, name, x, channels, 3, 1, 1, true);
    tsl_node *node = built_node(b);
    for (uint32_t i = 1; i < 3; i++) {
        tsl_value *value = &b->graph->values[node->inputs[i]];
        float *data = (float *)(uintptr_t)value->data;
        size_t count = value->bytes / sizeof(float), row = count / (size_t)channels;
        for (size_t k = 0; k < count; k++) data[k] *= powf(1000, (float)(k / row) / (float)channels);
    }
    return x;
}

static uint32_t depthwise(builder *b, uint32_t x) {
    int64_t channels = built_dim(b, x, 1);
    x = build_conv(b, NULL, x, channels, 3, 1, channels, true);
    // Brought back to one size, so that each channel counts.
    tsl_node *node = built_node(b);
    tsl_value *value = &b->graph->values[node->inputs[1]];
    float *data = (float *)(uintptr_t)value->data;
    size_t count = value->bytes / sizeof(float), row = count / (size_t)channels;
    for (size_t k = 0; k < count; k++) data[k] *= powf(1000, -(float)(k / row) / (float)channels);
    return x;
}

static uint32_t clip6(builder *b, uint32_t x) {
    const float bounds[2] = {0, 6};
    uint32_t inputs[3] = {x, build_floats(b, 1, &bounds[0]), build_floats(b, 1, &bounds[1])};
    for (uint32_t i = 1; i < 3; i++) b->graph->values[inputs[i]].shape.rank = 0;
    uint32_t y = build_node(b, TSL_OP_CLIP, NULL, 3, inputs);
    builder_infer(b);
    return y;
}

typedef uint32_t make_middle(builder *b, uint32_t x);

static uint32_t middle_plain(builder *b, uint32_t x) {
    return depthwise(b, uneven_conv(b, "first", x, WIDE));
}
static uint32_t middle_relu(builder *b, uint32_t x) {
    return depthwise(b, build_unary(b, TSL_OP_RELU, uneven_conv(b, "first", x, WIDE)));
}
static uint32_t middle_clip(builder *b, uint32_t x) {
    return depthwise(b, clip6(b, uneven_conv(b, "first", x, WIDE)));
}
static uint32_t middle_pool(builder *b, uint32_t x) {
    return depthwise(
        b, build_max_pool(b, build_unary(b, TSL_OP_LEAKY_RELU, uneven_conv(b, "first", x, WIDE))));
}
static uint32_t middle_swish(builder *b, uint32_t x) {
    return depthwise(b, build_unary(b, TSL_OP_HARD_SWISH, uneven_conv(b, "first", x, WIDE)));
}
static uint32_t middle_affine(builder *b, uint32_t x) {
    const float numbers[2] = {0.7f, -0.3f};
    x = build_unary(b, TSL_OP_HARD_SWISH, uneven_conv(b, "first", x, WIDE));
    x = build_binary(b, TSL_OP_MUL, build_floats(b, 1, &numbers[0]), x);
    return depthwise(b, build_binary(b, TSL_OP_ADD, x, build_floats(b, 1, &numbers[1])));
}
static uint32_t middle_add(builder *b, uint32_t x) { // an Add whose operand is no Mul
    const float number = -0.3f;
    x = build_unary(b, TSL_OP_HARD_SWISH, uneven_conv(b, "first", x, WIDE));
    return depthwise(b, build_binary(b, TSL_OP_ADD, x, build_floats(b, 1, &number)));
}
static uint32_t middle_excite(builder *b, uint32_t x) {
    x = build_unary(b, TSL_OP_HARD_SWISH, uneven_conv(b, "first", x, WIDE));
    return depthwise(b, build_squeeze_excite(b, x, 4));
}
static uint32_t middle_residual(builder *b, uint32_t x) {
    uint32_t first = build_unary(b, TSL_OP_RELU, uneven_conv(b, "first", x, WIDE));
    uint32_t second = uneven_conv(b, "second", first, WIDE);
    return depthwise(b, build_unary(b, TSL_OP_RELU, build_binary(b, TSL_OP_ADD, second, first)));
}
static uint32_t middle_transposed(builder *b, uint32_t x) {
    x = build_unary(b, TSL_OP_RELU, uneven_conv(b, "first", x, WIDE));
    x = depthwise(b, build_conv_transpose(b, "up", x, WIDE, 2, 1));
    return x;
}
static uint32_t middle_grouped(builder *b, uint32_t x) {
    x = build_unary(b, TSL_OP_RELU, uneven_conv(b, "first", x, WIDE));
    return build_conv(b, "grouped", x, 24, 3, 1, 4, true);
}

typedef struct network {
    const char *name;
    make_middle *make;
} case_of_network;
static const case_of_network networks[] = {{"plain", middle_plain}, {"relu", middle_relu},
    {"clip", middle_clip}, {"pool", middle_pool}, {"swish", middle_swish}, {"affine", middle_affine},
    {"add", middle_add}, {"excite", middle_excite}, {"residual", middle_residual},
    {"transposed", middle_transposed}, {"grouped", middle_grouped}};
#define N_NETWORKS (sizeof(networks) / sizeof(networks[0]))

static tslim_graph *build(tslim_context *ctx, const case_of_network *network) {
    builder b;
    builder_start(&b, ctx, 300 + (uint64_t)(network - networks));
    const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
    uint32_t x = network->make(&b, build_input(&b, "input", 4, dims));
    build_output(&b, build_conv(&b, "last", x, 6, 1, 1, 1, true));
    return b.graph;
}

static tslim_calibration *calibrate(const tslim_graph *graph, tslim_dataset *dataset) {
    tslim_calibration *calibration = NULL;
    if (tslim_calibrate(graph, dataset, NULL, &calibration) != TSLIM_OK) fail_msg("%s", tsl_message());
    return calibration;
}

static void take_sqnr(void *user, const tslim_difference *difference) {
    *(double *)user = difference->sqnr_db;
}

static double compare(const tslim_graph *a, const tslim_graph *b, tslim_dataset *dataset) {
    double sqnr = NAN;
    if (tslim_compare(a, b, dataset, NULL, take_sqnr, &sqnr) != TSLIM_OK) fail_msg("%s", tsl_message());
    return sqnr;
}

static uint32_t count_equalized(const tslim_graph *graph) {
    uint32_t count = 0;
    for (uint32_t v = 0; v < graph->n_values; v++)
        count += strstr(graph->values[v].name, "_equalized") != NULL && graph->values[v].producer != TSL_NONE;
    return count;
}

// ---- The same function ----

static void test_same_function(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    for (size_t i = 0; i < N_NETWORKS; i++) {
        tslim_graph *graph = build(ctx, &networks[i]), *equalized;
        tslim_calibration *calibration = calibrate(graph, dataset);
        assert_int_equal(tslim_graph_clone(graph, &equalized), TSLIM_OK);
        assert_int_equal(tsl_optimize(equalized, tsl_evaluate_on_cpu, NULL), TSLIM_OK);
        tsl_arena arena;
        tsl_arena_init(&arena, ctx);
        tsl_seen *seen;
        if (tsl_equalize(equalized, calibration, &arena, &seen) != TSLIM_OK) fail_msg("%s", tsl_message());
        assert_int_equal(tsl_graph_verify(equalized, TSLIM_ERROR_INTERNAL), TSLIM_OK);
        if (count_equalized(equalized) == 0) fail_msg("%s: nothing is scaled", networks[i].name);
        tsl_graph_set_optimized(equalized);
        double sqnr = compare(graph, equalized, dataset);
        if (!(sqnr > 100)) fail_msg("%s: %g dB", networks[i].name, sqnr);
        // What is scaled was seen so: ranges of the scaled values hold.
        for (uint32_t v = 0; v < equalized->n_values; v++)
            if (seen[v].factors) assert_true(seen[v].observer->count > 0);
        tsl_arena_clear(&arena);
        tslim_calibration_destroy(calibration);
        tslim_graph_destroy(equalized);
        tslim_graph_destroy(graph);
    }
    tslim_dataset_destroy(dataset);
    tslim_context_destroy(ctx);
}

// ---- INT8 ----

static void test_int8(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    for (size_t i = 0; i < N_NETWORKS; i++) {
        tslim_graph *graph = build(ctx, &networks[i]), *plain, *equalized;
        tslim_calibration *calibration = calibrate(graph, dataset);
        assert_int_equal(tslim_graph_clone(graph, &plain), TSLIM_OK);
        assert_int_equal(tslim_graph_clone(graph, &equalized), TSLIM_OK);
        options.keep_channels = 1;
        assert_int_equal(tslim_quantize(plain, calibration, &options, NULL, NULL), TSLIM_OK);
        options.keep_channels = 0;
        if (tslim_quantize(equalized, calibration, &options, NULL, NULL) != TSLIM_OK)
            fail_msg("%s: %s", networks[i].name, tsl_message());
        assert_int_equal(count_equalized(plain), 0);
        double before = compare(graph, plain, dataset), after = compare(graph, equalized, dataset);
        // Most channels are at the ceiling already where there is one.
        if (!(after > before + (networks[i].make == middle_clip ? 0.3 : 3)))
            fail_msg("%s: %g dB, before %g", networks[i].name, after, before);
        if (networks[i].make == middle_plain || networks[i].make == middle_swish) {
            assert_true(before < 20);
            assert_true(after > 35);
        }
        tslim_calibration_destroy(calibration);
        tslim_graph_destroy(equalized);
        tslim_graph_destroy(plain);
        tslim_graph_destroy(graph);
    }
    tslim_dataset_destroy(dataset);
    tslim_context_destroy(ctx);
}

// Operands far from zero: rounded weights add the same to each result, which the bias takes back.
static void test_bias_correction(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_quantize_options options;
    tslim_quantize_options_init(&options);
    for (int form = 0; form < 4; form++) { // with a bias, without one, with a residual as well, transposed
        builder b;
        builder_start(&b, ctx, 500 + (uint64_t)form);
        const int64_t dims[4] = {-1, CHANNELS, SIZE, SIZE};
        uint32_t x = build_conv(&b, "first", build_input(&b, "input", 4, dims), WIDE, 3, 1, 1, true);
        float *bias = (float *)(uintptr_t)b.graph->values[built_node(&b)->inputs[2]].data;
        for (uint32_t i = 0; i < WIDE; i++) bias[i] += 20;
        x = build_unary(&b, TSL_OP_RELU, x);
        uint32_t y = form == 3 ? build_conv_transpose(&b, "last", x, 6, 2, 1)
                               : build_conv(&b, "last", x, form == 2 ? WIDE : 6, 1, 1, 1, form == 0);
        if (form == 2) y = build_conv(&b, "end", build_binary(&b, TSL_OP_ADD, y, x), 6, 1, 1, 1, true);
        build_output(&b, y);
        tslim_calibration *calibration = calibrate(b.graph, dataset);
        tslim_graph *plain;
        assert_int_equal(tslim_graph_clone(b.graph, &plain), TSLIM_OK);
        tslim_graph *corrected;
        assert_int_equal(tslim_graph_clone(b.graph, &corrected), TSLIM_OK);
        options.keep_biases = 1;
        assert_int_equal(tslim_quantize(plain, calibration, &options, NULL, NULL), TSLIM_OK);
        options.keep_biases = 0;
        if (tslim_quantize(corrected, calibration, &options, NULL, NULL) != TSLIM_OK)
            fail_msg("%s", tsl_message());
        double before = compare(b.graph, plain, dataset), after = compare(b.graph, corrected, dataset);
        if (!(after > before + 3)) fail_msg("form %d: %g dB, before %g", form, after, before);
        tslim_calibration_destroy(calibration);
        tslim_graph_destroy(corrected);
        tslim_graph_destroy(plain);
        tslim_graph_destroy(b.graph);
    }
    tslim_dataset_destroy(dataset);
    tslim_context_destroy(ctx);
}

// A depthwise convolution loses nothing by factors: each channel of its input has all of INT8.
static void test_depthwise_is_exact(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tslim_dataset *dataset = samples_create(ctx, "input", 6, 3, sample_dims);
    tslim_graph *graph = build(ctx, &networks[0]);
    tslim_calibration_options options;
    tslim_calibration_options_init(&options);
    options.method = TSLIM_CALIBRATION_MINMAX;
    tslim_calibration *calibration;
    assert_int_equal(tslim_calibrate(graph, dataset, &options, &calibration), TSLIM_OK);
    assert_int_equal(tsl_optimize(graph, tsl_evaluate_on_cpu, NULL), TSLIM_OK);
    tsl_channel_set *sets = calloc(graph->n_values, sizeof(*sets));
    assert_non_null(sets);
    assert_int_equal(tsl_channel_sets_find(graph, sets), TSLIM_OK);
    uint32_t value = TSL_NONE;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (strcmp(graph->nodes[n].name, "first") == 0) value = graph->nodes[n].outputs[0];
    assert_true(value != TSL_NONE);
    uint32_t root = tsl_channel_set_root(sets, value);
    assert_true(tsl_channel_set_usable(&sets[root]));
    tsl_arena arena;
    tsl_arena_init(&arena, ctx);
    float factors[WIDE];
    double gain;
    assert_int_equal(tsl_choose_factors(graph, calibration, &arena, sets, root, factors, &gain), TSLIM_OK);
    assert_true(gain > 10);
    const tsl_channels *channels = tsl_calibration_find_channels(calibration, graph->values[value].name);
    assert_non_null(channels);
    double least = INFINITY, most = 0;
    for (uint32_t c = 0; c < WIDE; c++) {
        double range = (double)factors[c] * (double)tsl_channel_threshold(&channels->channels[c]);
        least = fmin(least, range);
        most = fmax(most, range);
    }
    assert_true(most <= least * 2); // two-sided ranges meet one side of the whole's at least
    tsl_arena_clear(&arena);
    free(sets);
    tslim_calibration_destroy(calibration);
    tslim_graph_destroy(graph);
    tslim_dataset_destroy(dataset);
    tslim_context_destroy(ctx);
}

// ---- What is kept of channels ----

static void test_channels(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tsl_arena arena;
    tsl_arena_init(&arena, ctx);
    enum { OUTER = 3, COUNT = 5, INNER = 200 };
    static float values[OUTER * COUNT * INNER], last[OUTER * INNER * COUNT];
    tsl_rng rng;
    tsl_rng_seed(&rng, 4);
    for (size_t i = 0; i < OUTER * COUNT * INNER; i++) {
        size_t c = i / INNER % COUNT;
        float x = (float)tsl_rng_uniform(&rng) * powf(10, (float)c - 2) - (c % 2 ? 0.02f : 0);
        values[i] = tsl_rng_below(&rng, 4) == 0 ? 0 : x;
        last[(i / (INNER * COUNT) * INNER + i % INNER) * COUNT + c] = values[i];
    }
    tsl_channels *whole = tsl_channels_create(&arena, COUNT), *other = tsl_channels_create(&arena, COUNT);
    tsl_channels *merged = tsl_channels_create(&arena, COUNT), *part = tsl_channels_create(&arena, COUNT);
    assert_true(whole && other && merged && part);
    tsl_channels_add(whole, values, OUTER, INNER);
    tsl_channels_add(other, last, OUTER * INNER, 1);
    assert_memory_equal(whole->channels, other->channels, COUNT * sizeof(tsl_channel));
    tsl_channels_add(part, values, 1, INNER);
    tsl_channels_add(merged, values + COUNT * INNER, 2, INNER);
    tsl_channels_merge(merged, part);
    assert_memory_equal(whole->channels, merged->channels, COUNT * sizeof(tsl_channel));
    for (size_t c = 0; c < COUNT; c++) {
        double sum = 0, squares = 0, mean, square;
        float lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < OUTER * COUNT * INNER; i++) {
            if (i / INNER % COUNT != c) continue;
            sum += (double)values[i];
            squares += (double)values[i] * (double)values[i];
            lo = fminf(lo, values[i]);
            hi = fmaxf(hi, values[i]);
        }
        const tsl_channel *channel = &whole->channels[c];
        assert_true(channel->minimum == lo && channel->maximum == hi);
        assert_int_equal(tsl_channel_elements(channel), OUTER * INNER);
        tsl_channel_moments(channel, &mean, &square);
        double largest = fmax(-(double)lo, (double)hi);
        assert_true(fabs(mean - sum / (OUTER * INNER)) < largest / 64);
        assert_true(fabs(square - squares / (OUTER * INNER)) < largest * largest / 32);
    }
    // Scaled to one range and joined: nothing is lost or made up.
    float factors[COUNT];
    for (size_t c = 0; c < COUNT; c++) factors[c] = 1 / whole->channels[c].maximum;
    tsl_observer *observer = tsl_arena_alloc(&arena, sizeof(*observer));
    assert_non_null(observer);
    tsl_channels_observe_scaled(whole, factors, observer);
    uint64_t total = observer->zeros;
    for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) total += observer->bins[i];
    assert_int_equal(total, OUTER * INNER * COUNT);
    assert_int_equal(observer->count, total);
    assert_true(fabsf(observer->maximum - 1) < 1e-6f);
    tsl_arena_clear(&arena);
    tslim_context_destroy(ctx);
}

// NaN, infinities, zeros alone and the smallest numbers leave sound statistics.
static void test_extremes(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tsl_arena arena;
    tsl_arena_init(&arena, ctx);
    const float values[4][3] = {
        {NAN, INFINITY, -INFINITY}, {0, -0.0f, 0}, {1e-45f, -1e-45f, 1e-40f}, {3e38f, -3e38f, 1}};
    for (int i = 0; i < 4; i++) {
        tsl_channels *c = tsl_channels_create(&arena, 1);
        assert_non_null(c);
        tsl_channels_add(c, values[i], 1, 3);
        assert_int_equal(tsl_channel_elements(c->channels), i == 0 ? 0 : 3);
        double mean, square;
        tsl_channel_moments(c->channels, &mean, &square);
        assert_true(isfinite(mean) && isfinite(square));
        assert_true(isfinite(tsl_channel_threshold(c->channels)));
    }
    tsl_arena_clear(&arena);
    tslim_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_function),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_bias_correction),
        cmocka_unit_test(test_depthwise_is_exact),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
