// SPDX-License-Identifier: Apache-2.0
// From one version of ONNX's operator set to another.
#ifndef TSL_FORMAT_ONNX_OPSET_H
#define TSL_FORMAT_ONNX_OPSET_H

#include "ir/graph.h"

// Rewrites the nodes whose form or meaning differs between the graph's opset and `opset` (13 at most), and
// sets it. UNSUPPORTED names an operator of which that is not known. Nodes are no longer in order.
tslim_status tsl_onnx_raise_opset(tslim_graph *graph, uint32_t opset);

#endif
