// SPDX-License-Identifier: Apache-2.0
// Quantized operators become DequantizeLinear, the operator, QuantizeLinear. What they compute is in ONNX's
// Operators.md and in onnxruntime's docs/ContribOperators.md.
#include "format/onnx_quantized.h"

#include <string.h>

#include "format/onnx_expand.h"

#define NO_AXIS INT64_MIN

// ---- Pieces ----

static tslim_status add_float(tsl_expander *e, uint32_t *id) {
    const char *name = tsl_arena_format(&e->graph->arena, "%s_float", e->graph->nodes[e->n].name);
    TSL_REQUIRE_MEMORY(name, 1);
    return tsl_graph_add_value(e->graph, name, TSLIM_DTYPE_NONE, id);
}

static tslim_status add_node(
    tsl_expander *e, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, uint32_t output) {
    uint32_t added;
    return tsl_graph_add_node(e->graph, op, NULL, n_inputs, inputs, 1, &output, &added);
}

// (x - zero) * scale
static tslim_status dequantize(
    tsl_expander *e, uint32_t x, uint32_t scale, uint32_t zero, int64_t axis, uint32_t *result) {
    TSL_REQUIRE(x != TSL_NONE && scale != TSL_NONE, TSLIM_ERROR_BAD_FILE,
        "a quantized operand or its scale is absent");
    TSL_TRY(add_float(e, result));
    TSL_TRY(add_node(
        e, TSL_OP_DEQUANTIZE_LINEAR, zero == TSL_NONE ? 2 : 3, (uint32_t[]){x, scale, zero}, *result));
    if (axis == NO_AXIS) return TSLIM_OK;
    return tsl_node_set_int(e->graph, &e->graph->nodes[e->graph->n_nodes - 1], TSL_ATTR_axis, axis);
}

// Three operands from `first` on.
static tslim_status dequantize_operand(tsl_expander *e, uint32_t first, int64_t axis, uint32_t *result) {
    return dequantize(e, e->inputs[first], e->inputs[first + 1], e->inputs[first + 2], axis, result);
}

// A bias of integers has the scale of the products that it is added to.
static tslim_status dequantize_bias(
    tsl_expander *e, uint32_t bias, uint32_t scale_a, uint32_t scale_b, float factor, uint32_t *result) {
    *result = TSL_NONE;
    if (bias == TSL_NONE) return TSLIM_OK;
    uint32_t scale;
    TSL_TRY(add_float(e, &scale));
    TSL_TRY(add_node(e, TSL_OP_MUL, 2, (uint32_t[]){scale_a, scale_b}, scale));
    if (factor != 1) {
        uint32_t constant, scaled;
        void *data;
        TSL_TRY(tsl_graph_add_constant(e->graph, "alpha", TSLIM_DTYPE_FLOAT, 0, NULL, &constant, &data));
        memcpy(data, &factor, sizeof(factor));
        TSL_TRY(add_float(e, &scaled));
        TSL_TRY(add_node(e, TSL_OP_MUL, 2, (uint32_t[]){scale, constant}, scaled));
        scale = scaled;
    }
    return dequantize(e, bias, scale, TSL_NONE, 0, result);
}

// The node becomes e->op of these operands; attributes stay.
static tslim_status replace(tsl_expander *e, uint32_t n_inputs, const uint32_t *inputs) {
    const tsl_op_info *info = tsl_op_get_info(e->op);
    uint32_t *copy = tsl_arena_copy(&e->graph->arena, inputs, n_inputs * sizeof(*inputs));
    TSL_REQUIRE_MEMORY(copy, n_inputs * sizeof(*inputs));
    tsl_node *node = &e->graph->nodes[e->n];
    node->op = e->op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs = copy;
    node->n_inputs = n_inputs;
    return TSLIM_OK;
}

// The node's result goes through one more operator, whose first operand it becomes.
static tslim_status finish_with(tsl_expander *e, tsl_op op, uint32_t second, uint32_t third) {
    tslim_graph *graph = e->graph;
    uint32_t result = graph->nodes[e->n].outputs[0], inner;
    TSL_TRY(add_float(e, &inner));
    graph->nodes[e->n].outputs[0] = inner;
    graph->values[inner].producer = e->n;
    return add_node(e, op, third == TSL_NONE ? 2 : 3, (uint32_t[]){inner, second, third}, result);
}

static tslim_status quantize_result(tsl_expander *e, uint32_t first) {
    TSL_REQUIRE(e->inputs[first] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "the result's scale is absent");
    return finish_with(e, TSL_OP_QUANTIZE_LINEAR, e->inputs[first], e->inputs[first + 1]);
}

static int64_t int_named(const tsl_attrs *attrs, const char *name, int64_t default_value) {
    for (uint32_t i = 0; i < attrs->count; i++)
        if (attrs->items[i].type == TSL_ATTR_TYPE_INT && strcmp(attrs->items[i].name, name) == 0)
            return attrs->items[i].i;
    return default_value;
}

// ONNX's operator does not have it.
static void remove_named(tsl_attrs *attrs, const char *name) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < attrs->count; i++)
        if (strcmp(attrs->items[i].name, name) != 0) attrs->items[kept++] = attrs->items[i];
    attrs->count = kept;
}

// ---- Operators ----

static tslim_status expand_conv(tsl_expander *e) {
    uint32_t operands[3];
    TSL_TRY(dequantize_operand(e, 0, NO_AXIS, &operands[0]));
    TSL_TRY(dequantize_operand(e, 3, 0, &operands[1]));
    TSL_TRY(dequantize_bias(e, e->inputs[8], e->inputs[1], e->inputs[4], 1, &operands[2]));
    TSL_TRY(replace(e, operands[2] == TSL_NONE ? 2 : 3, operands));
    return quantize_result(e, 6);
}

static tslim_status expand_matmul(tsl_expander *e) {
    uint32_t operands[2];
    TSL_TRY(dequantize_operand(e, 0, -2, &operands[0]));
    TSL_TRY(dequantize_operand(e, 3, -1, &operands[1]));
    TSL_TRY(replace(e, 2, operands));
    return quantize_result(e, 6);
}

// a, b, scale of a, scale of b, zero points, bias
static tslim_status expand_matmul_to_float(tsl_expander *e) {
    uint32_t operands[2];
    TSL_TRY(dequantize(e, e->inputs[0], e->inputs[2], e->inputs[4], -2, &operands[0]));
    TSL_TRY(dequantize(e, e->inputs[1], e->inputs[3], e->inputs[5], -1, &operands[1]));
    TSL_TRY(replace(e, 2, operands));
    return e->inputs[6] == TSL_NONE ? TSLIM_OK : finish_with(e, TSL_OP_ADD, e->inputs[6], TSL_NONE);
}

// a in float, b, scale of b, zero point of b, bias
static tslim_status expand_dynamic_matmul(tsl_expander *e) {
    uint32_t operands[2], quantized[3], added;
    static const tslim_dtype types[3] = {TSLIM_DTYPE_UINT8, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_UINT8};
    for (int i = 0; i < 3; i++) {
        TSL_TRY(add_float(e, &quantized[i]));
        e->graph->values[quantized[i]].dtype = types[i];
    }
    TSL_TRY(tsl_graph_add_node(
        e->graph, TSL_OP_DYNAMIC_QUANTIZE_LINEAR, NULL, 1, e->inputs, 3, quantized, &added));
    TSL_TRY(dequantize(e, quantized[0], quantized[1], quantized[2], NO_AXIS, &operands[0]));
    TSL_TRY(dequantize(e, e->inputs[1], e->inputs[2], e->inputs[3], -1, &operands[1]));
    TSL_TRY(replace(e, 2, operands));
    return e->inputs[4] == TSL_NONE ? TSLIM_OK : finish_with(e, TSL_OP_ADD, e->inputs[4], TSL_NONE);
}

static tslim_status expand_gemm(tsl_expander *e) {
    const tsl_attrs *attrs = &e->graph->nodes[e->n].attrs;
    bool trans_b = tsl_attrs_int(attrs, TSL_ATTR_transB, 0) != 0;
    float alpha = tsl_attrs_float(attrs, TSL_ATTR_alpha, 1);
    uint32_t operands[3];
    TSL_TRY(dequantize_operand(e, 0, NO_AXIS, &operands[0]));
    TSL_TRY(dequantize_operand(e, 3, trans_b ? 0 : 1, &operands[1]));
    TSL_TRY(dequantize_bias(e, e->inputs[6], e->inputs[1], e->inputs[4], alpha, &operands[2]));
    TSL_TRY(replace(e, operands[2] == TSL_NONE ? 2 : 3, operands));
    return e->inputs[7] == TSL_NONE ? TSLIM_OK : quantize_result(e, 7);
}

static tslim_status expand_binary(tsl_expander *e) {
    uint32_t operands[2];
    TSL_TRY(dequantize_operand(e, 0, NO_AXIS, &operands[0]));
    TSL_TRY(dequantize_operand(e, 3, NO_AXIS, &operands[1]));
    TSL_TRY(replace(e, 2, operands));
    return quantize_result(e, 6);
}

static tslim_status expand_unary(tsl_expander *e) {
    uint32_t operand;
    TSL_TRY(dequantize_operand(e, 0, NO_AXIS, &operand));
    TSL_TRY(replace(e, 1, &operand));
    return quantize_result(e, 3);
}

static tslim_status expand_pool(tsl_expander *e) {
    tsl_attrs *attrs = &e->graph->nodes[e->n].attrs;
    if (int_named(attrs, "channels_last", 0) != 0) return TSLIM_OK;
    remove_named(attrs, "channels_last");
    return expand_unary(e);
}

// Before opset 13 all axes from one on went together.
static tslim_status expand_softmax(tsl_expander *e) {
    tsl_attrs *attrs = &e->graph->nodes[e->n].attrs;
    bool whole = int_named(attrs, "opset", 13) < 13;
    if (whole != (e->graph->opset < 13) && tsl_attrs_int(attrs, TSL_ATTR_axis, -1) != -1) return TSLIM_OK;
    remove_named(attrs, "opset");
    return expand_unary(e);
}

// condition, then two values, then the result
static tslim_status expand_where(tsl_expander *e) {
    uint32_t operands[3] = {e->inputs[0]};
    TSL_TRY(dequantize_operand(e, 1, NO_AXIS, &operands[1]));
    TSL_TRY(dequantize_operand(e, 4, NO_AXIS, &operands[2]));
    TSL_TRY(replace(e, 3, operands));
    return quantize_result(e, 7);
}

// The result's scale and zero point, then three for each operand: any number of them.
static tslim_status expand_concat(tsl_expander *e) {
    const tsl_node *node = &e->graph->nodes[e->n];
    const uint32_t *inputs = node->inputs;
    uint32_t count = (node->n_inputs - 2) / 3;
    TSL_REQUIRE(node->n_inputs >= 5 && node->n_inputs == 2 + 3 * count, TSLIM_ERROR_BAD_FILE, "%u operands",
        node->n_inputs);
    uint32_t *operands = tsl_arena_array(&e->graph->arena, count, sizeof(*operands));
    TSL_REQUIRE_MEMORY(operands, count * sizeof(*operands));
    for (uint32_t i = 0; i < count; i++)
        TSL_TRY(
            dequantize(e, inputs[2 + 3 * i], inputs[3 + 3 * i], inputs[4 + 3 * i], NO_AXIS, &operands[i]));
    TSL_TRY(replace(e, count, operands));
    return quantize_result(e, 0);
}

// The same operators as ONNX's.
static tslim_status expand_linear(tsl_expander *e) {
    uint32_t count = e->inputs[2] == TSL_NONE ? 2 : 3, inputs[3] = {e->inputs[0], e->inputs[1], e->inputs[2]};
    TSL_REQUIRE(inputs[0] != TSL_NONE && inputs[1] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    return replace(e, count, inputs);
}

// ---- All nodes ----

#define MICROSOFT "com.microsoft"

#define ANY UINT32_MAX // operands

tslim_status tsl_onnx_expand_quantized(tslim_graph *graph) {
    static const tsl_expansion rules[] = {
        {"", "QLinearConv", TSL_OP_CONV, ANY, 1, expand_conv},
        {"", "QLinearMatMul", TSL_OP_MATMUL, ANY, 1, expand_matmul},
        {MICROSOFT, "QLinearConv", TSL_OP_CONV, ANY, 1, expand_conv},
        {MICROSOFT, "QLinearAdd", TSL_OP_ADD, ANY, 1, expand_binary},
        {MICROSOFT, "QLinearMul", TSL_OP_MUL, ANY, 1, expand_binary},
        {MICROSOFT, "QLinearConcat", TSL_OP_CONCAT, ANY, 1, expand_concat},
        {MICROSOFT, "QLinearAveragePool", TSL_OP_AVERAGE_POOL, ANY, 1, expand_pool},
        {MICROSOFT, "QLinearGlobalAveragePool", TSL_OP_GLOBAL_AVERAGE_POOL, ANY, 1, expand_pool},
        {MICROSOFT, "QLinearReduceMean", TSL_OP_REDUCE_MEAN, ANY, 1, expand_unary},
        {MICROSOFT, "QLinearSigmoid", TSL_OP_SIGMOID, ANY, 1, expand_unary},
        {MICROSOFT, "QLinearLeakyRelu", TSL_OP_LEAKY_RELU, ANY, 1, expand_unary},
        {MICROSOFT, "QLinearSoftmax", TSL_OP_SOFTMAX, ANY, 1, expand_softmax},
        {MICROSOFT, "QLinearWhere", TSL_OP_WHERE, ANY, 1, expand_where},
        {MICROSOFT, "QGemm", TSL_OP_GEMM, ANY, 1, expand_gemm},
        {MICROSOFT, "MatMulIntegerToFloat", TSL_OP_MATMUL, ANY, 1, expand_matmul_to_float},
        {MICROSOFT, "DynamicQuantizeMatMul", TSL_OP_MATMUL, ANY, 1, expand_dynamic_matmul},
        {MICROSOFT, "QuantizeLinear", TSL_OP_QUANTIZE_LINEAR, ANY, 1, expand_linear},
        {MICROSOFT, "DequantizeLinear", TSL_OP_DEQUANTIZE_LINEAR, ANY, 1, expand_linear},
    };
    return tsl_expand_nodes(graph, rules, sizeof(rules) / sizeof(rules[0]));
}
