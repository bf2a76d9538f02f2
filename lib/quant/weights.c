// SPDX-License-Identifier: Apache-2.0
// Constants in INT8: weights with a scale for each output channel, other constants with one.
#include <math.h>
#include <string.h>

#include "quant/product.h"
#include "quant/quantizer.h"

#define LARGEST 127

static float scale_for(float largest) {
    float scale = largest / LARGEST;
    return scale >= 1e-30f ? scale : 1; // all zeros, or as good as that
}

static int8_t to_int8(float value, float scale) {
    float q = rintf(value / scale);
    return (int8_t)(q > LARGEST ? LARGEST : q < -LARGEST ? -LARGEST : q);
}

// Output channels lie on one axis of the row-major weights: [outer][channels][inner].
typedef struct channel_layout {
    uint32_t axis;
    size_t outer, channels, inner;
} channel_layout;

static channel_layout find_layout(const tsl_node *node, const tsl_value *weights) {
    channel_layout layout = {.outer = 1, .channels = 1, .inner = 1};
    bool first = node->op == TSL_OP_CONV ||
                 (node->op == TSL_OP_GEMM && tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0);
    layout.axis = first ? 0 : 1;
    for (uint32_t i = 0; i < weights->shape.rank; i++) {
        size_t dim = (size_t)weights->shape.dims[i];
        if (i < layout.axis)
            layout.outer *= dim;
        else if (i == layout.axis)
            layout.channels = dim;
        else
            layout.inner *= dim;
    }
    return layout;
}

static float channel_largest(const float *data, const channel_layout *l, size_t channel) {
    float largest = 0;
    for (size_t o = 0; o < l->outer; o++) {
        const float *row = data + (o * l->channels + channel) * l->inner;
        for (size_t i = 0; i < l->inner; i++) largest = fmaxf(largest, fabsf(row[i]));
    }
    return largest;
}

static void quantize_channels(const float *from, const channel_layout *l, const float *scales, int8_t *to) {
    for (size_t o = 0; o < l->outer; o++)
        for (size_t c = 0; c < l->channels; c++) {
            size_t start = (o * l->channels + c) * l->inner;
            for (size_t i = 0; i < l->inner; i++) to[start + i] = to_int8(from[start + i], scales[c]);
        }
}

// A new constant of the same shape; the old one stays for other readers.
static tslim_status add_int8(tslim_graph *graph, uint32_t value, float *scales, size_t n_scales,
    uint32_t axis, uint32_t *id, int8_t **data) {
    tsl_value old = graph->values[value];
    void *memory;
    TSL_TRY(tsl_graph_add_constant(
        graph, old.name, TSLIM_DTYPE_INT8, old.shape.rank, old.shape.dims, id, &memory));
    graph->values[*id].quant =
        (tsl_quant){.scales = scales, .n_scales = (uint32_t)n_scales, .axis = (int32_t)axis};
    *data = memory;
    return TSLIM_OK;
}

// ---- Bias correction ----

// Rounded weights times the mean of what they read is an error that is the same everywhere; the bias takes it
// back (M. Nagel et al., 2019, arXiv:1906.04721). Padding, which has another mean, is left out of account.
typedef struct correction {
    tsl_product product; // in float
    const tsl_seen *input;
    const int8_t *quantized;
    const float *scales; // of each channel on the weights' axis: of a group for a ConvTranspose
    double *shift; // of each output channel
} correction;

static double mean_of(const tsl_seen *input, size_t channel) {
    double mean, square;
    tsl_channel_moments(&input->channels->channels[channel], &mean, &square);
    return input->factors ? mean * (double)input->factors[channel] : mean;
}

static void find_shifts(const correction *c, bool scale_of_group) {
    const tsl_product *p = &c->product;
    for (size_t g = 0; g < p->groups; g++)
        for (size_t i = 0; i < p->n_in; i++) {
            double mean = mean_of(c->input, g * p->n_in + i);
            for (size_t o = 0; o < p->n_out; o++) {
                double scale = (double)c->scales[scale_of_group ? o : g * p->n_out + o], error = 0;
                for (size_t t = 0; t < p->taps; t++) {
                    size_t index = tsl_product_index(p, g, o, i, t);
                    error += (double)p->weights[index] - (double)c->quantized[index] * scale;
                }
                c->shift[g * p->n_out + o] += mean * error;
            }
        }
}

// Operand 2 becomes the old bias plus the shifts; a residual that was there moves on.
static tslim_status shift_bias(tslim_graph *graph, uint32_t n, const double *shift, size_t channels) {
    tsl_node *node = &graph->nodes[n];
    const tsl_value *old = node->epilogue.residual == 2 ? NULL : tsl_node_input(graph, node, 2);
    const float *from = old ? old->data : NULL;
    size_t step = old && old->bytes == sizeof(float) ? 0 : 1;
    int64_t dims[1] = {(int64_t)channels};
    uint32_t id;
    void *data;
    TSL_TRY(
        tsl_graph_add_constant(graph, old ? old->name : node->name, TSLIM_DTYPE_FLOAT, 1, dims, &id, &data));
    for (size_t c = 0; c < channels; c++)
        ((float *)data)[c] = (float)((from ? (double)from[c * step] : 0) + shift[c]);
    if (node->epilogue.residual == 2) {
        TSL_TRY(tsl_node_add_input(graph, node, node->inputs[2]));
        node->epilogue.residual = 3;
    } else if (node->n_inputs < 3)
        TSL_TRY(tsl_node_add_input(graph, node, TSL_NONE));
    node->inputs[2] = id;
    return TSLIM_OK;
}

static bool can_correct(
    const tslim_graph *graph, const tsl_node *node, const tsl_seen *input, tsl_product *p) {
    return input && input->channels && tsl_product_read(graph, node, p) &&
           p->groups * p->n_in == input->channels->count &&
           (node->op != TSL_OP_GEMM || (tsl_attrs_float(&node->attrs, TSL_ATTR_alpha, 1) == 1 &&
                                           tsl_attrs_float(&node->attrs, TSL_ATTR_beta, 1) == 1));
}

static tslim_status correct_bias(tslim_graph *graph, uint32_t n, const correction *c) {
    size_t channels = c->product.groups * c->product.n_out, bytes = channels * sizeof(double);
    correction with = *c;
    with.shift = tsl_allocate_zeroed(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(with.shift, bytes);
    find_shifts(&with, graph->nodes[n].op == TSL_OP_CONV_TRANSPOSE);
    tslim_status status = shift_bias(graph, n, with.shift, channels);
    tsl_free(graph->ctx, with.shift, bytes);
    return status;
}

// With groups, the weights of a ConvTranspose have the channels of one group on their axis: a scale there
// serves the channel of that place in every group.
tslim_status tsl_quantize_weights(tslim_graph *graph, uint32_t n, const tsl_seen *input) {
    uint32_t id = graph->nodes[n].inputs[1], quantized;
    correction c = {.input = input};
    bool correct = can_correct(graph, &graph->nodes[n], input, &c.product);
    channel_layout layout = find_layout(&graph->nodes[n], &graph->values[id]);
    float *scales = tsl_arena_array(&graph->arena, layout.channels, sizeof(float));
    TSL_REQUIRE_MEMORY(scales, layout.channels * sizeof(float));
    const float *data = graph->values[id].data;
    for (size_t k = 0; k < layout.channels; k++) scales[k] = scale_for(channel_largest(data, &layout, k));
    int8_t *to;
    TSL_TRY(add_int8(graph, id, scales, layout.channels, layout.axis, &quantized, &to));
    quantize_channels(data, &layout, scales, to);
    c.quantized = to;
    c.scales = scales;
    if (correct) TSL_TRY(correct_bias(graph, n, &c));
    graph->nodes[n].inputs[1] = quantized;
    return TSLIM_OK;
}

static channel_layout as_one_channel(const tsl_value *value) {
    return (channel_layout){.outer = 1, .channels = 1, .inner = value->bytes / sizeof(float)};
}

tslim_status tsl_quantize_constant(tslim_graph *graph, uint32_t value, uint32_t *quantized) {
    channel_layout layout = as_one_channel(&graph->values[value]);
    const float *data = graph->values[value].data;
    float *scale = tsl_arena_array(&graph->arena, 1, sizeof(float));
    TSL_REQUIRE_MEMORY(scale, sizeof(float));
    *scale = scale_for(channel_largest(data, &layout, 0));
    int8_t *to;
    TSL_TRY(add_int8(graph, value, scale, 1, 0, quantized, &to));
    quantize_channels(data, &layout, scale, to);
    return TSLIM_OK;
}

bool tsl_constant_suits_int8(const tsl_value *value) {
    channel_layout layout = as_one_channel(value);
    const float *data = value->data;
    float scale = scale_for(channel_largest(data, &layout, 0));
    double signal = 0, noise = 0;
    for (size_t i = 0; i < layout.inner; i++) {
        double error = (double)data[i] - (double)to_int8(data[i], scale) * (double)scale;
        signal += (double)data[i] * (double)data[i];
        noise += error * error;
    }
    return noise * 1000 <= signal;
}
