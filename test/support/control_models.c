// SPDX-License-Identifier: Apache-2.0
#include "support/control_models.h"

#include <stdio.h>
#include <string.h>

void control_node(
    proto *graph, const char *op_type, const char *name, const char *inputs, const char *outputs) {
    proto node = {0};
    onnx_node(&node, op_type, name, inputs, outputs);
    proto_message(graph, ONNX_GRAPH_NODE, &node);
}

void control_value(proto *graph, uint32_t field, const char *name) {
    proto info = {0};
    proto_text(&info, 1, name);
    proto_message(graph, field, &info);
}

void control_int(proto *graph, const char *name, int64_t value) {
    proto tensor = {0};
    onnx_tensor(&tensor, name, 7, 0, NULL);
    proto_number(&tensor, ONNX_TENSOR_INT64S, value);
    proto_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

void control_bool(proto *graph, const char *name, bool value) {
    proto tensor = {0};
    onnx_tensor(&tensor, name, 9, 0, NULL);
    proto_number(&tensor, ONNX_TENSOR_INT32S, value);
    proto_message(graph, ONNX_GRAPH_INITIALIZER, &tensor);
}

void control_body(proto *node, const char *attribute, const proto *body) {
    proto message = {0};
    proto_text(&message, 1, attribute);
    proto_message(&message, 6, body);
    proto_number(&message, 20, 5);
    proto_message(node, ONNX_NODE_ATTRIBUTE, &message);
}

void control_add_loop(proto *graph, const char *trips, const char *go, bool gathers) {
    proto body = {0}, node = {0};
    char inputs[64];
    control_value(&body, ONNX_GRAPH_INPUT, "i");
    control_value(&body, ONNX_GRAPH_INPUT, "go_in");
    control_value(&body, ONNX_GRAPH_INPUT, "s");
    control_value(&body, ONNX_GRAPH_OUTPUT, "go_out");
    control_value(&body, ONNX_GRAPH_OUTPUT, "t");
    if (gathers) control_value(&body, ONNX_GRAPH_OUTPUT, "u");
    control_node(&body, "Identity", "", "go_in", "go_out");
    control_node(&body, "Add", "", "s,x", "t");
    if (gathers) control_node(&body, "Identity", "", "t", "u");
    snprintf(inputs, sizeof(inputs), "%s,%s,x", trips, go);
    onnx_node(&node, "Loop", "loop", inputs, gathers ? "state,all" : "state");
    control_body(&node, "body", &body);
    proto_message(graph, ONNX_GRAPH_NODE, &node);
}

void control_mixed_model(proto *model) {
    proto g = {0}, loop = {0}, body = {0}, branch = {0}, added = {0}, taken = {0};
    const int64_t dims[1] = {-1};
    onnx_value(&g, ONNX_GRAPH_INPUT, "x", 1, dims);
    onnx_weights(&g, "w", 1, (const int64_t[]){1});
    control_int(&g, "three", 3);
    control_value(&g, ONNX_GRAPH_OUTPUT, "y");
    control_value(&g, ONNX_GRAPH_OUTPUT, "z");

    control_value(&added, ONNX_GRAPH_OUTPUT, "r");
    control_node(&added, "Add", "", "v,s", "r"); // v is the body's, s its input
    control_value(&taken, ONNX_GRAPH_OUTPUT, "r");
    control_node(&taken, "Sub", "", "s,w", "r"); // w is the outermost graph's
    onnx_node(&branch, "If", "branch", "go_in", "t");
    control_body(&branch, "then_branch", &added);
    control_body(&branch, "else_branch", &taken);

    control_value(&body, ONNX_GRAPH_INPUT, "i");
    control_value(&body, ONNX_GRAPH_INPUT, "go_in");
    control_value(&body, ONNX_GRAPH_INPUT, "s");
    control_value(&body, ONNX_GRAPH_OUTPUT, "go_out");
    control_value(&body, ONNX_GRAPH_OUTPUT, "t");
    control_node(&body, "Identity", "", "go_in", "go_out");
    control_node(&body, "Add", "", "x,w", "v");
    proto_message(&body, ONNX_GRAPH_NODE, &branch);
    onnx_node(&loop, "Loop", "loop", "three,,x", "y");
    control_body(&loop, "body", &body);
    proto_message(&g, ONNX_GRAPH_NODE, &loop);

    control_node(&g, "Relu", "relu", "y", "positive");
    control_node(&g, "NonZero", "find", "positive", "found");
    proto cast = {0};
    onnx_node(&cast, "Cast", "cast", "found", "z");
    onnx_attr_int(&cast, "to", 1);
    proto_message(&g, ONNX_GRAPH_NODE, &cast);
    onnx_model(model, 17, &g);
}
