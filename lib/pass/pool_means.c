// SPDX-License-Identifier: Apache-2.0
// The mean over all positions of a feature map is GlobalAveragePool, which likes channels last and knows
// INT8; some exporters write ReduceMean.
#include "ir/shape_infer.h"
#include "pass/pass.h"

static bool is_mean_of_maps(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0);
    if (node->op != TSL_OP_REDUCE_MEAN || !x || !x->shape.known || x->dtype != TSLIM_DTYPE_FLOAT ||
        x->shape.rank < 4 || node->n_outputs != 1)
        return false;
    const uint32_t rank = x->shape.rank;
    int64_t axes[TSLIM_MAX_RANK];
    size_t count;
    if (!tsl_node_get_ints(graph, node, TSL_ATTR_axes, 1, axes, TSLIM_MAX_RANK, &count) || count != rank - 2)
        return false;
    uint32_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 2 || axis >= rank || x->shape.dims[axis] == 0) return false;
        seen |= 1u << axis;
    }
    return seen == (1u << rank) - 4;
}

static tslim_status pool(tslim_graph *graph, uint32_t n) {
    const bool keeps = tsl_attrs_int(&graph->nodes[n].attrs, TSL_ATTR_keepdims, 1) != 0;
    const uint32_t output = graph->nodes[n].outputs[0];
    if (!keeps) {
        uint32_t pooled, added;
        TSL_TRY(tsl_graph_add_value(graph, graph->values[output].name, TSLIM_DTYPE_FLOAT, &pooled));
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_FLATTEN, NULL, 1, &pooled, 1, &output, &added));
        graph->nodes[n].outputs[0] = pooled;
        tsl_value *value = &graph->values[pooled];
        value->producer = n;
        value->shape = tsl_node_input(graph, &graph->nodes[n], 0)->shape;
        for (uint32_t i = 2; i < value->shape.rank; i++) {
            value->shape.dims[i] = 1;
            value->shape.symbols[i] = NULL;
        }
    }
    const tsl_op_info *info = tsl_op_get_info(TSL_OP_GLOBAL_AVERAGE_POOL);
    tsl_node *node = &graph->nodes[n];
    node->op = TSL_OP_GLOBAL_AVERAGE_POOL;
    node->op_type = info->name;
    node->domain = info->domain;
    node->n_inputs = 1;
    node->attrs.count = 0;
    return TSLIM_OK;
}

tslim_status tsl_pass_pool_means(tslim_graph *graph) {
    const uint32_t n_nodes = graph->n_nodes;
    for (uint32_t n = 0; n < n_nodes; n++)
        if (is_mean_of_maps(graph, &graph->nodes[n])) TSL_TRY(pool(graph, n));
    return graph->n_nodes > n_nodes ? tsl_graph_sort(graph) : TSLIM_OK;
}
