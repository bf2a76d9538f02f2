// SPDX-License-Identifier: Apache-2.0
// What the QuantizeLinear and DequantizeLinear nodes of a file say, in INT8's terms.
#include <math.h>

#include "pass/fold_quantized.h"

static bool is_constant_of(const tsl_value *value, tslim_dtype dtype) {
    return value && tsl_value_is_constant(value) && value->dtype == dtype &&
           value->packing == TSL_PACKING_NONE;
}

static bool is_byte(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
}

static bool is_scale(float scale) {
    return isfinite(scale) && scale >= 1e-37f;
}

// Of one byte with one zero point, as INT8.
static int32_t signed_zero_point(const tsl_value *zero, size_t index, tslim_dtype dtype) {
    if (!zero) return dtype == TSLIM_DTYPE_INT8 ? 0 : -128;
    return dtype == TSLIM_DTYPE_INT8 ? ((const int8_t *)zero->data)[index]
                                     : ((const uint8_t *)zero->data)[index] - 128;
}

// The quantized side's type, and the parameters' operands; false where they are not what is understood here.
static bool read_operands(const tslim_graph *graph, const tsl_node *node, tslim_dtype *dtype,
    const tsl_value **scale, const tsl_value **zero) {
    bool quantize = node->op == TSL_OP_QUANTIZE_LINEAR;
    if (!quantize && node->op != TSL_OP_DEQUANTIZE_LINEAR) return false;
    const tsl_value *x = tsl_node_input(graph, node, 0), *y = tsl_node_output(graph, node, 0);
    const tsl_value *real = quantize ? x : y, *integers = quantize ? y : x;
    *scale = tsl_node_input(graph, node, 1);
    *zero = tsl_node_input(graph, node, 2);
    if (!real || !integers || real->dtype != TSLIM_DTYPE_FLOAT || !is_byte(integers->dtype)) return false;
    *dtype = integers->dtype;
    return is_constant_of(*scale, TSLIM_DTYPE_FLOAT) && (!*zero || is_constant_of(*zero, *dtype));
}

tsl_quant_form tsl_quantized_parameters(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *scale, *zero;
    tslim_dtype dtype;
    tsl_quant_form none = {0};
    if (!read_operands(graph, node, &dtype, &scale, &zero) || scale->bytes != sizeof(float) ||
        (zero && zero->bytes != 1) || !is_scale(*(const float *)scale->data))
        return none;
    return (tsl_quant_form){*(const float *)scale->data, signed_zero_point(zero, 0, dtype)};
}

// ---- Weights ----

const tsl_node *tsl_weights_dequantizer(const tslim_graph *graph, uint32_t id) {
    if (id == TSL_NONE || graph->values[id].producer == TSL_NONE) return NULL;
    const tsl_node *node = &graph->nodes[graph->values[id].producer];
    const tsl_value *scale, *zero, *x = tsl_node_input(graph, node, 0);
    tslim_dtype dtype;
    if (node->op != TSL_OP_DEQUANTIZE_LINEAR || !read_operands(graph, node, &dtype, &scale, &zero) ||
        !is_constant_of(x, dtype) || scale->shape.rank > 1 ||
        (zero && zero->bytes * sizeof(float) != scale->bytes))
        return NULL;
    size_t count = scale->bytes / sizeof(float);
    for (size_t i = 0; i < count; i++)
        if (!is_scale(((const float *)scale->data)[i])) return NULL;
    if (count == 1) return node;
    int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    if (axis < 0) axis += x->shape.rank;
    return axis >= 0 && axis < x->shape.rank && x->shape.dims[axis] == (int64_t)count ? node : NULL;
}

// The axis of its scales, of which there are `count`.
int32_t tsl_weights_scale_axis(const tslim_graph *graph, const tsl_node *node, size_t count) {
    int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    return count == 1 ? 0 : (int32_t)(axis < 0 ? axis + tsl_node_input(graph, node, 0)->shape.rank : axis);
}

tslim_status tsl_read_weights_parameters(tslim_graph *graph, const tsl_node *node, tsl_quant *quant) {
    const tsl_value *x = tsl_node_input(graph, node, 0), *scale = tsl_node_input(graph, node, 1),
                    *zero = tsl_node_input(graph, node, 2);
    size_t count = scale->bytes / sizeof(float);
    float *scales = tsl_arena_copy(&graph->arena, scale->data, scale->bytes);
    int32_t *zero_points = tsl_arena_array(&graph->arena, count, sizeof(*zero_points));
    TSL_REQUIRE_MEMORY(scales && zero_points ? graph : NULL, scale->bytes);
    *quant = (tsl_quant){.scales = scales, .n_scales = (uint32_t)count};
    quant->axis = tsl_weights_scale_axis(graph, node, count);
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        zero_points[i] = signed_zero_point(zero, i, x->dtype);
        same &= zero_points[i] == zero_points[0];
    }
    if (same)
        quant->zero_point = zero_points[0];
    else
        quant->zero_points = zero_points;
    return TSLIM_OK;
}
