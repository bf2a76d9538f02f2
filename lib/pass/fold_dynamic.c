// SPDX-License-Identifier: Apache-2.0
// Products whose activations are quantized in each run: what DynamicQuantizeLinear makes goes into
// MatMulInteger or ConvInteger and the sums are multiplied by both scales; or into a float product, through
// DequantizeLinear. Either is a product of floats by INT8 weights, which the kernels take as that
// (docs/numerics.md).
#include <string.h>

#include "pass/fold_quantized.h"

static const tsl_node *producer_of(const tslim_graph *graph, uint32_t value, tsl_op op) {
    if (value == TSL_NONE || graph->values[value].producer == TSL_NONE) return NULL;
    const tsl_node *node = &graph->nodes[graph->values[value].producer];
    return node->op == op && node->n_outputs > 0 ? node : NULL;
}

static bool is_plain(const tsl_value *value) {
    return value && tsl_value_is_constant(value) && value->packing == TSL_PACKING_NONE;
}

static bool is_byte(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
}

// What a product is made of.
typedef struct dynamic {
    tsl_op op;
    uint32_t x, weights; // in float; 8 bits
    uint32_t scale, zero_point; // of the weights; the latter may be TSL_NONE
    tsl_attrs attrs;
} dynamic;

static const tsl_value *value_of(const tslim_graph *graph, uint32_t id) {
    return id == TSL_NONE ? NULL : &graph->values[id];
}

static size_t channels_of(const dynamic *d, const tsl_shape *weights) {
    return (size_t)weights->dims[d->op == TSL_OP_CONV ? 0 : 1];
}

// One scale, or one for each output channel; the same of zero points.
static bool parameters_fit(const tslim_graph *graph, const dynamic *d) {
    const tsl_value *w = &graph->values[d->weights];
    uint32_t rank = w->shape.rank;
    if (!is_plain(w) || !is_byte(w->dtype) || (d->op == TSL_OP_CONV ? rank != 3 && rank != 4 : rank != 2))
        return false;
    size_t channels = channels_of(d, &w->shape), scales = graph->values[d->scale].bytes / sizeof(float);
    const float *numbers = graph->values[d->scale].data;
    if (channels == 0 || (scales != 1 && (scales != channels || d->op == TSL_OP_CONV))) return false;
    for (size_t i = 0; i < scales; i++)
        if (!(numbers[i] >= 1e-37f && numbers[i] <= 1e37f)) return false;
    const tsl_value *zero = value_of(graph, d->zero_point);
    return !zero ||
           (is_plain(zero) && zero->dtype == w->dtype && (zero->bytes == 1 || zero->bytes == channels));
}

// (scale of x * scale of the weights): the latter, where the former is that of `quantizer`.
static uint32_t weights_scale(const tslim_graph *graph, uint32_t value, const tsl_node *quantizer) {
    const tsl_node *product = producer_of(graph, value, TSL_OP_MUL);
    for (uint32_t side = 0; product && side < 2; side++) {
        const tsl_value *scale = tsl_node_input(graph, product, 1 - side);
        if (product->inputs[side] == quantizer->outputs[1] && is_plain(scale) &&
            scale->dtype == TSLIM_DTYPE_FLOAT)
            return product->inputs[1 - side];
    }
    return TSL_NONE;
}

// node = Cast(MatMulInteger(...)) * (scale * scale)
static bool match_integers(const tslim_graph *graph, const tsl_node *node, dynamic *d) {
    for (uint32_t side = 0; node->op == TSL_OP_MUL && !node->epilogue.clamp && side < 2; side++) {
        const tsl_node *cast = producer_of(graph, node->inputs[side], TSL_OP_CAST);
        if (!cast || graph->values[cast->outputs[0]].dtype != TSLIM_DTYPE_FLOAT) continue;
        const tsl_node *product = producer_of(graph, cast->inputs[0], TSL_OP_MATMUL_INTEGER);
        bool is_conv = !product;
        if (is_conv) product = producer_of(graph, cast->inputs[0], TSL_OP_CONV_INTEGER);
        const tsl_node *quantizer =
            product ? producer_of(graph, product->inputs[0], TSL_OP_DYNAMIC_QUANTIZE_LINEAR) : NULL;
        if (!quantizer || product->n_inputs < 3 || product->inputs[2] != quantizer->outputs[2] ||
            product->inputs[0] != quantizer->outputs[0] || product->inputs[1] == TSL_NONE)
            continue;
        *d = (dynamic){.op = is_conv ? TSL_OP_CONV : TSL_OP_MATMUL,
            .x = quantizer->inputs[0],
            .weights = product->inputs[1],
            .zero_point = product->n_inputs > 3 ? product->inputs[3] : TSL_NONE,
            .scale = weights_scale(graph, node->inputs[1 - side], quantizer),
            .attrs = product->attrs};
        return d->scale != TSL_NONE && parameters_fit(graph, d);
    }
    return false;
}

// A float product of DequantizeLinear of what DynamicQuantizeLinear made.
static bool match_floats(const tslim_graph *graph, const tsl_node *node, dynamic *d) {
    if ((node->op != TSL_OP_CONV && node->op != TSL_OP_MATMUL) || node->epilogue.residual >= 0) return false;
    const tsl_node *x = producer_of(graph, node->inputs[0], TSL_OP_DEQUANTIZE_LINEAR);
    const tsl_node *w = tsl_weights_dequantizer(graph, node->inputs[1]);
    const tsl_node *quantizer = x ? producer_of(graph, x->inputs[0], TSL_OP_DYNAMIC_QUANTIZE_LINEAR) : NULL;
    if (!w || !quantizer || x->n_inputs < 3 || x->inputs[0] != quantizer->outputs[0] ||
        x->inputs[1] != quantizer->outputs[1] || x->inputs[2] != quantizer->outputs[2])
        return false;
    *d = (dynamic){.op = node->op,
        .x = quantizer->inputs[0],
        .weights = w->inputs[0],
        .zero_point = w->n_inputs > 2 ? w->inputs[2] : TSL_NONE,
        .scale = w->inputs[1],
        .attrs = node->attrs};
    return parameters_fit(graph, d);
}

// ---- The rewriting ----

static int32_t signed_zero_point(const tsl_value *zero, tslim_dtype dtype, size_t i) {
    if (!zero) return dtype == TSLIM_DTYPE_INT8 ? 0 : -128;
    if (zero->bytes == 1) i = 0;
    return dtype == TSLIM_DTYPE_INT8 ? ((const int8_t *)zero->data)[i]
                                     : ((const uint8_t *)zero->data)[i] - 128;
}

static tslim_status set_quant(tslim_graph *graph, const dynamic *d, tslim_dtype dtype, tsl_value *weights) {
    const tsl_value *scale = &graph->values[d->scale], *zero = value_of(graph, d->zero_point);
    bool several = zero && zero->bytes > 1;
    size_t count = several ? channels_of(d, &weights->shape) : scale->bytes / sizeof(float);
    float *scales = tsl_arena_array(&graph->arena, count, sizeof(*scales));
    int32_t *zero_points = tsl_arena_array(&graph->arena, count, sizeof(*zero_points));
    TSL_REQUIRE_MEMORY(scales && zero_points ? graph : NULL, count * sizeof(*scales));
    for (size_t i = 0; i < count; i++) {
        scales[i] = ((const float *)scale->data)[scale->bytes == sizeof(float) ? 0 : i];
        zero_points[i] = signed_zero_point(zero, dtype, i);
    }
    weights->quant = (tsl_quant){.scales = scales, .n_scales = (uint32_t)count};
    weights->quant.axis = count > 1 && d->op != TSL_OP_CONV;
    if (several)
        weights->quant.zero_points = zero_points;
    else
        weights->quant.zero_point = zero_points[0];
    return TSLIM_OK;
}

static tslim_status add_weights(tslim_graph *graph, const dynamic *d, uint32_t *id) {
    TSL_TRY(tsl_graph_add_value(graph, graph->values[d->weights].name, TSLIM_DTYPE_INT8, id));
    const tsl_value *from = &graph->values[d->weights];
    graph->values[*id].shape = from->shape;
    tslim_dtype dtype = from->dtype;
    void *data;
    TSL_TRY(tsl_value_new_data(graph, *id, from->bytes, &data));
    for (size_t i = 0; i < from->bytes; i++)
        ((uint8_t *)data)[i] = ((const uint8_t *)from->data)[i] ^ (dtype == TSLIM_DTYPE_INT8 ? 0 : 0x80);
    return set_quant(graph, d, dtype, &graph->values[*id]);
}

static tslim_status rewrite(tslim_graph *graph, uint32_t n, const dynamic *d) {
    const tsl_op_info *info = tsl_op_get_info(d->op);
    uint32_t weights;
    TSL_TRY(add_weights(graph, d, &weights));
    tsl_node *node = &graph->nodes[n];
    if (node->op != d->op) node->n_inputs = 2; // Mul has no more; a float product may have a bias
    node->op = d->op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->attrs = d->attrs;
    node->inputs[0] = d->x;
    node->inputs[1] = weights;
    return TSLIM_OK;
}

tslim_status tsl_quantized_fold_dynamic(tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        dynamic d;
        const tsl_node *node = &graph->nodes[n];
        if (node->n_inputs < 2 || node->n_outputs != 1) continue;
        if (match_integers(graph, node, &d) || match_floats(graph, node, &d)) TSL_TRY(rewrite(graph, n, &d));
    }
    return tsl_pass_remove_dead(graph);
}
