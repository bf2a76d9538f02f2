// SPDX-License-Identifier: Apache-2.0
// Captured values of bodies under the names that they have around them, as ONNX wants it.
#ifndef TSL_FORMAT_ONNX_CAPTURES_H
#define TSL_FORMAT_ONNX_CAPTURES_H

#include "ir/graph.h"

// Renames values of the bodies, and of bodies within them: a captured input gets the name of the operand that
// arrives at it; no other value of a body has a name of a graph around it. Each output of a body is made by a
// node of it.
tslim_status tsl_onnx_name_captures(tslim_graph *graph);

#endif
