// SPDX-License-Identifier: Apache-2.0
// Channel atoms: what each index of each axis depends on, found by one walk over the graph.
//
// An axis of a value is either fixed (batch, space, the model's own inputs: no array) or has an array that
// gives each of its indices an atom. Atoms are made by weights, passed on by operators, and joined (union and
// find) where an operator ties channels together: whoever removes one removes all that are joined with it.
// What cannot be followed is locked, with a reason. docs/pruning.md has the rules of each operator.
#ifndef TSL_PRUNE_ATOMS_H
#define TSL_PRUNE_ATOMS_H

#include "ir/graph.h"
#include "prune/dims_trace.h"

// An index that cannot go, within an axis where others can.
#define TSL_ATOM_FIXED UINT32_MAX

// A number in the graph that follows the count of channels: after surgery it is how many of the first `upto`
// indices of the axis are kept.
typedef struct tsl_edit {
    uint32_t node; // of the specialized graph
    tsl_attr_id attr; // UNKNOWN: the number is an element of a constant input
    uint32_t slot; // that input
    uint32_t element, n_elements; // n_elements: for a list that is not there yet; attr `group`: 0 and 0
    uint32_t value, axis, upto;
} tsl_edit;

// A node that computes with weights (Conv, ConvTranspose, Gemm, MatMul), or contracts two activations
// (MatMul).
typedef struct tsl_layer {
    uint32_t node;
    uint32_t weight; // TSL_NONE: none, both operands are activations
    uint32_t weight_axis; // the weights' output channels
    const uint32_t *out; // their atoms
    uint32_t n_out;
    uint32_t in_value, in_axis; // what is summed over
    const uint32_t *in; // NULL: fixed
    uint32_t n_in;
    bool depthwise; // each output channel sees one input channel: nothing is summed over channels
    bool shallow; // no layer between it and the model's input
    uint64_t macs;
    // The MACs are proportional to what is kept of each of these axes.
    const uint32_t *factors[TSLIM_MAX_RANK + 1];
    uint32_t factor_dims[TSLIM_MAX_RANK + 1];
    uint32_t n_factors;
} tsl_layer;

typedef struct tsl_value_axes {
    const uint32_t *atoms[TSLIM_MAX_RANK];
} tsl_value_axes;

typedef struct tsl_atoms {
    tslim_context *ctx;
    tsl_arena arena;
    const tslim_graph *original; // the caller's: alive as long as this
    tslim_graph *graph; // specialized for the shapes; everything below refers to it
    tsl_value_axes *axes; // of each value
    uint32_t *original_value; // the original's value of the same name, or TSL_NONE
    uint32_t *original_node;
    bool *from_input_shape; // of each original value: computed from a model input (or its shape)
    tsl_dims_trace *traces; // of each original value
    uint32_t *parent; // of each atom
    const char **reason; // of each atom, valid at roots; NULL: free
    uint32_t n_atoms;
    size_t parent_capacity, reason_capacity;
    uint64_t n_entries; // of all arrays together: bounded
    tsl_layer *layers;
    uint32_t n_layers;
    size_t layers_capacity;
    tsl_edit *edits;
    uint32_t n_edits;
    size_t edits_capacity;
} tsl_atoms;

// Walks the graph at these shapes. Afterwards every parent is a root.
tslim_status tsl_atoms_find(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tsl_atoms **atoms);
void tsl_atoms_destroy(tsl_atoms *atoms);

uint32_t tsl_atom_root(tsl_atoms *atoms, uint32_t atom);

// How many of the first `count` indices stay. `removed` is indexed by root.
uint32_t tsl_atoms_kept(
    const tsl_atoms *atoms, const uint32_t *array, uint32_t count, const uint8_t *removed);

// Carries the removal out on `graph`, a clone of the original. On failure it is unusable.
tslim_status tsl_surgery(const tsl_atoms *atoms, const uint8_t *removed, tslim_graph *graph);

// ---- For the rules. Arrays have as many entries as the axis has indices and never change; NULL is all
// fixed. ----

// The atoms of an axis. A constant's axis gets new ones the first time that it is asked for.
tslim_status tsl_axis_get(tsl_atoms *atoms, uint32_t value, uint32_t axis, const uint32_t **array);
tslim_status tsl_axis_new(tsl_atoms *atoms, size_t count, uint32_t **array);
void tsl_axis_set(tsl_atoms *atoms, uint32_t value, uint32_t axis, const uint32_t *array);

// Joins index by index; a free index that meets a fixed one is locked. `node` is named in the reason.
tslim_status tsl_axis_join(
    tsl_atoms *atoms, const tsl_node *node, const uint32_t *a, const uint32_t *b, size_t count);
void tsl_atom_join(tsl_atoms *atoms, uint32_t a, uint32_t b, const char *reason);
void tsl_axis_lock(tsl_atoms *atoms, const uint32_t *array, size_t count, const char *reason);

// "'name' (Op) <text>", or NULL when memory is short.
const char *tsl_node_reason(tsl_atoms *atoms, const tsl_node *node, const char *text);
// Locks every axis of the value whose bit is not set in `handled`.
tslim_status tsl_value_lock_others(
    tsl_atoms *atoms, const tsl_node *node, uint32_t value, uint32_t handled, const char *text);
// Locks all that the node reads.
tslim_status tsl_node_lock(tsl_atoms *atoms, const tsl_node *node, const char *text);

tslim_status tsl_atoms_add_edit(tsl_atoms *atoms, tsl_edit edit);
tslim_status tsl_atoms_add_layer(tsl_atoms *atoms, const tsl_layer *layer);
void tsl_layer_add_factor(tsl_layer *layer, const uint32_t *array, uint32_t count);

// True when the node's input is a constant in the original too: its numbers can be edited.
bool tsl_input_is_literal(const tsl_atoms *atoms, const tsl_node *node, uint32_t slot);
// A node whose input `slot` says how long `axis` of the output becomes, in its element `element`: takes care
// that this number will follow (an edit), or locks.
tslim_status tsl_axis_follow_target(
    tsl_atoms *atoms, const tsl_node *node, uint32_t slot, uint32_t element, uint32_t axis);

typedef tslim_status (*tsl_rule)(tsl_atoms *atoms, const tsl_node *node);
// NULL: not known.
tsl_rule tsl_rule_find(tsl_op op);

// rules_layers.c
tslim_status tsl_rule_conv(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_conv_transpose(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_gemm(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_matmul(tsl_atoms *atoms, const tsl_node *node);
// rules_channels.c
tslim_status tsl_rule_pass(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_broadcast(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_batch_normalization(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_instance_normalization(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_layer_normalization(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_pool(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_reduce(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_softmax(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_resize(tsl_atoms *atoms, const tsl_node *node);
// rules_shape.c
tslim_status tsl_rule_reshape(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_transpose(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_expand(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_depth_to_space(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_space_to_depth(tsl_atoms *atoms, const tsl_node *node);
// rules_parts.c
tslim_status tsl_rule_concat(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_split(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_slice(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_pad(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_gather(tsl_atoms *atoms, const tsl_node *node);
tslim_status tsl_rule_tile(tsl_atoms *atoms, const tsl_node *node);
// Joins the axes of the operands as numpy aligns them, into the output's.
tslim_status tsl_broadcast_axes(tsl_atoms *atoms, const tsl_node *node, const uint32_t *operands,
    uint32_t n_operands, uint32_t skip_last, uint32_t output);

#endif
