// SPDX-License-Identifier: Apache-2.0
// The nodes of the quantized network.
#include "support/quantized_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/graph_builder.h"

static void must(tslim_status status) {
    if (status == TSLIM_OK) return;
    fprintf(stderr, "building a quantized network: %s\n", tsl_message());
    exit(1);
}

static uint32_t constant(builder *b, tslim_dtype dtype, uint32_t rank, const int64_t *dims, void **data) {
    uint32_t id;
    must(tsl_graph_add_constant(b->graph, "parameter", dtype, rank, dims, &id, data));
    return id;
}

static uint32_t byte(builder *b, int value) {
    void *data;
    uint32_t id = constant(b, TSLIM_DTYPE_UINT8, 0, NULL, &data);
    *(uint8_t *)data = (uint8_t)value;
    return id;
}

static uint32_t add(builder *b, tsl_op op, uint32_t n_inputs, const uint32_t *inputs) {
    uint32_t y = build_node(b, op, NULL, n_inputs, inputs);
    builder_infer(b);
    return y;
}

static uint32_t add_along(builder *b, tsl_op op, const uint32_t inputs[3], int64_t axis) {
    uint32_t y = build_node(b, op, NULL, 3, inputs);
    must(tsl_node_set_int(b->graph, built_node(b), TSL_ATTR_axis, axis));
    builder_infer(b);
    return y;
}

static uint32_t rounded(builder *b, uint32_t x, float scale, int zero, bool seven_bits) {
    void *data;
    uint32_t s = constant(b, TSLIM_DTYPE_FLOAT, 0, NULL, &data), z = byte(b, zero);
    memcpy(data, &scale, sizeof(scale));
    uint32_t q = add(b, TSL_OP_QUANTIZE_LINEAR, 3, (const uint32_t[]){x, s, z});
    if (seven_bits) q = add(b, TSL_OP_CLIP, 3, (const uint32_t[]){q, byte(b, 0), byte(b, 127)});
    return add(b, TSL_OP_DEQUANTIZE_LINEAR, 3, (const uint32_t[]){q, s, z});
}

// A scale for each of `channels`, and one zero point.
static uint32_t rounded_by_channel(builder *b, uint32_t x, int64_t channels) {
    void *scales, *zeros;
    uint32_t s = constant(b, TSLIM_DTYPE_FLOAT, 1, &channels, &scales),
             z = constant(b, TSLIM_DTYPE_UINT8, 1, &channels, &zeros);
    for (int64_t i = 0; i < channels; i++) ((float *)scales)[i] = 0.0107f + 0.0031f * (float)i;
    uint32_t q = add_along(b, TSL_OP_QUANTIZE_LINEAR, (const uint32_t[]){x, s, z}, 1);
    return add_along(b, TSL_OP_DEQUANTIZE_LINEAR, (const uint32_t[]){q, s, z}, 1);
}

// INT8 with scales along `axis`.
static uint32_t weights(builder *b, uint32_t rank, const int64_t *dims, int64_t axis) {
    void *data, *scales, *zeros;
    uint32_t w = constant(b, TSLIM_DTYPE_INT8, rank, dims, &data);
    uint32_t s = constant(b, TSLIM_DTYPE_FLOAT, 1, &dims[axis], &scales);
    uint32_t z = constant(b, TSLIM_DTYPE_INT8, 1, &dims[axis], &zeros);
    for (size_t i = 0; i < b->graph->values[w].bytes; i++) ((int8_t *)data)[i] = (int8_t)(i * 73 % 255 - 127);
    for (int64_t i = 0; i < dims[axis]; i++) ((float *)scales)[i] = 0.002f + 0.0001f * (float)i;
    return add_along(b, TSL_OP_DEQUANTIZE_LINEAR, (const uint32_t[]){w, s, z}, axis);
}

static uint32_t convolve(builder *b, uint32_t x, int64_t channels, int64_t kernel, int64_t group) {
    const int64_t dims[4] = {channels, built_dim(b, x, 1) / group, kernel, kernel};
    uint32_t y = build_node(b, TSL_OP_CONV, NULL, 2, (const uint32_t[]){x, weights(b, 4, dims, 0)});
    const int64_t pads[4] = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
    must(tsl_node_set_ints(b->graph, built_node(b), TSL_ATTR_pads, pads, 4));
    must(tsl_node_set_int(b->graph, built_node(b), TSL_ATTR_group, group));
    builder_infer(b);
    return y;
}

tslim_graph *quantized_network_create(tslim_context *ctx) {
    builder b;
    builder_start(&b, ctx, 5);
    uint32_t x = build_input(&b, "x", 4, (const int64_t[]){2, 8, 6, 6});
    uint32_t a = convolve(&b, rounded(&b, x, 0.02137f, 128, false), 12, 3, 1);
    a = build_unary(&b, TSL_OP_RELU, build_batch_norm(&b, a));
    uint32_t d = convolve(&b, rounded_by_channel(&b, a, 12), 12, 3, 12);
    d = rounded(&b, build_batch_norm(&b, d), 0.0519f, 64, true);
    uint32_t e = rounded(&b, convolve(&b, d, 12, 1, 1), 0.0487f, 100, false);
    e = rounded(&b, build_binary(&b, TSL_OP_ADD, e, d), 0.0631f, 90, false);
    // As attention: each map's rows by its columns, added to a float.
    uint32_t t = build_transpose(&b, e, 4, (const int64_t[]){0, 1, 3, 2});
    uint32_t p = rounded(&b, build_binary(&b, TSL_OP_MATMUL, e, t), 0.517f, 120, false);
    p = build_binary(&b, TSL_OP_ADD, build_binary(&b, TSL_OP_MATMUL, p, e), a);
    p = rounded(&b, p, 0.713f, 128, false);
    const uint32_t parts[2] = {p, p};
    uint32_t f = build_unary(&b, TSL_OP_GLOBAL_AVERAGE_POOL, build_concat(&b, 2, parts, 1));
    f = build_reshape(&b, rounded(&b, f, 0.309f, 128, false), 2, (const int64_t[]){2, 24});
    f = rounded(&b, f, 0.291f, 127, false); // other parameters behind a view
    const int64_t dims[2] = {24, 5};
    build_output(&b, add(&b, TSL_OP_MATMUL, 2, (const uint32_t[]){f, weights(&b, 2, dims, 1)}));
    return b.graph;
}
