// SPDX-License-Identifier: Apache-2.0
// With several samples in a batch, each layer's result for all of them leaves the caches before the next
// layer reads it. Where weights are less than that, a run of nodes is taken through for one sample after the
// other: values that are made and read within it have room for one, which stays in the caches.
// With several threads each takes samples of its own, where that divides the batch evenly: then no layer is
// too little work to share.
//
// It needs nothing but that each node treats the first axis index by index. Whether that is a batch does not
// matter.
#include <string.h>

#include "plan/plan.h"

// Of a node's operands for all samples: less stays in the second-level cache.
#define LEAST_BYTES ((double)512 * 1024)

static int64_t axis_of(const tsl_node *node, int64_t default_axis, uint32_t rank) {
    int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, default_axis);
    return axis < 0 ? axis + rank : axis;
}

// Vectors that are computed may be as long as the batch, which they have nothing to do with.
static bool has_constant_vectors(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 1; i < node->n_inputs; i++) {
        const tsl_value *vector = tsl_node_input(graph, node, i);
        if (vector && !tsl_value_is_constant(vector)) return false;
    }
    return true;
}

// True when index i of the first axis of every result follows from index i of the operands alone, the
// operands being as is_separable has found them.
static bool op_is_separable(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0);
    size_t count;
    if ((node->op >= TSL_OP_RELU && node->op <= TSL_OP_NOT) ||
        (node->op >= TSL_OP_ADD && node->op <= TSL_OP_DIV))
        return true;
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE: {
        const tsl_value *w = tsl_node_input(graph, node, 1), *bias = tsl_node_input(graph, node, 2);
        // A range that is found as it runs is that of the whole batch.
        bool dynamic = w && x->dtype == TSLIM_DTYPE_FLOAT && w->dtype != TSLIM_DTYPE_FLOAT;
        return w && !dynamic && tsl_value_is_constant(w) &&
               (!bias || tsl_value_is_constant(bias) || node->epilogue.residual == 2);
    }
    case TSL_OP_BATCH_NORMALIZATION: // in training the statistics are those of the batch
        return x->shape.rank >= 3 && tsl_attrs_int(&node->attrs, TSL_ATTR_training_mode, 0) == 0 &&
               has_constant_vectors(graph, node);
    case TSL_OP_MAX_POOL:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_GLOBAL_AVERAGE_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
    case TSL_OP_DEPTH_TO_SPACE:
    case TSL_OP_SPACE_TO_DEPTH:
        return x->shape.rank >= 3;
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE: // the kernel knows the first axis' scale from the dims
        return x->shape.rank >= 3;
    case TSL_OP_SILU:
    case TSL_OP_QUANTIZE:
    case TSL_OP_DEQUANTIZE:
    case TSL_OP_REORDER:
    case TSL_OP_FLATTEN: // the same elements of as many first indices
    case TSL_OP_RESHAPE:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
        return true;
    case TSL_OP_CONCAT:
    case TSL_OP_SPLIT:
        return axis_of(node, 0, x->shape.rank) > 0;
    case TSL_OP_MATMUL: { // of rank 2 the first axis is that of the rows, which want to be many
        const tsl_value *w = tsl_node_input(graph, node, 1);
        bool dynamic = w && x->dtype == TSLIM_DTYPE_FLOAT && w->dtype != TSLIM_DTYPE_FLOAT;
        bool fits = w && (tsl_value_is_constant(w) ? w->shape.rank == 2 : w->shape.rank == x->shape.rank);
        return fits && !dynamic && x->shape.rank >= 3;
    }
    case TSL_OP_LAYER_NORMALIZATION:
        return axis_of(node, -1, x->shape.rank) > 0 && has_constant_vectors(graph, node);
    case TSL_OP_SOFTMAX:
        return axis_of(node, graph->opset < 13 ? 1 : -1, x->shape.rank) > 0;
    case TSL_OP_TRANSPOSE: {
        const int64_t *perm = tsl_attrs_ints(&node->attrs, TSL_ATTR_perm, &count);
        return perm && count > 0 && perm[0] == 0;
    }
    default:
        return false;
    }
}

static bool is_made_of_samples(const tsl_value *value, int64_t samples) {
    const tsl_shape *shape = &value->shape;
    bool one_scale = !value->quant.scales || value->quant.n_scales == 1;
    return tsl_shape_is_static(shape) && shape->rank >= 1 && shape->dims[0] == samples && one_scale;
}

static bool is_separable(const tslim_graph *graph, const tsl_node *node, int64_t samples) {
    bool some = false;
    if (node->n_outputs == 0 || node->n_inputs == 0 || node->inputs[0] == TSL_NONE) return false;
    const bool broadcasts = (node->op >= TSL_OP_ADD && node->op <= TSL_OP_DIV) || node->op == TSL_OP_PRELU;
    const tsl_value *y = tsl_node_output(graph, node, 0);
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] == TSL_NONE || !is_made_of_samples(&graph->values[node->outputs[i]], samples))
            return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *x = tsl_node_input(graph, node, i);
        if (!x) continue;
        if (tsl_value_is_constant(x)) {
            // The same for each sample: not as long as the batch where it is broadcast to it.
            bool whole = broadcasts && x->shape.rank >= y->shape.rank && x->shape.dims[0] != 1;
            if (whole || node->op == TSL_OP_CONCAT || (i == 0 && !broadcasts)) return false;
            continue;
        }
        if (!is_made_of_samples(x, samples) || (broadcasts && x->shape.rank != y->shape.rank)) return false;
        some = true;
    }
    return some && op_is_separable(graph, node);
}

static double bytes_of(const tsl_value *value) {
    double bytes = (double)tslim_dtype_size(value->dtype);
    for (uint32_t d = 0; d < value->shape.rank; d++) bytes *= (double)value->shape.dims[d];
    return bytes;
}

// What need not be fetched again of activations, less what must be of weights.
static double gain_of(const tslim_graph *graph, const tsl_node *node, int64_t samples) {
    double activations = 0, weights = 0;
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        uint32_t v = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        if (v == TSL_NONE) continue;
        *(tsl_value_is_constant(&graph->values[v]) ? &weights : &activations) += bytes_of(&graph->values[v]);
    }
    return (activations < LEAST_BYTES ? 0 : activations) - weights * (double)(samples - 1);
}

// The nodes from `begin` on that are separable, and those among them that together gain most.
static uint32_t find_best(const tsl_plan *plan, uint32_t begin, int64_t samples, tsl_plan_loop *best) {
    const tslim_graph *graph = plan->graph;
    double sum = 0, most = 0;
    uint32_t start = begin, n = begin;
    *best = (tsl_plan_loop){.begin = begin, .end = begin, .samples = samples};
    for (; n < graph->n_nodes && is_separable(graph, &graph->nodes[n], samples); n++) {
        if (sum <= 0) {
            sum = 0;
            start = n;
        }
        sum += plan->env->batches == TSL_BATCHES_BY_SAMPLE ? 1 : gain_of(graph, &graph->nodes[n], samples);
        if (sum <= most) continue;
        most = sum;
        best->begin = start;
        best->end = n + 1;
    }
    return n;
}

static int64_t find_samples(const tslim_graph *graph) {
    if (graph->n_inputs == 0) return 1;
    const tsl_shape *shape = &graph->values[graph->inputs[0]].shape;
    return tsl_shape_is_static(shape) && shape->rank > 0 ? shape->dims[0] : 1;
}

// How many threads take samples; 0: it is better to share each layer. A caller's own threads run no loops
// within loops.
static uint32_t find_lanes(const tslim_context *ctx, int64_t samples) {
    const int64_t threads = ctx->n_threads;
    if (threads == 1) return 1;
    bool even = samples % threads == 0 || samples >= 4 * threads;
    return even && !ctx->parallel_for ? ctx->n_threads : 0;
}

static tslim_status reserve_operands(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        uint32_t operands = graph->nodes[n].n_inputs + graph->nodes[n].n_outputs;
        if (plan->loop_of[n] != 0 && operands > plan->most_operands) plan->most_operands = operands;
    }
    const size_t count = (size_t)plan->most_operands * plan->n_lanes;
    plan->operands = tsl_arena_array(&plan->arena, count, sizeof(*plan->operands));
    TSL_REQUIRE_MEMORY(plan->operands, count * sizeof(*plan->operands));
    return TSLIM_OK;
}

tslim_status tsl_plan_find_loops(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    const int64_t samples = find_samples(graph);
    const uint32_t lanes = find_lanes(plan->ctx, samples);
    const tsl_batch_choice choice = plan->env->batches;
    const bool wanted =
        samples > 1 && choice != TSL_BATCHES_WHOLE && (lanes > 0 || choice == TSL_BATCHES_BY_SAMPLE);
    plan->n_lanes = wanted && lanes > 0 ? lanes : 1;
    plan->loop_of = tsl_arena_array(&plan->arena, graph->n_nodes, sizeof(*plan->loop_of));
    plan->loops = tsl_arena_array(&plan->arena, (size_t)graph->n_nodes / 2 + 1, sizeof(*plan->loops));
    TSL_REQUIRE_MEMORY(plan->loop_of && plan->loops ? plan : NULL, graph->n_nodes * sizeof(*plan->loops));
    plan->n_loops = 1; // the first stands for none
    for (uint32_t n = 0; n < graph->n_nodes && wanted; n++) {
        tsl_plan_loop loop;
        n = find_best(plan, n, samples, &loop);
        if (loop.end < loop.begin + 2) continue;
        for (uint32_t i = loop.begin; i < loop.end; i++) plan->loop_of[i] = plan->n_loops;
        plan->loops[plan->n_loops++] = loop;
    }
    if (plan->n_loops == 1) plan->n_lanes = 1;
    return reserve_operands(plan);
}
