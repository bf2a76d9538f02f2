// SPDX-License-Identifier: Apache-2.0
// Operators of files that were quantized in "operator form".
#ifndef TSL_FORMAT_ONNX_QUANTIZED_H
#define TSL_FORMAT_ONNX_QUANTIZED_H

#include "ir/graph.h"

// Writes QLinearConv, QLinearMatMul and com.microsoft's quantized operators as the float operator between
// DequantizeLinear and QuantizeLinear, which says the same: there is one form for all that follows. Those
// that cannot be written so (channels last, blocks) stay.
tslim_status tsl_onnx_expand_quantized(tslim_graph *graph);

#endif
