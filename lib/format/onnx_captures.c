// SPDX-License-Identifier: Apache-2.0
// In a file a body reads what is around it by name, so names must say what inputs say in the graph.
#include "format/onnx_captures.h"

#include <string.h>

#include "ir/bodies.h"

// The graphs around a body, the nearest first.
typedef struct scope {
    const tslim_graph *graph;
    const struct scope *outer;
} scope;

static bool is_visible(const scope *around, const char *name) {
    for (; around; around = around->outer)
        if (tsl_graph_find_value(around->graph, name) != TSL_NONE) return true;
    return false;
}

static tslim_status rename_value(tslim_graph *body, uint32_t id, const char *name) {
    const char *copy = tsl_arena_string(&body->arena, name);
    TSL_REQUIRE_MEMORY(
        copy && tsl_name_map_set(&body->value_names, copy, id) ? copy : NULL, sizeof(tsl_name_slot));
    body->values[id].name = copy;
    return TSLIM_OK;
}

// A name that neither the body nor anything around it has.
static tslim_status rename_apart(tslim_graph *body, uint32_t id, const scope *around) {
    for (uint32_t number = 1;; number++) {
        const char *name = tsl_arena_format(&body->arena, "%s_in%u", body->values[id].name, number);
        TSL_REQUIRE_MEMORY(name, sizeof(tsl_name_slot));
        if (tsl_graph_find_value(body, name) == TSL_NONE && !is_visible(around, name))
            return rename_value(body, id, name);
    }
}

static bool is_captured(const tslim_graph *body, uint32_t n_captured, uint32_t id) {
    for (uint32_t i = body->n_inputs - n_captured; i < body->n_inputs; i++)
        if (body->inputs[i] == id) return true;
    return false;
}

// One operand may be captured twice: the first stands for both.
static tslim_status name_input(tslim_graph *body, uint32_t id, const char *name) {
    uint32_t other = tsl_graph_find_value(body, name);
    if (other == id || other == TSL_NONE || strcmp(body->values[other].name, name) != 0)
        return rename_value(body, id, name);
    tsl_graph_replace_uses(body, id, other);
    return TSLIM_OK;
}

// Results that are constants or inputs, which ONNX does not want.
static tslim_status add_producers(tslim_graph *body) {
    for (uint32_t i = 0; i < body->n_outputs; i++) {
        uint32_t from = body->outputs[i], copy, node;
        if (body->values[from].producer != TSL_NONE) continue;
        TSL_TRY(tsl_graph_add_value(body, "result", body->values[from].dtype, &copy));
        body->values[copy].shape = body->values[from].shape;
        TSL_TRY(tsl_graph_add_node(body, TSL_OP_IDENTITY, NULL, 1, &from, 1, &copy, &node));
        body->outputs[i] = copy;
    }
    return TSLIM_OK;
}

static tslim_status name_graph(tslim_graph *graph, const scope *around);

static tslim_status name_body(const tsl_node *node, tslim_graph *body, const scope *around) {
    TSL_TRY(add_producers(body));
    for (uint32_t v = 0; v < body->n_values; v++)
        if (is_visible(around, body->values[v].name) && !is_captured(body, node->n_captured, v))
            TSL_TRY(rename_apart(body, v, around));
    for (uint32_t c = 1; c <= node->n_captured; c++) {
        uint32_t operand = node->inputs[node->n_inputs - c];
        TSL_TRY(name_input(body, body->inputs[body->n_inputs - c], around->graph->values[operand].name));
    }
    return name_graph(body, around);
}

static tslim_status name_graph(tslim_graph *graph, const scope *around) {
    scope here = {graph, around};
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++)
            if (graph->nodes[n].attrs.items[i].type == TSL_ATTR_TYPE_GRAPH)
                TSL_TRY(name_body(&graph->nodes[n], graph->bodies[graph->nodes[n].attrs.items[i].i], &here));
    return TSLIM_OK;
}

tslim_status tsl_onnx_name_captures(tslim_graph *graph) {
    return name_graph(graph, NULL);
}
