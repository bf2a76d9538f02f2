// SPDX-License-Identifier: Apache-2.0
// The nodes of small graphs.
#include "support/graph_builder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/shape_infer.h"

static void must(tslim_status status) {
    if (status == TSLIM_OK) return;
    fprintf(stderr, "building a graph: %s\n", tsl_message());
    exit(1);
}

void builder_start(builder *b, tslim_context *ctx, uint64_t seed) {
    b->ctx = ctx;
    must(tsl_graph_create(ctx, &b->graph));
    b->graph->opset = 15;
    tsl_rng_seed(&b->rng, seed);
}

static void append(builder *b, uint32_t **list, uint32_t *count, uint32_t value) {
    uint32_t *longer = tsl_arena_array(&b->graph->arena, (size_t)*count + 1, sizeof(uint32_t));
    if (!longer) must(tsl_no_memory(sizeof(uint32_t)));
    if (*count) memcpy(longer, *list, *count * sizeof(uint32_t));
    longer[(*count)++] = value;
    *list = longer;
}

uint32_t build_input(builder *b, const char *name, uint32_t rank, const int64_t *dims) {
    uint32_t value;
    must(tsl_graph_add_value(b->graph, name, TSLIM_DTYPE_FLOAT, &value));
    tsl_shape_set(&b->graph->values[value].shape, rank, dims);
    append(b, &b->graph->inputs, &b->graph->n_inputs, value);
    return value;
}

void build_output(builder *b, uint32_t value) {
    append(b, &b->graph->outputs, &b->graph->n_outputs, value);
}

int64_t built_dim(const builder *b, uint32_t value, uint32_t axis) {
    return b->graph->values[value].shape.dims[axis];
}

uint32_t built_rank(const builder *b, uint32_t value) {
    return b->graph->values[value].shape.rank;
}

uint32_t build_weights(builder *b, uint32_t rank, const int64_t *dims, int64_t fan_in) {
    uint32_t value;
    void *data;
    must(tsl_graph_add_constant(b->graph, "w", TSLIM_DTYPE_FLOAT, rank, dims, &value, &data));
    size_t count = b->graph->values[value].bytes / sizeof(float);
    for (size_t i = 0; i < count; i++) {
        double number =
            fan_in ? tsl_rng_normal(&b->rng) / sqrt((double)fan_in) : 0.5 + tsl_rng_uniform(&b->rng);
        ((float *)data)[i] = (float)number;
    }
    return value;
}

uint32_t build_ints(builder *b, uint32_t count, const int64_t *numbers) {
    uint32_t value;
    void *data;
    must(tsl_graph_add_constant(
        b->graph, "ints", TSLIM_DTYPE_INT64, 1, (const int64_t[]){count}, &value, &data));
    memcpy(data, numbers, count * sizeof(*numbers));
    return value;
}

uint32_t build_floats(builder *b, uint32_t count, const float *numbers) {
    uint32_t value;
    void *data;
    must(tsl_graph_add_constant(
        b->graph, "floats", TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){count}, &value, &data));
    memcpy(data, numbers, count * sizeof(*numbers));
    return value;
}

tsl_node *built_node(builder *b) {
    return &b->graph->nodes[b->graph->n_nodes - 1];
}

void builder_infer(builder *b) {
    must(tsl_infer_node(b->graph, b->graph->n_nodes - 1));
}

static uint32_t add_node(builder *b, tsl_op op, const char *name, uint32_t n_inputs, const uint32_t *inputs,
    uint32_t n_outputs, uint32_t *outputs) {
    uint32_t index;
    for (uint32_t i = 0; i < n_outputs; i++)
        must(tsl_graph_add_value(
            b->graph, name ? name : tsl_op_get_info(op)->name, TSLIM_DTYPE_FLOAT, &outputs[i]));
    must(tsl_graph_add_node(b->graph, op, name, n_inputs, inputs, n_outputs, outputs, &index));
    return outputs[0];
}

uint32_t build_node(builder *b, tsl_op op, const char *name, uint32_t n_inputs, const uint32_t *inputs) {
    uint32_t output;
    return add_node(b, op, name, n_inputs, inputs, 1, &output);
}

static void set_int(builder *b, tsl_attr_id id, int64_t value) {
    must(tsl_node_set_int(b->graph, built_node(b), id, value));
}

static void set_ints(builder *b, tsl_attr_id id, const int64_t *values, size_t count) {
    must(tsl_node_set_ints(b->graph, built_node(b), id, values, count));
}

static void set_window(builder *b, int64_t kernel, int64_t stride, int64_t pad) {
    set_ints(b, TSL_ATTR_kernel_shape, (const int64_t[]){kernel, kernel}, 2);
    set_ints(b, TSL_ATTR_strides, (const int64_t[]){stride, stride}, 2);
    set_ints(b, TSL_ATTR_pads, (const int64_t[]){pad, pad, pad, pad}, 4);
}

uint32_t build_conv(builder *b, const char *name, uint32_t x, int64_t channels, int64_t kernel,
    int64_t stride, int64_t group, bool bias) {
    int64_t per_group = built_dim(b, x, 1) / group;
    uint32_t inputs[3] = {x, build_weights(b, 4, (const int64_t[]){channels, per_group, kernel, kernel},
                                 per_group * kernel * kernel)};
    if (bias) inputs[2] = build_weights(b, 1, &channels, 4);
    uint32_t y = build_node(b, TSL_OP_CONV, name, bias ? 3 : 2, inputs);
    set_window(b, kernel, stride, kernel / 2);
    set_int(b, TSL_ATTR_group, group);
    builder_infer(b);
    return y;
}

uint32_t build_conv_transpose(
    builder *b, const char *name, uint32_t x, int64_t channels, int64_t kernel, int64_t group) {
    int64_t in = built_dim(b, x, 1);
    uint32_t inputs[3] = {x,
        build_weights(b, 4, (const int64_t[]){in, channels / group, kernel, kernel}, in / group * 2),
        build_weights(b, 1, &channels, 4)};
    uint32_t y = build_node(b, TSL_OP_CONV_TRANSPOSE, name, 3, inputs);
    set_window(b, kernel, 2, 0);
    set_int(b, TSL_ATTR_group, group);
    builder_infer(b);
    return y;
}

uint32_t build_gemm(builder *b, const char *name, uint32_t x, int64_t channels, bool transposed) {
    int64_t in = built_dim(b, x, 1);
    const int64_t dims[2] = {transposed ? channels : in, transposed ? in : channels};
    uint32_t inputs[3] = {x, build_weights(b, 2, dims, in), build_weights(b, 1, &channels, 4)};
    uint32_t y = build_node(b, TSL_OP_GEMM, name, 3, inputs);
    set_int(b, TSL_ATTR_transB, transposed);
    builder_infer(b);
    return y;
}

uint32_t build_matmul(builder *b, const char *name, uint32_t x, int64_t channels) {
    int64_t in = built_dim(b, x, built_rank(b, x) - 1);
    uint32_t inputs[2] = {x, build_weights(b, 2, (const int64_t[]){in, channels}, in)};
    uint32_t y = build_node(b, TSL_OP_MATMUL, name, 2, inputs);
    builder_infer(b);
    return y;
}

uint32_t build_batch_norm(builder *b, uint32_t x) {
    int64_t channels = built_dim(b, x, 1);
    uint32_t inputs[5] = {x, build_weights(b, 1, &channels, 0), build_weights(b, 1, &channels, 4),
        build_weights(b, 1, &channels, 4), build_weights(b, 1, &channels, 0)};
    uint32_t y = build_node(b, TSL_OP_BATCH_NORMALIZATION, NULL, 5, inputs);
    builder_infer(b);
    return y;
}

uint32_t build_unary(builder *b, tsl_op op, uint32_t x) {
    uint32_t y = build_node(b, op, NULL, 1, &x);
    builder_infer(b);
    return y;
}

uint32_t build_binary(builder *b, tsl_op op, uint32_t x, uint32_t y) {
    uint32_t z = build_node(b, op, NULL, 2, (const uint32_t[]){x, y});
    builder_infer(b);
    return z;
}

uint32_t build_max_pool(builder *b, uint32_t x) {
    uint32_t y = build_node(b, TSL_OP_MAX_POOL, NULL, 1, &x);
    set_window(b, 2, 2, 0);
    builder_infer(b);
    return y;
}

uint32_t build_concat(builder *b, uint32_t n_inputs, const uint32_t *inputs, int64_t axis) {
    uint32_t y = build_node(b, TSL_OP_CONCAT, NULL, n_inputs, inputs);
    set_int(b, TSL_ATTR_axis, axis);
    builder_infer(b);
    return y;
}

void build_split(
    builder *b, uint32_t x, int64_t axis, uint32_t n_parts, const int64_t *sizes, uint32_t *outputs) {
    uint32_t inputs[2] = {x, sizes ? build_ints(b, n_parts, sizes) : TSL_NONE};
    add_node(b, TSL_OP_SPLIT, NULL, sizes ? 2 : 1, inputs, n_parts, outputs);
    set_int(b, TSL_ATTR_axis, axis);
    builder_infer(b);
}

uint32_t build_slice(builder *b, uint32_t x, int64_t axis, int64_t start, int64_t end, int64_t step) {
    uint32_t inputs[5] = {x, build_ints(b, 1, &start), build_ints(b, 1, &end), build_ints(b, 1, &axis),
        build_ints(b, 1, &step)};
    uint32_t y = build_node(b, TSL_OP_SLICE, NULL, 5, inputs);
    builder_infer(b);
    return y;
}

uint32_t build_reshape(builder *b, uint32_t x, uint32_t rank, const int64_t *target) {
    uint32_t y = build_node(b, TSL_OP_RESHAPE, NULL, 2, (const uint32_t[]){x, build_ints(b, rank, target)});
    builder_infer(b);
    return y;
}

uint32_t build_transpose(builder *b, uint32_t x, uint32_t rank, const int64_t *perm) {
    uint32_t y = build_node(b, TSL_OP_TRANSPOSE, NULL, 1, &x);
    set_ints(b, TSL_ATTR_perm, perm, rank);
    builder_infer(b);
    return y;
}

uint32_t build_resize(builder *b, uint32_t x, float factor) {
    uint32_t scales = build_floats(b, 4, (const float[]){1, 1, factor, factor});
    uint32_t y = build_node(b, TSL_OP_RESIZE, NULL, 3, (const uint32_t[]){x, TSL_NONE, scales});
    must(tsl_node_set_string(b->graph, built_node(b), TSL_ATTR_mode, "nearest"));
    must(tsl_node_set_string(b->graph, built_node(b), TSL_ATTR_coordinate_transformation_mode, "asymmetric"));
    must(tsl_node_set_string(b->graph, built_node(b), TSL_ATTR_nearest_mode, "floor"));
    builder_infer(b);
    return y;
}

uint32_t build_squeeze_excite(builder *b, uint32_t x, int64_t middle) {
    uint32_t y = build_unary(b, TSL_OP_GLOBAL_AVERAGE_POOL, x);
    y = build_unary(b, TSL_OP_RELU, build_conv(b, "squeeze", y, middle, 1, 1, 1, true));
    y = build_unary(b, TSL_OP_SIGMOID, build_conv(b, "excite", y, built_dim(b, x, 1), 1, 1, 1, true));
    return build_binary(b, TSL_OP_MUL, x, y);
}
