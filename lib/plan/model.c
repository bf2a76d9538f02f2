// SPDX-License-Identifier: Apache-2.0
// From a user's graph to a model: everything that does not depend on input shapes, done once.
#include "plan/model.h"

#include "ir/bodies.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"

// Weights that bodies capture: where passes have not done it yet.
static tslim_status sink_constants(tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) TSL_TRY(tsl_graph_sink_constants(graph, n));
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(sink_constants(graph->bodies[i]));
    return TSLIM_OK;
}

static tslim_status widen_halves(tslim_graph *graph) {
    TSL_TRY(tsl_pass_widen_halves(graph));
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(widen_halves(graph->bodies[i]));
    return TSLIM_OK;
}

static tslim_status prepare_graph(tsl_model *model, const tslim_graph *graph, bool optimize) {
    TSL_TRY(tsl_check_operators(graph, NULL, NULL));
    TSL_TRY(tslim_graph_clone(graph, &model->graph));
    if (optimize && !graph->optimized) TSL_TRY(tsl_optimize(model->graph, tsl_evaluate_on_cpu, NULL));
    if (!optimize && !graph->optimized) TSL_TRY(widen_halves(model->graph));
    TSL_TRY(sink_constants(model->graph));
    tsl_graph_set_optimized(model->graph); // with packed weights it can only be run
    return tsl_graph_pack_weights(model->graph, model->backend);
}

tslim_status tsl_model_create(const tslim_graph *graph, const tsl_backend *backend, tslim_isa isa,
    tsl_winograd_choice winograd, bool optimize, tsl_model **result) {
    tsl_model *model = tsl_allocate_zeroed(graph->ctx, sizeof(*model));
    TSL_REQUIRE_MEMORY(model, sizeof(*model));
    atomic_init(&model->references, 1);
    model->ctx = tsl_context_retain(graph->ctx);
    model->backend = backend;
    model->isa = isa;
    model->optimize = optimize;
    model->winograd = winograd;
    tslim_status status = prepare_graph(model, graph, optimize);
    if (status != TSLIM_OK) {
        tsl_model_release(model);
        return status;
    }
    *result = model;
    return TSLIM_OK;
}

tsl_model *tsl_model_retain(tsl_model *model) {
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
    return model;
}

void tsl_model_release(tsl_model *model) {
    if (!model || atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1) return;
    tslim_context *ctx = model->ctx;
    tslim_graph_destroy(model->graph);
    tsl_free(ctx, model, sizeof(*model));
    tsl_context_release(ctx);
}
