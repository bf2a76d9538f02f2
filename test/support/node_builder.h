// SPDX-License-Identifier: Apache-2.0
// One node at a time, for tests of shape functions: a graph whose values are given by dims and whose last
// node is looked at. Failures of the building itself end the test.
#ifndef TEST_SUPPORT_NODE_BUILDER_H
#define TEST_SUPPORT_NODE_BUILDER_H

#include "ir/graph.h"

#define BUILDER_MAX_INPUTS 64

typedef struct node_builder {
    tslim_context *ctx;
    tslim_graph *graph;
    uint32_t inputs[BUILDER_MAX_INPUTS];
    uint32_t n_inputs;
    uint32_t node; // after node_builder_add
} node_builder;

// A graph of that opset. False when there is no memory.
bool node_builder_init(node_builder *builder, uint32_t opset);
void node_builder_free(node_builder *builder);

// The next operand: a value with dims (-1: not known, its symbol is "d0", "d1", ... by position); a list of
// integers or floats (rank 1) that is constant; or none. Each returns the value's id (TSL_NONE for an absent
// one).
uint32_t node_builder_value(node_builder *builder, tslim_dtype dtype, uint32_t rank, const int64_t *dims);
uint32_t node_builder_ints(node_builder *builder, size_t count, const int64_t *values);
uint32_t node_builder_floats(node_builder *builder, size_t count, const float *values);
uint32_t node_builder_absent(node_builder *builder);

// Adds the node over the operands so far; attributes are set on it afterwards.
tsl_node *node_builder_add(node_builder *builder, tsl_op op, uint32_t n_outputs);

#endif
