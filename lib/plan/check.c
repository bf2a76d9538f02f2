// SPDX-License-Identifier: Apache-2.0
// Every reason why a graph cannot run, all at once: first what needs no shapes, then what the kernels say.
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "plan/specialize.h"

// Operators on values that are no tensors.
static bool is_of_sequences(const tsl_node *node) {
    return !*node->domain &&
           (strstr(node->op_type, "Sequence") || strncmp(node->op_type, "Optional", 8) == 0);
}

static void check_node(tsl_issues *issues, const tslim_graph *graph, const tsl_node *node) {
    char reason[256];
    const tsl_op_info *info = tsl_op_get_info(node->op);
    if (node->op == TSL_OP_UNKNOWN && is_of_sequences(node)) {
        snprintf(reason, sizeof(reason),
            "operator %s is not supported: sequences and optionals are not tensors", node->op_type);
        tsl_issues_add(issues, node, reason, "export the model with tensors in their place");
    } else if (node->op == TSL_OP_UNKNOWN) {
        snprintf(reason, sizeof(reason), "operator %s%s%s is not supported", node->domain,
            *node->domain ? "." : "", node->op_type);
        tsl_issues_add(
            issues, node, reason, "replace it by supported operators, or export the model without it");
    } else if (!graph->optimized && !*info->domain &&
               (graph->opset < info->min_opset || graph->opset > info->max_opset)) {
        // The passes make nodes that are younger than the file's opset: in an optimized graph they are right.
        snprintf(reason, sizeof(reason), "opset %u is not supported for it (%u to %u are)", graph->opset,
            info->min_opset, info->max_opset);
        tsl_issues_add(issues, node, reason, "export the model with another opset");
    }
}

static void check_nodes(tsl_issues *issues, const tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) check_node(issues, graph, &graph->nodes[n]);
    for (uint32_t i = 0; i < graph->n_bodies; i++) check_nodes(issues, graph->bodies[i]);
}

tslim_status tsl_check_operators(const tslim_graph *graph, tslim_issue_callback callback, void *user) {
    tsl_issues issues;
    tsl_issues_init(&issues, graph, callback, user);
    check_nodes(&issues, graph);
    return tsl_issues_finish(&issues);
}

tslim_status tslim_graph_check(const tslim_graph *graph, tslim_issue_callback callback, void *user) {
    TSL_REQUIRE(graph, TSLIM_ERROR_INVALID_ARGUMENT, "graph is NULL");
    TSL_TRY(tsl_graph_check_packed(graph, &tsl_cpu_backend));
    TSL_TRY(tsl_check_operators(graph, callback, user));
    tsl_model *model;
    TSL_TRY(tsl_model_create(graph, &tsl_cpu_backend, graph->ctx->isa, TSL_WINOGRAD_BY_SHAPE, false, &model));
    tsl_environment env;
    tsl_environment_init(&env, model);
    tslim_graph *specialized;
    tslim_status status = tsl_graph_specialize(model->graph, NULL, 0, &specialized);
    tsl_plan *plan = NULL;
    if (status == TSLIM_OK) status = tsl_plan_create(&env, specialized, callback, user, &plan);
    tsl_plan_destroy(plan);
    // A model with symbolic dims may not run at size 1; that says nothing about its operators.
    if (status == TSLIM_ERROR_INVALID_ARGUMENT) status = TSLIM_OK;
    tsl_model_release(model);
    return status;
}
