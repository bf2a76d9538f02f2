// SPDX-License-Identifier: Apache-2.0
// Shape inference: from the shapes (and, where needed, the constant data) of a node's inputs to those of its
// outputs.
#ifndef TSL_IR_SHAPE_INFER_H
#define TSL_IR_SHAPE_INFER_H

#include "ir/graph.h"
#include "ir/window.h"

// A shape function of ops.def: sets dtype and shape of every output of `node`. Dims that cannot be known stay
// -1 (and keep their symbol where they are an input's dim); a shape whose rank cannot be known stays !known.
// Fails with INVALID_ARGUMENT and the numbers when the inputs do not fit the operator: the caller adds the
// node's name.
typedef tslim_status (*tsl_shape_function)(tslim_graph *graph, const tsl_node *node);

tsl_shape_function tsl_op_shape_function(tsl_op op);

// One node; messages begin with the node's name and operator.
tslim_status tsl_infer_node(tslim_graph *graph, uint32_t node_index);

// The integers of a constant 1-D (or 0-D) input of type int64 or int32, such as Reshape's shape or Slice's
// starts: at most `capacity` are read. False when the input is absent or not a constant.
// This one helper serves both forms that ONNX has had: an attribute before some opset, an input after.
bool tsl_node_get_ints(const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr, uint32_t input,
    int64_t *values, size_t capacity, size_t *count);

// An axis of -rank..rank-1 as 0..rank-1; INVALID_ARGUMENT with both numbers.
tslim_status tsl_normalize_axis(int64_t axis, uint32_t rank, uint32_t *normalized);

// ---- Shapes that depend on data (ir/shape_data.c) ----

// True when the numbers in this operand (sizes, axes, bounds) must be known before the node can be planned.
bool tsl_operand_decides(tsl_op op, uint32_t operand);
// True for operators whose kernel finds out how large the result is: NonZero, Compress, ...
bool tsl_op_finds_shape(tsl_op op);
// Sets the dims that such a node's kernel will find to the most that they can be. The inputs' shapes are
// static.
tslim_status tsl_shape_bound(tslim_graph *graph, const tsl_node *node);

// The axis of a Scan's input or output `index` of rank `rank`, as 0..rank-1.
tslim_status tsl_scan_axis(
    const tsl_attrs *attrs, tsl_attr_id attr, uint32_t index, uint32_t rank, uint32_t *axis);

// Numpy's rule for two shapes; -1 dims are followed as far as they can be.
tslim_status tsl_shape_broadcast(const tsl_shape *a, const tsl_shape *b, tsl_shape *out);

#endif
