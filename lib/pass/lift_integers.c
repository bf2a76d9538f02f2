// SPDX-License-Identifier: Apache-2.0
// Files have operators between the integers of quantized tensors themselves: MaxPool or Reshape of what a
// quantized convolution made, Transpose of quantized weights. This brings them into the one form that
// fold_quantized.c knows, in which all that an operator reads and makes is float.
#include <math.h>
#include <string.h>

#include "pass/fold_quantized.h"

// Integers that are a constant, or will be one when constants are folded.
static const tsl_value *constant_behind(const tslim_graph *graph, const tsl_value *integers) {
    if (!integers || tsl_value_is_constant(integers)) return integers;
    if (integers->producer == TSL_NONE) return NULL;
    const tsl_node *quantizer = &graph->nodes[integers->producer];
    const tsl_value *real = tsl_node_input(graph, quantizer, 0);
    return quantizer->op == TSL_OP_QUANTIZE_LINEAR && real && tsl_value_is_constant(real) ? real : NULL;
}

// DequantizeLinear behind Transpose instead of before it, so that the transposed weights are a constant of
// integers.
static tslim_status sink_dequantize(tslim_graph *graph, uint32_t n) {
    const tsl_node *transpose = &graph->nodes[n];
    uint32_t x = transpose->inputs[0], y = transpose->outputs[0], q;
    if (x == TSL_NONE || y == TSL_NONE || graph->values[x].producer == TSL_NONE) return TSLIM_OK;
    const tsl_node before = graph->nodes[graph->values[x].producer];
    if (before.op != TSL_OP_DEQUANTIZE_LINEAR) return TSLIM_OK;
    const tsl_value *constant = constant_behind(graph, tsl_node_input(graph, &before, 0));
    if (!constant) return TSLIM_OK;
    int64_t rank = constant->shape.rank, axis = tsl_attrs_int(&before.attrs, TSL_ATTR_axis, 1);
    if (axis < 0) axis += rank;
    size_t count;
    const int64_t *perm = tsl_attrs_ints(&transpose->attrs, TSL_ATTR_perm, &count);
    if (perm && count != (size_t)rank) return TSLIM_OK;
    int64_t to = rank - 1 - axis;
    for (int64_t i = 0; perm && i < rank; i++)
        if (perm[i] == axis) to = i;
    uint32_t added;
    TSL_TRY(tsl_graph_add_value(graph, graph->values[x].name, graph->values[before.inputs[0]].dtype, &q));
    graph->nodes[n].inputs[0] = before.inputs[0];
    graph->nodes[n].outputs[0] = q;
    graph->values[q].producer = n;
    TSL_TRY(tsl_graph_add_node(
        graph, TSL_OP_DEQUANTIZE_LINEAR, NULL, before.n_inputs, before.inputs, 1, &y, &added));
    graph->nodes[added].inputs[0] = q;
    return tsl_node_set_int(graph, &graph->nodes[added], TSL_ATTR_axis, to);
}

tslim_status tsl_quantized_sink(tslim_graph *graph) {
    uint32_t n_nodes = graph->n_nodes;
    for (uint32_t n = 0; n < n_nodes; n++)
        if (graph->nodes[n].op == TSL_OP_TRANSPOSE && graph->nodes[n].n_inputs == 1)
            TSL_TRY(sink_dequantize(graph, n));
    return tsl_graph_sort(graph);
}

// ---- Between activations ----

typedef struct lifter {
    tslim_graph *graph;
    tsl_arena arena;
    uint32_t n_nodes, n_values; // before the rewriting
    uint32_t *source; // of each value of integers: a QuantizeLinear whose parameters it has, or TSL_NONE
} lifter;

static bool is_lifted(const tsl_node *node) {
    return tsl_only_moves(node) || node->op == TSL_OP_PAD || node->op == TSL_OP_RESIZE ||
           node->op == TSL_OP_UPSAMPLE;
}

static tslim_status add_twin(tslim_graph *graph, uint32_t value, tslim_dtype dtype, uint32_t *twin) {
    TSL_TRY(tsl_graph_add_value(graph, graph->values[value].name, dtype, twin));
    graph->values[*twin].shape = graph->values[value].shape;
    return TSLIM_OK;
}

// A node with the parameters of QuantizeLinear `source`.
static tslim_status add_conversion(
    tslim_graph *graph, tsl_op op, const tsl_node *source, uint32_t from, uint32_t to) {
    uint32_t added;
    TSL_TRY(tsl_graph_add_node(graph, op, NULL, source->n_inputs, source->inputs, 1, &to, &added));
    graph->nodes[added].inputs[0] = from;
    return TSLIM_OK;
}

static tslim_status lift_operand(lifter *l, uint32_t n, uint32_t operand, const tsl_node *source) {
    uint32_t q = l->graph->nodes[n].inputs[operand], in_float;
    TSL_TRY(add_twin(l->graph, q, TSLIM_DTYPE_FLOAT, &in_float));
    l->graph->nodes[n].inputs[operand] = in_float;
    return add_conversion(l->graph, TSL_OP_DEQUANTIZE_LINEAR, source, q, in_float);
}

static tslim_status lift_node(lifter *l, uint32_t n) {
    tslim_graph *graph = l->graph;
    uint32_t q = graph->nodes[n].inputs[0];
    if (q == TSL_NONE || l->source[q] == TSL_NONE) return TSLIM_OK;
    uint32_t from = l->source[q];
    const tsl_node source = graph->nodes[from]; // a copy: nodes move
    TSL_TRY(lift_operand(l, n, 0, &source));
    if (graph->nodes[n].op == TSL_OP_PAD && tsl_node_input(graph, &graph->nodes[n], 2))
        TSL_TRY(lift_operand(l, n, 2, &source));
    for (uint32_t i = 0; i < graph->nodes[n].n_outputs; i++) {
        uint32_t result = graph->nodes[n].outputs[i], in_float;
        if (result == TSL_NONE) continue;
        TSL_TRY(add_twin(graph, result, TSLIM_DTYPE_FLOAT, &in_float));
        graph->nodes[n].outputs[i] = in_float;
        graph->values[in_float].producer = n;
        TSL_TRY(add_conversion(graph, TSL_OP_QUANTIZE_LINEAR, &source, in_float, result));
        l->source[result] = from;
    }
    return TSLIM_OK;
}

// ---- Clip ----

// The bound of a Clip of integers, as a real number: a constant of the integers' type, or none.
static bool read_bound(
    const tsl_value *bound, tslim_dtype dtype, const tsl_quant_form *form, float none, float *real) {
    *real = none;
    if (!bound) return true;
    if (!tsl_value_is_constant(bound) || bound->dtype != dtype || bound->bytes != 1) return false;
    const int32_t number =
        dtype == TSLIM_DTYPE_INT8 ? *(const int8_t *)bound->data : *(const uint8_t *)bound->data - 128;
    *real = (float)(number - form->zero_point) * form->scale;
    return true;
}

// What was clipped after it was rounded is rounded after it is clipped: then a product's epilogue can do it.
// PyTorch so keeps to seven bits.
static tslim_status lift_clip(lifter *l, uint32_t n) {
    tslim_graph *graph = l->graph;
    const uint32_t q = graph->nodes[n].inputs[0];
    if (q == TSL_NONE || l->source[q] == TSL_NONE || graph->nodes[n].n_outputs != 1) return TSLIM_OK;
    const tsl_node source = graph->nodes[l->source[q]];
    const tsl_quant_form form = tsl_quantized_parameters(graph, &source);
    float bounds[2];
    for (uint32_t i = 0; i < 2; i++)
        if (!read_bound(tsl_node_input(graph, &graph->nodes[n], i + 1), graph->values[q].dtype, &form,
                i ? INFINITY : -INFINITY, &bounds[i]))
            return TSLIM_OK;
    const uint32_t result = graph->nodes[n].outputs[0];
    uint32_t inputs[3] = {source.inputs[0]}, clipped;
    for (uint32_t i = 0; i < 2; i++) {
        void *data;
        TSL_TRY(tsl_graph_add_constant(
            graph, graph->nodes[n].name, TSLIM_DTYPE_FLOAT, 0, NULL, &inputs[i + 1], &data));
        memcpy(data, &bounds[i], sizeof(bounds[i]));
    }
    TSL_TRY(add_twin(graph, result, TSLIM_DTYPE_FLOAT, &clipped));
    tsl_graph_remove_node(graph, n);
    TSL_TRY(add_conversion(graph, TSL_OP_QUANTIZE_LINEAR, &source, clipped, result));
    l->source[result] = graph->n_nodes - 1;
    uint32_t added;
    return tsl_graph_add_node(graph, TSL_OP_CLIP, NULL, 3, inputs, 1, &clipped, &added);
}

static tslim_status visit(lifter *l, uint32_t n) {
    const tsl_node *node = &l->graph->nodes[n];
    tsl_quant_form form = tsl_quantized_parameters(l->graph, node);
    if (node->op == TSL_OP_QUANTIZE_LINEAR && tsl_has_form(&form)) {
        l->source[node->outputs[0]] = n;
        return TSLIM_OK;
    }
    if (node->op == TSL_OP_CLIP) return lift_clip(l, n);
    return node->n_inputs > 0 && is_lifted(node) ? lift_node(l, n) : TSLIM_OK;
}

tslim_status tsl_quantized_lift(tslim_graph *graph) {
    lifter l = {.graph = graph, .n_nodes = graph->n_nodes, .n_values = graph->n_values};
    tsl_arena_init(&l.arena, graph->ctx);
    l.source = tsl_arena_array(&l.arena, l.n_values, sizeof(*l.source));
    tslim_status status = l.source ? TSLIM_OK : tsl_no_memory(l.n_values * sizeof(*l.source));
    for (uint32_t v = 0; status == TSLIM_OK && v < l.n_values; v++) l.source[v] = TSL_NONE;
    for (uint32_t n = 0; n < l.n_nodes && status == TSLIM_OK; n++) status = visit(&l, n);
    tsl_arena_clear(&l.arena);
    TSL_TRY(status);
    TSL_TRY(tsl_graph_compact(graph));
    return tsl_graph_sort(graph);
}
