// SPDX-License-Identifier: Apache-2.0
// ONNX files.
#ifndef TSL_FORMAT_ONNX_H
#define TSL_FORMAT_ONNX_H

#include "ir/graph.h"

// Reads a model of opset 1 to 21; what ops.def says of an operator decides whether its node can run. `buffer` is kept by the graph; weights lie in it where their alignment
// allows. `folder` is where external data may lie; NULL: nowhere. The graph is verified. BAD_FILE,
// UNSUPPORTED, LIMIT, NO_MEMORY; the message says where.
tslim_status tsl_onnx_read(tslim_context *ctx, tsl_buffer *buffer, const char *folder, tslim_graph **graph);

// Writes a graph whose weights are in plain order. What only the library has is spelled out in ONNX's
// operators.
tslim_status tsl_onnx_write(const tslim_graph *graph, const char *path);

#endif
