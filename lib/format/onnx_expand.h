// SPDX-License-Identifier: Apache-2.0
// Operators of a file that become several of ONNX's own when it is read: the rules, and what they are written
// with.
#ifndef TSL_FORMAT_ONNX_EXPAND_H
#define TSL_FORMAT_ONNX_EXPAND_H

#include "ir/graph.h"

#define TSL_EXPANDER_INPUTS 16

typedef struct tsl_expander {
    tslim_graph *graph;
    uint32_t n; // the node at work
    tsl_op op; // that it becomes, by its rule
    uint32_t inputs[TSL_EXPANDER_INPUTS]; // as it came; TSL_NONE past the last
    tsl_attrs attrs; // as they came
} tsl_expander;

typedef struct tsl_expansion {
    const char *domain, *op_type;
    tsl_op op;
    uint32_t most_inputs, most_outputs; // nodes with more stay as they are
    tslim_status (*expand)(tsl_expander *e);
} tsl_expansion;

// Each node of an operator that the library does not know and a rule does.
tslim_status tsl_expand_nodes(tslim_graph *graph, const tsl_expansion *rules, size_t n_rules);

// A new value; a scalar.
tslim_status tsl_expand_value(tsl_expander *e, uint32_t *id);
tslim_status tsl_expand_number(tsl_expander *e, float number, uint32_t *id);
// A new node before the one at work, the last of the graph's; `b` may be TSL_NONE.
tslim_status tsl_expand_before(tsl_expander *e, tsl_op op, uint32_t a, uint32_t b, uint32_t *result);
// The node becomes `op` of these operands, without attributes.
tslim_status tsl_expand_become(tsl_expander *e, tsl_op op, uint32_t n_inputs, const uint32_t *inputs);
// The result goes through one more node, whose first operand it becomes; `second` may be TSL_NONE.
tslim_status tsl_expand_finish(tsl_expander *e, tsl_op op, uint32_t second, uint32_t *added);

// The node's attributes by their names in the file.
const tsl_attr *tsl_expand_attr(const tsl_expander *e, const char *name);
int64_t tsl_expand_int(const tsl_expander *e, const char *name, int64_t otherwise);
float tsl_expand_float(const tsl_expander *e, const char *name, float otherwise);

#endif
