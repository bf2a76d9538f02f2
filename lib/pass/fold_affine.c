// SPDX-License-Identifier: Apache-2.0
// y = scale[c] * conv(x) + shift[c] is a convolution with scaled weights and another bias. BatchNormalization
// at inference is that (Ioffe and Szegedy, 2015, arXiv:1502.03167), and so are Add, Sub, Mul and Div by a
// constant for each channel, which is how some exporters write a bias.
#include <math.h>
#include <string.h>

#include "pass/fold_quantized.h"

// The per-channel function of one node.
typedef struct affine {
    size_t channels;
    double *scale, *shift; // channels each, one allocation
} affine;

// Quantized weights can take a bias.
static bool is_foldable(const tsl_value *weights) {
    return tsl_value_is_constant(weights) && weights->packing == TSL_PACKING_NONE &&
           (weights->dtype == TSLIM_DTYPE_FLOAT ||
               (weights->dtype == TSLIM_DTYPE_INT8 && weights->quant.scales));
}

static int64_t channel_count(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    if (!weights || (!is_foldable(weights) && tsl_dequantized_channels(graph, node) == 0)) return 0;
    const int64_t *dims = weights->shape.dims;
    switch (node->op) {
    case TSL_OP_CONV:
        return dims[0];
    case TSL_OP_CONV_TRANSPOSE:
        return dims[1] * tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1);
    case TSL_OP_GEMM:
        if (tsl_attrs_float(&node->attrs, TSL_ATTR_alpha, 1) != 1 ||
            tsl_attrs_float(&node->attrs, TSL_ATTR_beta, 1) != 1)
            return 0;
        return dims[tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) ? 0 : 1];
    case TSL_OP_MATMUL:
        return weights->shape.rank == 2 ? dims[1] : 0;
    default:
        return 0;
    }
}

// The axis of the node's output that channels lie on.
static uint32_t channel_axis(const tsl_node *node, const tsl_shape *output) {
    return node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE ? 1 : output->rank - 1;
}

static const float *constant_floats(const tsl_value *value, size_t count) {
    return value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
                   value->bytes == count * sizeof(float)
               ? value->data
               : NULL;
}

static bool read_batch_normalization(const tslim_graph *graph, const tsl_node *node, affine *a) {
    const float *p[4];
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = constant_floats(tsl_node_input(graph, node, i + 1), a->channels);
        if (!p[i]) return false;
    }
    double epsilon = (double)tsl_attrs_float(&node->attrs, TSL_ATTR_epsilon, 1e-5f);
    for (size_t c = 0; c < a->channels; c++) {
        a->scale[c] = (double)p[0][c] / sqrt((double)p[3][c] + epsilon);
        a->shift[c] = (double)p[1][c] - (double)p[2][c] * a->scale[c];
        if (!isfinite(a->scale[c]) || !isfinite(a->shift[c])) return false;
    }
    return true;
}

// The constant operand as one number for each channel: a scalar, or a shape that broadcasts along all other
// axes.
static const float *channel_constant(
    const tsl_value *value, uint32_t rank, uint32_t axis, size_t channels, size_t *step) {
    if (!value || !tsl_value_is_constant(value) || value->dtype != TSLIM_DTYPE_FLOAT ||
        value->shape.rank > rank)
        return NULL;
    *step = 0;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        if (value->shape.dims[i] == 1) continue;
        if (rank - value->shape.rank + i != axis || value->shape.dims[i] != (int64_t)channels) return NULL;
        *step = 1;
    }
    return value->data;
}

static bool read_binary(const tslim_graph *graph, const tsl_node *node, uint32_t operand,
    const tsl_node *producer, const tsl_shape *shape, affine *a) {
    size_t step;
    const float *constant = channel_constant(tsl_node_input(graph, node, 1 - operand), shape->rank,
        channel_axis(producer, shape), a->channels, &step);
    if (!constant || (operand == 1 && (node->op == TSL_OP_SUB || node->op == TSL_OP_DIV))) return false;
    for (size_t c = 0; c < a->channels; c++) {
        double value = (double)constant[c * step];
        a->scale[c] = node->op == TSL_OP_MUL ? value : node->op == TSL_OP_DIV ? 1 / value : 1;
        a->shift[c] = node->op == TSL_OP_ADD ? value : node->op == TSL_OP_SUB ? -value : 0;
        if (!isfinite(a->scale[c]) || !isfinite(a->shift[c])) return false;
    }
    return true;
}

// The output channel that element `index` of the row-major weights belongs to.
static size_t weight_channel(
    const tslim_graph *graph, const tsl_node *node, const tsl_value *weights, size_t index) {
    const int64_t *dims = weights->shape.dims;
    size_t inner = 1;
    switch (node->op) {
    case TSL_OP_CONV_TRANSPOSE: { // [in][out / group][kernel]
        for (uint32_t i = 2; i < weights->shape.rank; i++) inner *= (size_t)dims[i];
        size_t group = (size_t)tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1);
        size_t in = index / (inner * (size_t)dims[1]);
        return index / inner % (size_t)dims[1] + in / ((size_t)dims[0] / group) * (size_t)dims[1];
    }
    case TSL_OP_CONV: // [out][in / group][kernel]
        for (uint32_t i = 1; i < weights->shape.rank; i++) inner *= (size_t)dims[i];
        return index / inner;
    case TSL_OP_GEMM:
        if (tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0)) return index / (size_t)dims[1];
        return index % (size_t)dims[1];
    default:
        (void)graph;
        return index % (size_t)dims[1];
    }
}

static tslim_status new_weights(tslim_graph *graph, uint32_t n, const affine *a) {
    tsl_node *node = &graph->nodes[n];
    tsl_value old = graph->values[node->inputs[1]];
    if (!tsl_value_is_constant(&old)) return tsl_scale_dequantized(graph, n, a->scale);
    if (old.dtype != TSLIM_DTYPE_FLOAT) return TSLIM_OK;
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(
        graph, old.name, TSLIM_DTYPE_FLOAT, old.shape.rank, old.shape.dims, &id, &data));
    const float *from = old.data;
    float *to = data;
    size_t count = old.bytes / sizeof(float);
    for (size_t i = 0; i < count; i++)
        to[i] = (float)((double)from[i] * a->scale[weight_channel(graph, node, &old, i)]);
    node->inputs[1] = id;
    return TSLIM_OK;
}

static tslim_status new_bias(tslim_graph *graph, uint32_t n, const affine *a) {
    const tsl_value *old = tsl_node_input(graph, &graph->nodes[n], 2);
    const float *from = old ? old->data : NULL;
    size_t step = old && old->bytes == sizeof(float) ? 0 : 1;
    int64_t dims[1] = {(int64_t)a->channels};
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(
        graph, old ? old->name : graph->nodes[n].name, TSLIM_DTYPE_FLOAT, 1, dims, &id, &data));
    float *to = data;
    for (size_t c = 0; c < a->channels; c++)
        to[c] = (float)((from ? (double)from[c * step] : 0) * a->scale[c] + a->shift[c]);
    if (graph->nodes[n].n_inputs > 2)
        graph->nodes[n].inputs[2] = id;
    else
        TSL_TRY(tsl_node_add_input(graph, &graph->nodes[n], id));
    return TSLIM_OK;
}

// True when the bias is absent or a constant with one number for each channel (or one for all).
static bool has_simple_bias(const tslim_graph *graph, const tsl_node *node, size_t channels) {
    if (node->n_inputs > 3 || node->epilogue.residual >= 0 || node->epilogue.clamp) return false;
    const tsl_value *bias = tsl_node_input(graph, node, 2);
    if (!bias) return true;
    float scalar;
    if (tsl_constant_scalar(bias, &scalar)) return true;
    if (!constant_floats(bias, channels)) return false;
    return bias->shape.dims[bias->shape.rank - 1] == (int64_t)channels;
}

// Folds node `n` into the producer of its operand, if that can take it.
static tslim_status fold(
    tslim_graph *graph, const tsl_uses *uses, uint32_t n, uint32_t operand, bool *folded) {
    const tsl_node *node = &graph->nodes[n];
    if (node->inputs[operand] == TSL_NONE) return TSLIM_OK;
    const tsl_value *value = &graph->values[node->inputs[operand]];
    if (value->producer == TSL_NONE || tsl_single_use(graph, uses, node->inputs[operand]) != n)
        return TSLIM_OK;
    uint32_t p = value->producer;
    const tsl_node *producer = &graph->nodes[p];
    int64_t channels = channel_count(graph, producer);
    if (channels <= 0 || !value->shape.known || value->dtype != TSLIM_DTYPE_FLOAT ||
        graph->values[node->outputs[0]].dtype != TSLIM_DTYPE_FLOAT ||
        !has_simple_bias(graph, producer, (size_t)channels))
        return TSLIM_OK;

    size_t bytes = 2 * (size_t)channels * sizeof(double);
    affine a = {.channels = (size_t)channels, .scale = tsl_allocate(graph->ctx, bytes)};
    TSL_REQUIRE_MEMORY(a.scale, bytes);
    a.shift = a.scale + channels;
    bool readable =
        node->op == TSL_OP_BATCH_NORMALIZATION
            ? channel_axis(producer, &value->shape) == 1 && read_batch_normalization(graph, node, &a)
            : read_binary(graph, node, operand, producer, &value->shape, &a);
    if (!tsl_value_is_constant(tsl_node_input(graph, producer, 1)))
        readable = readable && tsl_dequantized_can_scale(graph, producer, a.scale);
    else if (tsl_node_input(graph, producer, 1)->dtype != TSLIM_DTYPE_FLOAT)
        for (int64_t c = 0; c < channels; c++) readable &= a.scale[c] == 1;
    tslim_status status = TSLIM_OK;
    if (readable) {
        status = new_weights(graph, p, &a);
        if (status == TSLIM_OK) status = new_bias(graph, p, &a);
        if (status == TSLIM_OK) {
            // The producer takes over the output, and with it the name by which the value is known.
            uint32_t output = graph->nodes[n].outputs[0];
            graph->nodes[p].epilogue = graph->nodes[n].epilogue; // a clamp that it has taken over already
            tsl_graph_remove_node(graph, n);
            graph->nodes[p].outputs[0] = output;
            graph->values[output].producer = p;
            *folded = true;
        }
    }
    tsl_free(graph->ctx, a.scale, bytes);
    return status;
}

static bool is_candidate(const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_BATCH_NORMALIZATION:
        return node->n_outputs == 1 && tsl_attrs_int(&node->attrs, TSL_ATTR_training_mode, 0) == 0;
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
    case TSL_OP_DIV:
        return true;
    default:
        return false;
    }
}

tslim_status tsl_pass_fold_affine(tslim_graph *graph) {
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses));
    tslim_status status = TSLIM_OK;
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++) {
        if (!is_candidate(&graph->nodes[n])) continue;
        bool folded = false;
        uint32_t operands = graph->nodes[n].op == TSL_OP_BATCH_NORMALIZATION ? 1 : 2;
        for (uint32_t operand = 0; operand < operands && !folded && status == TSLIM_OK; operand++)
            status = fold(graph, &uses, n, operand, &folded);
    }
    tsl_uses_free(&uses);
    TSL_TRY(status);
    TSL_TRY(tsl_graph_compact(graph));
    return tsl_graph_sort(graph); // scaled weights are made by new nodes
}
