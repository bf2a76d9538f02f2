// SPDX-License-Identifier: Apache-2.0
// ONNX files with graphs within nodes, and pieces to make others from.
#ifndef TEST_SUPPORT_CONTROL_MODELS_H
#define TEST_SUPPORT_CONTROL_MODELS_H

#include <stdbool.h>

#include "support/onnx_builder.h"

void control_node(
    proto *graph, const char *op_type, const char *name, const char *inputs, const char *outputs);
// A value without a type, as bodies may have them.
void control_value(proto *graph, uint32_t field, const char *name);
// An initializer that is one int64, or one bool.
void control_int(proto *graph, const char *name, int64_t value);
void control_bool(proto *graph, const char *name, bool value);
void control_body(proto *node, const char *attribute, const proto *body);

// state = Loop(trips, go, x): each iteration adds x to what it carries; `gathers`: output "all" has each.
// `trips` and `go` are names, "" for none; the graph that it is put into has them, and x.
void control_add_loop(proto *graph, const char *trips, const char *go, bool gathers);

// x[N] -> y = x + 3 (x + w), z = the indices of what is positive in y as floats: a Loop with an If in it that
// captures from both graphs around it, and NonZero.
void control_mixed_model(proto *model);

#endif
