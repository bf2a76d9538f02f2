// SPDX-License-Identifier: Apache-2.0
// Matrix products of repair: a graph of one MatMul, run by a session, so that the kernels of the processor
// and the threads of the context do the work.
#include "prune/repair.h"

static tslim_status build(tslim_graph *graph, int64_t m, int64_t k, int64_t n) {
    const int64_t dims[3][2] = {{m, k}, {k, n}, {m, n}};
    static const char *const names[3] = {"a", "b", "c"};
    uint32_t values[3], node;
    for (int i = 0; i < 3; i++) {
        TSL_TRY(tsl_graph_add_value(graph, names[i], TSLIM_DTYPE_FLOAT, &values[i]));
        tsl_shape_set(&graph->values[values[i]].shape, 2, dims[i]);
    }
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_MATMUL, "product", 2, values, 1, &values[2], &node));
    graph->nodes[node].inputs[0] = values[0];
    graph->nodes[node].inputs[1] = values[1];
    graph->opset = 13;
    graph->inputs = tsl_arena_copy(&graph->arena, values, 2 * sizeof(*values));
    graph->outputs = tsl_arena_copy(&graph->arena, values + 2, sizeof(*values));
    if (!graph->inputs || !graph->outputs) return tsl_no_memory(3 * sizeof(*values));
    graph->n_inputs = 2;
    graph->n_outputs = 1;
    return TSLIM_OK;
}

tslim_status tsl_repair_product_init(
    tsl_repair_product *product, tslim_context *ctx, int64_t m, int64_t k, int64_t n) {
    tslim_graph *graph;
    *product = (tsl_repair_product){.session = NULL};
    TSL_TRY(tsl_graph_create(ctx, &graph));
    tslim_status status = build(graph, m, k, n);
    if (status == TSLIM_OK) status = tslim_session_create(graph, NULL, &product->session);
    tslim_graph_destroy(graph);
    product->inputs[0] = (tslim_tensor){
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 2, .dims = {m, k}, .bytes = (size_t)(m * k) * sizeof(float)};
    product->inputs[1] = (tslim_tensor){
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 2, .dims = {k, n}, .bytes = (size_t)(k * n) * sizeof(float)};
    return status;
}

tslim_status tsl_repair_product_run(
    tsl_repair_product *product, const float *a, const float *b, const float **c) {
    tslim_tensor output = {.data = NULL};
    product->inputs[0].data = (void *)(uintptr_t)a; // only read
    product->inputs[1].data = (void *)(uintptr_t)b;
    TSL_TRY(tslim_session_run(product->session, product->inputs, 2, &output, 1));
    *c = output.data;
    return TSLIM_OK;
}

void tsl_repair_product_clear(tsl_repair_product *product) {
    tslim_session_destroy(product->session);
    product->session = NULL;
}
