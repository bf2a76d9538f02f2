// SPDX-License-Identifier: Apache-2.0
// Weights by channels: reading, and scaling channels on either side.
#include "quant/product.h"

#include <math.h>

static bool is_float_constant(const tsl_value *value) {
    return value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
           value->packing == TSL_PACKING_NONE;
}

static bool read_convolution(const tsl_node *node, const tsl_shape *shape, tsl_product *p) {
    if (shape->rank < 3) return false;
    int64_t group = tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1);
    if (group < 1 || shape->dims[0] % group != 0) return false;
    p->groups = (size_t)group;
    p->out_first = node->op == TSL_OP_CONV;
    size_t first = (size_t)(shape->dims[0] / group), second = (size_t)shape->dims[1];
    p->n_out = p->out_first ? first : second;
    p->n_in = p->out_first ? second : first;
    for (uint32_t i = 2; i < shape->rank; i++) p->taps *= (size_t)shape->dims[i];
    return true;
}

static bool read_matrix(const tsl_node *node, const tsl_shape *shape, tsl_product *p) {
    if (shape->rank != 2 || tsl_attrs_int(&node->attrs, TSL_ATTR_transA, 0) != 0) return false;
    p->out_first = node->op == TSL_OP_GEMM && tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0;
    p->n_out = (size_t)shape->dims[p->out_first ? 0 : 1];
    p->n_in = (size_t)shape->dims[p->out_first ? 1 : 0];
    p->channels_last = true;
    return true;
}

// The operand that is the bias, or NULL. *good is false where it is none that could be scaled by channel.
static const tsl_value *find_bias(
    const tslim_graph *graph, const tsl_node *node, const tsl_product *p, bool *good) {
    *good = true;
    const tsl_value *bias = node->epilogue.residual == 2 ? NULL : tsl_node_input(graph, node, 2);
    if (!bias) return NULL;
    size_t channels = p->groups * p->n_out;
    *good =
        is_float_constant(bias) &&
        (bias->bytes == sizeof(float) || (bias->bytes == channels * sizeof(float) && bias->shape.rank >= 1 &&
                                             bias->shape.dims[bias->shape.rank - 1] == (int64_t)channels));
    return bias;
}

bool tsl_product_read(const tslim_graph *graph, const tsl_node *node, tsl_product *p) {
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    if (!is_float_constant(weights)) return false;
    *p = (tsl_product){.weights = weights->data, .groups = 1, .taps = 1};
    bool good;
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
        good = read_convolution(node, &weights->shape, p);
        break;
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        good = read_matrix(node, &weights->shape, p);
        break;
    default:
        return false;
    }
    if (!good || p->n_in == 0 || p->n_out == 0 || p->taps == 0) return false;
    (void)find_bias(graph, node, p, &good);
    return good;
}

static tslim_status scale_weights(
    tslim_graph *graph, uint32_t n, const tsl_product *p, const float *in, const float *out) {
    tsl_value old = graph->values[graph->nodes[n].inputs[1]];
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(
        graph, old.name, TSLIM_DTYPE_FLOAT, old.shape.rank, old.shape.dims, &id, &data));
    float *to = data;
    for (size_t g = 0; g < p->groups; g++)
        for (size_t o = 0; o < p->n_out; o++)
            for (size_t i = 0; i < p->n_in; i++) {
                double factor = out ? (double)out[g * p->n_out + o] : 1;
                if (in) factor /= (double)in[g * p->n_in + i];
                size_t first = tsl_product_index(p, g, o, i, 0);
                for (size_t t = 0; t < p->taps; t++)
                    to[first + t] = (float)((double)p->weights[first + t] * factor);
            }
    graph->nodes[n].inputs[1] = id;
    return TSLIM_OK;
}

static tslim_status scale_bias(tslim_graph *graph, uint32_t n, const tsl_product *p, const float *out) {
    bool good;
    const tsl_value *old = find_bias(graph, &graph->nodes[n], p, &good);
    if (!old) return TSLIM_OK;
    const float *from = old->data;
    size_t step = old->bytes == sizeof(float) ? 0 : 1, channels = p->groups * p->n_out;
    int64_t dims[1] = {(int64_t)channels};
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, old->name, TSLIM_DTYPE_FLOAT, 1, dims, &id, &data));
    float *to = data;
    for (size_t c = 0; c < channels; c++) to[c] = from[c * step] * out[c];
    graph->nodes[n].inputs[2] = id;
    return TSLIM_OK;
}

tslim_status tsl_product_scale(tslim_graph *graph, uint32_t n, const float *in, const float *out) {
    tsl_product p;
    TSL_REQUIRE(tsl_product_read(graph, &graph->nodes[n], &p), TSLIM_ERROR_INTERNAL,
        "node '%s' is no product to scale", graph->nodes[n].name);
    TSL_TRY(scale_weights(graph, n, &p, in, out));
    return out ? scale_bias(graph, n, &p, out) : TSLIM_OK;
}
