// SPDX-License-Identifier: Apache-2.0
// The nodes of a branch that is always taken in place of its If.
#include "ir/bodies.h"

// Which value of the graph each value of the branch becomes.
typedef struct inliner {
    tslim_graph *graph;
    tslim_graph *branch;
    uint32_t *map;
} inliner;

// Captured inputs are the node's operands; an output that a node of the branch makes is the node's result.
static void map_ends(inliner *in, uint32_t n) {
    const tsl_node *node = &in->graph->nodes[n];
    for (uint32_t v = 0; v < in->branch->n_values; v++) in->map[v] = TSL_NONE;
    for (uint32_t i = 0; i < in->branch->n_inputs; i++) in->map[in->branch->inputs[i]] = node->inputs[1 + i];
    for (uint32_t i = 0; i < in->branch->n_outputs; i++) {
        uint32_t output = in->branch->outputs[i];
        if (in->branch->values[output].producer != TSL_NONE && in->map[output] == TSL_NONE)
            in->map[output] = node->outputs[i];
    }
}

static tslim_status copy_values(inliner *in) {
    for (uint32_t v = 0; v < in->branch->n_values; v++) {
        if (in->map[v] != TSL_NONE) continue;
        const tsl_value *from = &in->branch->values[v];
        TSL_TRY(tsl_graph_add_value(in->graph, from->name, from->dtype, &in->map[v]));
        tsl_value *to = &in->graph->values[in->map[v]];
        const char *name = to->name;
        *to = *from;
        bool failed = false;
        tsl_value_copy_parts(&in->graph->arena, to, &failed); // keeps a reference to the data
        to->name = name;
        to->producer = TSL_NONE;
        if (failed) return tsl_no_memory(sizeof(tsl_value));
    }
    return TSLIM_OK;
}

static void renumber(uint32_t *ids, uint32_t count, const uint32_t *map) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] != TSL_NONE) ids[i] = map[ids[i]];
}

static tslim_status copy_node(inliner *in, uint32_t n) {
    tslim_graph *graph = in->graph;
    tsl_node node = in->branch->nodes[n];
    bool failed = false;
    uint32_t index;
    tsl_node_copy_parts(&graph->arena, &node, &failed);
    if (failed) return tsl_no_memory(sizeof(tsl_node));
    renumber(node.inputs, node.n_inputs, in->map);
    renumber(node.outputs, node.n_outputs, in->map);
    for (uint32_t i = 0; i < node.attrs.count; i++) {
        tsl_attr *attr = &node.attrs.items[i];
        if (attr->type == TSL_ATTR_TYPE_TENSOR) attr->i = in->map[attr->i];
        if (attr->type == TSL_ATTR_TYPE_GRAPH) {
            tslim_graph *body;
            uint32_t place;
            TSL_TRY(tslim_graph_clone(in->branch->bodies[attr->i], &body));
            tslim_status status = tsl_graph_add_body(graph, body, &place);
            if (status != TSLIM_OK) tslim_graph_destroy(body);
            TSL_TRY(status);
            attr->i = place;
        }
    }
    TSL_TRY(tsl_graph_add_node(
        graph, node.op, node.name, node.n_inputs, node.inputs, node.n_outputs, node.outputs, &index));
    node.name = graph->nodes[index].name; // made unique
    graph->nodes[index] = node;
    return TSLIM_OK;
}

// Results that are no node's of the branch: what it captured, a constant, one value twice.
static tslim_status copy_other_outputs(inliner *in, const uint32_t *outputs) {
    for (uint32_t i = 0; i < in->branch->n_outputs; i++) {
        uint32_t from = in->map[in->branch->outputs[i]], index;
        if (outputs[i] == TSL_NONE || outputs[i] == from) continue;
        TSL_TRY(tsl_graph_add_node(in->graph, TSL_OP_IDENTITY, NULL, 1, &from, 1, &outputs[i], &index));
    }
    return TSLIM_OK;
}

static tslim_status inline_branch(inliner *in, uint32_t n) {
    const uint32_t *outputs = in->graph->nodes[n].outputs;
    map_ends(in, n);
    TSL_TRY(copy_values(in));
    tsl_graph_remove_node(in->graph, n);
    for (uint32_t m = 0; m < in->branch->n_nodes; m++) TSL_TRY(copy_node(in, m));
    return copy_other_outputs(in, outputs);
}

tslim_status tsl_graph_inline_branch(tslim_graph *graph, uint32_t n, tslim_graph *branch) {
    size_t bytes = branch->n_values * sizeof(uint32_t);
    inliner in = {graph, branch, tsl_allocate(graph->ctx, bytes)};
    TSL_REQUIRE_MEMORY(in.map, bytes);
    tslim_status status = inline_branch(&in, n);
    tsl_free(graph->ctx, in.map, bytes);
    return status;
}
