// SPDX-License-Identifier: Apache-2.0
// The network is written down as a trainer would export it: convolution, BatchNormalization and Relu apart.
#include "support/small_network.h"

#include <math.h>

#include "base/rng.h"

typedef struct builder {
    tslim_graph *graph;
    tsl_rng rng;
    tslim_status status; // the first failure; later calls do nothing
} builder;

static uint32_t constant(builder *b, uint32_t rank, const int64_t *dims, double mean, double deviation) {
    uint32_t id = 0;
    void *data = NULL;
    if (b->status == TSLIM_OK)
        b->status = tsl_graph_add_constant(b->graph, "constant", TSLIM_DTYPE_FLOAT, rank, dims, &id, &data);
    if (b->status != TSLIM_OK) return 0;
    float *values = data;
    for (size_t i = 0; i < b->graph->values[id].bytes / sizeof(float); i++)
        values[i] = (float)(mean + deviation * tsl_rng_normal(&b->rng));
    return id;
}

static uint32_t node(
    builder *b, tsl_op op, const char *output_name, uint32_t n_inputs, const uint32_t *inputs) {
    uint32_t output = 0, index;
    if (b->status == TSLIM_OK)
        b->status = tsl_graph_add_value(b->graph, output_name, TSLIM_DTYPE_FLOAT, &output);
    if (b->status == TSLIM_OK)
        b->status = tsl_graph_add_node(b->graph, op, output_name, n_inputs, inputs, 1, &output, &index);
    return output;
}

static void set_ints(builder *b, tsl_attr_id attr, size_t count, const int64_t *values) {
    if (b->status != TSLIM_OK) return;
    b->status = tsl_node_set_ints(b->graph, &b->graph->nodes[b->graph->n_nodes - 1], attr, values, count);
}

static void set_int(builder *b, tsl_attr_id attr, int64_t value) {
    if (b->status != TSLIM_OK) return;
    b->status = tsl_node_set_int(b->graph, &b->graph->nodes[b->graph->n_nodes - 1], attr, value);
}

static uint32_t convolution(
    builder *b, const char *name, uint32_t x, int64_t in, int64_t out, int64_t group) {
    int64_t dims[4] = {out, in / group, 3, 3}, channels[1] = {out}, ones[4] = {1, 1, 1, 1};
    uint32_t inputs[2] = {x, constant(b, 4, dims, 0, sqrt(2.0 / (9.0 * (double)(in / group))))};
    uint32_t y = node(b, TSL_OP_CONV, name, 2, inputs);
    set_ints(b, TSL_ATTR_pads, 4, ones);
    set_int(b, TSL_ATTR_group, group);
    uint32_t normalize[5] = {y, constant(b, 1, channels, 1, 0.2), constant(b, 1, channels, 0, 0.1),
        constant(b, 1, channels, 0, 0.1), constant(b, 1, channels, 1, 0.02)};
    return node(b, TSL_OP_BATCH_NORMALIZATION, "normalized", 5, normalize);
}

static uint32_t one(builder *b, tsl_op op, const char *name, uint32_t x) {
    return node(b, op, name, 1, &x);
}

static void build(builder *b) {
    uint32_t input = 0;
    if (b->status == TSLIM_OK) b->status = tsl_graph_add_value(b->graph, "input", TSLIM_DTYPE_FLOAT, &input);
    if (b->status != TSLIM_OK) return;
    tsl_shape *shape = &b->graph->values[input].shape;
    tsl_shape_set(shape, 4, (const int64_t[]){-1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE});
    shape->symbols[0] = tsl_arena_string(&b->graph->arena, "N");

    uint32_t stem = one(b, TSL_OP_RELU, "stem_relu", convolution(b, "stem", input, 3, 16, 1));
    uint32_t inner = one(b, TSL_OP_RELU, "inner_relu", convolution(b, "inner", stem, 16, 24, 1));
    uint32_t sum[2] = {convolution(b, "outer", inner, 24, 16, 1), stem};
    uint32_t residual = one(b, TSL_OP_RELU, "residual_relu", node(b, TSL_OP_ADD, "residual", 2, sum));
    uint32_t depthwise =
        one(b, TSL_OP_RELU, "depthwise_relu", convolution(b, "depthwise", residual, 16, 16, 16));
    uint32_t pooled = one(b, TSL_OP_MAX_POOL, "pooled", depthwise);
    set_ints(b, TSL_ATTR_kernel_shape, 2, (const int64_t[]){2, 2});
    set_ints(b, TSL_ATTR_strides, 2, (const int64_t[]){2, 2});
    uint32_t flat = one(b, TSL_OP_FLATTEN, "flat", one(b, TSL_OP_GLOBAL_AVERAGE_POOL, "average", pooled));
    int64_t weights[2] = {SMALL_NETWORK_CLASSES, 16}, bias[1] = {SMALL_NETWORK_CLASSES};
    uint32_t classify[3] = {flat, constant(b, 2, weights, 0, 0.5), constant(b, 1, bias, 0, 0.1)};
    uint32_t scores = node(b, TSL_OP_GEMM, "scores", 3, classify);
    set_int(b, TSL_ATTR_transB, 1);

    uint32_t *ends = tsl_arena_array(&b->graph->arena, 2, sizeof(*ends));
    if (!ends && b->status == TSLIM_OK) b->status = tsl_no_memory(2 * sizeof(*ends));
    if (b->status != TSLIM_OK) return;
    ends[0] = input;
    ends[1] = scores;
    b->graph->inputs = &ends[0];
    b->graph->outputs = &ends[1];
    b->graph->n_inputs = b->graph->n_outputs = 1;
}

tslim_status small_network_create(tslim_context *ctx, uint64_t seed, tslim_graph **graph) {
    builder b = {.status = TSLIM_OK};
    TSL_TRY(tsl_graph_create(ctx, &b.graph));
    b.graph->opset = 17;
    tsl_rng_seed(&b.rng, seed);
    build(&b);
    if (b.status != TSLIM_OK) {
        tslim_graph_destroy(b.graph);
        return b.status;
    }
    *graph = b.graph;
    return TSLIM_OK;
}
