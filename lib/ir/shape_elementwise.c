// SPDX-License-Identifier: Apache-2.0
// Shapes of functions of single elements: of one value, of two or more with broadcasting, and casts.
#include "ir/shape_functions.h"

#define ANY_TYPE UINT32_MAX

static tsl_types types_of_same(tsl_op op) {
    switch (op) {
    case TSL_OP_NOT:
        return TSL_TYPE(BOOL);
    case TSL_OP_RELU:
    case TSL_OP_PRELU:
    case TSL_OP_CLIP:
    case TSL_OP_NEG:
    case TSL_OP_ABS:
    case TSL_OP_SIGN:
    case TSL_OP_SHRINK:
        return TSL_TYPES_NUMBER;
    case TSL_OP_BITWISE_NOT:
        return TSL_TYPES_SIGNED | TSL_TYPES_UNSIGNED;
    case TSL_OP_IDENTITY:
    case TSL_OP_REORDER:
        return ANY_TYPE;
    case TSL_OP_QUANTIZE:
        return TSL_TYPE(FLOAT);
    case TSL_OP_DEQUANTIZE:
        return TSL_TYPE(INT8) | TSL_TYPE(UINT8) | TSL_TYPE(INT32);
    default:
        return TSL_TYPES_FLOAT;
    }
}

tslim_status tsl_shape_same(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape shape = input->shape;
    TSL_TRY(tsl_require_type(input, types_of_same(node->op)));
    if (node->op == TSL_OP_QUANTIZE) {
        const tsl_value *output = tsl_node_output(graph, node, 0);
        bool is_unsigned = output && output->dtype == TSLIM_DTYPE_UINT8;
        return tsl_set_output_exact(
            graph, node, 0, is_unsigned ? TSLIM_DTYPE_UINT8 : TSLIM_DTYPE_INT8, &shape);
    }
    if (node->op == TSL_OP_DEQUANTIZE) return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_FLOAT, &shape);
    if (node->op == TSL_OP_PRELU) {
        const tsl_value *slope = tsl_node_input(graph, node, 1);
        char slope_text[TSL_SHAPE_TEXT], text[TSL_SHAPE_TEXT];
        TSL_TRY(tsl_require_same_type(graph, node, 0, 1));
        TSL_REQUIRE(tsl_shape_stretches_to(&slope->shape, &shape), TSLIM_ERROR_INVALID_ARGUMENT,
            "slope %s does not stretch to input %s",
            tsl_shape_format(&slope->shape, slope_text, sizeof(slope_text)),
            tsl_shape_format(&shape, text, sizeof(text)));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &shape);
}

// IsNaN and IsInf.
tslim_status tsl_shape_special_values(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape shape = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_BOOL, &shape);
}

tslim_status tsl_shape_dropout(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape shape = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_set_output(graph, node, 0, input->dtype, &shape));
    // The mask was of the input's type before opset 10.
    return tsl_set_output_exact(graph, node, 1, graph->opset < 10 ? input->dtype : TSLIM_DTYPE_BOOL, &shape);
}

tslim_status tsl_shape_softmax(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape shape = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    uint32_t axis;
    int64_t default_axis = graph->opset < 13 ? 1 : -1;
    int64_t given = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, default_axis);
    // Before opset 13 the tensor is seen as a matrix that is split at the axis, which may be behind the last
    // dim.
    bool behind = graph->opset < 13 && shape.known && given == (int64_t)shape.rank;
    if (shape.known && !behind) TSL_TRY(tsl_normalize_axis(given, shape.rank, &axis));
    return tsl_set_output(graph, node, 0, input->dtype, &shape);
}

// ---- Two and more ----

static tslim_status broadcast_all(tslim_graph *graph, const tsl_node *node, tsl_shape *out) {
    *out = tsl_node_input(graph, node, 0)->shape;
    for (uint32_t i = 1; i < node->n_inputs; i++)
        TSL_TRY(tsl_shape_broadcast(out, &tsl_node_input(graph, node, i)->shape, out));
    return TSLIM_OK;
}

tslim_status tsl_shape_variadic(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), TSL_TYPES_NUMBER));
        TSL_TRY(tsl_require_same_type(graph, node, 0, i));
    }
    TSL_TRY(broadcast_all(graph, node, &out));
    return tsl_set_output(graph, node, 0, tsl_node_input(graph, node, 0)->dtype, &out);
}

tslim_status tsl_shape_binary(tslim_graph *graph, const tsl_node *node) {
    return tsl_shape_variadic(graph, node);
}

tslim_status tsl_shape_bitwise(tslim_graph *graph, const tsl_node *node) {
    tsl_types types = TSL_TYPES_UNSIGNED;
    if (node->op == TSL_OP_BIT_SHIFT) {
        const char *direction = tsl_attrs_string(&node->attrs, TSL_ATTR_direction, "");
        TSL_REQUIRE(strcmp(direction, "LEFT") == 0 || strcmp(direction, "RIGHT") == 0,
            TSLIM_ERROR_INVALID_ARGUMENT, "direction is '%.40s', not LEFT or RIGHT", direction);
    } else {
        types |= TSL_TYPES_SIGNED;
    }
    for (uint32_t i = 0; i < 2; i++) TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), types));
    return tsl_shape_variadic(graph, node);
}

// The exponent may be of another type.
tslim_status tsl_shape_pow(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    for (uint32_t i = 0; i < 2; i++)
        TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), TSL_TYPES_NUMBER));
    TSL_TRY(broadcast_all(graph, node, &out));
    return tsl_set_output(graph, node, 0, tsl_node_input(graph, node, 0)->dtype, &out);
}

tslim_status tsl_shape_compare(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    bool logical = node->op == TSL_OP_AND || node->op == TSL_OP_OR || node->op == TSL_OP_XOR;
    tsl_types types = logical ? TSL_TYPE(BOOL) : TSL_TYPES_NUMBER;
    if (node->op == TSL_OP_EQUAL) types |= TSL_TYPE(BOOL);
    for (uint32_t i = 0; i < 2; i++) TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), types));
    TSL_TRY(tsl_require_same_type(graph, node, 0, 1));
    TSL_TRY(broadcast_all(graph, node, &out));
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_BOOL, &out);
}

tslim_status tsl_shape_where(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    TSL_TRY(tsl_require_type(tsl_node_input(graph, node, 0), TSL_TYPE(BOOL)));
    TSL_TRY(tsl_require_same_type(graph, node, 1, 2));
    TSL_TRY(broadcast_all(graph, node, &out));
    return tsl_set_output(graph, node, 0, tsl_node_input(graph, node, 1)->dtype, &out);
}

// ---- Types ----

tslim_status tsl_shape_cast(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape shape = tsl_node_input(graph, node, 0)->shape;
    int64_t to = tsl_attrs_int(&node->attrs, TSL_ATTR_to, TSLIM_DTYPE_NONE);
    TSL_REQUIRE(to > 0 && to <= INT32_MAX && tslim_dtype_size((tslim_dtype)to) > 0, TSLIM_ERROR_UNSUPPORTED,
        "a cast to type %" PRId64, to);
    return tsl_set_output_exact(graph, node, 0, (tslim_dtype)to, &shape);
}

tslim_status tsl_shape_cast_like(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape shape = tsl_node_input(graph, node, 0)->shape;
    return tsl_set_output_exact(graph, node, 0, tsl_node_input(graph, node, 1)->dtype, &shape);
}

// Scale and zero point are scalars or lists along an axis.
static tslim_status check_scale(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *scale = tsl_node_input(graph, node, 1), *zero = tsl_node_input(graph, node, 2);
    const tsl_shape *x = &tsl_node_input(graph, node, 0)->shape;
    TSL_TRY(tsl_require_type(scale, TSL_TYPES_FLOAT | TSL_TYPE(INT32)));
    if (!scale->shape.known || !x->known) return TSLIM_OK;
    TSL_REQUIRE(scale->shape.rank <= 1, TSLIM_ERROR_UNSUPPORTED, "scales in blocks ('%s' has %u dims)",
        scale->name, scale->shape.rank);
    if (zero && zero->shape.known)
        TSL_REQUIRE(
            zero->shape.rank <= 1, TSLIM_ERROR_UNSUPPORTED, "'%s' has %u dims", zero->name, zero->shape.rank);
    if (scale->shape.rank == 0 || scale->shape.dims[0] == 1) return TSLIM_OK;
    uint32_t axis;
    TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1), x->rank, &axis));
    TSL_REQUIRE(tsl_dims_agree(scale->shape.dims[0], x->dims[axis]), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " scales for %" PRId64 " indices of axis %u", scale->shape.dims[0], x->dims[axis], axis);
    return TSLIM_OK;
}

tslim_status tsl_shape_quantize_linear(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *zero = tsl_node_input(graph, node, 2);
    const tsl_shape shape = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT | TSL_TYPE(INT32)));
    TSL_TRY(check_scale(graph, node));
    return tsl_set_output_exact(graph, node, 0, zero ? zero->dtype : TSLIM_DTYPE_UINT8, &shape);
}

tslim_status tsl_shape_dequantize_linear(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape shape = tsl_node_input(graph, node, 0)->shape;
    TSL_TRY(tsl_require_type(tsl_node_input(graph, node, 0), TSL_TYPES_SIGNED | TSL_TYPES_UNSIGNED));
    TSL_TRY(check_scale(graph, node));
    return tsl_set_output_exact(graph, node, 0, tsl_node_input(graph, node, 1)->dtype, &shape);
}
