// SPDX-License-Identifier: Apache-2.0
// The ordered list of passes, and what they share.
#include "pass/pass.h"

bool tsl_constant_scalar(const tsl_value *value, float *scalar) {
    if (!value || !tsl_value_is_constant(value) || value->dtype != TSLIM_DTYPE_FLOAT ||
        value->bytes != sizeof(float))
        return false;
    *scalar = *(const float *)value->data;
    return true;
}

uint32_t tsl_single_use(const tslim_graph *graph, const tsl_uses *uses, uint32_t value) {
    if (tsl_uses_count(uses, value) != 1 || tsl_graph_is_output(graph, value)) return TSL_NONE;
    return uses->nodes[uses->first[value]];
}

// Bodies too, before any of them takes its node's place.
static tslim_status widen_halves(tslim_graph *graph) {
    TSL_TRY(tsl_pass_widen_halves(graph));
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(widen_halves(graph->bodies[i]));
    return TSLIM_OK;
}

tslim_status tsl_optimize(tslim_graph *graph, tsl_evaluate_node evaluate, void *user) {
    TSL_TRY(widen_halves(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_fold_quantized(graph, evaluate, user));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_infer_and_fold(graph, evaluate, user));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_remove_identity(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_fold_affine(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_fuse_normalization(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_fuse_activations(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_pool_means(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_fuse_epilogues(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_pixel_shuffle(graph));
    TSL_TRY(TSL_VERIFY(graph));
    TSL_TRY(tsl_pass_remove_dead(graph));
    TSL_TRY(TSL_VERIFY(graph));
    for (uint32_t i = 0; i < graph->n_bodies; i++) {
        tslim_status status = tsl_optimize(graph->bodies[i], evaluate, user);
        // A branch may not fit the shapes at hand and never be taken with them: it stays as far as it came.
        if (status != TSLIM_ERROR_INVALID_ARGUMENT) TSL_TRY(status);
    }
    return TSLIM_OK;
}
