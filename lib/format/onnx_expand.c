// SPDX-License-Identifier: Apache-2.0
// The pieces that operators are written with, and the walk over a graph.
#include "format/onnx_expand.h"

#include <string.h>

tslim_status tsl_expand_value(tsl_expander *e, uint32_t *id) {
    const char *name = tsl_arena_format(&e->graph->arena, "%s_part", e->graph->nodes[e->n].name);
    TSL_REQUIRE_MEMORY(name, 1);
    return tsl_graph_add_value(e->graph, name, TSLIM_DTYPE_NONE, id);
}

tslim_status tsl_expand_number(tsl_expander *e, float number, uint32_t *id) {
    void *data;
    TSL_TRY(tsl_graph_add_constant(e->graph, "number", TSLIM_DTYPE_FLOAT, 0, NULL, id, &data));
    memcpy(data, &number, sizeof(number));
    return TSLIM_OK;
}

// A new node before the one at work; `b` may be TSL_NONE.
tslim_status tsl_expand_before(tsl_expander *e, tsl_op op, uint32_t a, uint32_t b, uint32_t *result) {
    uint32_t added;
    TSL_REQUIRE(a != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    TSL_TRY(tsl_expand_value(e, result));
    return tsl_graph_add_node(
        e->graph, op, NULL, b == TSL_NONE ? 1 : 2, (uint32_t[]){a, b}, 1, result, &added);
}

// The node becomes `op` of these operands, without attributes.
tslim_status tsl_expand_become(tsl_expander *e, tsl_op op, uint32_t n_inputs, const uint32_t *inputs) {
    const tsl_op_info *info = tsl_op_get_info(op);
    for (uint32_t i = 0; i < n_inputs && i < info->min_inputs; i++)
        TSL_REQUIRE(inputs[i] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "operand %u is absent", i);
    uint32_t *copy = tsl_arena_copy(&e->graph->arena, inputs, n_inputs * sizeof(*inputs));
    TSL_REQUIRE_MEMORY(copy, n_inputs * sizeof(*inputs));
    tsl_node *node = &e->graph->nodes[e->n];
    node->op = op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs = copy;
    node->n_inputs = n_inputs;
    node->attrs = (tsl_attrs){0};
    return TSLIM_OK;
}

// The result goes through one more node, whose first operand it becomes; `second` may be TSL_NONE.
tslim_status tsl_expand_finish(tsl_expander *e, tsl_op op, uint32_t second, uint32_t *added) {
    tslim_graph *graph = e->graph;
    uint32_t result = graph->nodes[e->n].outputs[0], inner;
    TSL_TRY(tsl_expand_value(e, &inner));
    graph->nodes[e->n].outputs[0] = inner;
    graph->values[inner].producer = e->n;
    return tsl_graph_add_node(
        graph, op, NULL, second == TSL_NONE ? 1 : 2, (uint32_t[]){inner, second}, 1, &result, added);
}

const tsl_attr *tsl_expand_attr(const tsl_expander *e, const char *name) {
    for (uint32_t i = 0; i < e->attrs.count; i++)
        if (strcmp(e->attrs.items[i].name, name) == 0) return &e->attrs.items[i];
    return NULL;
}
int64_t tsl_expand_int(const tsl_expander *e, const char *name, int64_t otherwise) {
    const tsl_attr *attr = tsl_expand_attr(e, name);
    return attr && attr->type == TSL_ATTR_TYPE_INT ? attr->i : otherwise;
}
float tsl_expand_float(const tsl_expander *e, const char *name, float otherwise) {
    const tsl_attr *attr = tsl_expand_attr(e, name);
    return attr && attr->type == TSL_ATTR_TYPE_FLOAT ? attr->f : otherwise;
}

static tslim_status expand_node(tslim_graph *graph, uint32_t n, const tsl_expansion *rules, size_t n_rules) {
    const tsl_node *node = &graph->nodes[n];
    if (node->op != TSL_OP_UNKNOWN) return TSLIM_OK;
    for (size_t i = 0; i < n_rules; i++) {
        if (strcmp(node->op_type, rules[i].op_type) != 0 || strcmp(node->domain, rules[i].domain) != 0 ||
            node->n_inputs > rules[i].most_inputs || node->n_outputs < 1 ||
            node->n_outputs > rules[i].most_outputs || node->outputs[0] == TSL_NONE)
            continue;
        tsl_expander e = {.graph = graph, .n = n, .op = rules[i].op, .attrs = node->attrs};
        for (uint32_t k = 0; k < TSL_EXPANDER_INPUTS; k++)
            e.inputs[k] = k < node->n_inputs ? node->inputs[k] : TSL_NONE;
        tslim_status status = rules[i].expand(&e);
        return status == TSLIM_OK
                   ? status
                   : tsl_fail_prefix(status, "node '%.200s' (%s)", graph->nodes[n].name, rules[i].op_type);
    }
    return TSLIM_OK;
}

tslim_status tsl_expand_nodes(tslim_graph *graph, const tsl_expansion *rules, size_t n_rules) {
    uint32_t n_nodes = graph->n_nodes; // what is added needs no visit
    for (uint32_t n = 0; n < n_nodes; n++) TSL_TRY(expand_node(graph, n, rules, n_rules));
    return TSLIM_OK;
}
