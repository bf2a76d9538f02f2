// SPDX-License-Identifier: Apache-2.0
// Graphs within nodes: the branches of If, the bodies of Loop and Scan. A body is a graph of its own that
// sees nothing of the graph around it: what a file lets it read from there by name is handed in as the last
// inputs, of the node (n_captured of them) and of each of its bodies alike, in the same order. So whoever
// looks for the readers of a value, its lifetime or its place finds them among the inputs of nodes.
#ifndef TSL_IR_BODIES_H
#define TSL_IR_BODIES_H

#include "ir/graph.h"

// How deep bodies may be nested: functions that go down into them call themselves, so there is an end to what
// a context can allow.
static inline uint32_t tsl_nesting_limit(const tslim_context *ctx) {
    return ctx->limits.nesting < 200 ? ctx->limits.nesting : 200;
}

// If, Loop, Scan.
bool tsl_op_has_bodies(tsl_op op);

// The body that an attribute holds; NULL when the node has no such attribute.
tslim_graph *tsl_node_body(const tslim_graph *graph, const tsl_node *node, tsl_attr_id id);

// Takes over a body; *index is what an attribute of type GRAPH has as `i`.
tslim_status tsl_graph_add_body(tslim_graph *graph, tslim_graph *body, uint32_t *index);
// Destroys the bodies that no attribute names; indices change.
tslim_status tsl_graph_drop_bodies(tslim_graph *graph);

// The opset of ONNX's own operators, and whether it is optimized: of a graph and its bodies.
void tsl_graph_set_opset(tslim_graph *graph, uint32_t opset);
void tsl_graph_set_optimized(tslim_graph *graph);

// Inputs before those that are captured.
static inline uint32_t tsl_node_own_inputs(const tsl_node *node) {
    return node->n_inputs - node->n_captured;
}
// Values that an iteration hands to the next: inputs of Loop behind trip count and condition, of Scan before
// those that it goes along.
uint32_t tsl_node_states(const tsl_node *node);

// Captured constants become constants of the bodies, and what no body reads is captured no longer: passes and
// the packing of weights then see within a body what they need.
tslim_status tsl_graph_sink_constants(tslim_graph *graph, uint32_t n);

// The nodes of a branch in place of its If, node n, which is marked for removal. They are appended: the
// caller sorts and compacts.
tslim_status tsl_graph_inline_branch(tslim_graph *graph, uint32_t n, tslim_graph *branch);

// The verifier's part: attributes that are graphs belong to one node each; the bodies of a node have the
// inputs and outputs that its operator says, and are valid themselves.
tslim_status tsl_bodies_verify(const tslim_graph *graph, tslim_status code);

#endif
