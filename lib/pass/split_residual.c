// SPDX-License-Identifier: Apache-2.0
// Two values whose dims were not known were taken as equal when their sum became the epilogue of a product
// (fuse_epilogues.c). Where they turn out to be broadcast, as a mask is to the heads of attention, the sum
// becomes a node again; and where the product can be INT8 without it only.
#include "ir/shape_infer.h"
#include "pass/pass.h"

static bool differ(const tsl_shape *a, const tsl_shape *b) {
    if (!tsl_shape_is_static(a) || !tsl_shape_is_static(b)) return false;
    if (a->rank != b->rank) return true;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return true;
    return false;
}

// The shape of the product itself, as that of its output; the node stays as it is.
static tslim_status infer_product(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    const int32_t residual = node->epilogue.residual;
    node->epilogue.residual = -1;
    node->n_inputs--;
    tslim_status status = tsl_infer_node(graph, n);
    node = &graph->nodes[n];
    node->n_inputs++;
    node->epilogue.residual = residual;
    return status;
}

tslim_status tsl_split_residual(tslim_graph *graph, uint32_t n) {
    const uint32_t output = graph->nodes[n].outputs[0],
                   residual = graph->nodes[n].inputs[graph->nodes[n].n_inputs - 1];
    uint32_t product, sum;
    TSL_TRY(tsl_graph_add_value(graph, graph->values[output].name, TSLIM_DTYPE_FLOAT, &product));
    graph->values[product].shape = graph->values[output].shape;
    graph->values[product].producer = n;
    TSL_TRY(tsl_graph_add_node(
        graph, TSL_OP_ADD, graph->nodes[n].name, 2, (const uint32_t[]){product, residual}, 1, &output, &sum));
    tsl_node *node = &graph->nodes[n];
    graph->nodes[sum].epilogue = node->epilogue;
    graph->nodes[sum].epilogue.residual = -1;
    node->epilogue = (tsl_epilogue){.residual = -1};
    node->outputs[0] = product;
    node->n_inputs--;
    return TSLIM_OK;
}

bool tsl_has_last_residual(const tsl_node *node) {
    return node->epilogue.residual >= 0 && node->epilogue.residual + 1 == (int32_t)node->n_inputs &&
           node->n_outputs == 1 && node->outputs[0] != TSL_NONE &&
           node->inputs[node->n_inputs - 1] != TSL_NONE;
}

tslim_status tsl_pass_split_residual(tslim_graph *graph, uint32_t n, bool *split) {
    *split = false;
    const tsl_node *node = &graph->nodes[n];
    if (!tsl_has_last_residual(node)) return TSLIM_OK;
    const uint32_t output = node->outputs[0], residual = node->inputs[node->n_inputs - 1];
    TSL_TRY(infer_product(graph, n));
    *split = differ(&graph->values[output].shape, &graph->values[residual].shape);
    return *split ? tsl_split_residual(graph, n) : TSLIM_OK;
}
