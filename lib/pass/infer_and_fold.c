// SPDX-License-Identifier: Apache-2.0
// Shape inference and constant folding in one walk: a shape computed by nodes (Shape, Gather, Concat,
// Reshape) is known by the time that it is needed.
#include "ir/bodies.h"
#include "ir/shape_infer.h"
#include "pass/pass.h"

static bool inputs_are_constant(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_node_input(graph, node, i);
        if (value && (!tsl_value_is_constant(value) || value->packing != TSL_PACKING_NONE)) return false;
    }
    return true;
}

// Shape and Size need the dims of their input only.
static bool is_foldable(const tslim_graph *graph, const tsl_node *node) {
    if (node->op == TSL_OP_UNKNOWN || tsl_op_get_info(node->op)->layout == TSL_RULE_CHANNELS_LAST ||
        tsl_op_has_bodies(node->op))
        return false;
    const tsl_value *first = tsl_node_input(graph, node, 0);
    if (node->op == TSL_OP_SHAPE || node->op == TSL_OP_SIZE)
        return first && tsl_shape_is_static(&first->shape);
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *output = tsl_node_output(graph, node, i);
        if (output && !tsl_shape_is_static(&output->shape) && !tsl_op_finds_shape(node->op)) return false;
    }
    return inputs_are_constant(graph, node);
}

// A few bytes of a file can ask for a constant of any size, and a hundred thousand nodes can. What is over
// the budget is left to a run, whose memory is planned. Lists of dims are always folded: shapes depend on
// them.
#define MOST_FOLDED_BYTES ((uint64_t)1 << 30)
#define SMALL_BYTES 1024

static bool take_from_budget(const tslim_graph *graph, const tsl_node *node, uint64_t *budget) {
    uint64_t bytes = 0, elements;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *output = tsl_node_output(graph, node, i);
        // What is over the limits is said by `evaluate`.
        if (!output || tsl_shape_elements(graph->ctx, &output->shape, &elements) != TSLIM_OK) continue;
        if (elements > MOST_FOLDED_BYTES) return false;
        bytes += elements * tslim_dtype_size(output->dtype);
    }
    if (bytes <= SMALL_BYTES) return true;
    if (bytes > *budget) return false;
    *budget -= bytes;
    return true;
}

typedef struct walk {
    const tsl_folding *folding;
    uint64_t budget;
    bool changed, unordered; // nodes were removed; appended that belong in between
} walk;

static bool dequantizes_bytes(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0);
    return node->op == TSL_OP_DEQUANTIZE_LINEAR && x &&
           (x->dtype == TSLIM_DTYPE_INT8 || x->dtype == TSLIM_DTYPE_UINT8);
}

static tslim_status fold(walk *w, tslim_graph *graph, uint32_t n) {
    const tsl_folding *f = w->folding;
    if (!f->evaluate || (f->keep_bytes && dequantizes_bytes(graph, &graph->nodes[n])) ||
        !is_foldable(graph, &graph->nodes[n]))
        return TSLIM_OK;
    if (!take_from_budget(graph, &graph->nodes[n], &w->budget)) return TSLIM_OK;
    tslim_status status = f->evaluate(f->user, graph, n);
    if (status == TSLIM_ERROR_UNSUPPORTED) return TSLIM_OK;
    TSL_TRY(status);
    tsl_graph_remove_node(graph, n);
    w->changed = true;
    return TSLIM_OK;
}

// The nodes of a branch that takes its If's place come next, though they lie at the end. As deep as bodies
// are.
static tslim_status visit(walk *w, tslim_graph *graph, uint32_t n) {
    if (tsl_op_has_bodies(graph->nodes[n].op)) {
        bool inlined;
        uint32_t first = graph->n_nodes;
        TSL_TRY(tsl_pass_infer_bodies(graph, n, w->folding, &inlined));
        w->unordered |= inlined;
        uint32_t end = graph->n_nodes;
        for (uint32_t m = first; m < end; m++) TSL_TRY(visit(w, graph, m));
        if (inlined) return TSLIM_OK;
    }
    bool split;
    TSL_TRY(tsl_pass_split_residual(graph, n, &split));
    w->unordered |= split;
    TSL_TRY(tsl_infer_node(graph, n));
    return split ? visit(w, graph, graph->n_nodes - 1) : fold(w, graph, n);
}

tslim_status tsl_pass_infer_and_fold_with(tslim_graph *graph, const tsl_folding *folding) {
    uint64_t limit = graph->ctx->limits.arena_bytes;
    walk w = {.folding = folding, .budget = limit < MOST_FOLDED_BYTES ? limit : MOST_FOLDED_BYTES};
    tslim_status status = TSLIM_OK;
    uint32_t n_nodes = graph->n_nodes;
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++) status = visit(&w, graph, n);
    // After a failure, too: a branch that does not fit stays a valid graph.
    tslim_status tidied = w.unordered ? tsl_graph_sort(graph) : TSLIM_OK;
    if (tidied == TSLIM_OK && (w.changed || w.unordered)) tidied = tsl_graph_compact(graph);
    return status == TSLIM_OK ? tidied : status;
}

tslim_status tsl_pass_infer_and_fold(tslim_graph *graph, tsl_evaluate_node evaluate, void *user) {
    return tsl_pass_infer_and_fold_with(graph, &(tsl_folding){evaluate, user, false, 0});
}
