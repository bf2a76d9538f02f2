// SPDX-License-Identifier: Apache-2.0
// Shapes of reductions.
#include "ir/shape_functions.h"

// Drops the dims of the mask, or makes them 1.
static void reduce_dims(const tsl_shape *in, uint32_t mask, bool keep, tsl_shape *out) {
    *out = (tsl_shape){.known = true};
    for (uint32_t i = 0; i < in->rank; i++) {
        bool reduced = mask >> i & 1;
        if (reduced && !keep) continue;
        if (reduced)
            tsl_shape_set_dim(out, out->rank, 1);
        else
            tsl_shape_copy_dim(out, out->rank, in, i);
        out->rank++;
    }
}

tslim_status tsl_shape_reduce(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    bool of_truth = node->op == TSL_OP_REDUCE_MAX || node->op == TSL_OP_REDUCE_MIN;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_NUMBER | (of_truth ? TSL_TYPE(BOOL) : 0)));
    tsl_numbers axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, 1, &axes));
    bool keep = tsl_attrs_int(&node->attrs, TSL_ATTR_keepdims, 1) != 0;
    bool noop = tsl_attrs_int(&node->attrs, TSL_ATTR_noop_with_empty_axes, 0) != 0;
    tsl_shape out = {0};
    if (!x.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    if (axes.present && !axes.known) {
        if (keep)
            TSL_TRY(tsl_shape_unknown_dims(&out, x.rank));
        else if (axes.count > 0 && axes.count <= (int64_t)x.rank)
            TSL_TRY(tsl_shape_unknown_dims(&out, (int64_t)x.rank - axes.count));
        return tsl_set_output(graph, node, 0, input->dtype, &out);
    }
    uint32_t mask = noop ? 0 : (1u << x.rank) - 1;
    if (axes.present && axes.count > 0) TSL_TRY(tsl_axes_mask(&axes, x.rank, &mask));
    reduce_dims(&x, mask, keep, &out);
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_arg_reduce(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_NUMBER));
    tsl_shape out = {0};
    if (!x.known) return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &out);
    uint32_t axis;
    TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0), x.rank, &axis));
    TSL_REQUIRE(x.dims[axis] != 0, TSLIM_ERROR_INVALID_ARGUMENT, "axis %u of '%s' has no elements", axis,
        input->name);
    reduce_dims(&x, 1u << axis, tsl_attrs_int(&node->attrs, TSL_ATTR_keepdims, 1) != 0, &out);
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &out);
}
