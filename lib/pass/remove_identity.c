// SPDX-License-Identifier: Apache-2.0
// Nodes that hand their input on unchanged.
#include "pass/pass.h"

static bool changes_nothing(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_value *output = tsl_node_output(graph, node, 0);
    if (!input || !output) return false;
    switch (node->op) {
    case TSL_OP_IDENTITY: return true;
    case TSL_OP_DROPOUT: return node->n_outputs < 2 || node->outputs[1] == TSL_NONE; // a mask is a real output
    case TSL_OP_CAST: return input->dtype == output->dtype;
    default: return false;
    }
}

tslim_status tsl_pass_remove_identity(tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        if (!changes_nothing(graph, node)) continue;
        uint32_t input = node->inputs[0], output = node->outputs[0];
        // A graph output keeps its name and its producer: only a node can stand between it and an input.
        if (tsl_graph_is_output(graph, output)) continue;
        tsl_graph_remove_node(graph, n);
        tsl_graph_replace_uses(graph, output, input);
    }
    return tsl_graph_compact(graph);
}
