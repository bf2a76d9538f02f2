// SPDX-License-Identifier: Apache-2.0
// Removes nodes whose outputs nobody reads, back to front so that whole chains go at once.
#include "pass/pass.h"

tslim_status tsl_pass_remove_dead(tslim_graph *graph) {
    size_t bytes = graph->n_values;
    uint8_t *read = tsl_allocate_zeroed(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(read, bytes);
    for (uint32_t i = 0; i < graph->n_outputs; i++) read[graph->outputs[i]] = 1;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tsl_node *node = &graph->nodes[n];
        bool alive = false;
        for (uint32_t i = 0; i < node->n_outputs; i++)
            alive |= node->outputs[i] != TSL_NONE && read[node->outputs[i]];
        if (!alive) {
            tsl_graph_remove_node(graph, n);
            continue;
        }
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE) read[node->inputs[i]] = 1;
    }
    tsl_free(graph->ctx, read, bytes);
    return tsl_graph_compact(graph);
}
