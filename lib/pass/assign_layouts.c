// SPDX-License-Identifier: Apache-2.0
// Convolution and its like want channels last, reshapes and matrix products plain row-major order, and the
// rest follows its neighbours. Reorder nodes stand where two disagree: at the borders of a convolutional
// part, not within it.
#include "ir/window.h"
#include "pass/pass.h"

typedef struct layouts {
    tslim_graph *graph;
    uint32_t *other; // of each value: the same value in the other layout, or TSL_NONE
    size_t capacity;
} layouts;

static bool is_rank_4(const tsl_value *value) {
    return value->shape.known && value->shape.rank == 4;
}

// With one channel or one pixel both layouts are the same bytes.
static bool layouts_coincide(const tsl_value *value) {
    const int64_t *d = value->shape.dims;
    return is_rank_4(value) && (d[1] == 1 || (d[2] == 1 && d[3] == 1));
}

static bool remember_other(layouts *l, uint32_t value, uint32_t other) {
    size_t old = l->capacity;
    uint32_t top = value > other ? value : other;
    if (!tsl_grow(l->graph->ctx, (void **)&l->other, &l->capacity, (size_t)top + 1, sizeof(uint32_t)))
        return false;
    for (size_t i = old; i < l->capacity; i++) l->other[i] = TSL_NONE;
    l->other[value] = other;
    l->other[other] = value;
    return true;
}

// Operand `i` of node `n` in the wanted layout; a Reorder is made where it is not there yet. The new node
// goes to the end of the list; the caller sorts.
static tslim_status want(layouts *l, uint32_t n, uint32_t i, tsl_layout layout, bool needs_copy) {
    tslim_graph *graph = l->graph;
    uint32_t id = graph->nodes[n].inputs[i];
    if (id == TSL_NONE) return TSLIM_OK;
    const tsl_value *value = &graph->values[id];
    if (tsl_value_is_constant(value)) return TSLIM_OK;
    if (!needs_copy && (!is_rank_4(value) || value->layout == layout || layouts_coincide(value)))
        return TSLIM_OK;
    if (id < l->capacity && l->other[id] != TSL_NONE && graph->values[l->other[id]].layout == layout) {
        graph->nodes[n].inputs[i] = l->other[id];
        return TSLIM_OK;
    }
    uint32_t copy, node;
    TSL_TRY(tsl_graph_add_value(graph, value->name, value->dtype, &copy));
    value = &graph->values[id]; // the array may have moved
    graph->values[copy].shape = value->shape;
    graph->values[copy].quant = value->quant;
    graph->values[copy].layout = layout;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_REORDER, NULL, 1, &id, 1, &copy, &node));
    if (!remember_other(l, id, copy)) return tsl_no_memory(l->capacity * sizeof(uint32_t));
    graph->nodes[n].inputs[i] = copy;
    return TSLIM_OK;
}

// A border needs a producer that can write with gaps, into memory of the plan's own: what a caller lends or
// reads, and what plain row-major kernels write, is copied before a convolution with padding reads it.
static bool can_have_border(const tslim_graph *graph, uint32_t value) {
    uint32_t producer = graph->values[value].producer;
    if (producer == TSL_NONE || tsl_graph_is_output(graph, value)) return false;
    return tsl_op_get_info(graph->nodes[producer].op)->layout != TSL_RULE_ROW_MAJOR;
}

static bool needs_border(const tslim_graph *graph, const tsl_node *node) {
    if (node->op != TSL_OP_CONV && node->op != TSL_OP_CONV_TRANSPOSE) return false;
    return !can_have_border(graph, node->inputs[0]);
}

// Products of INT8 take four numbers at a time, and the last four may end behind the operand. The memory of a
// caller must not be read there: it is copied into the plan's own.
static bool reads_behind_callers_memory(const tslim_graph *graph, const tsl_node *node) {
    if (node->op != TSL_OP_CONV && node->op != TSL_OP_CONV_TRANSPOSE && node->op != TSL_OP_GEMM &&
        node->op != TSL_OP_MATMUL)
        return false;
    const tsl_value *value = tsl_node_input(graph, node, 0);
    return value && value->producer == TSL_NONE && tslim_dtype_size(value->dtype) == 1;
}

// Weights that are computed are packed at each run, from row-major order.
static bool is_weights(const tsl_node *node, uint32_t input) {
    return input == 1 && (node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE);
}

static tsl_layout choose_any(const tslim_graph *graph, const tsl_node *node) {
    // Transpose changes the meaning of the axes: what was last before says nothing about after.
    if (node->op == TSL_OP_TRANSPOSE) return TSL_LAYOUT_ROW_MAJOR;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *input = tsl_node_input(graph, node, i);
        if (input && is_rank_4(input) && !layouts_coincide(input) &&
            input->layout == TSL_LAYOUT_CHANNELS_LAST)
            return TSL_LAYOUT_CHANNELS_LAST;
    }
    return TSL_LAYOUT_ROW_MAJOR;
}

static tslim_status assign_node(layouts *l, uint32_t n) {
    tslim_graph *graph = l->graph;
    const tsl_node *node = &graph->nodes[n];
    const tsl_value *first = tsl_node_input(graph, node, 0);
    tsl_layout_rule rule = tsl_op_get_info(node->op)->layout;
    if (rule == TSL_RULE_CHANNELS_LAST && (!first || !is_rank_4(first))) rule = TSL_RULE_ROW_MAJOR;
    tsl_layout layout = rule == TSL_RULE_CHANNELS_LAST ? TSL_LAYOUT_CHANNELS_LAST
                        : rule == TSL_RULE_ROW_MAJOR   ? TSL_LAYOUT_ROW_MAJOR
                                                       : choose_any(graph, node);
    if (rule != TSL_RULE_ANY || (layout == TSL_LAYOUT_CHANNELS_LAST && node->op != TSL_OP_TRANSPOSE)) {
        bool copy = (rule == TSL_RULE_CHANNELS_LAST && needs_border(graph, node)) ||
                    reads_behind_callers_memory(graph, node);
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            TSL_TRY(want(
                l, n, i, is_weights(&graph->nodes[n], i) ? TSL_LAYOUT_ROW_MAJOR : layout, copy && i == 0));
    }
    node = &graph->nodes[n];
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        tsl_value *output = tsl_node_output(graph, node, i);
        if (output) output->layout = is_rank_4(output) ? layout : TSL_LAYOUT_ROW_MAJOR;
    }
    return TSLIM_OK;
}

// Callers get row-major outputs. The Reorder node takes over the output's name.
static tslim_status restore_outputs(tslim_graph *graph) {
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        uint32_t id = graph->outputs[i];
        if (graph->values[id].layout == TSL_LAYOUT_ROW_MAJOR || layouts_coincide(&graph->values[id]))
            continue;
        uint32_t copy, node;
        TSL_TRY(tsl_graph_add_value(graph, graph->values[id].name, graph->values[id].dtype, &copy));
        graph->values[copy].shape = graph->values[id].shape;
        graph->values[copy].quant = graph->values[id].quant;
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_REORDER, NULL, 1, &id, 1, &copy, &node));
        const char *name = graph->values[id].name;
        graph->values[id].name = graph->values[copy].name;
        graph->values[copy].name = name;
        if (!tsl_name_map_set(&graph->value_names, graph->values[id].name, id) ||
            !tsl_name_map_set(&graph->value_names, name, copy))
            return tsl_no_memory(sizeof(tsl_name_slot));
        for (uint32_t k = i; k < graph->n_outputs; k++)
            if (graph->outputs[k] == id) graph->outputs[k] = copy;
    }
    return TSLIM_OK;
}

tslim_status tsl_pass_assign_layouts(tslim_graph *graph) {
    layouts l = {.graph = graph};
    uint32_t n_nodes = graph->n_nodes; // Reorders made on the way need no visit
    tslim_status status = TSLIM_OK;
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++) status = assign_node(&l, n);
    tsl_free(graph->ctx, l.other, l.capacity * sizeof(uint32_t));
    TSL_TRY(status);
    TSL_TRY(restore_outputs(graph));
    return tsl_graph_sort(graph);
}
