// SPDX-License-Identifier: Apache-2.0
// Shapes within bodies: inputs get those of the node's operands, then the body is inferred and folded like
// any graph. An If whose condition is a constant is replaced by its branch.
//
// Folding is for good, so a body is folded only for shapes that hold in each iteration. What a Loop carries
// may change its shape: that is tried on a copy, and what has changed is not known from then on.
#include <string.h>

#include "ir/bodies.h"
#include "ir/shape_infer.h"
#include "pass/pass.h"

// Tries at each level: without a bound, a hundred levels of three tries would never end.
#define TRIED_LEVELS 3

static void bind(tslim_graph *body, uint32_t input, tslim_dtype dtype, const tsl_shape *shape) {
    tsl_value *value = &body->values[body->inputs[input]];
    if (dtype != TSLIM_DTYPE_NONE) tsl_value_set_dtype(value, dtype);
    value->shape = *shape;
}

static void bind_operand(tslim_graph *body, uint32_t input, const tsl_value *operand) {
    tsl_value *value = &body->values[body->inputs[input]];
    bind(body, input, operand ? operand->dtype : TSLIM_DTYPE_NONE,
        operand ? &operand->shape : &(tsl_shape){0});
    if (operand) value->quant = operand->quant;
}

static void bind_captured(const tslim_graph *graph, const tsl_node *node, tslim_graph *body) {
    for (uint32_t c = 1; c <= node->n_captured; c++)
        bind_operand(body, body->n_inputs - c, tsl_node_input(graph, node, node->n_inputs - c));
}

static tslim_status infer(const tsl_folding *f, tslim_graph *body, const char *what) {
    tsl_folding within = *f;
    within.level++;
    tslim_status status = tsl_pass_infer_and_fold_with(body, &within);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "in its %s", what);
}

// ---- If ----

static void forget_outputs(tslim_graph *branch) {
    for (uint32_t i = 0; i < branch->n_outputs; i++) {
        tsl_value *output = &branch->values[branch->outputs[i]];
        if (tsl_value_is_constant(output)) continue;
        output->dtype = TSLIM_DTYPE_NONE;
        output->shape = (tsl_shape){0};
    }
}

// A branch may not fit the operands' shapes and never be taken with them: only two that do not fit are wrong.
static tslim_status infer_branches(const tsl_folding *f, tslim_graph *graph, const tsl_node *node) {
    static const tsl_attr_id ids[2] = {TSL_ATTR_then_branch, TSL_ATTR_else_branch};
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 2; i++) {
        tslim_graph *branch = tsl_node_body(graph, node, ids[i]);
        TSL_REQUIRE(branch && branch->n_inputs == node->n_captured, TSLIM_ERROR_INVALID_ARGUMENT,
            "its %s does not go with its operands", tsl_attr_name(ids[i]));
        bind_captured(graph, node, branch);
        tslim_status status = infer(f, branch, tsl_attr_name(ids[i]));
        if (status == TSLIM_OK) continue;
        if (status != TSLIM_ERROR_INVALID_ARGUMENT || ++wrong == 2) return status;
        forget_outputs(branch);
    }
    return TSLIM_OK;
}

static const uint8_t *constant_condition(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *value = tsl_node_input(graph, node, 0);
    bool is = value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_BOOL && value->bytes == 1;
    return is ? value->data : NULL;
}

// ---- Loop and Scan ----

// What the body's input is that operand `i` of the node arrives at: false for one that nothing can be said
// of.
static tslim_status bind_input(
    const tslim_graph *graph, const tsl_node *node, tslim_graph *body, uint32_t i) {
    tsl_value *value = &body->values[body->inputs[i]];
    if (node->op == TSL_OP_LOOP && i < 2) { // a scalar, or (some exporters) a list of one
        bool list = value->shape.known && value->shape.rank == 1;
        value->dtype = i == 0 ? TSLIM_DTYPE_INT64 : TSLIM_DTYPE_BOOL;
        tsl_shape_set(&value->shape, list ? 1 : 0, (const int64_t[]){1});
        return TSLIM_OK;
    }
    const tsl_value *operand = tsl_node_input(graph, node, i);
    bind_operand(body, i, operand);
    uint32_t states = tsl_node_states(node);
    if (node->op != TSL_OP_SCAN || i < states || i >= tsl_node_own_inputs(node) || !operand ||
        !operand->shape.known)
        return TSLIM_OK;
    uint32_t axis, rank = operand->shape.rank;
    TSL_TRY(tsl_scan_axis(&node->attrs, TSL_ATTR_scan_input_axes, i - states, rank, &axis));
    for (uint32_t d = axis + 1; d < rank; d++) {
        value->shape.dims[d - 1] = value->shape.dims[d];
        value->shape.symbols[d - 1] = value->shape.symbols[d];
    }
    value->shape.rank--;
    return TSLIM_OK;
}

static bool same_symbol(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

// True when `after` is one of the shapes that `before` stands for; else `before` is widened: to the dims that
// both have, or on the last try to nothing.
static bool holds(tsl_shape *before, const tsl_shape *after, bool last) {
    if (!before->known) return true;
    bool fits = after->known && after->rank == before->rank;
    if (!fits) {
        *before = (tsl_shape){0};
        return false;
    }
    for (uint32_t d = 0; d < before->rank; d++) {
        bool named = before->dims[d] < 0 && before->symbols[d];
        bool same = before->dims[d] == after->dims[d] &&
                    (!named || same_symbol(before->symbols[d], after->symbols[d]));
        if (same || (before->dims[d] < 0 && !named)) continue;
        before->dims[d] = -1;
        before->symbols[d] = NULL;
        fits = false;
    }
    if (!fits && last) *before = (tsl_shape){0};
    return fits;
}

typedef struct carried {
    const tsl_node *node;
    uint32_t count, first_input, first_output;
    tsl_shape *shapes; // of each carried value
} carried;

static tslim_status bind_all(const tslim_graph *graph, const carried *c, tslim_graph *body) {
    for (uint32_t i = 0; i < body->n_inputs; i++) TSL_TRY(bind_input(graph, c->node, body, i));
    for (uint32_t i = 0; i < c->count; i++)
        body->values[body->inputs[c->first_input + i]].shape = c->shapes[i];
    return TSLIM_OK;
}

// Infers a copy of the body. *settled: the carried shapes hold, and the copy has taken the body's place.
static tslim_status try_shapes(
    const tsl_folding *f, tslim_graph *graph, carried *c, tslim_graph *body, bool last, bool *settled) {
    tslim_graph *copy;
    *settled = false;
    TSL_TRY(tslim_graph_clone(body, &copy));
    tslim_status status = bind_all(graph, c, copy);
    if (status == TSLIM_OK) status = infer(f, copy, "body");
    if (status == TSLIM_OK) {
        *settled = true;
        for (uint32_t i = 0; i < c->count; i++)
            *settled &= holds(&c->shapes[i], &copy->values[copy->outputs[c->first_output + i]].shape, last);
        if (*settled) tsl_graph_swap(body, copy);
    } else if (status == TSLIM_ERROR_INVALID_ARGUMENT) { // perhaps it is right for no iteration at all
        for (uint32_t i = 0; i < c->count; i++) c->shapes[i] = (tsl_shape){0};
        status = TSLIM_OK;
    }
    tslim_graph_destroy(copy);
    return status;
}

static tslim_status infer_body(const tsl_folding *f, tslim_graph *graph, carried *c, tslim_graph *body) {
    for (uint32_t i = 0; i < c->count; i++) {
        const tsl_value *start = tsl_node_input(graph, c->node, c->first_input + i);
        if (start && f->level < TRIED_LEVELS) c->shapes[i] = start->shape;
    }
    bool settled = false;
    for (uint32_t tries = 0; tries < 2 && f->level < TRIED_LEVELS && !settled; tries++)
        TSL_TRY(try_shapes(f, graph, c, body, tries == 1, &settled));
    if (settled) return TSLIM_OK;
    TSL_TRY(bind_all(graph, c, body));
    return infer(f, body, "body");
}

static tslim_status infer_iteration(const tsl_folding *f, tslim_graph *graph, const tsl_node *node) {
    tslim_graph *body = tsl_node_body(graph, node, TSL_ATTR_body);
    bool loop = node->op == TSL_OP_LOOP;
    carried c = {.node = node,
        .count = tsl_node_states(node),
        .first_input = loop ? 2 : 0,
        .first_output = loop ? 1 : 0};
    TSL_REQUIRE(body && body->n_inputs == node->n_inputs && c.count <= node->n_inputs &&
                    body->n_outputs >= c.first_output + c.count,
        TSLIM_ERROR_INVALID_ARGUMENT, "its body does not go with its operands");
    size_t bytes = c.count * sizeof(tsl_shape);
    c.shapes = tsl_allocate_zeroed(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(c.shapes, bytes);
    tslim_status status = infer_body(f, graph, &c, body);
    tsl_free(graph->ctx, c.shapes, bytes);
    return status;
}

// ---- Any node with bodies ----

tslim_status tsl_pass_infer_bodies(
    tslim_graph *graph, uint32_t n, const tsl_folding *folding, bool *inlined) {
    *inlined = false;
    TSL_TRY(tsl_graph_sink_constants(graph, n));
    const tsl_node *node = &graph->nodes[n];
    tslim_status status;
    const uint8_t *condition =
        node->op == TSL_OP_IF && folding->evaluate ? constant_condition(graph, node) : NULL;
    if (condition) {
        tslim_graph *branch =
            tsl_node_body(graph, node, *condition ? TSL_ATTR_then_branch : TSL_ATTR_else_branch);
        TSL_REQUIRE(branch, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s' (If) lacks a branch", node->name);
        *inlined = true;
        return tsl_graph_inline_branch(graph, n, branch);
    }
    status =
        node->op == TSL_OP_IF ? infer_branches(folding, graph, node) : infer_iteration(folding, graph, node);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "node '%s' (%s)", node->name, node->op_type);
}
