// SPDX-License-Identifier: Apache-2.0
// BatchNormalization put back behind convolutions that it was folded into. What was normalized had mean 0 and
// variance 1, so gamma is the standard deviation of what the layer makes, and beta its mean: both can be
// measured. Weights are divided by gamma; the outputs stay what they were.
#include <math.h>
#include <string.h>

#include "prune/repair.h"

// A convolution with a bias of its own and nothing that normalizes: one that never had a BatchNormalization
// behind it rarely looks like that.
static bool can_restore(const tslim_graph *graph, const tsl_repair_site *site) {
    const tsl_node *node = &graph->nodes[site->node];
    return !site->skip && (node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE) &&
           site->batch_norm == TSL_NONE && site->bias_node == site->node && tsl_node_input(graph, node, 2) &&
           site->own == node->outputs[0];
}

static tslim_status add_row(
    tslim_graph *graph, const char *layer, const char *what, uint32_t width, uint32_t *id, float **row) {
    char *name = tsl_arena_format(&graph->arena, "%s.%s", layer, what);
    void *data;
    TSL_REQUIRE_MEMORY(name, strlen(layer) + strlen(what) + 2);
    TSL_TRY(tsl_graph_add_constant(graph, name, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){width}, id, &data));
    *row = data;
    return TSLIM_OK;
}

// The node, between the convolution and the value that it makes now.
static tslim_status add_norm(tslim_graph *graph, const tsl_repair_site *site, float *rows[4], float epsilon) {
    static const char *const names[4] = {"gamma", "beta", "mean", "variance"};
    const char *layer = graph->nodes[site->node].name;
    uint32_t inputs[5], before, index;
    TSL_TRY(tsl_graph_add_value(graph, layer, TSLIM_DTYPE_FLOAT, &before));
    graph->values[before].shape = graph->values[site->own].shape;
    inputs[0] = before;
    for (uint32_t i = 0; i < 4; i++)
        TSL_TRY(add_row(graph, layer, names[i], site->width, &inputs[i + 1], &rows[i]));
    char *name = tsl_arena_format(&graph->arena, "%s.batchnorm", layer);
    TSL_REQUIRE_MEMORY(name, strlen(layer) + 11);
    graph->nodes[site->node].outputs[0] = before;
    graph->values[before].producer = site->node;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_BATCH_NORMALIZATION, name, 5, inputs, 1, &site->own, &index));
    return tsl_node_set_float(graph, &graph->nodes[index], TSL_ATTR_epsilon, epsilon);
}

static tslim_status restore(tsl_repair *repair, tsl_repair_site *site, const tsl_repair_moments *moments) {
    tslim_graph *graph = repair->graph;
    const float epsilon = 1e-5f;
    float *rows[4];
    double largest = 0;
    tsl_repair_weights w;
    TSL_TRY(tsl_repair_read_weights(repair, site, &w));
    for (size_t o = 0; o < site->width; o++) largest = fmax(largest, moments->deviation[o]);
    tslim_status status = add_norm(graph, site, rows, epsilon);
    for (size_t o = 0; o < site->width && status == TSLIM_OK; o++) {
        // A channel that never changes has no scale to find.
        double gamma = moments->deviation[o] > 1e-4 * largest ? moments->deviation[o]
                       : largest > 0                          ? largest
                                                              : 1;
        for (size_t i = 0; i < site->depth; i++) w.weights[o * site->depth + i] /= gamma;
        rows[0][o] = (float)gamma;
        rows[1][o] = (float)moments->mean[o];
        rows[2][o] = (float)((moments->mean[o] - w.bias[o]) / gamma);
        rows[3][o] = 1 - epsilon;
    }
    // The bias is the normalization's now.
    if (status == TSLIM_OK) {
        graph->nodes[site->node].n_inputs = 2;
        site->bias_node = TSL_NONE;
        status = tsl_repair_write_weights(repair, site, &w, moments->mean, moments->deviation);
    }
    tsl_free(repair->ctx, w.weights, w.bytes);
    return status;
}

// Measures all layers before the first is changed.
static tslim_status measure_all(tsl_repair *repair, tsl_repair_moments *moments) {
    for (uint32_t i = 0; i < repair->n_sites; i++) {
        const tsl_repair_site *site = &repair->sites[i];
        tsl_repair_rows rows;
        if (!can_restore(repair->graph, site)) continue;
        TSL_TRY(tsl_repair_sample(repair, site, TSL_REPAIR_VIEW_OWN, &rows));
        tslim_status status = tsl_repair_measure(repair->ctx, rows.y, rows.n_rows, site->width, &moments[i]);
        tsl_repair_rows_clear(&rows);
        TSL_TRY(status);
    }
    return TSLIM_OK;
}

static tslim_status restore_all(tsl_repair *repair, uint32_t *n_restored) {
    TSL_REQUIRE(tslim_dataset_count(repair->dataset) > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "restoring BatchNormalization needs samples, the dataset has none");
    TSL_TRY(tsl_repair_find_channels(repair));
    TSL_TRY(tsl_repair_find_sites(repair));
    size_t bytes = ((size_t)repair->n_sites + 1) * sizeof(tsl_repair_moments);
    tsl_repair_moments *moments = tsl_allocate_zeroed(repair->ctx, bytes);
    TSL_REQUIRE_MEMORY(moments, bytes);
    tslim_status status = measure_all(repair, moments);
    for (uint32_t i = 0; i < repair->n_sites && status == TSLIM_OK; i++) {
        if (!moments[i].mean) continue;
        status = restore(repair, &repair->sites[i], &moments[i]);
        ++*n_restored;
    }
    for (uint32_t i = 0; i < repair->n_sites; i++)
        if (moments[i].mean) tsl_free(repair->ctx, moments[i].mean, moments[i].bytes);
    tsl_free(repair->ctx, moments, bytes);
    // The new nodes stand at the end.
    if (status == TSLIM_OK) status = tsl_graph_sort(repair->graph);
    TSL_TRY(status);
    return TSL_VERIFY(repair->graph);
}

tslim_status tslim_graph_restore_batchnorm(tslim_graph *graph, tslim_dataset *dataset, uint32_t *n_restored) {
    TSL_REQUIRE(graph && dataset, TSLIM_ERROR_INVALID_ARGUMENT, "graph or dataset is NULL");
    TSL_REQUIRE(
        !graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT, "the model is optimized or quantized already");
    uint32_t count = 0;
    tslim_repair_options options;
    tslim_repair_options_init(&options);
    tsl_repair repair = {.ctx = graph->ctx, .teacher = graph, .dataset = dataset, .options = &options};
    tsl_arena_init(&repair.arena, graph->ctx);
    tslim_status status = tslim_graph_clone(graph, &repair.graph);
    if (status == TSLIM_OK) status = restore_all(&repair, &count);
    if (status == TSLIM_OK) tsl_graph_swap(graph, repair.graph);
    if (status == TSLIM_OK && n_restored) *n_restored = count;
    tslim_graph_destroy(repair.graph);
    tslim_channel_groups_destroy(repair.groups);
    tsl_arena_clear(&repair.arena);
    return status;
}
