// SPDX-License-Identifier: Apache-2.0
// Quantized weights whose output channels are multiplied by numbers, as BatchNormalization behind a product
// does: (q - z) * s times a is (q - z) * (s*a), and for a negative a the integers are negated too.
#include <math.h>
#include <string.h>

#include "pass/fold_quantized.h"

// The axis of the weights that output channels lie on; -1 where no axis holds all of them.
static int32_t output_axis(const tsl_node *product) {
    switch (product->op) {
    case TSL_OP_CONV:
        return 0;
    case TSL_OP_CONV_TRANSPOSE:
        return tsl_attrs_int(&product->attrs, TSL_ATTR_group, 1) == 1 ? 1 : -1;
    case TSL_OP_GEMM:
        return tsl_attrs_int(&product->attrs, TSL_ATTR_transB, 0) != 0 ? 0 : 1;
    case TSL_OP_MATMUL:
        return 1;
    default:
        return -1;
    }
}

typedef struct source {
    const tsl_value *integers, *scale, *zero;
    size_t n_scales, channels, inner; // inner: elements of one channel that lie together
    int32_t axis;
} source;

static bool find_source(const tslim_graph *graph, const tsl_node *product, source *s) {
    const tsl_node *dequantizer = tsl_weights_dequantizer(graph, product->inputs[1]);
    if (!dequantizer) return false;
    *s = (source){.integers = tsl_node_input(graph, dequantizer, 0),
        .scale = tsl_node_input(graph, dequantizer, 1),
        .zero = tsl_node_input(graph, dequantizer, 2),
        .inner = 1};
    s->n_scales = s->scale->bytes / sizeof(float);
    s->axis = output_axis(product);
    const tsl_shape *shape = &s->integers->shape;
    const bool matrix = product->op == TSL_OP_GEMM || product->op == TSL_OP_MATMUL;
    if (s->axis < 0 || shape->rank < 2 || (matrix && shape->rank > 2)) return false;
    int64_t axis = tsl_attrs_int(&dequantizer->attrs, TSL_ATTR_axis, 1);
    if (axis < 0) axis += shape->rank;
    if (s->n_scales > 1 && axis != s->axis) return false;
    s->channels = (size_t)shape->dims[s->axis];
    for (uint32_t i = (uint32_t)s->axis + 1; i < shape->rank; i++) s->inner *= (size_t)shape->dims[i];
    return true;
}

size_t tsl_dequantized_channels(const tslim_graph *graph, const tsl_node *product) {
    source s;
    return find_source(graph, product, &s) ? s.channels : 0;
}

static double scale_of(const source *s, size_t channel) {
    return (double)((const float *)s->scale->data)[s->n_scales > 1 ? channel : 0];
}

#define LEAST 1e-37 // smaller scales are none

bool tsl_dequantized_can_scale(const tslim_graph *graph, const tsl_node *product, const double *factor) {
    source s;
    if (!find_source(graph, product, &s)) return false;
    for (size_t c = 0; c < s.channels; c++)
        if (!(fabs(factor[c]) * scale_of(&s, c) < 1e37)) return false;
    return true;
}

// Integers -1 - q with zero point -1 - z are the same numbers with the other sign, and have room for each.
static void negate(const source *s, size_t channel, uint8_t *integers, uint8_t *zero) {
    const size_t count = s->integers->bytes, outer = s->inner * s->channels;
    bool plain = *zero == 0 && s->integers->dtype == TSLIM_DTYPE_INT8;
    for (size_t first = channel * s->inner; plain && first < count; first += outer)
        plain = !memchr(integers + first, 0x80, s->inner);
    for (size_t first = channel * s->inner; first < count; first += outer)
        for (size_t i = 0; i < s->inner; i++)
            integers[first + i] = (uint8_t)(plain ? -integers[first + i] : ~integers[first + i]);
    if (!plain) *zero = (uint8_t) ~*zero;
}

static void clear(const source *s, size_t channel, uint8_t *integers, uint8_t zero) {
    for (size_t first = channel * s->inner; first < s->integers->bytes; first += s->inner * s->channels)
        memset(integers + first, zero, s->inner);
}

static void scale_channels(
    const source *s, const double *factor, uint8_t *integers, float *scale, uint8_t *zero) {
    memcpy(integers, s->integers->data, s->integers->bytes);
    for (size_t c = 0; c < s->channels; c++) {
        zero[c] = s->zero ? ((const uint8_t *)s->zero->data)[s->n_scales > 1 ? c : 0] : 0;
        const double scaled = scale_of(s, c) * fabs(factor[c]);
        scale[c] = scaled >= LEAST ? (float)scaled : 1;
        if (scaled < LEAST)
            clear(s, c, integers, zero[c]);
        else if (factor[c] < 0)
            negate(s, c, integers, &zero[c]);
    }
}

tslim_status tsl_scale_dequantized(tslim_graph *graph, uint32_t product, const double *factor) {
    source s;
    TSL_REQUIRE(find_source(graph, &graph->nodes[product], &s), TSLIM_ERROR_INTERNAL,
        "node '%s': weights that cannot be scaled", graph->nodes[product].name);
    const uint32_t old = graph->nodes[product].inputs[1];
    const tsl_value integers = *s.integers; // copies: values move
    const tsl_value scale = *s.scale;
    const tsl_value zero = s.zero ? *s.zero : (tsl_value){.name = scale.name};
    s.integers = &integers;
    s.scale = &scale;
    if (s.zero) s.zero = &zero;
    const int64_t channels = (int64_t)s.channels;
    uint32_t ids[3], result, added;
    void *data[3];
    TSL_TRY(tsl_graph_add_constant(
        graph, integers.name, integers.dtype, integers.shape.rank, integers.shape.dims, &ids[0], &data[0]));
    TSL_TRY(tsl_graph_add_constant(graph, scale.name, TSLIM_DTYPE_FLOAT, 1, &channels, &ids[1], &data[1]));
    TSL_TRY(tsl_graph_add_constant(graph, zero.name, integers.dtype, 1, &channels, &ids[2], &data[2]));
    scale_channels(&s, factor, data[0], data[1], data[2]);
    TSL_TRY(tsl_graph_add_value(graph, graph->values[old].name, TSLIM_DTYPE_FLOAT, &result));
    graph->values[result].shape = integers.shape;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_DEQUANTIZE_LINEAR, NULL, 3, ids, 1, &result, &added));
    TSL_TRY(tsl_node_set_int(graph, &graph->nodes[added], TSL_ATTR_axis, s.axis));
    graph->nodes[product].inputs[1] = result;
    return TSLIM_OK;
}
