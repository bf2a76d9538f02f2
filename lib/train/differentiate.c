// SPDX-License-Identifier: Apache-2.0
// Reverse mode: nodes are visited from the loss backwards; a value that several nodes read has the sum of
// what they give (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3).
#include "train/differentiate.h"

#include <string.h>

#include "base/text.h"
#include "train/gradient.h"

typedef void (*gradient_rule)(tsl_gradient *g);

static const gradient_rule rules[TSL_OP_COUNT] = {
#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    [TSL_OP_##id] = tsl_gradient_##diff,
#include "ir/ops.def"
#undef TSL_OP
};

void tsl_gradient_none(tsl_gradient *g) {
    tsl_refuse(g, "this operator has no gradient");
}

// A function that is constant between its steps.
void tsl_gradient_zero(tsl_gradient *g) {
    (void)g;
}

typedef struct differentiation {
    tslim_graph *graph;
    uint32_t n_nodes, n_values; // those that were there
    uint8_t *moves; // of each value: it depends on a target
    uint8_t *matters; // of each value: the loss depends on it
    uint32_t *gradient; // of each value so far, or TSL_NONE
    tsl_text refused;
    uint32_t n_refused;
} differentiation;

static bool is_real(const tslim_graph *graph, uint32_t value) {
    return graph->values[value].dtype == TSLIM_DTYPE_FLOAT ||
           graph->values[value].dtype == TSLIM_DTYPE_DOUBLE;
}

// Forwards from the targets, backwards from the loss.
static void mark(differentiation *d, uint32_t loss, const uint32_t *targets, uint32_t n_targets) {
    const tslim_graph *graph = d->graph;
    for (uint32_t i = 0; i < n_targets; i++) d->moves[targets[i]] = 1;
    for (uint32_t n = 0; n < d->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        bool moves = false;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            moves = moves || (node->inputs[i] != TSL_NONE && d->moves[node->inputs[i]]);
        for (uint32_t i = 0; moves && i < node->n_outputs; i++)
            if (node->outputs[i] != TSL_NONE && is_real(graph, node->outputs[i]))
                d->moves[node->outputs[i]] = 1;
    }
    d->matters[loss] = 1;
    for (uint32_t n = d->n_nodes; n-- > 0;) {
        const tsl_node *node = &graph->nodes[n];
        bool matters = false;
        for (uint32_t i = 0; i < node->n_outputs; i++)
            matters = matters || (node->outputs[i] != TSL_NONE && d->matters[node->outputs[i]]);
        for (uint32_t i = 0; matters && i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE) d->matters[node->inputs[i]] = 1;
    }
}

static void refuse(differentiation *d, const tsl_node *node, const char *reason) {
    if (d->n_refused++ < 8)
        tsl_text_add(&d->refused, "%snode '%s' (%s): %s", d->n_refused > 1 ? "; " : "", node->name,
            node->op_type, reason);
}

// What no rule can do anything about.
static const char *find_obstacle(const tslim_graph *graph, const tsl_node *node) {
    if (node->op == TSL_OP_UNKNOWN || rules[node->op] == tsl_gradient_none)
        return "this operator has no gradient";
    if (node->epilogue.residual >= 0 || node->epilogue.clamp || node->epilogue.table)
        return "fused with its neighbours";
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *input = tsl_node_input(graph, node, i);
        if (!input) continue;
        if (input->quant.scales) return "quantized";
        if (input->packing != TSL_PACKING_NONE) return "its weights are packed";
        if (!tsl_shape_is_static(&input->shape)) return "the shape of an operand is not known";
    }
    return NULL;
}

static tslim_status add(differentiation *d, uint32_t value, uint32_t gradient) {
    uint32_t *sum = &d->gradient[value];
    if (*sum == TSL_NONE) {
        *sum = gradient;
        return TSLIM_OK;
    }
    const uint32_t inputs[] = {*sum, gradient};
    uint32_t node;
    TSL_TRY(tsl_graph_add_value(d->graph, "gradient", d->graph->values[gradient].dtype, sum));
    d->graph->values[*sum].shape = d->graph->values[gradient].shape;
    return tsl_graph_add_node(d->graph, TSL_OP_ADD, d->graph->values[value].name, 2, inputs, 1, sum, &node);
}

static tslim_status apply_rule(differentiation *d, tsl_gradient *g, uint32_t *dy, uint8_t *wanted) {
    const tsl_node *node = &g->node;
    bool any = false;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        dy[i] = node->outputs[i] == TSL_NONE ? TSL_NONE : d->gradient[node->outputs[i]];
        any = any || dy[i] != TSL_NONE;
        if (dy[i] != TSL_NONE) g->dtype = d->graph->values[dy[i]].dtype;
    }
    if (!any) return TSLIM_OK;
    any = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        wanted[i] =
            node->inputs[i] != TSL_NONE && d->moves[node->inputs[i]] && is_real(d->graph, node->inputs[i]);
        any = any || wanted[i];
        g->dx[i] = TSL_NONE;
    }
    if (!any) return TSLIM_OK;
    rules[node->op](g);
    if (g->status == TSLIM_ERROR_UNSUPPORTED) {
        refuse(d, node, tsl_message());
        return TSLIM_OK;
    }
    if (g->status != TSLIM_OK) return tsl_fail_prefix(g->status, "the gradient of node '%s'", node->name);
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (g->dx[i] != TSL_NONE) TSL_TRY(add(d, node->inputs[i], g->dx[i]));
    return TSLIM_OK;
}

static tslim_status visit(differentiation *d, uint32_t n) {
    tslim_context *ctx = d->graph->ctx;
    tsl_gradient g = {.graph = d->graph, .node = d->graph->nodes[n]};
    size_t count = (size_t)g.node.n_inputs + g.node.n_outputs, bytes = (count + 1) * sizeof(uint32_t);
    uint32_t *lists = tsl_allocate(ctx, bytes);
    uint8_t *wanted = tsl_allocate_zeroed(ctx, (size_t)g.node.n_inputs + 1);
    tslim_status status = lists && wanted ? TSLIM_OK : tsl_no_memory(bytes);
    g.dx = lists;
    g.wanted = wanted;
    if (lists) g.dy = lists + g.node.n_inputs;
    if (status == TSLIM_OK) status = apply_rule(d, &g, lists + g.node.n_inputs, wanted);
    tsl_free(ctx, wanted, (size_t)g.node.n_inputs + 1);
    tsl_free(ctx, lists, bytes);
    return status;
}

static bool is_on_the_way(const differentiation *d, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && d->moves[node->outputs[i]] && d->matters[node->outputs[i]])
            return true;
    return false;
}

static tslim_status seed(differentiation *d, uint32_t loss) {
    tsl_gradient g = {.graph = d->graph, .dtype = d->graph->values[loss].dtype};
    const tsl_shape shape = d->graph->values[loss].shape;
    d->gradient[loss] = tsl_reshaped_like(&g, tsl_number(&g, 1), &shape);
    return g.status;
}

static tslim_status run(
    differentiation *d, uint32_t loss, const uint32_t *targets, uint32_t n_targets, uint32_t *gradients) {
    mark(d, loss, targets, n_targets);
    for (uint32_t v = 0; v < d->n_values; v++) d->gradient[v] = TSL_NONE;
    TSL_TRY(seed(d, loss));
    for (uint32_t n = 0; n < d->n_nodes; n++) {
        const tsl_node *node = &d->graph->nodes[n];
        const char *obstacle = is_on_the_way(d, node) ? find_obstacle(d->graph, node) : NULL;
        if (obstacle) refuse(d, node, obstacle);
    }
    for (uint32_t n = d->n_nodes; n-- > 0 && d->n_refused == 0;)
        if (is_on_the_way(d, &d->graph->nodes[n])) TSL_TRY(visit(d, n));
    TSL_TRY(tsl_text_status(&d->refused));
    TSL_REQUIRE(d->n_refused == 0, TSLIM_ERROR_UNSUPPORTED, "%u nodes cannot be differentiated: %s%s",
        d->n_refused, d->refused.data, d->n_refused > 8 ? "; ..." : "");
    for (uint32_t i = 0; i < n_targets; i++) gradients[i] = d->gradient[targets[i]];
    return TSL_VERIFY(d->graph);
}

tslim_status tsl_differentiate(
    tslim_graph *graph, uint32_t loss, const uint32_t *targets, uint32_t n_targets, uint32_t *gradients) {
    uint64_t elements;
    TSL_REQUIRE(loss < graph->n_values && is_real(graph, loss), TSLIM_ERROR_INVALID_ARGUMENT,
        "the loss is not a float or double");
    const tsl_value *value = &graph->values[loss];
    TSL_TRY(tsl_shape_elements(graph->ctx, &value->shape, &elements));
    TSL_REQUIRE(elements == 1, TSLIM_ERROR_INVALID_ARGUMENT, "the loss '%s' has %llu elements, not one",
        value->name, (unsigned long long)elements);
    for (uint32_t i = 0; i < n_targets; i++)
        TSL_REQUIRE(targets[i] < graph->n_values && is_real(graph, targets[i]), TSLIM_ERROR_INVALID_ARGUMENT,
            "target %u is not a float or double", i);

    tslim_context *ctx = graph->ctx;
    differentiation d = {.graph = graph, .n_nodes = graph->n_nodes, .n_values = graph->n_values};
    const size_t values = d.n_values;
    d.moves = tsl_allocate_zeroed(ctx, values);
    d.matters = tsl_allocate_zeroed(ctx, values);
    d.gradient = tsl_allocate(ctx, values * sizeof(uint32_t));
    tsl_text_init(&d.refused, ctx);
    tslim_status status = TSLIM_OK;
    if (!d.moves || !d.matters || !d.gradient)
        status = tsl_no_memory(values * sizeof(uint32_t));
    else
        status = run(&d, loss, targets, n_targets, gradients);
    tsl_text_clear(&d.refused);
    tsl_free(ctx, d.gradient, values * sizeof(uint32_t));
    tsl_free(ctx, d.matters, values);
    tsl_free(ctx, d.moves, values);
    return status;
}
