// SPDX-License-Identifier: Apache-2.0
// Channel groups and surgery: each rule on a small graph, random graphs, plans. (The real models:
// test_prune_models.) Surgery is always checked by proof: see support/pruning_proof.h.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "prune/plan.h"
#include "support/graph_builder.h"
#include "support/pruning_proof.h"
#include "support/random_graph.h"

static tslim_context *ctx;

static int set_up(void **state) {
    (void)state;
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : 1;
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        tslim_status assert_status = (expr);                                                                 \
        if (assert_status != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));                           \
    } while (0)

// ---- Proofs ----

static void prove_at(const tslim_graph *graph, double ratio, uint32_t n_prunable) {
    pruning_proof proof;
    assert_ok(prove_pruning(graph, NULL, 0, ratio, 1, &proof));
    assert_int_equal(proof.n_prunable, n_prunable);
    if (!(proof.error <= 1e-5)) fail_msg("error %g at ratio %g", proof.error, ratio);
}

// Ends the graph, and proves it at several ratios.
static void prove(builder *b, uint32_t output, uint32_t n_prunable) {
    build_output(b, output);
    prove_at(b->graph, 0.3, n_prunable);
    prove_at(b->graph, 0.5, n_prunable);
    prove_at(b->graph, 0.9, n_prunable);
    tslim_graph_destroy(b->graph);
}

static uint32_t start(builder *b, int64_t channels, int64_t size) {
    builder_start(b, ctx, 7);
    return build_input(b, "input", 4, (const int64_t[]){1, channels, size, size});
}

// What the group that the layer makes is.
static tslim_channel_group_info group_of(const tslim_channel_groups *groups, const char *layer) {
    for (uint32_t g = 0; g < tslim_channel_groups_count(groups); g++) {
        tslim_channel_group_info info = {.struct_size = sizeof(info)};
        assert_ok(tslim_channel_groups_info(groups, g, &info));
        for (uint32_t p = 0; p < info.n_producers; p++)
            if (strcmp(tslim_channel_groups_producer(groups, g, p), layer) == 0) return info;
    }
    fail_msg("no group has layer '%s'", layer);
    return (tslim_channel_group_info){0};
}

// Expects that the layer's channels stay, for a reason that has this text in it.
static void expect_locked(builder *b, uint32_t output, const char *layer, const char *text) {
    tslim_channel_groups *groups;
    pruning_proof proof;
    build_output(b, output);
    assert_ok(tslim_channel_groups_find(b->graph, NULL, 0, &groups));
    tslim_channel_group_info info = group_of(groups, layer);
    assert_false(info.prunable);
    if (!strstr(info.reason, text)) fail_msg("'%s' has no '%s'", info.reason, text);
    tslim_channel_groups_destroy(groups);
    assert_ok(prove_pruning(b->graph, NULL, 0, 0.5, 1, &proof));
    assert_true(proof.error <= 1e-5);
    tslim_graph_destroy(b->graph);
}

static uint32_t conv(builder *b, const char *name, uint32_t x, int64_t channels) {
    return build_conv(b, name, x, channels, 3, 1, 1, true);
}

// ---- Each rule ----

static void test_chain(void **state) {
    (void)state;
    builder b;
    uint32_t x = start(&b, 3, 8);
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, conv(&b, "a", x, 16)));
    x = build_max_pool(&b, conv(&b, "b", x, 12));
    prove(&b, conv(&b, "c", x, 5), 2);
}

static void test_residual(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    uint32_t y = conv(&b, "c", build_unary(&b, TSL_OP_RELU, conv(&b, "b", x, 8)), 16);
    x = build_binary(&b, TSL_OP_ADD, x, y);
    prove(&b, conv(&b, "d", x, 5), 2); // a and c together, b
}

static void test_residual_with_input_is_locked(void **state) {
    (void)state;
    builder b;
    uint32_t input = start(&b, 8, 8), x = conv(&b, "a", input, 8);
    x = build_binary(&b, TSL_OP_ADD, x, input);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "cannot shrink");
}

static void test_concat(void **state) {
    (void)state;
    builder b;
    uint32_t input = start(&b, 3, 8);
    uint32_t parts[3] = {conv(&b, "a", input, 8), input, conv(&b, "b", input, 12)};
    uint32_t x = build_batch_norm(&b, build_concat(&b, 3, parts, 1));
    prove(&b, conv(&b, "c", x, 5), 2);
}

// The same map twice, and concatenation along another axis.
static void test_concat_repeated(void **state) {
    (void)state;
    builder b;
    uint32_t input = start(&b, 3, 8), a = conv(&b, "a", input, 8), c = conv(&b, "b", input, 8);
    uint32_t tall = build_concat(&b, 2, (const uint32_t[]){a, c}, 2);
    uint32_t x = build_concat(&b, 2, (const uint32_t[]){tall, tall}, 1);
    prove(&b, conv(&b, "c", x, 5), 1);
}

static void test_split_evenly(void **state) {
    (void)state;
    builder b;
    uint32_t parts[2], x = conv(&b, "a", start(&b, 3, 8), 16);
    build_split(&b, x, 1, 2, NULL, parts);
    uint32_t y = conv(&b, "b", parts[1], 6);
    prove(&b, conv(&b, "c", build_concat(&b, 2, (const uint32_t[]){parts[0], y}, 1), 5), 3);
}

static void test_split_with_sizes(void **state) {
    (void)state;
    builder b;
    uint32_t parts[2], x = conv(&b, "a", start(&b, 3, 8), 16);
    build_split(&b, x, 1, 2, (const int64_t[]){6, 10}, parts);
    prove(&b, build_binary(&b, TSL_OP_ADD, conv(&b, "b", parts[0], 5), conv(&b, "c", parts[1], 5)), 2);
}

static void test_split_attribute(void **state) {
    (void)state;
    builder b;
    uint32_t parts[2], x = start(&b, 3, 8);
    b.graph->opset = 11;
    x = conv(&b, "a", x, 16);
    build_split(&b, x, 1, 2, NULL, parts);
    prove(&b, build_binary(&b, TSL_OP_ADD, conv(&b, "b", parts[0], 5), conv(&b, "c", parts[1], 5)), 2);
}

static void test_slice(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    uint32_t left = build_slice(&b, x, 1, 0, 6, 1), middle = build_slice(&b, x, 1, 4, -4, 1);
    uint32_t right = build_slice(&b, x, 1, -6, INT64_MAX, 1);
    x = build_concat(&b, 3, (const uint32_t[]){left, middle, right}, 1);
    // Four kinds of channels (left, left and middle, middle, middle and right, right: the same part for
    // none).
    prove(&b, conv(&b, "b", x, 5), 5);
}

static void test_slice_with_steps_is_locked(void **state) {
    (void)state;
    builder b;
    uint32_t x = build_slice(&b, conv(&b, "a", start(&b, 3, 8), 16), 1, 0, 16, 2);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "every n-th");
}

static void test_depthwise(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_batch_norm(&b, build_conv(&b, "depthwise", x, 16, 3, 1, 16, true));
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_depthwise_multiplier(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 8);
    x = build_conv(&b, "depthwise", x, 16, 3, 1, 8, true);
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_grouped(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 24);
    x = build_conv(&b, "grouped", x, 32, 3, 1, 4, true);
    build_output(&b, conv(&b, "b", x, 5));
    tslim_channel_groups *groups;
    assert_ok(tslim_channel_groups_find(b.graph, NULL, 0, &groups));
    assert_int_equal(group_of(groups, "a").channels, 6); // one of each of the 4 groups goes at a time
    assert_int_equal(group_of(groups, "grouped").channels, 8);
    tslim_channel_groups_destroy(groups);
    prove_at(b.graph, 0.5, 2);
    tslim_graph_destroy(b.graph);
}

static void test_squeeze_excite(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_squeeze_excite(&b, x, 8);
    prove(&b, conv(&b, "b", x, 5), 2); // a with excite, squeeze
}

static void test_prelu(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_binary(&b, TSL_OP_PRELU, x, build_weights(&b, 3, (const int64_t[]){16, 1, 1}, 0));
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_constants(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_binary(&b, TSL_OP_MUL, x, build_weights(&b, 4, (const int64_t[]){1, 16, 1, 1}, 0));
    x = build_binary(&b, TSL_OP_ADD, build_weights(&b, 3, (const int64_t[]){16, 8, 8}, 0), x);
    x = build_binary(&b, TSL_OP_DIV, x, build_floats(&b, 1, (const float[]){3}));
    prove(&b, conv(&b, "b", x, 5), 1);
}

// One constant at two places: between fixed channels it must stay whole.
static void test_shared_constant(void **state) {
    (void)state;
    builder b;
    uint32_t input = start(&b, 8, 8), shared = build_weights(&b, 3, (const int64_t[]){8, 1, 1}, 0);
    uint32_t x = conv(&b, "a", build_binary(&b, TSL_OP_MUL, input, shared), 8);
    x = build_binary(&b, TSL_OP_MUL, x, shared);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "cannot shrink");
}

static void test_broadcast_map(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    uint32_t attention = build_unary(&b, TSL_OP_SIGMOID, conv(&b, "one", x, 1)); // N x 1 x H x W
    x = build_binary(&b, TSL_OP_MUL, x, attention);
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_flatten(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    x = build_gemm(&b, "b", build_unary(&b, TSL_OP_FLATTEN, x), 12, false);
    prove(&b, build_gemm(&b, "c", x, 5, true), 2);
}

static void test_reshape_literal(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    x = build_reshape(&b, x, 2, (const int64_t[]){-1, 256});
    prove(&b, build_matmul(&b, "b", x, 5), 1);
}

static void test_shuffle(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_reshape(&b, x, 5, (const int64_t[]){1, 2, 8, 8, 8});
    x = build_transpose(&b, x, 5, (const int64_t[]){0, 2, 1, 3, 4});
    x = build_reshape(&b, x, 4, (const int64_t[]){0, 16, 8, 8});
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_transpose_matmul(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    x = build_transpose(&b, x, 4, (const int64_t[]){0, 2, 3, 1});
    x = build_matmul(&b, "b", x, 12);
    x = build_binary(&b, TSL_OP_ADD, x, build_weights(&b, 1, (const int64_t[]){12}, 4));
    x = build_reshape(&b, x, 3, (const int64_t[]){1, 16, 12});
    prove(&b, build_matmul(&b, "c", x, 5), 2);
}

// Queries, keys and values of two heads: what the product sums over shrinks in both operands.
static void test_attention(void **state) {
    (void)state;
    builder b;
    builder_start(&b, ctx, 3);
    uint32_t x = build_input(&b, "input", 3, (const int64_t[]){1, 6, 10}), heads[3];
    static const char *const names[] = {"query", "key", "value"};
    for (int i = 0; i < 3; i++) {
        heads[i] = build_reshape(&b, build_matmul(&b, names[i], x, 16), 4, (const int64_t[]){1, 6, 2, 8});
        const int64_t rows[4] = {0, 2, 1, 3}, columns[4] = {0, 2, 3, 1};
        heads[i] = build_transpose(&b, heads[i], 4, i == 1 ? columns : rows);
    }
    uint32_t weights = build_unary(&b, TSL_OP_SOFTMAX, build_binary(&b, TSL_OP_MATMUL, heads[0], heads[1]));
    x = build_binary(&b, TSL_OP_MATMUL, weights, heads[2]);
    x = build_transpose(&b, x, 4, (const int64_t[]){0, 2, 1, 3});
    x = build_reshape(&b, x, 3, (const int64_t[]){1, 6, 16});
    prove(&b, build_matmul(&b, "project", x, 5), 2); // query with key, value
}

static void test_conv_transpose(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    x = build_conv_transpose(&b, "up", x, 12, 2, 1);
    prove(&b, conv(&b, "b", x, 5), 2);
}

static void test_conv_transpose_grouped(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    x = build_conv_transpose(&b, "grouped", x, 12, 2, 4);
    x = conv(&b, "c", x, 8);
    x = build_conv_transpose(&b, "depthwise", x, 8, 2, 8);
    prove(&b, conv(&b, "b", x, 5), 3);
}

static void test_resize_and_pools(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    uint32_t small = build_resize(&b, build_max_pool(&b, conv(&b, "b", x, 8)), 2);
    x = build_concat(&b, 2, (const uint32_t[]){x, small}, 1);
    x = build_unary(&b, TSL_OP_GLOBAL_MAX_POOL, conv(&b, "c", x, 12));
    prove(&b, build_gemm(&b, "d", build_unary(&b, TSL_OP_FLATTEN, x), 5, true), 3);
}

static void test_resize_sizes(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    uint32_t sizes = build_ints(&b, 4, (const int64_t[]){1, 16, 8, 8});
    x = build_node(&b, TSL_OP_RESIZE, NULL, 4, (const uint32_t[]){x, TSL_NONE, TSL_NONE, sizes});
    builder_infer(&b);
    prove(&b, conv(&b, "b", x, 5), 1);
}

static void test_depth_to_space(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 32);
    x = build_node(&b, TSL_OP_DEPTH_TO_SPACE, NULL, 1, &x);
    assert_ok(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_blocksize, 2));
    builder_infer(&b);
    x = conv(&b, "b", x, 6);
    x = build_node(&b, TSL_OP_SPACE_TO_DEPTH, NULL, 1, &x);
    assert_ok(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_blocksize, 2));
    builder_infer(&b);
    prove(&b, conv(&b, "c", x, 5), 2);
}

static void test_softmax_over_channels_is_locked(void **state) {
    (void)state;
    builder b;
    uint32_t x =
        build_node(&b, TSL_OP_SOFTMAX, NULL, 1, (const uint32_t[]){conv(&b, "a", start(&b, 3, 8), 8)});
    assert_ok(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_axis, 1));
    builder_infer(&b);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "across the channels");
}

static void test_reduce(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_node(&b, TSL_OP_REDUCE_MEAN, NULL, 1, &x);
    assert_ok(tsl_node_set_ints(b.graph, built_node(&b), TSL_ATTR_axes, (const int64_t[]){2, -1}, 2));
    assert_ok(tsl_node_set_int(b.graph, built_node(&b), TSL_ATTR_keepdims, 0));
    builder_infer(&b);
    prove(&b, build_gemm(&b, "b", x, 5, false), 1);
}

static void test_reduce_over_channels_is_locked(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_node(&b, TSL_OP_REDUCE_MEAN, NULL, 1, &x);
    assert_ok(tsl_node_set_ints(b.graph, built_node(&b), TSL_ATTR_axes, (const int64_t[]){1}, 1));
    builder_infer(&b);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "across the channels");
}

static void test_outputs_are_locked(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    build_output(&b, conv(&b, "b", x, 5));
    expect_locked(&b, build_unary(&b, TSL_OP_RELU, x), "a", "the model's output");
}

static void test_unknown_operator_is_locked(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    x = build_binary(&b, TSL_OP_GATHER, x, build_ints(&b, 2, (const int64_t[]){3, 1}));
    tsl_node *gather = built_node(&b);
    assert_ok(tsl_node_set_int(b.graph, gather, TSL_ATTR_axis, 1));
    builder_infer(&b);
    expect_locked(&b, conv(&b, "b", x, 5), "a", "by index");
}

// The target is built from the map's own shape: it follows by itself.
static void test_reshape_from_shape(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 4), 16);
    uint32_t shape = build_unary(&b, TSL_OP_SHAPE, x);
    uint32_t head = build_slice(&b, shape, 0, 0, 2, 1);
    uint32_t target =
        build_concat(&b, 2, (const uint32_t[]){head, build_ints(&b, 1, (const int64_t[]){-1})}, 0);
    x = build_node(&b, TSL_OP_RESHAPE, NULL, 2, (const uint32_t[]){x, target});
    builder_infer(&b);
    // The builder does not fold constants: what it cannot infer is told.
    tsl_shape_set(&b.graph->values[x].shape, 3, (const int64_t[]){1, 16, 16});
    x = build_transpose(&b, x, 3, (const int64_t[]){0, 2, 1});
    prove(&b, build_matmul(&b, "b", x, 5), 1);
}

// Without the masks the networks differ: the proof would have seen it.
static void test_proof_can_fail(void **state) {
    (void)state;
    builder b;
    pruning_proof proof;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    build_output(&b, conv(&b, "b", x, 5));
    assert_ok(spoil_pruning_proof(b.graph, 0.3, 1, &proof));
    assert_true(proof.error > 1e-2);
    tslim_graph_destroy(b.graph);
}

// ---- Random graphs ----

static void test_random_graphs(void **state) {
    (void)state;
    const char *asked = getenv("TINYSLIM_RANDOM_GRAPHS");
    uint64_t count = asked ? strtoull(asked, NULL, 10) : 2000, removed = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        tslim_graph *graph = random_graph(ctx, seed);
        pruning_proof proof;
        tslim_status status = prove_pruning(graph, NULL, 0, 0.2 + 0.15 * (double)(seed % 5), seed, &proof);
        if (status != TSLIM_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, tslim_context_message(ctx));
        if (!(proof.error <= 1e-5)) fail_msg("seed %llu: error %g", (unsigned long long)seed, proof.error);
        removed += proof.n_removed;
        tslim_graph_destroy(graph);
    }
    assert_true(removed > 10 * count); // the graphs are there to be pruned
}

// ---- Plans ----

static tslim_graph *plan_network(void) {
    builder b;
    uint32_t x = start(&b, 3, 8);
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, conv(&b, "stem", x, 32)));
    x = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, conv(&b, "middle", x, 64)));
    x = build_unary(&b, TSL_OP_RELU, conv(&b, "late", x, 48));
    x = build_unary(&b, TSL_OP_FLATTEN, build_unary(&b, TSL_OP_GLOBAL_AVERAGE_POOL, x));
    build_output(&b, build_gemm(&b, "classifier", x, 10, true));
    return b.graph;
}

static tslim_prune_plan_group plan_group(const tslim_prune_plan *plan, const char *name) {
    for (uint32_t g = 0; g < tslim_prune_plan_group_count(plan); g++) {
        tslim_prune_plan_group info = {.struct_size = sizeof(info)};
        assert_ok(tslim_prune_plan_group_info(plan, g, &info));
        if (strcmp(info.name, name) == 0) return info;
    }
    fail_msg("no group '%s'", name);
    return (tslim_prune_plan_group){0};
}

// The plan's totals are those of the pruned graph.
static void carry_out(const tslim_graph *graph, const tslim_prune_plan *plan) {
    tslim_graph *copy;
    tslim_graph_totals before = {.struct_size = sizeof(before)}, after = before, measured = before;
    assert_ok(tslim_graph_clone(graph, &copy));
    assert_ok(tslim_prune_plan_totals(plan, &before, &after));
    assert_ok(tslim_prune(copy, plan));
    assert_ok(tslim_graph_measure(copy, NULL, 0, &measured));
    assert_int_equal(measured.macs, after.macs);
    assert_int_equal(measured.parameters, after.parameters);
    assert_true(after.macs < before.macs && after.parameters < before.parameters);
    assert_int_equal(tslim_graph_history_count(copy), tslim_graph_history_count(graph) + 1);
    tslim_graph_destroy(copy);
}

static void test_plan_ratio(void **state) {
    (void)state;
    tslim_graph *graph = plan_network();
    for (int criterion = TSLIM_CRITERION_L1; criterion <= TSLIM_CRITERION_RANDOM; criterion++) {
        tslim_prune_options options;
        tslim_prune_plan *plan;
        tslim_prune_options_init(&options);
        options.criterion = (tslim_criterion)criterion;
        options.ratio = 0.5;
        assert_ok(tslim_prune_plan_create(graph, &options, &plan));
        assert_int_equal(plan_group(plan, "stem").pruned, 8); // a quarter: it is shallow
        assert_non_null(strstr(plan_group(plan, "stem").note, "shallow: ratio halved"));
        assert_int_equal(plan_group(plan, "middle").pruned, 32);
        assert_int_equal(plan_group(plan, "late").pruned, 24);
        assert_non_null(
            strstr(plan_group(plan, "classifier").note, "not prunable: they are the model's output"));
        bool fallback = strstr(plan_group(plan, "late").note, "scored by l1") != NULL;
        assert_int_equal(fallback, criterion == TSLIM_CRITERION_BN_SCALE);
        carry_out(graph, plan);
        tslim_prune_plan_destroy(plan);
    }
    tslim_graph_destroy(graph);
}

static void test_plan_rounding(void **state) {
    (void)state;
    tsl_group group = {.n_units = 24, .width = 1};
    assert_int_equal(tsl_round_kept(&group, 16.8, 8, 1), 16);
    assert_int_equal(tsl_round_kept(&group, 0, 8, 1), 8);
    assert_int_equal(tsl_round_kept(&group, 24, 8, 1), 24);
    assert_int_equal(tsl_round_kept(&group, 12, 8, 1), 16); // a tie keeps more
    assert_int_equal(tsl_round_kept(&group, 2, 1, 5), 5);
    group.n_units = 6; // fewer than the multiple: they stay
    assert_int_equal(tsl_round_kept(&group, 3, 8, 1), 6);
    group.n_units = 20; // no multiple itself
    assert_int_equal(tsl_round_kept(&group, 19, 8, 1), 20);
    assert_int_equal(tsl_round_kept(&group, 17, 8, 1), 16);
    group.n_units = 10;
    group.width = 4; // each unit is 4 channels: pairs make 8
    assert_int_equal(tsl_round_kept(&group, 6.9, 8, 1), 6);
    assert_int_equal(tsl_round_kept(&group, 7, 1, 1), 7);
}

static void test_plan_names(void **state) {
    (void)state;
    tslim_graph *graph = plan_network();
    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_options_init(&options);
    const tslim_group_ratio ratios[] = {{"middle", 0.75}};
    options.ratios = ratios;
    options.n_ratios = 1;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    assert_int_equal(plan_group(plan, "middle").pruned, 48);
    assert_int_equal(plan_group(plan, "stem").pruned, 0);
    tslim_prune_plan_destroy(plan);
    options.ratios = (const tslim_group_ratio[]){{"nobody", 0.75}};
    assert_int_equal(tslim_prune_plan_create(graph, &options, &plan), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(ctx), "'nobody'"));
    options.ratios = (const tslim_group_ratio[]){{"classifier", 0.5}};
    assert_int_equal(tslim_prune_plan_create(graph, &options, &plan), TSLIM_ERROR_INVALID_ARGUMENT);
    options.n_ratios = 0;
    options.ratio = 0.5;
    options.exclude = (const char *const[]){"middle"};
    options.n_exclude = 1;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    assert_int_equal(plan_group(plan, "middle").pruned, 0);
    assert_string_equal(plan_group(plan, "middle").note, "excluded");
    tslim_prune_plan_destroy(plan);
    options.exclude = (const char *const[]){"nobody"};
    assert_int_equal(tslim_prune_plan_create(graph, &options, &plan), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_graph_destroy(graph);
}

static void test_plan_targets(void **state) {
    (void)state;
    tslim_graph *graph = plan_network();
    for (int scope = 0; scope < 2; scope++) {
        tslim_prune_options options;
        tslim_prune_plan *plan;
        tslim_graph_totals before = {.struct_size = sizeof(before)}, after = before;
        tslim_prune_options_init(&options);
        options.global = scope == 1;
        options.target_macs = 0.6;
        options.round_to = 1;
        assert_ok(tslim_prune_plan_create(graph, &options, &plan));
        assert_ok(tslim_prune_plan_totals(plan, &before, &after));
        double left = (double)after.macs / (double)before.macs;
        assert_true(left <= 0.6 && left > 0.55); // met, and not by far
        carry_out(graph, plan);
        tslim_prune_plan_destroy(plan);
        options.target_macs = 0;
        options.target_parameters = 0.5;
        assert_ok(tslim_prune_plan_create(graph, &options, &plan));
        assert_ok(tslim_prune_plan_totals(plan, &before, &after));
        assert_true(after.parameters <= before.parameters / 2);
        tslim_prune_plan_destroy(plan);
        options.target_parameters = 1e-9;
        assert_int_equal(tslim_prune_plan_create(graph, &options, &plan), TSLIM_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(tslim_context_message(ctx), "at the least"));
    }
    tslim_graph_destroy(graph);
}

static void test_plan_file(void **state) {
    (void)state;
    tslim_graph *graph = plan_network();
    tslim_prune_options options;
    tslim_prune_plan *plan, *loaded;
    tslim_graph_totals before = {.struct_size = sizeof(before)}, after = before, after2 = before;
    char path[] = "/tmp/tinyslim_plan_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    tslim_prune_options_init(&options);
    options.ratio = 0.4;
    assert_ok(tslim_prune_plan_create(graph, &options, &plan));
    assert_ok(tslim_prune_plan_save_file(plan, path));
    assert_ok(tslim_prune_plan_load_file(graph, path, &loaded));
    assert_ok(tslim_prune_plan_totals(plan, &before, &after));
    assert_ok(tslim_prune_plan_totals(loaded, &before, &after2));
    assert_int_equal(after.macs, after2.macs);
    for (uint32_t g = 0; g < tslim_prune_plan_group_count(plan); g++) {
        tslim_prune_plan_group a = {.struct_size = sizeof(a)}, b = a;
        assert_ok(tslim_prune_plan_group_info(plan, g, &a));
        assert_ok(tslim_prune_plan_group_info(loaded, g, &b));
        assert_string_equal(a.name, b.name);
        assert_string_equal(a.note, b.note);
        assert_int_equal(a.pruned, b.pruned);
        assert_memory_equal(a.pruned_channels, b.pruned_channels, a.pruned * sizeof(uint32_t));
    }
    carry_out(graph, loaded);
    tslim_graph *other = random_graph(ctx, 5);
    tslim_prune_plan *wrong;
    assert_int_equal(tslim_prune_plan_load_file(other, path, &wrong), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tslim_prune(other, plan), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_graph_destroy(other);
    tslim_prune_plan_destroy(plan);
    tslim_prune_plan_destroy(loaded);
    tslim_graph_destroy(graph);
    unlink(path);
}

// A filter of zeros is the least important by size; two that are equal are the most redundant by FPGM.
static void test_criteria(void **state) {
    (void)state;
    builder b;
    uint32_t x = conv(&b, "a", start(&b, 3, 8), 16);
    uint32_t weights = b.graph->nodes[b.graph->n_nodes - 1].inputs[1];
    float *data = b.graph->values[weights].buffer->data;
    memset(data + 5 * 27, 0, 27 * sizeof(float));
    build_output(&b, conv(&b, "b", x, 5));
    for (int criterion = TSLIM_CRITERION_L1; criterion <= TSLIM_CRITERION_L2; criterion++) {
        tslim_prune_options options;
        tslim_prune_plan *plan;
        tslim_prune_options_init(&options);
        options.ratios = (const tslim_group_ratio[]){{"a", 1.0 / 16}};
        options.n_ratios = 1;
        options.round_to = 1;
        options.criterion = (tslim_criterion)criterion;
        assert_ok(tslim_prune_plan_create(b.graph, &options, &plan));
        assert_int_equal(plan_group(plan, "a").pruned, 1);
        assert_int_equal(plan_group(plan, "a").pruned_channels[0], 5);
        tslim_prune_plan_destroy(plan);
    }
    tslim_graph_destroy(b.graph);
}

static void test_quantized_is_refused(void **state) {
    (void)state;
    tslim_graph *graph = plan_network();
    tslim_channel_groups *groups;
    graph->optimized = true;
    assert_int_equal(tslim_channel_groups_find(graph, NULL, 0, &groups), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(ctx), "prune first, quantize second"));
    tslim_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_residual_with_input_is_locked),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_concat_repeated),
        cmocka_unit_test(test_split_evenly),
        cmocka_unit_test(test_split_with_sizes),
        cmocka_unit_test(test_split_attribute),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_slice_with_steps_is_locked),
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_depthwise_multiplier),
        cmocka_unit_test(test_grouped),
        cmocka_unit_test(test_squeeze_excite),
        cmocka_unit_test(test_prelu),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_shared_constant),
        cmocka_unit_test(test_broadcast_map),
        cmocka_unit_test(test_flatten),
        cmocka_unit_test(test_reshape_literal),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_transpose_matmul),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_conv_transpose_grouped),
        cmocka_unit_test(test_resize_and_pools),
        cmocka_unit_test(test_resize_sizes),
        cmocka_unit_test(test_depth_to_space),
        cmocka_unit_test(test_softmax_over_channels_is_locked),
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_reduce_over_channels_is_locked),
        cmocka_unit_test(test_outputs_are_locked),
        cmocka_unit_test(test_unknown_operator_is_locked),
        cmocka_unit_test(test_reshape_from_shape),
        cmocka_unit_test(test_proof_can_fail),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_plan_ratio),
        cmocka_unit_test(test_plan_rounding),
        cmocka_unit_test(test_plan_names),
        cmocka_unit_test(test_plan_targets),
        cmocka_unit_test(test_plan_file),
        cmocka_unit_test(test_criteria),
        cmocka_unit_test(test_quantized_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
