// SPDX-License-Identifier: Apache-2.0
// Operators that ONNX Runtime's optimizer makes of several float ones.
#ifndef TSL_FORMAT_ONNX_FUSED_H
#define TSL_FORMAT_ONNX_FUSED_H

#include "ir/graph.h"

// Writes com.microsoft's fused float operators as the operators of ONNX that they stand for, which the
// library's own passes fuse as it likes. Those that cannot be written so stay.
tslim_status tsl_onnx_expand_fused(tslim_graph *graph);

#endif
