// SPDX-License-Identifier: Apache-2.0
// conv -> Add(z) -> Relu becomes one node that adds and clamps its result while it is still in registers.
#include <math.h>

#include "pass/pass.h"

static bool has_epilogue(const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        return true;
    default:
        return false;
    }
}

// Elementwise functions of one result can clamp it too.
static bool can_clamp(const tsl_node *node) {
    return has_epilogue(node) || node->op == TSL_OP_ADD || node->op == TSL_OP_SUB || node->op == TSL_OP_MUL ||
           node->op == TSL_OP_BATCH_NORMALIZATION;
}

// The node takes over the output of node `from`, and with it the name by which the value is known.
static void take_output(tslim_graph *graph, uint32_t node, uint32_t from) {
    uint32_t output = graph->nodes[from].outputs[0];
    tsl_graph_remove_node(graph, from);
    graph->nodes[node].outputs[0] = output;
    graph->values[output].producer = node;
}

// Where nothing is broadcast: equal ranks, and dims that are equal as far as they are known. Unknown dims are
// taken as equal when neither is 1: two feature maps that are added have the same size, or the model would
// not run.
static bool same_shape(const tsl_value *a, const tsl_value *b) {
    if (!a->shape.known || !b->shape.known || a->shape.rank != b->shape.rank || a->dtype != b->dtype)
        return false;
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        int64_t x = a->shape.dims[i], y = b->shape.dims[i];
        if (x == y) continue;
        if (x >= 0 && y >= 0) return false;
        if (x == 1 || y == 1) return false;
    }
    return true;
}

// The operand of an Add whose producer can add the other one itself. Of two candidates the later one: then
// the other is already there.
static uint32_t choose_side(const tslim_graph *graph, const tsl_uses *uses, uint32_t add) {
    const tsl_node *node = &graph->nodes[add];
    uint32_t best = TSL_NONE, best_producer = 0;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t value = node->inputs[side], other = node->inputs[1 - side];
        uint32_t producer = graph->values[value].producer;
        if (producer == TSL_NONE || other == value || tsl_value_is_constant(&graph->values[other])) continue;
        const tsl_node *p = &graph->nodes[producer];
        // ConvTranspose can only clamp: its kernels add no residual.
        if (!has_epilogue(p) || p->op == TSL_OP_CONV_TRANSPOSE) continue;
        if (p->epilogue.clamp || p->epilogue.residual >= 0) continue;
        // Depthwise kernels of INT8 add none in float.
        if (graph->values[p->inputs[1]].quant.scales && tsl_attrs_int(&p->attrs, TSL_ATTR_group, 1) > 1)
            continue;
        if (tsl_single_use(graph, uses, value) != add) continue;
        if (!same_shape(&graph->values[value], &graph->values[other])) continue;
        if (best == TSL_NONE || producer > best_producer) {
            best = side;
            best_producer = producer;
        }
    }
    return best;
}

static tslim_status fuse_residual(tslim_graph *graph, const tsl_uses *uses, uint32_t add) {
    const tsl_node *node = &graph->nodes[add];
    if (node->op != TSL_OP_ADD || node->epilogue.clamp) return TSLIM_OK;
    // Sums of quantized values are rounded twice in the file, and its author wanted the clamp of the first.
    if (graph->values[node->outputs[0]].dtype != TSLIM_DTYPE_FLOAT) return TSLIM_OK;
    uint32_t side = choose_side(graph, uses, add);
    if (side == TSL_NONE) return TSLIM_OK;
    uint32_t residual = node->inputs[1 - side];
    uint32_t producer = graph->values[node->inputs[side]].producer;
    // The residual comes last, behind an absent bias if there is none.
    while (graph->nodes[producer].n_inputs < 3)
        TSL_TRY(tsl_node_add_input(graph, &graph->nodes[producer], TSL_NONE));
    TSL_TRY(tsl_node_add_input(graph, &graph->nodes[producer], residual));
    graph->nodes[producer].epilogue.residual = (int32_t)graph->nodes[producer].n_inputs - 1;
    take_output(graph, producer, add);
    return TSLIM_OK;
}

static void fuse_clamp(tslim_graph *graph, const tsl_uses *uses, uint32_t n) {
    float lo, hi;
    const tsl_node *node = &graph->nodes[n];
    if (!tsl_clip_bounds(graph, node, &lo, &hi) || node->inputs[0] == TSL_NONE) return;
    const tsl_value *value = &graph->values[node->inputs[0]];
    if (value->producer == TSL_NONE || value->dtype != TSLIM_DTYPE_FLOAT ||
        tsl_single_use(graph, uses, node->inputs[0]) != n)
        return;
    uint32_t p = value->producer;
    tsl_node *producer = &graph->nodes[p];
    // Of BatchNormalization in training the other outputs are statistics, which are not clamped.
    bool one_result = producer->n_outputs == 1 || producer->op == TSL_OP_BATCH_NORMALIZATION;
    if (!can_clamp(producer) || !one_result || producer->outputs[0] != node->inputs[0]) return;
    if (producer->epilogue.clamp) { // relu6 after relu: both hold
        lo = fmaxf(lo, producer->epilogue.lo);
        hi = fminf(hi, producer->epilogue.hi);
        if (lo > hi) return;
    }
    producer->epilogue.clamp = true;
    producer->epilogue.lo = lo;
    producer->epilogue.hi = hi;
    take_output(graph, p, n);
}

tslim_status tsl_pass_fuse_epilogues(tslim_graph *graph) {
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses));
    tslim_status status = TSLIM_OK;
    // In order, so that an Add is taken before the Relu that follows it.
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++) {
        status = fuse_residual(graph, &uses, n);
        fuse_clamp(graph, &uses, n);
    }
    tsl_uses_free(&uses);
    TSL_TRY(status);
    TSL_TRY(tsl_graph_compact(graph));
    return tsl_graph_sort(graph); // a residual may have been made after the node that now adds it
}
