// SPDX-License-Identifier: Apache-2.0
// From the library's own terms to plain ONNX.
#ifndef TSL_FORMAT_ONNX_SPELL_OUT_H
#define TSL_FORMAT_ONNX_SPELL_OUT_H

#include "ir/graph.h"

// Replaces what ONNX does not have: epilogues become Add, Relu and Clip nodes, the library's own operators
// become ONNX's, operators newer than the graph's opset become older ones, and INT8 nodes become float nodes
// between DequantizeLinear and QuantizeLinear (the QDQ form). Raises the opset where that form needs it.
tslim_status tsl_onnx_spell_out(tslim_graph *graph);

#endif
