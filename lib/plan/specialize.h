// SPDX-License-Identifier: Apache-2.0
// A copy of a graph for given input shapes: every shape inferred, everything that depends on shapes alone
// folded away.
#ifndef TSL_PLAN_SPECIALIZE_H
#define TSL_PLAN_SPECIALIZE_H

#include "ir/graph.h"

// Symbolic dims take their size from `shapes`; one that no shape names becomes 1, and a symbol has one size
// wherever it stands. Value names are kept; nodes that were folded away are gone, their outputs are
// constants. INVALID_ARGUMENT names the input and the numbers where a shape does not fit.
tslim_status tsl_graph_specialize(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_graph **specialized);

// A copy for inputs of these dims and types. Inputs that decide on shapes (`deciding` may be NULL) become
// constants with their data, and are no longer inputs.
tslim_status tsl_graph_specialize_for(
    const tslim_graph *graph, const tsl_tensor *inputs, const uint8_t *deciding, tslim_graph **specialized);

// Multiply-adds of a node of a graph with static shapes: Conv, ConvTranspose, Gemm, MatMul; 0 for others.
uint64_t tsl_node_macs(const tslim_graph *graph, const tsl_node *node);

#endif
