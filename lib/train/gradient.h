// SPDX-License-Identifier: Apache-2.0
// What a gradient rule sees and does. A rule, tsl_gradient_<name> for each name in the last column of
// ops.def, gets a node and the gradients of its results, and appends the nodes that make those of its
// operands. The first failure stays in `status`, and nothing is appended after it: rules are written without
// checks between.
#ifndef TSL_TRAIN_GRADIENT_H
#define TSL_TRAIN_GRADIENT_H

#include "ir/graph.h"

typedef struct tsl_gradient {
    tslim_graph *graph;
    tslim_status status;
    tsl_node node; // a copy: the graph's nodes move as others are appended
    tslim_dtype dtype; // of the gradients
    const uint32_t *dy; // of each result: its gradient, or TSL_NONE
    const uint8_t *wanted; // of each operand: whether the loss is differentiated through it
    uint32_t *dx; // of each operand: what the rule gives
    uint32_t open; // the node that waits for its attributes
} tsl_gradient;

#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    void tsl_gradient_##diff(tsl_gradient *g);
#include "ir/ops.def"
#undef TSL_OP

// ---- The node ----

// Operand and result `index`, or TSL_NONE.
static inline uint32_t tsl_x(const tsl_gradient *g, uint32_t index) {
    return index < g->node.n_inputs ? g->node.inputs[index] : TSL_NONE;
}
static inline uint32_t tsl_y(const tsl_gradient *g, uint32_t index) {
    return index < g->node.n_outputs ? g->node.outputs[index] : TSL_NONE;
}
static inline bool tsl_wants(const tsl_gradient *g, uint32_t index) {
    return index < g->node.n_inputs && g->wanted[index];
}
// A copy, since values move too; not known once something has failed.
tsl_shape tsl_shape_of(const tsl_gradient *g, uint32_t value);
int64_t tsl_attribute(const tsl_gradient *g, tsl_attr_id id, int64_t otherwise);

// Hands over the gradient of operand `index`: what was broadcast is summed up first.
void tsl_give(tsl_gradient *g, uint32_t index, uint32_t gradient);
// UNSUPPORTED with this reason.
void tsl_refuse(tsl_gradient *g, const char *reason);
void tsl_check(tsl_gradient *g, tslim_status status);

// ---- Nodes to append. All give the value that the node makes, or TSL_NONE after a failure. ----

uint32_t tsl_apply(tsl_gradient *g, tsl_op op, uint32_t a);
uint32_t tsl_combine(tsl_gradient *g, tsl_op op, uint32_t a, uint32_t b);
// In steps: a node, its attributes, its results (result 0 is what tsl_end gives).
void tsl_begin(tsl_gradient *g, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, uint32_t n_outputs);
void tsl_with_int(tsl_gradient *g, tsl_attr_id id, int64_t value);
void tsl_with_float(tsl_gradient *g, tsl_attr_id id, float value);
void tsl_with_string(tsl_gradient *g, tsl_attr_id id, const char *value);
void tsl_with_ints(tsl_gradient *g, tsl_attr_id id, const int64_t *values, size_t count);
// All attributes of the node that is differentiated.
void tsl_with_its_attributes(tsl_gradient *g);
uint32_t tsl_end(tsl_gradient *g);
uint32_t tsl_end_result(tsl_gradient *g, uint32_t index); // another result of the last node

uint32_t tsl_number(tsl_gradient *g, double value); // a scalar constant
uint32_t tsl_integers(tsl_gradient *g, const int64_t *values, uint32_t count); // a constant of rank 1
uint32_t tsl_times(tsl_gradient *g, uint32_t a, double factor);
uint32_t tsl_reshaped(tsl_gradient *g, uint32_t a, uint32_t rank, const int64_t *dims);
uint32_t tsl_reshaped_like(tsl_gradient *g, uint32_t a, const tsl_shape *shape);
uint32_t tsl_expanded_like(tsl_gradient *g, uint32_t a, const tsl_shape *shape);
uint32_t tsl_transposed(tsl_gradient *g, uint32_t a, const int64_t *perm); // NULL: the last two axes
// Sums (TSL_OP_REDUCE_SUM) or means over the axes of a mask, which stay as 1.
uint32_t tsl_reduced(tsl_gradient *g, tsl_op op, uint32_t a, uint32_t mask);
// Sums over what was broadcast from `shape`.
uint32_t tsl_summed_to(tsl_gradient *g, uint32_t a, const tsl_shape *shape);
uint32_t tsl_zeros(tsl_gradient *g, const tsl_shape *shape);
// 1 where a bool is true, 0 elsewhere.
uint32_t tsl_mask(tsl_gradient *g, uint32_t condition);

#endif
