// SPDX-License-Identifier: Apache-2.0
// Constants in INT8: weights with a scale for each output channel, other constants with one.
#include <math.h>
#include <string.h>

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

// With groups, the weights of a ConvTranspose have the channels of one group on their axis: a scale there
// serves the channel of that place in every group.
tslim_status tsl_quantize_weights(tslim_graph *graph, uint32_t n) {
    uint32_t id = graph->nodes[n].inputs[1], quantized;
    channel_layout layout = find_layout(&graph->nodes[n], &graph->values[id]);
    float *scales = tsl_arena_array(&graph->arena, layout.channels, sizeof(float));
    TSL_REQUIRE_MEMORY(scales, layout.channels * sizeof(float));
    const float *data = graph->values[id].data;
    for (size_t c = 0; c < layout.channels; c++) scales[c] = scale_for(channel_largest(data, &layout, c));
    int8_t *to;
    TSL_TRY(add_int8(graph, id, scales, layout.channels, layout.axis, &quantized, &to));
    quantize_channels(data, &layout, scales, to);
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
