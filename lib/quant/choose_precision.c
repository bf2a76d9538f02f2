// SPDX-License-Identifier: Apache-2.0
// Which nodes run in INT8. First by what each node is, then by its company: a cheap function gains nothing
// where its operand comes in float or its result is wanted in float, so it is INT8 only between INT8 nodes.
#include <math.h>
#include <string.h>

#include "ir/bodies.h"
#include "quant/quantizer.h"

bool tsl_is_product(tsl_op op) {
    return op == TSL_OP_CONV || op == TSL_OP_CONV_TRANSPOSE || op == TSL_OP_GEMM || op == TSL_OP_MATMUL;
}

bool tsl_is_data_operand(const tsl_node *node, uint32_t index) {
    if (index == 0) return true;
    if (tsl_is_product(node->op)) return node->epilogue.residual == (int32_t)index;
    return node->op == TSL_OP_CONCAT ||
           ((node->op == TSL_OP_ADD || node->op == TSL_OP_SUB || node->op == TSL_OP_MUL) && index == 1);
}

bool tsl_has_int8_reader(const tsl_quantizer *q, uint32_t value) {
    for (uint32_t u = q->uses.first[value]; u < q->uses.first[value + 1]; u++) {
        uint32_t reader = q->uses.nodes[u];
        if (!tsl_runs_in_int8(q, reader)) continue;
        const tsl_node *node = &q->graph->nodes[reader];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] == value && tsl_is_data_operand(node, i)) return true;
    }
    return false;
}

// ---- What a node is ----

static bool is_float_constant(const tsl_value *value) {
    return value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
           value->packing == TSL_PACKING_NONE;
}

static bool all_finite(const tsl_value *value) {
    const float *data = value->data;
    for (size_t i = 0; i < value->bytes / sizeof(float); i++)
        if (!isfinite(data[i])) return false;
    return true;
}

// Output channels of a product whose weights have a shape that INT8 kernels take; 0 otherwise.
static int64_t product_channels(const tsl_node *node, const tsl_shape *weights) {
    const int64_t *dims = weights->dims;
    switch (node->op) {
    case TSL_OP_CONV:
        return weights->rank == 3 || weights->rank == 4 ? dims[0] : 0;
    case TSL_OP_CONV_TRANSPOSE:
        return weights->rank == 3 || weights->rank == 4
                   ? dims[1] * tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1)
                   : 0;
    case TSL_OP_GEMM:
        return weights->rank == 2 ? dims[tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) ? 0 : 1] : 0;
    default:
        return weights->rank == 2 ? dims[1] : 0;
    }
}

static const char *check_product(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    if (!is_float_constant(weights)) return "its second operand is not constant";
    int64_t channels = product_channels(node, &weights->shape);
    if (channels < 1) return "weights of this rank have no INT8 kernel";
    if (!all_finite(weights)) return "its weights are not finite";
    const tsl_value *bias = node->epilogue.residual == 2 ? NULL : tsl_node_input(graph, node, 2);
    if (!bias) return NULL;
    if (!is_float_constant(bias)) return "its bias is not constant";
    uint64_t elements = bias->bytes / sizeof(float);
    uint32_t rank = bias->shape.rank;
    bool row = elements == (uint64_t)channels && rank >= 1 && bias->shape.dims[rank - 1] == channels;
    if (elements != 1 && !row) return "its bias is not one number for each channel";
    return all_finite(bias) ? NULL : "its bias is not finite";
}

// `stays_float`: a function in a chain behind a product, whose constants are taken as they are.
static const char *check_arithmetic(const tslim_graph *graph, const tsl_node *node, bool stays_float) {
    for (uint32_t i = 0; i < 2; i++) {
        const tsl_value *value = tsl_node_input(graph, node, i);
        if (!value || !tsl_value_is_constant(value)) continue;
        if (!is_float_constant(value) || !all_finite(value)) return "its constant operand has no INT8 form";
        if (!stays_float && !tsl_constant_suits_int8(value))
            return "its constant operand loses too much in INT8";
    }
    return NULL;
}

static const char *check_concat(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_node_input(graph, node, i);
        if (!value || tsl_value_is_constant(value)) return "it joins constants";
    }
    return NULL;
}

// Zeros are the same in float and INT8; another filling would need its own scale.
static const char *check_pad(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *filling = tsl_node_input(graph, node, 2);
    float value = tsl_attrs_float(&node->attrs, TSL_ATTR_value, 0);
    if (filling) {
        if (!is_float_constant(filling) || filling->bytes != sizeof(float))
            return "its filling is not constant";
        memcpy(&value, filling->data, sizeof(value));
    }
    return value == 0 ? NULL : "its filling is not 0";
}

static const char *resize_mode(const tsl_node *node) {
    return tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "nearest");
}

static const char *check_kind(const tsl_quantizer *q, const tsl_node *node) {
    const tslim_graph *graph = q->graph;
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        return check_product(graph, node);
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
        return check_arithmetic(graph, node,
            tsl_function_argument(graph, node) != TSL_NONE &&
                tsl_chain_product(graph, &q->uses, node->outputs[0]) != TSL_NONE);
    case TSL_OP_CONCAT:
        return check_concat(graph, node);
    case TSL_OP_PAD:
        return check_pad(graph, node);
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
        return strcmp(resize_mode(node), "cubic") == 0 ? "cubic interpolation has no INT8 kernel" : NULL;
    case TSL_OP_MAX_POOL:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_GLOBAL_AVERAGE_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
    case TSL_OP_DEPTH_TO_SPACE:
    case TSL_OP_SPACE_TO_DEPTH:
    case TSL_OP_FLATTEN:
    case TSL_OP_RESHAPE:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
    case TSL_OP_TRANSPOSE:
    case TSL_OP_SPLIT:
    case TSL_OP_SLICE:
    case TSL_OP_RELU:
    case TSL_OP_LEAKY_RELU:
    case TSL_OP_CLIP:
    case TSL_OP_SIGMOID:
    case TSL_OP_HARD_SIGMOID:
    case TSL_OP_HARD_SWISH:
    case TSL_OP_SILU:
    case TSL_OP_TANH:
    case TSL_OP_ELU:
    case TSL_OP_SELU:
    case TSL_OP_CELU:
    case TSL_OP_GELU:
    case TSL_OP_MISH:
    case TSL_OP_SOFTPLUS:
    case TSL_OP_SOFTSIGN:
    case TSL_OP_NEG:
    case TSL_OP_ABS:
        return NULL;
    default:
        return "this operator runs in float";
    }
}

bool tsl_keeps_scale(const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_MAX_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
    case TSL_OP_DEPTH_TO_SPACE:
    case TSL_OP_SPACE_TO_DEPTH:
    case TSL_OP_FLATTEN:
    case TSL_OP_RESHAPE:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
    case TSL_OP_TRANSPOSE:
    case TSL_OP_SPLIT:
    case TSL_OP_SLICE:
    case TSL_OP_PAD:
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
        return true;
    default:
        return false;
    }
}

// Its data is float, and known to be.
static const char *check_types(const tslim_graph *graph, const tsl_node *node) {
    bool any = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_is_data_operand(node, i) ? tsl_node_input(graph, node, i) : NULL;
        if (!value) continue;
        if (value->dtype != TSLIM_DTYPE_FLOAT || !value->shape.known) return "it does not work on floats";
        any |= !tsl_value_is_constant(value);
    }
    return any ? NULL : "it does not work on activations";
}

// ---- Its company ----

static bool has_int8_producer(const tsl_quantizer *q, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_is_data_operand(node, i) ? tsl_node_input(q->graph, node, i) : NULL;
        if (value && value->producer != TSL_NONE && tsl_runs_in_int8(q, value->producer)) return true;
    }
    return false;
}

static bool feeds_int8(const tsl_quantizer *q, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && tsl_has_int8_reader(q, node->outputs[i])) return true;
    return false;
}

// What is left between no products at all goes too: its first node has no INT8 producer, then its second, ...
static void drop_borders(tsl_quantizer *q) {
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t n = 0; n < q->n_nodes; n++) {
            const tsl_node *node = &q->graph->nodes[n];
            if (!tsl_runs_in_int8(q, n) || tsl_is_product(node->op)) continue;
            if (!has_int8_producer(q, node))
                q->float_reason[n] = "its operands come in float";
            else if (!feeds_int8(q, node))
                q->float_reason[n] = "its result is needed in float";
            changed |= !tsl_runs_in_int8(q, n);
        }
    }
}

tslim_status tsl_choose_precision(tsl_quantizer *q, const char *const *reasons) {
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        const tsl_node *node = &q->graph->nodes[n];
        q->float_reason[n] = reasons[n]                    ? reasons[n]
                             : tsl_op_has_bodies(node->op) ? "what is within it stays in float"
                                                           : check_types(q->graph, node);
        if (!q->float_reason[n]) q->float_reason[n] = check_kind(q, node);
    }
    drop_borders(q);
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        const tsl_node *node = &q->graph->nodes[n];
        if (!tsl_runs_in_int8(q, n) || !tsl_is_product(node->op)) continue;
        uint32_t output = node->outputs[0];
        q->to_float[n] = tsl_graph_is_output(q->graph, output) || !tsl_has_int8_reader(q, output);
    }
    return TSLIM_OK;
}
