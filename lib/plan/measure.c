// SPDX-License-Identifier: Apache-2.0
// Parameters and multiply-adds.
#include <string.h>

#include "plan/specialize.h"

static uint64_t product(const int64_t *dims, uint32_t count) {
    uint64_t result = 1;
    for (uint32_t i = 0; i < count; i++) result *= dims[i] > 0 ? (uint64_t)dims[i] : 0;
    return result;
}

uint64_t tsl_node_macs(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    const tsl_value *output = tsl_node_output(graph, node, 0);
    if (!input || !weights || !output || !tsl_shape_is_static(&output->shape) ||
        !tsl_shape_is_static(&input->shape) || !tsl_shape_is_static(&weights->shape))
        return 0;
    const tsl_shape *in = &input->shape, *w = &weights->shape, *out = &output->shape;
    switch (node->op) {
    case TSL_OP_CONV: // each output element reads in / group channels of each kernel position
        return product(out->dims, out->rank) * product(w->dims + 1, w->rank - 1);
    case TSL_OP_CONV_TRANSPOSE: // each input element is spread over out / group channels of each kernel
                                // position
        return product(in->dims, in->rank) * product(w->dims + 1, w->rank - 1);
    case TSL_OP_CONV_WEIGHT_GRADIENT: // each element of dy meets each weight of its channel
        return product(w->dims, w->rank) * product(out->dims + 1, out->rank - 1);
    case TSL_OP_GEMM:
        return product(out->dims, out->rank) *
               product(in->dims + (tsl_attrs_int(&node->attrs, TSL_ATTR_transA, 0) ? 0 : 1), 1);
    case TSL_OP_MATMUL:
        return product(out->dims, out->rank) * product(in->dims + in->rank - 1, 1);
    default:
        return 0;
    }
}

static bool is_weight_type(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_FLOAT || dtype == TSLIM_DTYPE_DOUBLE || dtype == TSLIM_DTYPE_FLOAT16 ||
           dtype == TSLIM_DTYPE_BFLOAT16 || dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
}

static void add_parameters(const tslim_graph *graph, tslim_graph_totals *totals) {
    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tsl_value *value = &graph->values[v];
        if (!tsl_value_is_constant(value) || !is_weight_type(value->dtype)) continue;
        uint64_t elements = product(value->shape.dims, value->shape.rank);
        totals->parameters += elements;
        totals->parameter_bytes += elements * tslim_dtype_size(value->dtype);
    }
    for (uint32_t i = 0; i < graph->n_bodies; i++) add_parameters(graph->bodies[i], totals);
}

// Takes over the types and shapes that are now known. Inputs and outputs keep their symbolic dims: they are
// the interface.
static void copy_shapes(tslim_graph *graph, const tslim_graph *specialized) {
    for (uint32_t v = 0; v < graph->n_values; v++) {
        tsl_value *value = &graph->values[v];
        uint32_t other = tsl_graph_find_value(specialized, value->name);
        if (value->producer == TSL_NONE || other == TSL_NONE) continue;
        tsl_value_set_dtype(value, specialized->values[other].dtype);
        if (tsl_graph_is_output(graph, v)) continue;
        const tsl_shape *shape = &specialized->values[other].shape;
        if (shape->known) tsl_shape_set(&value->shape, shape->rank, shape->dims);
    }
}

tslim_status tslim_graph_measure(
    tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_graph_totals *totals) {
    TSL_REQUIRE(graph && totals && (shapes || n_shapes == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "graph, shapes or totals is NULL");
    TSL_REQUIRE(totals->struct_size == sizeof(*totals), TSLIM_ERROR_INVALID_ARGUMENT,
        "totals: struct_size %u, not %zu", totals->struct_size, sizeof(*totals));
    tslim_graph *specialized;
    TSL_TRY(tsl_graph_specialize(graph, shapes, n_shapes, &specialized));
    *totals = (tslim_graph_totals){.struct_size = sizeof(*totals)};
    add_parameters(graph, totals);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tsl_node *node = &graph->nodes[n];
        const tsl_value *output = tsl_node_output(graph, node, 0);
        uint32_t other = output ? tsl_graph_find_value(specialized, output->name) : TSL_NONE;
        uint32_t producer = other == TSL_NONE ? TSL_NONE : specialized->values[other].producer;
        node->macs = producer == TSL_NONE ? 0 : tsl_node_macs(specialized, &specialized->nodes[producer]);
        totals->macs += node->macs;
    }
    copy_shapes(graph, specialized);
    tslim_graph_destroy(specialized);
    return TSLIM_OK;
}
