// SPDX-License-Identifier: Apache-2.0
// From the graph's terms to a backend's: values become strided tensors, nodes become steps.
#ifndef TSL_PLAN_DESCRIBE_H
#define TSL_PLAN_DESCRIBE_H

#include "backend.h"
#include "ir/graph.h"

// Dims, type, quantization, and strides of the value's layout without a border. Constants have data.
void tsl_describe_value(const tsl_value *value, tsl_tensor *tensor);

// Widens strides for a border (top, left, bottom, right) around each plane of a channels-last tensor.
void tsl_describe_border(tsl_tensor *tensor, const uint16_t border[4]);

// Bytes of memory that the tensor needs, with its border and the room that kernels may read behind it, and
// the offset of its first element. False when that overflows.
bool tsl_tensor_memory(const tsl_tensor *tensor, size_t *bytes, size_t *offset);

// The node with these operands. The step refers to both.
void tsl_describe_step(const tslim_graph *graph, const tsl_node *node, const tsl_tensor *inputs,
    const tsl_tensor *outputs, tsl_step *step);

#endif
