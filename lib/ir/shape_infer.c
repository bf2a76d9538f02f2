// SPDX-License-Identifier: Apache-2.0
// Shape inference of one node: the table of shape functions, the checks that hold for every operator, and the
// rules for axes and broadcasting.
#include "ir/bodies.h"
#include "ir/shape_functions.h"

static const tsl_shape_function functions[TSL_OP_COUNT] = {
#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    [TSL_OP_##id] = tsl_shape_##shape,
#include "ir/ops.def"
#undef TSL_OP
};

tsl_shape_function tsl_op_shape_function(tsl_op op) {
    return (unsigned)op < TSL_OP_COUNT ? functions[op] : NULL;
}

// Nothing is known of the results of an operator that the library does not know; their types stay as
// declared.
static void forget_outputs(tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        tsl_value *output = tsl_node_output(graph, node, i);
        if (output) output->shape = (tsl_shape){0};
    }
}

static tslim_status check_operands(const tslim_graph *graph, const tsl_node *node) {
    const tsl_op_info *info = tsl_op_get_info(node->op);
    TSL_REQUIRE(node->n_inputs >= info->min_inputs &&
                    (info->max_inputs == UINT8_MAX || node->n_inputs <= info->max_inputs),
        TSLIM_ERROR_INVALID_ARGUMENT, "%u operands, not %u to %u", node->n_inputs, info->min_inputs,
        info->max_inputs);
    TSL_REQUIRE(node->n_outputs >= info->min_outputs &&
                    (info->max_outputs == UINT8_MAX || node->n_outputs <= info->max_outputs),
        TSLIM_ERROR_INVALID_ARGUMENT, "%u results, not %u to %u", node->n_outputs, info->min_outputs,
        info->max_outputs);
    bool all = info->max_inputs == UINT8_MAX; // operators of any number of operands need each of them
    for (uint32_t i = 0; i < node->n_inputs; i++)
        TSL_REQUIRE(tsl_node_input(graph, node, i) ||
                        (i >= info->min_inputs && (!all || tsl_op_has_bodies(node->op))),
            TSLIM_ERROR_INVALID_ARGUMENT, "operand %u is absent", i);
    TSL_REQUIRE(node->epilogue.residual < 0 || tsl_node_input(graph, node, (uint32_t)node->epilogue.residual),
        TSLIM_ERROR_INVALID_ARGUMENT, "operand %d, to be added to the result, is absent",
        node->epilogue.residual);
    return TSLIM_OK;
}

tslim_status tsl_infer_node(tslim_graph *graph, uint32_t node_index) {
    const tsl_node *node = &graph->nodes[node_index];
    tsl_shape_function function = tsl_op_shape_function(node->op);
    if (!function) {
        forget_outputs(graph, node);
        return TSLIM_OK;
    }
    tslim_status status = check_operands(graph, node);
    if (status == TSLIM_OK) status = function(graph, node);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "node '%s' (%s)", node->name, node->op_type);
}

tslim_status tsl_normalize_axis(int64_t axis, uint32_t rank, uint32_t *normalized) {
    TSL_REQUIRE(axis >= -(int64_t)rank && axis < (int64_t)rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "axis %" PRId64 " of a tensor of rank %u", axis, rank);
    *normalized = (uint32_t)(axis < 0 ? axis + (int64_t)rank : axis);
    return TSLIM_OK;
}

// One dim of each, not both missing. False when they do not fit.
static bool broadcast_dim(
    int64_t a, const char *a_symbol, int64_t b, const char *b_symbol, tsl_shape *out, uint32_t i) {
    bool take_b = a == 1 || (a < 0 && b > 1); // a dim that is not known must be 1 or b
    if (a < 0 && b < 0) {
        bool same = a_symbol && b_symbol && strcmp(a_symbol, b_symbol) == 0;
        out->dims[i] = -1;
        out->symbols[i] = same ? a_symbol : NULL;
        return true;
    }
    if (a >= 0 && b >= 0 && a != b && a != 1 && b != 1) return false;
    // 0 beside something not known is 0: it must be 0 or 1.
    if (a < 0 && b == 0) take_b = true;
    out->dims[i] = take_b ? b : a;
    out->symbols[i] = take_b ? b_symbol : a_symbol;
    return true;
}

tslim_status tsl_shape_broadcast(const tsl_shape *a, const tsl_shape *b, tsl_shape *out) {
    tsl_shape result = {0};
    if (a->known && b->known) {
        result.known = true;
        result.rank = a->rank > b->rank ? a->rank : b->rank;
    }
    for (uint32_t i = 0; i < result.rank; i++) {
        uint32_t skip_a = result.rank - a->rank, skip_b = result.rank - b->rank;
        int64_t a_dim = i < skip_a ? 1 : a->dims[i - skip_a], b_dim = i < skip_b ? 1 : b->dims[i - skip_b];
        const char *a_symbol = i < skip_a ? NULL : a->symbols[i - skip_a];
        const char *b_symbol = i < skip_b ? NULL : b->symbols[i - skip_b];
        if (!broadcast_dim(a_dim, a_symbol, b_dim, b_symbol, &result, i)) {
            char a_text[TSL_SHAPE_TEXT], b_text[TSL_SHAPE_TEXT];
            return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "shapes %s and %s do not broadcast",
                tsl_shape_format(a, a_text, sizeof(a_text)), tsl_shape_format(b, b_text, sizeof(b_text)));
        }
    }
    *out = result;
    return TSLIM_OK;
}
