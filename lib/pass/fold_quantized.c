// SPDX-License-Identifier: Apache-2.0
// Models that were quantized elsewhere: an operator between DequantizeLinear and QuantizeLinear runs in INT8.
// This file finds out which do.
#include "pass/fold_quantized.h"

#include <string.h>

// ---- What operators are ----

static bool is_quantized(const tsl_quantized_folder *f, const tsl_node *node, uint32_t operand) {
    const uint32_t value = node->inputs[operand];
    return value != TSL_NONE && value < f->n_values && tsl_has_form(&f->form[value]);
}

tsl_quantized_role tsl_quantized_role_of(
    const tsl_quantized_folder *f, const tsl_node *node, uint32_t operand) {
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        if (operand == 1) return TSL_ROLE_WEIGHTS;
        if (node->epilogue.residual == (int32_t)operand && is_quantized(f, node, operand))
            return TSL_ROLE_DATA;
        return operand == 0 ? TSL_ROLE_DATA : TSL_ROLE_OTHER;
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
    case TSL_OP_CONCAT:
        return TSL_ROLE_DATA;
    case TSL_OP_WHERE:
        return operand > 0 ? TSL_ROLE_DATA : TSL_ROLE_OTHER;
    default:
        return operand == 0 ? TSL_ROLE_DATA : TSL_ROLE_OTHER;
    }
}

static bool is_product(tsl_op op) {
    return op == TSL_OP_CONV || op == TSL_OP_CONV_TRANSPOSE || op == TSL_OP_GEMM || op == TSL_OP_MATMUL;
}

bool tsl_only_moves(const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_MAX_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
        return !node->epilogue.clamp && node->n_outputs == 1;
    case TSL_OP_DEPTH_TO_SPACE:
    case TSL_OP_SPACE_TO_DEPTH:
    case TSL_OP_FLATTEN:
    case TSL_OP_RESHAPE:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
    case TSL_OP_TRANSPOSE:
    case TSL_OP_SPLIT:
    case TSL_OP_SLICE:
    case TSL_OP_GATHER:
    case TSL_OP_EXPAND:
    case TSL_OP_TILE:
        return true;
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
        return strcmp(tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "nearest"), "nearest") == 0;
    default:
        return false;
    }
}

// Kernels take it between any two forms.
static bool has_int8_kernel(const tslim_graph *graph, const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
    case TSL_OP_CONCAT:
    case TSL_OP_WHERE:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_GLOBAL_AVERAGE_POOL:
    case TSL_OP_SILU:
        return true;
    case TSL_OP_RESIZE:
        return tsl_attrs_int(&node->attrs, TSL_ATTR_antialias, 0) == 0;
    case TSL_OP_UPSAMPLE:
        return true;
    case TSL_OP_PAD: {
        const tsl_value *value = tsl_node_input(graph, node, 2);
        return strcmp(tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "constant"), "constant") != 0 || !value ||
               value->dtype == TSLIM_DTYPE_FLOAT;
    }
    case TSL_OP_CLIP: {
        const tsl_value *min = tsl_node_input(graph, node, 1), *max = tsl_node_input(graph, node, 2);
        return (!min || tsl_value_is_constant(min)) && (!max || tsl_value_is_constant(max));
    }
    case TSL_OP_PRELU:
        return false;
    default: // functions of one value become tables
        return (node->op >= TSL_OP_RELU && node->op < TSL_OP_NOT) || tsl_only_moves(node);
    }
}

// ---- Products ----

// True when weights with scales along `axis` (or one scale) have one for each output channel.
static bool axis_fits(const tsl_node *node, const tsl_value *weights, size_t n_scales, int32_t axis) {
    if (n_scales == 1) return true;
    switch (node->op) {
    case TSL_OP_CONV:
        return axis == 0;
    case TSL_OP_CONV_TRANSPOSE:
        return axis == 1;
    case TSL_OP_GEMM:
        return axis == (tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0 ? 0 : 1);
    default:
        return weights->shape.rank == 2 && axis == 1;
    }
}

// Weights, or for MatMul what is computed.
static bool weights_fit(const tsl_quantized_folder *f, const tsl_node *node) {
    const tslim_graph *graph = f->graph;
    const tsl_node *dequantizer = tsl_weights_dequantizer(graph, node->inputs[1]);
    if (!dequantizer) return node->op == TSL_OP_MATMUL && is_quantized(f, node, 1);
    const tsl_value *weights = tsl_node_input(graph, dequantizer, 0);
    size_t n_scales = tsl_node_input(graph, dequantizer, 1)->bytes / sizeof(float);
    uint32_t rank = weights->shape.rank;
    bool matrix = node->op == TSL_OP_GEMM || node->op == TSL_OP_MATMUL;
    return (matrix ? rank == 2 : rank == 3 || rank == 4) &&
           axis_fits(node, weights, n_scales, tsl_weights_scale_axis(graph, dequantizer, n_scales));
}

// INT8 kernels add a bias with one element for each output channel, or one for all.
static bool bias_fits(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *bias = node->epilogue.residual == 2 ? NULL : tsl_node_input(graph, node, 2);
    if (node->op != TSL_OP_GEMM || !bias) return true;
    if (!bias->shape.known || bias->shape.rank > 2) return false;
    uint32_t rank = bias->shape.rank;
    return rank == 0 || (bias->shape.dims[rank - 1] > 0 && (rank == 1 || bias->shape.dims[0] == 1));
}

// ---- Which nodes ----

static bool has_data_in_int8(const tsl_quantized_folder *f, const tsl_node *node, bool weights_too) {
    bool any = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        tsl_quantized_role role = tsl_quantized_role_of(f, node, i);
        if (role == TSL_ROLE_OTHER || (role == TSL_ROLE_WEIGHTS && !weights_too)) continue;
        if (!is_quantized(f, node, i)) return false;
        any = true;
    }
    return any;
}

static bool all_outputs_wanted(const tsl_quantized_folder *f, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && !f->wanted[node->outputs[i]]) return false;
    return node->n_outputs > 0;
}

static bool makes_graph_output(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && tsl_graph_is_output(graph, node->outputs[i])) return true;
    return false;
}

static bool makes_floats(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *output = tsl_node_output(graph, node, i);
        if (output && output->dtype != TSLIM_DTYPE_FLOAT) return false;
    }
    return true;
}

static bool joins_one_form(const tsl_quantized_folder *f, const tsl_node *node) {
    if (node->op != TSL_OP_CONCAT) return false;
    for (uint32_t i = 1; i < node->n_inputs; i++)
        if (!tsl_same_form(&f->form[node->inputs[0]], &f->form[node->inputs[i]])) return false;
    return true;
}

// A node that moves without being asked for another form hands its operand's on.
static void hand_form_on(tsl_quantized_folder *f, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && !f->wanted[node->outputs[i]])
            f->form[node->outputs[i]] = f->form[node->inputs[0]];
}

// Kernels add a float to the float result of a product whose groups, if it has some, are not INT8's.
static bool residual_fits(const tsl_quantized_folder *f, const tsl_node *node) {
    const int32_t residual = node->epilogue.residual;
    if (residual < 0 || is_quantized(f, node, (uint32_t)residual)) return true;
    return !f->wanted[node->outputs[0]] && tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1) == 1;
}

static bool chooses_int8(tsl_quantized_folder *f, const tsl_node *node, bool *split) {
    if (node->n_inputs == 0 || node->n_outputs == 0 || !makes_floats(f->graph, node)) return false;
    if (is_product(node->op)) {
        if (!bias_fits(f->graph, node) || !has_data_in_int8(f, node, false) || !weights_fit(f, node))
            return false;
        *split = !residual_fits(f, node) && tsl_has_last_residual(node);
        return residual_fits(f, node);
    }
    if (!has_int8_kernel(f->graph, node) || !has_data_in_int8(f, node, true)) return false;
    if (all_outputs_wanted(f, node)) return true;
    if ((!tsl_only_moves(node) && !joins_one_form(f, node)) || makes_graph_output(f->graph, node))
        return false;
    hand_form_on(f, node);
    return true;
}

// ---- What readers want ----

static bool same_form_for_all_readers(const tsl_quantized_folder *f, uint32_t value, tsl_quant_form *form) {
    *form = (tsl_quant_form){0};
    uint32_t first = f->uses.first[value], last = f->uses.first[value + 1];
    for (uint32_t u = first; u < last; u++) {
        const tsl_node *reader = &f->graph->nodes[f->uses.nodes[u]];
        const tsl_quant_form *theirs = &f->parameters[f->uses.nodes[u]];
        if (reader->op != TSL_OP_QUANTIZE_LINEAR || !tsl_has_form(theirs)) return false;
        if (u > first && !tsl_same_form(form, theirs)) return false;
        *form = *theirs;
    }
    return last > first;
}

// Quantizing behind a node that only moves can be done before it, and before one that bounds: rounding keeps
// the order of numbers.
static bool can_follow_quantizing(const tslim_graph *graph, const tsl_node *node) {
    return tsl_only_moves(node) || node->op == TSL_OP_RELU ||
           (node->op == TSL_OP_CLIP && has_int8_kernel(graph, node));
}

static bool moves_to_wanted(const tsl_quantized_folder *f, uint32_t value, tsl_quant_form *form) {
    uint32_t n = tsl_single_use(f->graph, &f->uses, value);
    if (n == TSL_NONE) return false;
    const tsl_node *reader = &f->graph->nodes[n];
    if (!can_follow_quantizing(f->graph, reader) || reader->inputs[0] != value || reader->n_outputs != 1 ||
        reader->outputs[0] == TSL_NONE || !f->wanted[reader->outputs[0]])
        return false;
    *form = f->form[reader->outputs[0]];
    return true;
}

static void find_wanted(tsl_quantized_folder *f, uint32_t value) {
    tsl_quant_form form;
    const tsl_value *v = &f->graph->values[value];
    if (v->dtype != TSLIM_DTYPE_FLOAT || tsl_has_form(&f->form[value]) ||
        tsl_graph_is_output(f->graph, value))
        return;
    if (!same_form_for_all_readers(f, value, &form) && !moves_to_wanted(f, value, &form)) return;
    f->form[value] = form;
    f->wanted[value] = true;
}

tslim_status tsl_quantized_choose(tsl_quantized_folder *f) {
    const tslim_graph *graph = f->graph;
    for (uint32_t n = 0; n < f->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        f->parameters[n] = tsl_quantized_parameters(graph, node);
        if (node->op == TSL_OP_DEQUANTIZE_LINEAR && tsl_has_form(&f->parameters[n]))
            f->form[node->outputs[0]] = f->parameters[n];
    }
    for (uint32_t n = f->n_nodes; n-- > 0;)
        for (uint32_t i = 0; i < graph->nodes[n].n_outputs; i++)
            if (graph->nodes[n].outputs[i] != TSL_NONE) find_wanted(f, graph->nodes[n].outputs[i]);
    for (uint32_t n = 0; n < f->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        if (node->op != TSL_OP_QUANTIZE_LINEAR && node->op != TSL_OP_DEQUANTIZE_LINEAR)
            f->int8[n] = chooses_int8(f, node, &f->split[n]);
    }
    return TSLIM_OK;
}

// ---- The pass ----

static bool has_linear_quantization(const tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (graph->nodes[n].op == TSL_OP_DEQUANTIZE_LINEAR || graph->nodes[n].op == TSL_OP_QUANTIZE_LINEAR ||
            graph->nodes[n].op == TSL_OP_DYNAMIC_QUANTIZE_LINEAR)
            return true;
    return false;
}

static tslim_status prepare(tsl_quantized_folder *f) {
    f->n_nodes = f->graph->n_nodes;
    f->n_values = f->graph->n_values;
    f->parameters = tsl_arena_array(&f->arena, f->n_nodes, sizeof(*f->parameters));
    f->form = tsl_arena_array(&f->arena, f->n_values, sizeof(*f->form));
    f->wanted = tsl_arena_array(&f->arena, f->n_values, sizeof(*f->wanted));
    f->int8 = tsl_arena_array(&f->arena, f->n_nodes, sizeof(*f->int8));
    f->split = tsl_arena_array(&f->arena, f->n_nodes, sizeof(*f->split));
    TSL_REQUIRE_MEMORY(f->parameters && f->form && f->wanted && f->int8 && f->split ? f : NULL,
        f->n_values * sizeof(*f->form));
    return tsl_uses_find(f->graph, &f->uses);
}

static void finish(tsl_quantized_folder *f) {
    tsl_uses_free(&f->uses);
    tsl_arena_clear(&f->arena);
}

static tslim_status split_sums(tsl_quantized_folder *f, bool *any) {
    *any = false;
    for (uint32_t n = 0; n < f->n_nodes; n++) {
        if (!f->split[n]) continue;
        TSL_TRY(tsl_split_residual(f->graph, n));
        *any = true;
    }
    return *any ? tsl_graph_sort(f->graph) : TSLIM_OK;
}

// Once more where sums were taken off: now those products can run in INT8.
static tslim_status choose(tslim_graph *graph, tsl_quantized_folder *f) {
    bool again = true;
    for (uint32_t round = 0; round < 2 && again; round++) {
        if (round > 0) finish(f);
        *f = (tsl_quantized_folder){.graph = graph};
        tsl_arena_init(&f->arena, graph->ctx);
        TSL_TRY(prepare(f));
        TSL_TRY(tsl_quantized_choose(f));
        again = false;
        if (round == 0) TSL_TRY(split_sums(f, &again));
    }
    return TSLIM_OK;
}

tslim_status tsl_pass_fold_quantized(tslim_graph *graph, tsl_evaluate_node evaluate, void *user) {
    if (!has_linear_quantization(graph)) return TSLIM_OK;
    // Weights stay quantized, and activations are where they can be taken along.
    TSL_TRY(tsl_quantized_sink(graph));
    TSL_TRY(tsl_pass_infer_and_fold_with(graph, &(tsl_folding){evaluate, user, true, 0}));
    TSL_TRY(tsl_quantized_lift(graph));
    TSL_TRY(tsl_quantized_fold_dynamic(graph));
    TSL_TRY(tsl_pass_remove_identity(graph));
    TSL_TRY(tsl_quantized_unify_channels(graph));
    TSL_TRY(tsl_pass_fold_affine(graph));
    TSL_TRY(tsl_pass_fuse_activations(graph));
    TSL_TRY(tsl_pass_pool_means(graph));
    TSL_TRY(tsl_pass_fuse_epilogues(graph));
    tsl_quantized_folder f;
    tslim_status status = choose(graph, &f);
    if (status == TSLIM_OK) status = tsl_quantized_rewrite(&f);
    finish(&f);
    TSL_TRY(status);
    TSL_TRY(tsl_graph_compact(graph));
    TSL_TRY(tsl_graph_sort(graph));
    return tsl_pass_remove_dead(graph);
}
