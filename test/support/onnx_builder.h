// SPDX-License-Identifier: Apache-2.0
// Small ONNX files in memory, field by field: the field numbers are those of ONNX's onnx.proto.
#ifndef TEST_SUPPORT_ONNX_BUILDER_H
#define TEST_SUPPORT_ONNX_BUILDER_H

#include "support/proto_writer.h"

enum {
    ONNX_GRAPH_NODE = 1,
    ONNX_GRAPH_INITIALIZER = 5,
    ONNX_GRAPH_INPUT = 11,
    ONNX_GRAPH_OUTPUT = 12,
    ONNX_GRAPH_SPARSE = 15,
    ONNX_TENSOR_DIMS = 1,
    ONNX_TENSOR_TYPE = 2,
    ONNX_TENSOR_FLOATS = 4,
    ONNX_TENSOR_INT32S = 5,
    ONNX_TENSOR_INT64S = 7,
    ONNX_TENSOR_NAME = 8,
    ONNX_TENSOR_RAW = 9,
    ONNX_TENSOR_DOUBLES = 10,
    ONNX_TENSOR_UINT64S = 11,
    ONNX_TENSOR_EXTERNAL = 13,
    ONNX_TENSOR_LOCATION = 14,
    ONNX_NODE_ATTRIBUTE = 5
};

// name, type and dims of a TensorProto; the data is the caller's. `name` NULL: none.
void onnx_tensor(proto *tensor, const char *name, int64_t type, size_t rank, const int64_t *dims);
// An initializer of floats 0, 1, 2, ... as raw data.
void onnx_weights(proto *graph, const char *name, size_t rank, const int64_t *dims);
// A value of floats; a dim of -1 is the symbol "N".
void onnx_value(proto *graph, uint32_t field, const char *name, size_t rank, const int64_t *dims);
// Operand lists are names with commas between: "x,w,". An empty name is an absent operand.
void onnx_node(proto *node, const char *op_type, const char *name, const char *inputs, const char *outputs);
void onnx_attr_int(proto *node, const char *name, int64_t value);
void onnx_attr_ints(proto *node, const char *name, size_t count, const int64_t *values);
void onnx_attr_float(proto *node, const char *name, float value);
void onnx_attr_tensor(proto *node, const char *name, const proto *tensor);
// A whole model around the graph.
void onnx_model(proto *model, int64_t opset, const proto *graph);

#endif
