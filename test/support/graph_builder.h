// SPDX-License-Identifier: Apache-2.0
// Small graphs, built in a line per node: values are numbers, weights are random, shapes are inferred as it
// goes.
#ifndef TEST_SUPPORT_GRAPH_BUILDER_H
#define TEST_SUPPORT_GRAPH_BUILDER_H

#include "base/rng.h"
#include "ir/graph.h"

typedef struct builder {
    tslim_context *ctx;
    tslim_graph *graph;
    tsl_rng rng;
} builder;

// Every failure ends the test program with a message: these graphs are right by construction.
void builder_start(builder *b, tslim_context *ctx, uint64_t seed);

uint32_t build_input(builder *b, const char *name, uint32_t rank, const int64_t *dims);
void build_output(builder *b, uint32_t value);
int64_t built_dim(const builder *b, uint32_t value, uint32_t axis);
uint32_t built_rank(const builder *b, uint32_t value);

// Random floats, about 1 / sqrt(fan_in) in size; `fan_in` 0: between 0.5 and 1.5.
uint32_t build_weights(builder *b, uint32_t rank, const int64_t *dims, int64_t fan_in);
uint32_t build_ints(builder *b, uint32_t count, const int64_t *numbers);
uint32_t build_floats(builder *b, uint32_t count, const float *numbers);

// The last node built, for its attributes.
tsl_node *built_node(builder *b);
// A node that waits for its attributes; builder_infer then gives it its shapes.
uint32_t build_node(builder *b, tsl_op op, const char *name, uint32_t n_inputs, const uint32_t *inputs);
void builder_infer(builder *b);

uint32_t build_conv(builder *b, const char *name, uint32_t x, int64_t channels, int64_t kernel,
    int64_t stride, int64_t group, bool bias);
uint32_t build_conv_transpose(
    builder *b, const char *name, uint32_t x, int64_t channels, int64_t kernel, int64_t group);
uint32_t build_gemm(builder *b, const char *name, uint32_t x, int64_t channels, bool transposed);
uint32_t build_matmul(builder *b, const char *name, uint32_t x, int64_t channels);
uint32_t build_batch_norm(builder *b, uint32_t x);
uint32_t build_unary(builder *b, tsl_op op, uint32_t x);
uint32_t build_binary(builder *b, tsl_op op, uint32_t x, uint32_t y);
uint32_t build_max_pool(builder *b, uint32_t x);
uint32_t build_concat(builder *b, uint32_t n_inputs, const uint32_t *inputs, int64_t axis);
// `outputs` gets n_parts values; `sizes` NULL: evenly.
void build_split(
    builder *b, uint32_t x, int64_t axis, uint32_t n_parts, const int64_t *sizes, uint32_t *outputs);
uint32_t build_slice(builder *b, uint32_t x, int64_t axis, int64_t start, int64_t end, int64_t step);
uint32_t build_reshape(builder *b, uint32_t x, uint32_t rank, const int64_t *target);
uint32_t build_transpose(builder *b, uint32_t x, uint32_t rank, const int64_t *perm);
uint32_t build_resize(builder *b, uint32_t x, float factor);
uint32_t build_squeeze_excite(builder *b, uint32_t x, int64_t middle);

#endif
