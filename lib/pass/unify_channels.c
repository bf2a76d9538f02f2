// SPDX-License-Identifier: Apache-2.0
// Some tools give each channel that a depthwise convolution reads a scale of its own. Kernels know one for a
// tensor; but x[c] in steps of s[c] is x[c] * S / s[c] in steps of S, and what is read is multiplied back by
// the convolution's weights. The multiplication before goes into the weights of what makes x, where that is
// a product.
#include <math.h>
#include <string.h>

#include "pass/fold_quantized.h"

typedef struct channels {
    uint32_t quantizer, dequantizer, conv; // nodes
    size_t count; // of the channels
    const float *scales;
    float scale; // S, the largest
} channels;

static const tsl_value *constant_of(const tslim_graph *graph, const tsl_node *node, uint32_t operand) {
    const tsl_value *value = tsl_node_input(graph, node, operand);
    return value && tsl_value_is_constant(value) && value->packing == TSL_PACKING_NONE ? value : NULL;
}

static bool same_constants(const tsl_value *a, const tsl_value *b) {
    return a && b && a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

// Scales along the channels, and one zero point for all.
static bool read_quantizer(const tslim_graph *graph, const tsl_node *node, channels *c) {
    const tsl_value *x = tsl_node_input(graph, node, 0), *scale = constant_of(graph, node, 1),
                    *zero = constant_of(graph, node, 2);
    if (node->op != TSL_OP_QUANTIZE_LINEAR || !x || x->dtype != TSLIM_DTYPE_FLOAT || !x->shape.known ||
        x->shape.rank < 3 || !scale || scale->dtype != TSLIM_DTYPE_FLOAT || !zero ||
        (zero->dtype != TSLIM_DTYPE_INT8 && zero->dtype != TSLIM_DTYPE_UINT8))
        return false;
    const int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    c->count = scale->bytes / sizeof(float);
    c->scales = scale->data;
    c->scale = 0;
    if ((axis < 0 ? axis + x->shape.rank : axis) != 1 || c->count < 2 || zero->bytes != c->count ||
        x->shape.dims[1] != (int64_t)c->count)
        return false;
    for (size_t i = 0; i < c->count; i++) {
        if (!(c->scales[i] >= 1e-30f && c->scales[i] <= 1e30f)) return false;
        if (((const char *)zero->data)[i] != ((const char *)zero->data)[0]) return false;
        c->scale = fmaxf(c->scale, c->scales[i]);
    }
    return true;
}

static bool match(const tslim_graph *graph, const tsl_uses *uses, uint32_t n, channels *c) {
    *c = (channels){.quantizer = n};
    const tsl_node *quantizer = &graph->nodes[n];
    if (!read_quantizer(graph, quantizer, c)) return false;
    c->dequantizer = tsl_single_use(graph, uses, quantizer->outputs[0]);
    if (c->dequantizer == TSL_NONE) return false;
    const tsl_node *dequantizer = &graph->nodes[c->dequantizer];
    if (dequantizer->op != TSL_OP_DEQUANTIZE_LINEAR || dequantizer->inputs[0] != quantizer->outputs[0] ||
        tsl_attrs_int(&dequantizer->attrs, TSL_ATTR_axis, 1) !=
            tsl_attrs_int(&quantizer->attrs, TSL_ATTR_axis, 1) ||
        !same_constants(constant_of(graph, quantizer, 1), constant_of(graph, dequantizer, 1)) ||
        !same_constants(constant_of(graph, quantizer, 2), constant_of(graph, dequantizer, 2)))
        return false;
    c->conv = tsl_single_use(graph, uses, dequantizer->outputs[0]);
    if (c->conv == TSL_NONE) return false;
    const tsl_node *conv = &graph->nodes[c->conv];
    return conv->op == TSL_OP_CONV && conv->inputs[0] == dequantizer->outputs[0] &&
           tsl_attrs_int(&conv->attrs, TSL_ATTR_group, 1) == (int64_t)c->count &&
           tsl_dequantized_channels(graph, conv) % c->count == 0;
}

static tslim_status scale_conv(tslim_graph *graph, const channels *c, bool *fits) {
    const size_t outputs = tsl_dequantized_channels(graph, &graph->nodes[c->conv]);
    const size_t bytes = outputs * sizeof(double);
    double *factor = tsl_allocate(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(factor, bytes);
    for (size_t i = 0; i < outputs; i++)
        factor[i] = (double)c->scales[i / (outputs / c->count)] / (double)c->scale;
    *fits = outputs > 0 && tsl_dequantized_can_scale(graph, &graph->nodes[c->conv], factor);
    tslim_status status = *fits ? tsl_scale_dequantized(graph, c->conv, factor) : TSLIM_OK;
    tsl_free(graph->ctx, factor, bytes);
    return status;
}

// One scale and zero point for the tensor.
static tslim_status set_parameters(tslim_graph *graph, const channels *c) {
    const tsl_value zero = *tsl_node_input(graph, &graph->nodes[c->quantizer], 2); // a copy: values move
    const char *name = tsl_node_input(graph, &graph->nodes[c->quantizer], 1)->name;
    uint32_t ids[2];
    void *data[2];
    TSL_TRY(tsl_graph_add_constant(graph, name, TSLIM_DTYPE_FLOAT, 0, NULL, &ids[0], &data[0]));
    TSL_TRY(tsl_graph_add_constant(graph, zero.name, zero.dtype, 0, NULL, &ids[1], &data[1]));
    memcpy(data[0], &c->scale, sizeof(c->scale));
    memcpy(data[1], zero.data, 1);
    for (uint32_t i = 0; i < 2; i++) {
        tsl_node *node = &graph->nodes[i ? c->dequantizer : c->quantizer];
        memcpy(&node->inputs[1], ids, sizeof(ids));
        tsl_node_remove_attr(node, TSL_ATTR_axis);
    }
    return TSLIM_OK;
}

// Bounds that rounding has too: nothing below 0, and nothing that is not beyond the greatest step.
static bool is_bounded_anyway(const tslim_graph *graph, const channels *c, const tsl_node *node) {
    float lo, hi;
    if (!tsl_clip_bounds(graph, node, &lo, &hi) || lo != 0) return false;
    const tsl_value *zero = tsl_node_input(graph, &graph->nodes[c->quantizer], 2);
    const int top = zero->dtype == TSLIM_DTYPE_INT8 ? 127 - *(const int8_t *)zero->data
                                                    : 255 - *(const uint8_t *)zero->data;
    return !(hi < c->scale * ((float)top - 0.5f));
}

// x times S / s[c], before a Relu if x comes from one.
static tslim_status multiply(tslim_graph *graph, const tsl_uses *uses, const channels *c) {
    uint32_t reader = c->quantizer, factor, product, added;
    const int64_t dims[TSLIM_MAX_RANK] = {(int64_t)c->count, 1, 1, 1, 1, 1, 1, 1};
    const uint32_t before = graph->values[graph->nodes[reader].inputs[0]].producer;
    void *data;
    if (before != TSL_NONE && tsl_single_use(graph, uses, graph->nodes[reader].inputs[0]) == reader &&
        is_bounded_anyway(graph, c, &graph->nodes[before])) {
        const tsl_op_info *relu = tsl_op_get_info(TSL_OP_RELU);
        reader = before;
        graph->nodes[reader].op = TSL_OP_RELU;
        graph->nodes[reader].op_type = relu->name;
        graph->nodes[reader].n_inputs = 1;
        graph->nodes[reader].attrs.count = 0;
    }
    const uint32_t x = graph->nodes[reader].inputs[0];
    TSL_TRY(tsl_graph_add_constant(graph, graph->nodes[c->quantizer].name, TSLIM_DTYPE_FLOAT,
        graph->values[x].shape.rank - 1, dims, &factor, &data));
    for (size_t i = 0; i < c->count; i++)
        ((float *)data)[i] = (float)((double)c->scale / (double)c->scales[i]);
    TSL_TRY(tsl_graph_add_value(graph, graph->values[x].name, TSLIM_DTYPE_FLOAT, &product));
    graph->values[product].shape = graph->values[x].shape;
    TSL_TRY(
        tsl_graph_add_node(graph, TSL_OP_MUL, NULL, 2, (const uint32_t[]){x, factor}, 1, &product, &added));
    graph->nodes[reader].inputs[0] = product;
    return TSLIM_OK;
}

tslim_status tsl_quantized_unify_channels(tslim_graph *graph) {
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses));
    tslim_status status = TSLIM_OK;
    const uint32_t n_nodes = graph->n_nodes;
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++) {
        channels c;
        bool fits = false;
        if (!match(graph, &uses, n, &c)) continue;
        status = scale_conv(graph, &c, &fits);
        if (!fits) continue;
        if (status == TSLIM_OK) status = multiply(graph, &uses, &c);
        if (status == TSLIM_OK) status = set_parameters(graph, &c);
    }
    tsl_uses_free(&uses);
    TSL_TRY(status);
    return graph->n_nodes > n_nodes ? tsl_graph_sort(graph) : TSLIM_OK;
}
