// SPDX-License-Identifier: Apache-2.0
#include "support/onnx_builder.h"

#include <string.h>

enum { FLOAT = 1 };
enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_TENSOR = 4, ATTRIBUTE_INTS = 7 };

void onnx_tensor(proto *tensor, const char *name, int64_t type, size_t rank, const int64_t *dims) {
    for (size_t i = 0; i < rank; i++) proto_number(tensor, ONNX_TENSOR_DIMS, dims[i]);
    proto_number(tensor, ONNX_TENSOR_TYPE, type);
    if (name) proto_text(tensor, ONNX_TENSOR_NAME, name);
}

void onnx_weights(proto *graph, const char *name, size_t rank, const int64_t *dims) {
    proto tensor = {0};
    float values[256];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= (size_t)dims[i];
    for (size_t i = 0; i < count && i < 256; i++) values[i] = (float)i;
    onnx_tensor(&tensor, name, FLOAT, rank, dims);
    proto_bytes(&tensor, ONNX_TENSOR_RAW, values, count * sizeof(float));
    proto_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

void onnx_value(proto *graph, uint32_t field, const char *name, size_t rank, const int64_t *dims) {
    proto shape = {0}, tensor_type = {0}, type = {0}, info = {0};
    for (size_t i = 0; i < rank; i++) {
        proto dim = {0};
        if (dims[i] < 0)
            proto_text(&dim, 2, "N");
        else
            proto_number(&dim, 1, dims[i]);
        proto_message(&shape, 1, &dim);
    }
    proto_number(&tensor_type, 1, FLOAT);
    proto_message(&tensor_type, 2, &shape);
    proto_message(&type, 1, &tensor_type);
    proto_text(&info, 1, name);
    proto_message(&info, 2, &type);
    proto_message(graph, field, &info);
}

static void put_names(proto *node, uint32_t field, const char *names) {
    while (names) {
        const char *comma = strchr(names, ',');
        proto_bytes(node, field, names, comma ? (size_t)(comma - names) : strlen(names));
        names = comma ? comma + 1 : NULL;
    }
}

void onnx_node(proto *node, const char *op_type, const char *name, const char *inputs, const char *outputs) {
    put_names(node, 1, inputs);
    put_names(node, 2, outputs);
    if (*name) proto_text(node, 3, name);
    proto_text(node, 4, op_type);
}

void onnx_attr_int(proto *node, const char *name, int64_t value) {
    proto attribute = {0};
    proto_text(&attribute, 1, name);
    proto_number(&attribute, 3, value);
    proto_number(&attribute, 20, ATTRIBUTE_INT);
    proto_message(node, ONNX_NODE_ATTRIBUTE, &attribute);
}

void onnx_attr_ints(proto *node, const char *name, size_t count, const int64_t *values) {
    proto attribute = {0};
    proto_text(&attribute, 1, name);
    for (size_t i = 0; i < count; i++) proto_number(&attribute, 8, values[i]);
    proto_number(&attribute, 20, ATTRIBUTE_INTS);
    proto_message(node, ONNX_NODE_ATTRIBUTE, &attribute);
}

void onnx_attr_float(proto *node, const char *name, float value) {
    proto attribute = {0};
    proto_text(&attribute, 1, name);
    proto_float(&attribute, 2, value);
    proto_number(&attribute, 20, ATTRIBUTE_FLOAT);
    proto_message(node, ONNX_NODE_ATTRIBUTE, &attribute);
}

void onnx_attr_tensor(proto *node, const char *name, const proto *tensor) {
    proto attribute = {0};
    proto_text(&attribute, 1, name);
    proto_message(&attribute, 5, tensor);
    proto_number(&attribute, 20, ATTRIBUTE_TENSOR);
    proto_message(node, ONNX_NODE_ATTRIBUTE, &attribute);
}

void onnx_model(proto *model, int64_t opset, const proto *graph) {
    proto set = {0};
    proto_number(&set, 2, opset);
    proto_number(model, 1, 8); // IR version
    proto_text(model, 2, "test");
    proto_message(model, 7, graph);
    proto_message(model, 8, &set);
}
