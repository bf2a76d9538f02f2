// SPDX-License-Identifier: Apache-2.0
// Nodes that hand their input on unchanged.
#include "pass/pass.h"

// Dropout whose training_mode is, or may be, true.
static bool may_train(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *mode = tsl_node_input(graph, node, 2);
    if (!mode) return false;
    return !tsl_value_is_constant(mode) || mode->bytes != 1 || *(const uint8_t *)mode->data != 0;
}

static bool changes_nothing(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_value *output = tsl_node_output(graph, node, 0);
    if (!input || !output) return false;
    switch (node->op) {
    case TSL_OP_IDENTITY:
        return true;
    case TSL_OP_DROPOUT:
        return !tsl_node_output(graph, node, 1) && !may_train(graph, node); // a mask is a real output
    case TSL_OP_CAST:
        return input->dtype == output->dtype;
    default:
        return false;
    }
}

// Times 1, or over 1: exporters write it for a Swish whose factor was not trained. The number must not add
// dims.
static bool is_one(const tslim_graph *graph, const tsl_node *node, uint32_t operand) {
    const tsl_value *x = tsl_node_input(graph, node, 1 - operand);
    const tsl_value *number = tsl_node_input(graph, node, operand);
    float scalar;
    return x && !tsl_value_is_constant(x) && x->shape.known && tsl_constant_scalar(number, &scalar) &&
           scalar == 1 && number->shape.rank <= x->shape.rank;
}

// The input that the node hands on; TSL_NONE when it does something.
static uint32_t handed_on(const tslim_graph *graph, const tsl_node *node) {
    if (!tsl_node_output(graph, node, 0)) return TSL_NONE;
    if (changes_nothing(graph, node)) return node->inputs[0];
    if ((node->op == TSL_OP_MUL || node->op == TSL_OP_DIV) && is_one(graph, node, 1)) return node->inputs[0];
    if (node->op == TSL_OP_MUL && is_one(graph, node, 0)) return node->inputs[1];
    return TSL_NONE;
}

static void replace(uint32_t *ids, uint32_t count, const uint32_t *instead) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] != TSL_NONE) ids[i] = instead[ids[i]];
}

// One walk in order: by the time that a node is seen, its operands are what they will be.
tslim_status tsl_pass_remove_identity(tslim_graph *graph) {
    size_t bytes = graph->n_values * sizeof(uint32_t);
    uint32_t *instead = tsl_allocate(graph->ctx, bytes); // of each value
    TSL_REQUIRE_MEMORY(instead, bytes);
    for (uint32_t v = 0; v < graph->n_values; v++) instead[v] = v;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        replace(node->inputs, node->n_inputs, instead);
        uint32_t input = handed_on(graph, node);
        if (input == TSL_NONE) continue;
        uint32_t output = node->outputs[0];
        // A graph output keeps its name and its producer: only a node can stand between it and an input.
        if (tsl_graph_is_output(graph, output)) continue;
        tsl_graph_remove_node(graph, n);
        instead[output] = input;
    }
    tsl_free(graph->ctx, instead, bytes);
    return tsl_graph_compact(graph);
}
