// SPDX-License-Identifier: Apache-2.0
// The shape of Einsum's result.
#include "ir/einsum.h"
#include "ir/shape_functions.h"

// Dims of each label over all operands: 1 is stretched.
static tslim_status merge_dims(
    const tslim_graph *graph, const tsl_node *node, const tsl_einsum *e, tsl_shape *one, tsl_shape *labels) {
    for (uint32_t i = 0; i < e->n_operands; i++) {
        const tsl_value *operand = tsl_node_input(graph, node, i);
        for (uint32_t d = 0; d < e->operands[i].rank; d++) {
            tsl_shape *of_label = &labels[e->operands[i].labels[d]];
            tsl_shape_copy_dim(one, 0, &operand->shape, d);
            tslim_status status = tsl_shape_broadcast(of_label, one, of_label);
            if (status != TSLIM_OK) return tsl_fail_prefix(status, "dim %u of '%s'", d, operand->name);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_shape_einsum(tslim_graph *graph, const tsl_node *node) {
    uint32_t ranks[TSL_EINSUM_OPERANDS];
    const tslim_dtype dtype = tsl_node_input(graph, node, 0)->dtype;
    tsl_shape out = {0};
    TSL_REQUIRE(node->n_inputs <= TSL_EINSUM_OPERANDS, TSLIM_ERROR_LIMIT, "%u operands, at most %d",
        node->n_inputs, TSL_EINSUM_OPERANDS);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *operand = tsl_node_input(graph, node, i);
        TSL_TRY(tsl_require_type(operand, TSL_TYPES_NUMBER));
        TSL_TRY(tsl_require_same_type(graph, node, 0, i));
        if (!operand->shape.known) return tsl_set_output(graph, node, 0, dtype, &out);
        ranks[i] = operand->shape.rank;
    }
    const char *equation = tsl_attrs_string(&node->attrs, TSL_ATTR_equation, NULL);
    TSL_REQUIRE(equation, TSLIM_ERROR_INVALID_ARGUMENT, "equation is missing");
    tsl_einsum e;
    TSL_TRY(tsl_einsum_read(equation, node->n_inputs, ranks, &e));
    tsl_shape one = {.known = true, .rank = 1, .dims = {1}}, labels[TSL_EINSUM_LABELS];
    for (uint32_t i = 0; i < TSL_EINSUM_LABELS; i++) labels[i] = one;
    TSL_TRY(merge_dims(graph, node, &e, &one, labels));
    out.known = true;
    for (uint32_t d = 0; d < e.output.rank; d++) {
        const tsl_shape *of_label = &labels[e.output.labels[d]];
        TSL_TRY(tsl_shape_append(&out, of_label->dims[0], of_label->symbols[0]));
    }
    return tsl_set_output(graph, node, 0, dtype, &out);
}
