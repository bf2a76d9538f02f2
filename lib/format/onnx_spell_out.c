// SPDX-License-Identifier: Apache-2.0
// What only the library has, in ONNX's words. A node keeps its place and its result its name: nodes that
// finish the result are put between the two, the last step first.
#include "format/onnx_spell_out.h"

#include <math.h>
#include <string.h>

#include "format/onnx_opset.h"

// The first version with a scale for each channel.
#define QUANTIZED_OPSET 13

typedef struct speller {
    tslim_graph *graph;
    tsl_arena arena;
    uint32_t n_values; // before anything is added
    // Of each value that is quantized: its value in float, scale and zero point, once some node needed them.
    uint32_t *in_float, *scale, *zero_point;
} speller;

// ---- Steps after a node ----

// Result `output` of node `n` becomes a new value, and *result is what readers go on reading: the caller
// makes it.
static tslim_status part_from_result(
    tslim_graph *graph, uint32_t n, uint32_t output, const char *ending, uint32_t *inner, uint32_t *result) {
    *result = graph->nodes[n].outputs[output];
    const char *name = tsl_arena_format(&graph->arena, "%s_%s", graph->values[*result].name, ending);
    TSL_REQUIRE_MEMORY(name, strlen(ending));
    TSL_TRY(tsl_graph_add_value(graph, name, TSLIM_DTYPE_FLOAT, inner));
    graph->values[*inner].shape = graph->values[*result].shape;
    graph->values[*inner].producer = n;
    graph->nodes[n].outputs[output] = *inner;
    return TSLIM_OK;
}

static tslim_status add_node(
    tslim_graph *graph, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, uint32_t output, uint32_t *n) {
    return tsl_graph_add_node(graph, op, NULL, n_inputs, inputs, 1, &output, n);
}

// result = op(result of node n, operand)
static tslim_status finish_with(
    tslim_graph *graph, uint32_t n, tsl_op op, uint32_t operand, const char *ending) {
    uint32_t inner, result, added;
    TSL_TRY(part_from_result(graph, n, 0, ending, &inner, &result));
    return add_node(graph, op, 2, (uint32_t[]){inner, operand}, result, &added);
}

static tslim_status add_bound(tslim_graph *graph, float bound, uint32_t *id) {
    *id = TSL_NONE;
    if (isinf(bound)) return TSLIM_OK;
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, "bound", TSLIM_DTYPE_FLOAT, 0, NULL, id, &data));
    memcpy(data, &bound, sizeof(bound));
    return TSLIM_OK;
}

static tslim_status spell_out_clamp(tslim_graph *graph, uint32_t n) {
    tsl_epilogue epilogue = graph->nodes[n].epilogue;
    if (!epilogue.clamp) return TSLIM_OK;
    graph->nodes[n].epilogue.clamp = false;
    if (isinf(epilogue.lo) && isinf(epilogue.hi)) return TSLIM_OK;
    uint32_t inner, result, clip;
    TSL_TRY(part_from_result(graph, n, 0, "unclamped", &inner, &result));
    if (epilogue.lo == 0 && isinf(epilogue.hi)) return add_node(graph, TSL_OP_RELU, 1, &inner, result, &clip);
    if (graph->opset < 11) {
        TSL_TRY(add_node(graph, TSL_OP_CLIP, 1, &inner, result, &clip));
        if (!isinf(epilogue.lo))
            TSL_TRY(tsl_node_set_float(graph, &graph->nodes[clip], TSL_ATTR_min, epilogue.lo));
        return isinf(epilogue.hi) ? TSLIM_OK
                                  : tsl_node_set_float(graph, &graph->nodes[clip], TSL_ATTR_max, epilogue.hi);
    }
    uint32_t inputs[3] = {inner, TSL_NONE, TSL_NONE};
    TSL_TRY(add_bound(graph, epilogue.lo, &inputs[1]));
    TSL_TRY(add_bound(graph, epilogue.hi, &inputs[2]));
    return add_node(graph, TSL_OP_CLIP, 3, inputs, result, &clip);
}

static tslim_status spell_out_residual(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    if (node->epilogue.residual < 0) return TSLIM_OK;
    uint32_t slot = (uint32_t)node->epilogue.residual, residual = node->inputs[slot];
    node->epilogue.residual = -1;
    node->inputs[slot] = TSL_NONE; // the last operand
    if (slot + 1 == node->n_inputs) node->n_inputs--;
    return finish_with(graph, n, TSL_OP_ADD, residual, "without_residual");
}

// ONNX's MatMul has no bias.
static tslim_status spell_out_bias(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    if (node->op != TSL_OP_MATMUL || node->n_inputs < 3) return TSLIM_OK;
    uint32_t bias = node->inputs[2];
    node->n_inputs = 2;
    return bias == TSL_NONE ? TSLIM_OK : finish_with(graph, n, TSL_OP_ADD, bias, "without_bias");
}

// ---- Operators ----

static void rename_operator(tsl_node *node, tsl_op op) {
    const tsl_op_info *info = tsl_op_get_info(op);
    node->op = op;
    node->op_type = info->name;
    node->domain = info->domain;
}

// x * gate(x)
static tslim_status spell_out_gate(tslim_graph *graph, uint32_t n, tsl_op gate) {
    uint32_t x = graph->nodes[n].inputs[0];
    rename_operator(&graph->nodes[n], gate);
    graph->nodes[n].attrs.count = 0;
    return finish_with(graph, n, TSL_OP_MUL, x, "gate");
}

static tslim_status add_number(tslim_graph *graph, float number, uint32_t *id) {
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, "number", TSLIM_DTYPE_FLOAT, 0, NULL, id, &data));
    memcpy(data, &number, sizeof(number));
    return TSLIM_OK;
}

// x * (1 + erf(x / sqrt(2))) / 2; nodes are made from the last to the first.
static tslim_status spell_out_gelu(tslim_graph *graph, uint32_t n) {
    uint32_t x = graph->nodes[n].inputs[0], root, one, half, inner, result, added;
    TSL_REQUIRE(strcmp(tsl_attrs_string(&graph->nodes[n].attrs, TSL_ATTR_approximate, "none"), "none") == 0,
        TSLIM_ERROR_UNSUPPORTED, "node '%s': Gelu by tanh in opset %u", graph->nodes[n].name, graph->opset);
    TSL_TRY(add_number(graph, 1.41421356f, &root));
    TSL_TRY(add_number(graph, 1.0f, &one));
    TSL_TRY(add_number(graph, 0.5f, &half));
    rename_operator(&graph->nodes[n], TSL_OP_DIV);
    graph->nodes[n].attrs.count = 0;
    TSL_TRY(tsl_node_add_input(graph, &graph->nodes[n], root));
    TSL_TRY(finish_with(graph, n, TSL_OP_MUL, half, "twice"));
    TSL_TRY(finish_with(graph, n, TSL_OP_MUL, x, "gate"));
    TSL_TRY(finish_with(graph, n, TSL_OP_ADD, one, "erf"));
    TSL_TRY(part_from_result(graph, n, 0, "scaled", &inner, &result));
    return add_node(graph, TSL_OP_ERF, 1, &inner, result, &added);
}

static tslim_status mean_of_rows(tslim_graph *graph, uint32_t x, const char *name, uint32_t *mean) {
    static const int64_t last = -1;
    uint32_t added;
    TSL_TRY(tsl_graph_add_value(graph, name, TSLIM_DTYPE_FLOAT, mean));
    TSL_TRY(add_node(graph, TSL_OP_REDUCE_MEAN, 1, &x, *mean, &added));
    return tsl_node_set_ints(graph, &graph->nodes[added], TSL_ATTR_axes, &last, 1);
}

static tslim_status function_of(
    tslim_graph *graph, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, const char *name, uint32_t *y) {
    uint32_t added;
    TSL_TRY(tsl_graph_add_value(graph, name, TSLIM_DTYPE_FLOAT, y));
    return add_node(graph, op, n_inputs, inputs, *y, &added);
}

// As lib/pass/fuse_normalization.c finds it; before opset 17 there is no other.
static tslim_status spell_out_layer_normalization(tslim_graph *graph, uint32_t n) {
    uint32_t x = graph->nodes[n].inputs[0], scale = graph->nodes[n].inputs[1], mean, d, square, variance, sum,
             root, epsilon;
    uint32_t shift = graph->nodes[n].n_inputs > 2 ? graph->nodes[n].inputs[2] : TSL_NONE;
    TSL_TRY(add_number(graph, tsl_attrs_float(&graph->nodes[n].attrs, TSL_ATTR_epsilon, 1e-5f), &epsilon));
    TSL_TRY(mean_of_rows(graph, x, "mean", &mean));
    TSL_TRY(function_of(graph, TSL_OP_SUB, 2, (uint32_t[]){x, mean}, "centered", &d));
    TSL_TRY(function_of(graph, TSL_OP_MUL, 2, (uint32_t[]){d, d}, "square", &square));
    TSL_TRY(mean_of_rows(graph, square, "variance", &variance));
    TSL_TRY(function_of(graph, TSL_OP_ADD, 2, (uint32_t[]){variance, epsilon}, "variance_epsilon", &sum));
    TSL_TRY(function_of(graph, TSL_OP_SQRT, 1, &sum, "deviation", &root));
    tsl_node *node = &graph->nodes[n];
    rename_operator(node, TSL_OP_DIV);
    node->attrs.count = 0;
    node->n_inputs = 2;
    node->inputs[0] = d;
    node->inputs[1] = root;
    if (shift != TSL_NONE) TSL_TRY(finish_with(graph, n, TSL_OP_ADD, shift, "unshifted"));
    return finish_with(graph, n, TSL_OP_MUL, scale, "unscaled");
}

static tslim_status spell_out_operator(tslim_graph *graph, uint32_t n) {
    switch (graph->nodes[n].op) {
    case TSL_OP_SILU:
        return spell_out_gate(graph, n, TSL_OP_SIGMOID);
    case TSL_OP_REORDER:
        rename_operator(&graph->nodes[n], TSL_OP_IDENTITY);
        return TSLIM_OK;
    case TSL_OP_GELU:
        return graph->opset >= 20 ? TSLIM_OK : spell_out_gelu(graph, n);
    case TSL_OP_LAYER_NORMALIZATION:
        return graph->opset >= 17 ? TSLIM_OK : spell_out_layer_normalization(graph, n);
    case TSL_OP_HARD_SWISH:
        if (graph->opset >= 14) return TSLIM_OK;
        TSL_TRY(spell_out_gate(graph, n, TSL_OP_HARD_SIGMOID));
        TSL_TRY(tsl_node_set_float(graph, &graph->nodes[n], TSL_ATTR_alpha, 1.0f / 6));
        return tsl_node_set_float(graph, &graph->nodes[n], TSL_ATTR_beta, 0.5f);
    default:
        return TSLIM_OK;
    }
}

// ---- Quantized values ----

static bool is_quantized(const speller *s, uint32_t value) {
    return value != TSL_NONE && value < s->n_values && s->graph->values[value].quant.scales;
}

static tslim_status add_scale(speller *s, uint32_t value) {
    tslim_graph *graph = s->graph;
    tsl_quant quant = graph->values[value].quant;
    int64_t count = quant.n_scales;
    const char *name = tsl_arena_format(&s->arena, "%s_scale", graph->values[value].name);
    TSL_REQUIRE_MEMORY(name, 1);
    void *data;
    TSL_TRY(
        tsl_graph_add_constant(graph, name, TSLIM_DTYPE_FLOAT, count > 1, &count, &s->scale[value], &data));
    memcpy(data, quant.scales, (size_t)count * sizeof(float));
    return TSLIM_OK;
}

// ONNX gives a zero point the type of the quantized value, and with it says that type.
static tslim_status add_zero_point(speller *s, uint32_t value) {
    tslim_graph *graph = s->graph;
    tsl_quant quant = graph->values[value].quant;
    tslim_dtype dtype = graph->values[value].dtype;
    if (dtype == TSLIM_DTYPE_INT32) return TSLIM_OK; // is always 0, and left out
    int64_t count = quant.n_scales;
    const char *name = tsl_arena_format(&s->arena, "%s_zero_point", graph->values[value].name);
    TSL_REQUIRE_MEMORY(name, 1);
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, name, dtype, count > 1, &count, &s->zero_point[value], &data));
    memset(data, quant.zero_point, (size_t)count); // of one byte each: INT8 and UINT8
    for (int64_t i = 0; quant.zero_points && i < count; i++)
        ((int8_t *)data)[i] = (int8_t)quant.zero_points[i];
    return TSLIM_OK;
}

// QuantizeLinear and DequantizeLinear take the same operands.
static tslim_status set_parameters(speller *s, uint32_t n, uint32_t value) {
    tslim_graph *graph = s->graph;
    tslim_dtype dtype = graph->values[value].dtype;
    TSL_REQUIRE(dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8 || dtype == TSLIM_DTYPE_INT32,
        TSLIM_ERROR_UNSUPPORTED, "value '%s' is quantized to %s, which ONNX does not have",
        graph->values[value].name, tslim_dtype_name(dtype));
    if (s->scale[value] == TSL_NONE) {
        TSL_TRY(add_scale(s, value));
        TSL_TRY(add_zero_point(s, value));
    }
    TSL_TRY(tsl_node_add_input(graph, &graph->nodes[n], s->scale[value]));
    if (s->zero_point[value] != TSL_NONE)
        TSL_TRY(tsl_node_add_input(graph, &graph->nodes[n], s->zero_point[value]));
    if (graph->values[value].quant.n_scales == 1) return TSLIM_OK;
    return tsl_node_set_int(graph, &graph->nodes[n], TSL_ATTR_axis, graph->values[value].quant.axis);
}

static tslim_status need_float(speller *s, uint32_t value, uint32_t *in_float) {
    tslim_graph *graph = s->graph;
    if (s->in_float[value] == TSL_NONE) {
        uint32_t n;
        const char *name = tsl_arena_format(&s->arena, "%s_dequantized", graph->values[value].name);
        TSL_REQUIRE_MEMORY(name, 1);
        TSL_TRY(tsl_graph_add_value(graph, name, TSLIM_DTYPE_FLOAT, &s->in_float[value]));
        graph->values[s->in_float[value]].shape = graph->values[value].shape;
        TSL_TRY(add_node(graph, TSL_OP_DEQUANTIZE_LINEAR, 1, &value, s->in_float[value], &n));
        TSL_TRY(set_parameters(s, n, value));
    }
    *in_float = s->in_float[value];
    return TSLIM_OK;
}

// A node between quantized values computes in float, between DequantizeLinear and QuantizeLinear.
static tslim_status spell_out_quantized(speller *s, uint32_t n) {
    tslim_graph *graph = s->graph;
    for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++) {
        uint32_t value = graph->nodes[n].inputs[i];
        if (is_quantized(s, value)) TSL_TRY(need_float(s, value, &graph->nodes[n].inputs[i]));
    }
    for (uint32_t i = 0; i < graph->nodes[n].n_outputs; i++) {
        if (!is_quantized(s, graph->nodes[n].outputs[i])) continue;
        uint32_t inner, result, added;
        TSL_TRY(part_from_result(graph, n, i, "unquantized", &inner, &result));
        TSL_TRY(add_node(graph, TSL_OP_QUANTIZE_LINEAR, 1, &inner, result, &added));
        TSL_TRY(set_parameters(s, added, result));
    }
    return TSLIM_OK;
}

// A product of floats by quantized weights quantizes its activations in each run.
static tslim_status spell_out_dynamic(speller *s, uint32_t n) {
    tslim_graph *graph = s->graph;
    const tsl_node *node = &graph->nodes[n];
    if ((node->op != TSL_OP_CONV && node->op != TSL_OP_MATMUL) || !is_quantized(s, node->inputs[1]) ||
        is_quantized(s, node->inputs[0]))
        return TSLIM_OK;
    static const tslim_dtype types[4] = {
        TSLIM_DTYPE_UINT8, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_FLOAT};
    uint32_t x = node->inputs[0], made[4], added;
    const char *name = tsl_arena_format(&s->arena, "%s_dynamic", graph->values[x].name);
    TSL_REQUIRE_MEMORY(name, 1);
    for (int i = 0; i < 4; i++) TSL_TRY(tsl_graph_add_value(graph, name, types[i], &made[i]));
    graph->values[made[0]].shape = graph->values[made[3]].shape = graph->values[x].shape;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_DYNAMIC_QUANTIZE_LINEAR, NULL, 1, &x, 3, made, &added));
    TSL_TRY(add_node(graph, TSL_OP_DEQUANTIZE_LINEAR, 3, made, made[3], &added));
    graph->nodes[n].inputs[0] = made[3];
    return TSLIM_OK;
}

// Quantize and Dequantize are ONNX's operators with the parameters as operands.
static tslim_status spell_out_conversion(speller *s, uint32_t n) {
    tsl_node *node = &s->graph->nodes[n];
    bool to_int8 = node->op == TSL_OP_QUANTIZE;
    uint32_t value = to_int8 ? node->outputs[0] : node->inputs[0];
    TSL_REQUIRE(is_quantized(s, value), TSLIM_ERROR_INTERNAL, "node '%s' (%s): '%s' has no scale", node->name,
        node->op_type, s->graph->values[value].name);
    if (to_int8 && is_quantized(s, node->inputs[0])) { // from one scale to another
        uint32_t in_float;
        TSL_TRY(need_float(s, node->inputs[0], &in_float));
        node = &s->graph->nodes[n];
        node->inputs[0] = in_float;
    }
    rename_operator(node, to_int8 ? TSL_OP_QUANTIZE_LINEAR : TSL_OP_DEQUANTIZE_LINEAR);
    return set_parameters(s, n, value);
}

// ---- All nodes ----

static tslim_status spell_out_node(speller *s, uint32_t n) {
    switch (s->graph->nodes[n].op) {
    case TSL_OP_QUANTIZE:
    case TSL_OP_DEQUANTIZE:
        return spell_out_conversion(s, n);
    case TSL_OP_QUANTIZE_LINEAR:
    case TSL_OP_DEQUANTIZE_LINEAR:
        return TSLIM_OK;
    default:
        TSL_TRY(spell_out_dynamic(s, n));
        TSL_TRY(spell_out_quantized(s, n));
        TSL_TRY(spell_out_clamp(s->graph, n));
        TSL_TRY(spell_out_residual(s->graph, n));
        TSL_TRY(spell_out_bias(s->graph, n));
        return spell_out_operator(s->graph, n);
    }
}

static tslim_status prepare(speller *s) {
    uint32_t **arrays[] = {&s->in_float, &s->scale, &s->zero_point};
    for (size_t a = 0; a < 3; a++) {
        *arrays[a] = tsl_arena_array(&s->arena, s->n_values, sizeof(uint32_t));
        TSL_REQUIRE_MEMORY(*arrays[a], s->n_values * sizeof(uint32_t));
        for (uint32_t v = 0; v < s->n_values; v++) (*arrays[a])[v] = TSL_NONE;
    }
    return TSLIM_OK;
}

static bool has_quantized_values(const tslim_graph *graph) {
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (graph->values[v].quant.scales) return true;
    for (uint32_t i = 0; i < graph->n_bodies; i++)
        if (has_quantized_values(graph->bodies[i])) return true;
    return false;
}

static tslim_status spell_out_graph(tslim_graph *graph) {
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(spell_out_graph(graph->bodies[i]));
    speller s = {.graph = graph, .n_values = graph->n_values};
    tsl_arena_init(&s.arena, graph->ctx);
    tslim_status status = prepare(&s);
    uint32_t n_nodes = graph->n_nodes; // what is added needs no visit
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++) status = spell_out_node(&s, n);
    tsl_arena_clear(&s.arena);
    return status == TSLIM_OK ? tsl_graph_sort(graph) : status;
}

tslim_status tsl_onnx_spell_out(tslim_graph *graph) {
    if (has_quantized_values(graph) && graph->opset < QUANTIZED_OPSET)
        TSL_TRY(tsl_onnx_raise_opset(graph, QUANTIZED_OPSET));
    return spell_out_graph(graph);
}
