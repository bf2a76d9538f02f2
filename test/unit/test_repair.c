// SPDX-License-Identifier: Apache-2.0
// Repair: what can be recovered exactly is, for each kind of layer; what does not go together is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tinyslim/tinyslim.h>

#include "ir/graph.h"
#include "support/graph_builder.h"
#include "support/samples.h"
#include "support/small_network.h"

enum { SAMPLES = 60, SIDE = 8 };

static tslim_context *ctx;
static tslim_dataset *samples;

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        if ((expr) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));                                  \
    } while (0)

static int set_up(void **state) {
    (void)state;
    if (tslim_context_create(NULL, &ctx) != TSLIM_OK) return 1;
    samples = samples_create(ctx, "input", SAMPLES, 3, (const int64_t[]){3, SIDE, SIDE});
    return samples == NULL;
}

static int tear_down(void **state) {
    (void)state;
    tslim_dataset_destroy(samples);
    tslim_context_destroy(ctx);
    return 0;
}

// ---- Help ----

static uint32_t start(builder *b, uint64_t seed) {
    builder_start(b, ctx, seed);
    return build_input(b, "input", 4, (const int64_t[]){-1, 3, SIDE, SIDE});
}

static void add_distance(void *user, const tslim_difference *difference) {
    double *sum = user;
    *sum += isinf(difference->sqnr_db) ? 0 : pow(10, -difference->sqnr_db / 10);
}

// The squared difference of the outputs over their squares.
static double distance(const tslim_graph *a, const tslim_graph *b) {
    double sum = 0;
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    assert_ok(tslim_compare(a, b, samples, &options, add_distance, &sum));
    return sum;
}

// A plan that removes nothing: the models have the same channels.
static tslim_prune_plan *empty_plan(const tslim_graph *graph) {
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_options_init(&options);
    options.ratio = 1e-9;
    options.round_to = 1;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    return plan;
}

// Noise in all weights, other scales of what there is one of for each channel.
static tslim_graph *spoil(const tslim_graph *graph, double noise, double scale) {
    tslim_graph *copy;
    tsl_rng rng;
    tsl_rng_seed(&rng, 5);
    assert_ok(tslim_graph_clone(graph, &copy));
    for (uint32_t v = 0; v < copy->n_values; v++) {
        const tsl_value *old = &copy->values[v];
        if (!tsl_value_is_constant(old) || old->dtype != TSLIM_DTYPE_FLOAT) continue;
        size_t count = old->bytes / sizeof(float);
        float *numbers = malloc(old->bytes);
        memcpy(numbers, old->data, old->bytes);
        for (size_t i = 0; i < count; i++) {
            if (old->shape.rank >= 2) numbers[i] += (float)(noise * tsl_rng_normal(&rng));
            if (old->shape.rank == 1) numbers[i] *= (float)(1 + scale * tsl_rng_uniform(&rng));
        }
        void *data;
        size_t bytes = old->bytes;
        assert_ok(tsl_value_new_data(copy, v, bytes, &data));
        memcpy(data, numbers, bytes);
        free(numbers);
    }
    return copy;
}

static tslim_repair_options exact_options(uint32_t methods) {
    tslim_repair_options options;
    tslim_repair_options_init(&options);
    options.methods = methods;
    options.ridge = 1e-9;
    return options;
}

// A network with noise in its weights is repaired to the original, when each layer can be.
static void check_spoiled(builder *b, uint32_t output) {
    build_output(b, output);
    tslim_graph *spoiled = spoil(b->graph, 0.1, 0.5);
    tslim_prune_plan *plan = empty_plan(b->graph);
    tslim_repair_options options = exact_options(TSLIM_REPAIR_LEAST_SQUARES);
    options.plan = plan;
    double before = distance(b->graph, spoiled);
    assert_ok(tslim_repair(spoiled, b->graph, samples, &options));
    double after = distance(b->graph, spoiled);
    if (!(before > 1e-3 && after < 1e-7)) fail_msg("distance %g, repaired %g", before, after);
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(spoiled);
    tslim_graph_destroy(b->graph);
}

// ---- Each kind of layer ----

static void test_conv(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 1);
    x = build_conv(&b, "a", x, 6, 3, 2, 1, true);
    check_spoiled(&b, build_conv(&b, "b", x, 5, 1, 1, 1, false));
}

static void test_batch_norm(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 2);
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, build_conv(&b, "a", x, 6, 3, 1, 1, false)));
    check_spoiled(&b, build_batch_norm(&b, build_conv(&b, "b", x, 5, 3, 1, 1, true)));
}

static void test_grouped_and_depthwise(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 3);
    x = build_conv(&b, "a", x, 8, 1, 1, 1, true);
    x = build_conv(&b, "b", x, 8, 3, 1, 2, true);
    x = build_batch_norm(&b, build_conv(&b, "c", x, 8, 3, 1, 8, false));
    check_spoiled(&b, build_conv(&b, "d", x, 16, 3, 1, 8, true));
}

static void test_conv_transpose(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 4);
    x = build_conv(&b, "a", x, 6, 3, 2, 1, true);
    x = build_conv_transpose(&b, "b", x, 4, 2, 2);
    check_spoiled(&b, build_conv_transpose(&b, "c", x, 4, 2, 1));
}

static void test_products(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 5);
    x = build_conv(&b, "a", x, 4, 3, 2, 1, true);
    x = build_reshape(&b, x, 3, (const int64_t[]){0, 4, 16});
    x = build_matmul(&b, "b", x, 6);
    x = build_reshape(&b, x, 2, (const int64_t[]){-1, 24});
    x = build_unary(&b, TSL_OP_RELU, build_gemm(&b, "c", x, 7, false));
    check_spoiled(&b, build_gemm(&b, "d", x, 5, true));
}

static void test_residual(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 6), y;
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, build_conv(&b, "stem", x, 6, 3, 1, 1, false)));
    y = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, build_conv(&b, "a", x, 6, 3, 1, 1, false)));
    y = build_batch_norm(&b, build_conv(&b, "b", y, 6, 3, 1, 1, false));
    x = build_unary(&b, TSL_OP_RELU, build_binary(&b, TSL_OP_ADD, y, x));
    y = build_conv(&b, "c", x, 8, 3, 2, 1, true);
    x = build_conv(&b, "shortcut", x, 8, 1, 2, 1, true);
    check_spoiled(&b, build_binary(&b, TSL_OP_ADD, x, y));
}

// ---- Pruning ----

static void prune(tslim_graph *graph, const char *name, double ratio) {
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_group_ratio one = {name, ratio};
    tslim_prune_options_init(&options);
    options.ratios = &one;
    options.n_ratios = 1;
    options.round_to = 1;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    assert_ok(tslim_prune(graph, plan));
    tslim_prune_plan_destroy(plan);
}

static float *weights_of(tslim_graph *graph, const char *node, uint32_t slot) {
    const tsl_value *value = tsl_node_input(graph, &graph->nodes[tsl_graph_find_node(graph, node)], slot);
    return value->buffer->data;
}

// The original: a 1x1 convolution, a Relu, another convolution. Channel 5 of the first is small.
static tslim_graph *pair_of_layers(uint64_t seed) {
    builder b;
    uint32_t x = start(&b, seed);
    x = build_unary(&b, TSL_OP_RELU, build_conv(&b, "a", x, 6, 1, 1, 1, true));
    build_output(&b, build_conv(&b, "b", x, 4, 1, 1, 1, true));
    return b.graph;
}

static double repair_pruned(tslim_graph *original, uint32_t methods) {
    tslim_graph *pruned;
    tslim_repair_options options = exact_options(methods);
    assert_ok(tslim_graph_clone(original, &pruned));
    prune(pruned, "a", 1.0 / 6);
    double before = distance(original, pruned);
    assert_ok(tslim_repair(pruned, original, samples, &options));
    double after = distance(original, pruned);
    assert_true(before > 1e-4 && after < before);
    tslim_graph_destroy(pruned);
    return after;
}

// What a removed channel did, one that is left can do: channel 5 is a tenth of channel 2.
static void test_redundant_channel(void **state) {
    (void)state;
    tslim_graph *original = pair_of_layers(7);
    float *w = weights_of(original, "a", 1), *bias = weights_of(original, "a", 2), *next;
    next = weights_of(original, "b", 1);
    for (int i = 0; i < 3; i++) w[5 * 3 + i] = 0.1f * w[2 * 3 + i];
    bias[5] = 0.1f * bias[2];
    for (int o = 0; o < 4; o++) next[o * 6 + 5] = 5;
    assert_true(repair_pruned(original, TSLIM_REPAIR_LEAST_SQUARES) < 1e-8);
    tslim_graph_destroy(original);
}

// A channel that is always the same goes into the next layer's bias.
static void test_dead_channel(void **state) {
    (void)state;
    tslim_graph *original = pair_of_layers(8);
    float *w = weights_of(original, "a", 1);
    for (int i = 0; i < 3; i++) w[5 * 3 + i] = 0;
    weights_of(original, "a", 2)[5] = 0.7f;
    assert_true(repair_pruned(original, TSLIM_REPAIR_STATISTICS) < 1e-10);
    assert_true(repair_pruned(original, TSLIM_REPAIR_LEAST_SQUARES) < 1e-8);
    tslim_graph_destroy(original);
}

// Other scales and shifts of channels are found exactly by their statistics.
static void test_statistics(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 9);
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, build_conv(&b, "a", x, 6, 3, 1, 1, false)));
    build_output(&b, build_batch_norm(&b, build_conv(&b, "b", x, 5, 3, 1, 1, true)));
    tslim_graph *spoiled = spoil(b.graph, 0, 0.5);
    tslim_prune_plan *plan = empty_plan(b.graph);
    tslim_repair_options options = exact_options(TSLIM_REPAIR_STATISTICS);
    options.plan = plan;
    assert_true(distance(b.graph, spoiled) > 1e-3);
    assert_ok(tslim_repair(spoiled, b.graph, samples, &options));
    assert_true(distance(b.graph, spoiled) < 1e-10);
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(spoiled);
    tslim_graph_destroy(b.graph);
}

static void prune_evenly(tslim_graph *graph) {
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_options_init(&options);
    options.ratio = 0.4;
    options.round_to = 1;
    options.shallow_ratio = 1;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    assert_ok(tslim_prune(graph, plan));
    tslim_prune_plan_destroy(plan);
}

typedef struct tally {
    uint32_t repaired, left;
    double before, after;
} tally;

static void count_layer(void *user, const tslim_repair_layer *layer) {
    tally *t = user;
    t->repaired += layer->repaired;
    t->left += !layer->repaired;
    assert_true(layer->repaired || *layer->reason);
    if (layer->method != TSLIM_REPAIR_LEAST_SQUARES) return;
    assert_true(layer->error_after <= layer->error_before);
    t->before += layer->error_before;
    t->after += layer->error_after;
}

// A network with a bit of everything: better after each method, and the same bytes for any number of threads.
static void test_network(void **state) {
    (void)state;
    tslim_dataset *images = samples_create(
                      ctx, "input", 40, 3, (const int64_t[]){3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}),
                  *before = samples;
    samples = images;
    uint32_t crc[2];
    for (uint32_t threads = 1; threads <= 2; threads++) {
        tslim_context_options context_options;
        tslim_context *other;
        tslim_graph *original, *pruned;
        tally t = {0};
        tslim_context_options_init(&context_options);
        context_options.n_threads = threads;
        assert_ok(tslim_context_create(&context_options, &other));
        assert_ok(small_network_create(other, 1, &original));
        assert_ok(tslim_graph_clone(original, &pruned));
        prune_evenly(pruned);
        double was = distance(original, pruned);
        tslim_repair_options options;
        tslim_repair_options_init(&options);
        options.layer = count_layer;
        options.layer_user = &t;
        assert_ok(tslim_repair(pruned, original, images, &options));
        assert_true(t.repaired > 5 && t.after < t.before);
        assert_true(distance(original, pruned) < was);
        crc[threads - 1] = 0;
        for (uint32_t v = 0; v < pruned->n_values; v++)
            for (size_t i = 0; i < pruned->values[v].bytes; i++)
                crc[threads - 1] = crc[threads - 1] * 31 + ((const uint8_t *)pruned->values[v].data)[i];
        tslim_graph_destroy(original);
        tslim_graph_destroy(pruned);
        tslim_context_destroy(other);
    }
    assert_int_equal(crc[0], crc[1]);
    samples = before;
    tslim_dataset_destroy(images);
}

// ---- Criteria that look at data ----

static tslim_prune_plan *plan_by(const tslim_graph *graph, tslim_criterion criterion, double ratio) {
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_options_init(&options);
    options.criterion = criterion;
    options.ratio = ratio;
    options.round_to = 1;
    options.shallow_ratio = 1;
    options.data = samples;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    return plan;
}

static tslim_prune_plan_group first_group(const tslim_prune_plan *plan) {
    tslim_prune_plan_group group = {.struct_size = sizeof(group)};
    assert_ok(tslim_prune_plan_group_info(plan, 0, &group));
    return group;
}

// Channel 4 is a large copy of channel 1: one of the two goes first, however large their weights, and not the
// other, which is needed then.
static void test_reconstruction(void **state) {
    (void)state;
    tslim_graph *original = pair_of_layers(14);
    float *w = weights_of(original, "a", 1), *bias = weights_of(original, "a", 2);
    for (int i = 0; i < 3; i++) w[4 * 3 + i] = 3 * w[1 * 3 + i];
    bias[4] = 3 * bias[1];
    tslim_prune_plan *plan = plan_by(original, TSLIM_CRITERION_RECONSTRUCTION, 1.0 / 6);
    tslim_prune_plan_group group = first_group(plan);
    assert_int_equal(group.pruned, 1);
    assert_true(group.pruned_channels[0] == 1 || group.pruned_channels[0] == 4);
    tslim_prune_plan_destroy(plan);
    plan = plan_by(original, TSLIM_CRITERION_RECONSTRUCTION, 0.5);
    group = first_group(plan);
    uint32_t copies = 0;
    for (uint32_t i = 0; i < group.pruned; i++)
        copies += group.pruned_channels[i] == 1 || group.pruned_channels[i] == 4;
    assert_int_equal(group.pruned, 3);
    assert_int_equal(copies, 1);
    tslim_prune_plan_destroy(plan);
    tslim_prune_options options;
    tslim_prune_options_init(&options);
    options.criterion = TSLIM_CRITERION_RECONSTRUCTION;
    options.ratio = 0.5;
    assert_int_equal(tslim_prune_plan_create(original, &options, &plan), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_graph_destroy(original);
}

// Every layer's kind goes through the elimination: depthwise, grouped, residual, flattened.
static void test_reconstruction_of_network(void **state) {
    (void)state;
    tslim_graph *graph;
    tslim_dataset *before = samples;
    samples =
        samples_create(ctx, "input", 40, 3, (const int64_t[]){3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE});
    assert_ok(small_network_create(ctx, 1, &graph));
    tslim_prune_plan *plan = plan_by(graph, TSLIM_CRITERION_RECONSTRUCTION, 0.5);
    assert_ok(tslim_prune(graph, plan));
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(graph);
    tslim_dataset_destroy(samples);
    samples = before;
}

// Without BatchNormalization the measured deviation says what gamma would: the channel that varies least
// goes, though its weights are not the smallest.
static void test_measured_deviation(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 15);
    x = build_unary(&b, TSL_OP_RELU, build_conv(&b, "a", x, 6, 1, 1, 1, true));
    x = build_unary(&b, TSL_OP_RELU, build_conv(&b, "b", x, 6, 1, 1, 1, true));
    build_output(&b, build_conv(&b, "c", x, 4, 1, 1, 1, true));
    float *w = weights_of(b.graph, "a", 1), *next = weights_of(b.graph, "b", 1);
    weights_of(b.graph, "a", 2)[2] = -100; // cut off always: what reads it does not vary
    for (int i = 0; i < 3; i++) w[2 * 3 + i] *= 2;
    for (int i = 0; i < 6; i++) next[3 * 6 + i] = i == 2 ? 10.0f : 0.001f;
    tslim_prune_plan *plan = plan_by(b.graph, TSLIM_CRITERION_BN_SCALE, 1.0 / 6);
    tslim_prune_plan_group group = {.struct_size = sizeof(group)};
    assert_ok(tslim_prune_plan_group_info(plan, 1, &group));
    assert_string_equal(group.name, "b");
    assert_int_equal(group.pruned, 1);
    assert_int_equal(group.pruned_channels[0], 3);
    assert_string_equal(group.note, "");
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(b.graph);
}

// ---- BatchNormalization ----

// Folded by hand: what comes back has the deviation and mean of each channel, and the outputs are the same.
static void test_restore_batchnorm(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 16), restored = 0;
    x = build_unary(&b, TSL_OP_RELU, build_conv(&b, "a", x, 6, 3, 1, 1, true));
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, build_conv(&b, "b", x, 6, 3, 1, 6, false)));
    x = build_conv_transpose(&b, "c", x, 4, 2, 2);
    build_output(&b, build_conv(&b, "d", x, 3, 1, 1, 1, false));
    weights_of(b.graph, "a", 2)[1] = 7;
    memset(weights_of(b.graph, "a", 1) + 2 * 27, 0, 27 * sizeof(float)); // a channel that never changes
    tslim_graph *graph;
    assert_ok(tslim_graph_clone(b.graph, &graph));
    assert_ok(tslim_graph_restore_batchnorm(graph, samples, &restored));
    assert_int_equal(restored, 2); // not behind what is normalized, nor where there is no bias
    assert_true(distance(b.graph, graph) < 1e-11);
    const tsl_node *node = &graph->nodes[tsl_graph_find_node(graph, "a.batchnorm")];
    const float *gamma = tsl_node_input(graph, node, 1)->data, *beta = tsl_node_input(graph, node, 2)->data;
    const float *w = weights_of(b.graph, "a", 1);
    for (int c = 0; c < 6; c++) {
        double squares =
            0; // the samples are normally distributed: the variance is the sum of squares, but for borders
        for (int i = 0; i < 27; i++) squares += (double)w[c * 27 + i] * (double)w[c * 27 + i];
        if (c != 2) assert_true(fabs((double)gamma[c] / sqrt(squares) - 0.9) < 0.2);
        assert_true(fabs((double)beta[c] - (double)weights_of(b.graph, "a", 2)[c]) < 0.2);
    }
    assert_ok(tslim_graph_restore_batchnorm(graph, samples, &restored));
    assert_int_equal(restored, 0);
    tslim_graph_destroy(graph);
    tslim_graph_destroy(b.graph);
}

// ---- What does not go together ----

static void check_refused(tslim_graph *graph, const tslim_graph *teacher, const char *told) {
    tslim_graph *before;
    assert_ok(tslim_graph_clone(graph, &before));
    tslim_status status = tslim_repair(graph, teacher, samples, NULL);
    if (status != TSLIM_ERROR_INVALID_ARGUMENT) fail_msg("%s is not refused", told);
    if (!strstr(tslim_context_message(ctx), told)) fail_msg("message: %s", tslim_context_message(ctx));
    for (uint32_t v = 0; v < before->n_values; v++)
        assert_ptr_equal(before->values[v].data, graph->values[v].data);
    tslim_graph_destroy(before);
}

static void test_refused(void **state) {
    (void)state;
    tslim_graph *original = pair_of_layers(10), *other = pair_of_layers(11), *pruned;
    check_refused(other, original, "node 'a'"); // other weights
    builder b;
    uint32_t x = start(&b, 10);
    build_output(&b, build_conv(&b, "z", x, 6, 1, 1, 1, true));
    check_refused(b.graph, original, "'a'"); // other nodes
    check_refused(original, b.graph, "'z'");
    tslim_graph_destroy(b.graph);
    x = start(&b, 12);
    x = build_unary(&b, TSL_OP_RELU, build_conv(&b, "a", x, 9, 3, 1, 1, true));
    build_output(&b, build_conv(&b, "b", x, 4, 1, 1, 1, true));
    check_refused(b.graph, original, "node 'a'"); // more channels
    tslim_graph_destroy(b.graph);
    // Trained since it was pruned: the filters are not the original's any more.
    assert_ok(tslim_graph_clone(original, &pruned));
    prune(pruned, "a", 0.5);
    tslim_graph *trained = spoil(pruned, 0.01, 0);
    check_refused(trained, original, "plan");
    tslim_graph_destroy(trained);
    tslim_graph_destroy(pruned);
    tslim_graph_destroy(original);
    tslim_graph_destroy(other);
}

static void test_options(void **state) {
    (void)state;
    tslim_graph *original = pair_of_layers(13);
    tslim_repair_options options = exact_options(0);
    assert_int_equal(tslim_repair(original, original, samples, &options), TSLIM_ERROR_INVALID_ARGUMENT);
    options = exact_options(TSLIM_REPAIR_LEAST_SQUARES);
    options.ridge = NAN;
    assert_int_equal(tslim_repair(original, original, samples, &options), TSLIM_ERROR_INVALID_ARGUMENT);
    options = exact_options(TSLIM_REPAIR_LEAST_SQUARES);
    options.struct_size = 3;
    assert_int_equal(tslim_repair(original, original, samples, &options), TSLIM_ERROR_INVALID_ARGUMENT);
    options = exact_options(TSLIM_REPAIR_LEAST_SQUARES);
    options.memory_bytes = 1; // hardly a row: slow and bad, but no failure
    assert_ok(tslim_repair(original, original, samples, &options));
    tslim_graph_destroy(original);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_grouped_and_depthwise),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_redundant_channel),
        cmocka_unit_test(test_dead_channel),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_reconstruction),
        cmocka_unit_test(test_reconstruction_of_network),
        cmocka_unit_test(test_measured_deviation),
        cmocka_unit_test(test_restore_batchnorm),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
