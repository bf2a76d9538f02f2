// SPDX-License-Identifier: Apache-2.0
// What each value is in memory before anything has an address: its strides, its border, whose memory it
// shares. Slices come first (plan/place_slices.c); then their wholes share memory like any other value.
#include <string.h>

#include "base/checked.h"
#include "ir/shape_infer.h"
#include "plan/describe.h"
#include "plan/plan.h"

static uint16_t larger(uint16_t a, uint16_t b) {
    return a > b ? a : b;
}

// Widens the border of a convolution's input to what its padding reads.
static tslim_status require_border(const tslim_graph *graph, const tsl_node *node, uint16_t (*borders)[4]) {
    if (node->op != TSL_OP_CONV && node->op != TSL_OP_CONV_TRANSPOSE) return TSLIM_OK;
    const tsl_value *input = tsl_node_input(graph, node, 0), *weights = tsl_node_input(graph, node, 1);
    if (!input || !weights || input->shape.rank != 4 || weights->shape.rank != 4 ||
        tsl_value_is_constant(input))
        return TSLIM_OK;
    tsl_window window;
    uint16_t border[4];
    TSL_TRY(
        tsl_window_read(&node->attrs, node->op, 2, input->shape.dims + 2, weights->shape.dims + 2, &window));
    TSL_TRY(tsl_window_border(&window, node->op, border));
    for (int i = 0; i < 4; i++) borders[node->inputs[0]][i] = larger(borders[node->inputs[0]][i], border[i]);
    return TSLIM_OK;
}

// Nodes that change dims only: their output can be their input's memory.
static bool is_reshape(tsl_op op) {
    return op == TSL_OP_RESHAPE || op == TSL_OP_FLATTEN || op == TSL_OP_SQUEEZE || op == TSL_OP_UNSQUEEZE ||
           op == TSL_OP_IDENTITY;
}

// Nodes that read each element once, just before they write it at the same place.
static bool is_elementwise(tsl_op op) {
    return (op >= TSL_OP_RELU && op <= TSL_OP_NOT) || (op >= TSL_OP_ADD && op <= TSL_OP_MOD) ||
           op == TSL_OP_BATCH_NORMALIZATION || op == TSL_OP_SILU;
}

static bool same_memory_layout(const tsl_tensor *a, const tsl_tensor *b) {
    if (tslim_dtype_size(a->dtype) != tslim_dtype_size(b->dtype) || a->rank != b->rank) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i] || a->strides[i] != b->strides[i]) return false;
    return memcmp(a->border, b->border, sizeof(a->border)) == 0;
}

static uint32_t root_of(const tsl_plan *plan, uint32_t value) {
    return plan->values[plan->values[value].whole].root;
}

// Bytes from the beginning of the root's memory to the value's first element.
static size_t origin_of(const tsl_plan *plan, uint32_t value) {
    const tsl_plan_value *v = &plan->values[value], *whole = &plan->values[v->whole];
    if (v == whole || v->begin == 0) return whole->origin;
    return whole->origin +
           (size_t)(v->begin * whole->tensor.strides[whole->axis]) * tslim_dtype_size(v->tensor.dtype);
}

// True when the node may write its output over this operand: nobody reads it later, and no other operand is
// the same memory seen with other dims.
static bool can_overwrite(const tsl_plan *plan, uint32_t n, uint32_t input, const tsl_plan_value *output) {
    const tsl_node *node = &plan->graph->nodes[n];
    const tsl_plan_value *value = &plan->values[input];
    const uint32_t root = root_of(plan, input);
    if (value->place != TSL_PLACE_ARENA || plan->values[root].last != n) return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] == TSL_NONE || node->inputs[i] == input) continue;
        if (root_of(plan, node->inputs[i]) == root) return false;
    }
    return same_memory_layout(&value->tensor, &output->tensor);
}

bool tsl_plan_is_view(const tsl_plan *plan, const tsl_node *node) {
    if (is_reshape(node->op))
        return node->n_outputs == 1 && plan->values[node->outputs[0]].whole == node->outputs[0] &&
               plan->values[node->outputs[0]].root != node->outputs[0];
    return tsl_plan_is_slicing(plan, node);
}

static void share(tsl_plan *plan, uint32_t output, uint32_t input) {
    uint32_t root = root_of(plan, input);
    plan->values[output].root = root;
    plan->values[output].origin = origin_of(plan, input);
    if (plan->values[output].last > plan->values[root].last)
        plan->values[root].last = plan->values[output].last;
}

// Otherwise the node writes other integers than it reads.
static bool same_quant(const tsl_quant *a, const tsl_quant *b) {
    if (!a->scales || !b->scales) return true;
    return a->n_scales == 1 && b->n_scales == 1 && a->scales[0] == b->scales[0] &&
           a->zero_point == b->zero_point;
}

static void share_memory(tsl_plan *plan, uint32_t n) {
    const tsl_node *node = &plan->graph->nodes[n];
    if (node->n_inputs == 0 || node->inputs[0] == TSL_NONE || node->n_outputs != 1) return;
    uint32_t output = node->outputs[0];
    const tsl_plan_value *in = &plan->values[node->inputs[0]], *out = &plan->values[output];
    if (out->whole != output) return;
    if (is_reshape(node->op)) {
        if (in->place == TSL_PLACE_ARENA && in->tensor.dtype == out->tensor.dtype &&
            in->one_sample == out->one_sample && same_quant(&in->tensor.quant, &out->tensor.quant) &&
            tsl_tensor_is_row_major(&in->tensor) && tsl_tensor_is_row_major(&out->tensor))
            share(plan, output, node->inputs[0]);
        return;
    }
    if (!is_elementwise(node->op)) return;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] == TSL_NONE || !can_overwrite(plan, n, node->inputs[i], out)) continue;
        share(plan, output, node->inputs[i]);
        return;
    }
}

static void find_lifetimes(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE) plan->values[node->inputs[i]].last = n;
        for (uint32_t i = 0; i < node->n_outputs; i++)
            if (node->outputs[i] != TSL_NONE) {
                tsl_plan_value *value = &plan->values[node->outputs[i]];
                value->first = value->last = value->maker = n;
            }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) plan->values[graph->outputs[i]].last = graph->n_nodes;
}

// ---- Loops over samples: what goes in is needed until the last sample, what comes out from the first one
// on, and what stays inside is one sample ----

static void leave_loop(tsl_plan *plan, uint32_t value, uint32_t node) {
    tsl_plan_value *v = &plan->values[value];
    const tsl_plan_loop *loop = &plan->loops[plan->loop_of[node]];
    if (loop->end - 1 > v->last) v->last = loop->end - 1;
}

static void find_inside(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        uint32_t producer = graph->values[v].producer;
        plan->values[v].one_sample = producer != TSL_NONE && plan->loop_of[producer] != 0;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++) {
            uint32_t v = graph->nodes[n].inputs[i];
            if (v != TSL_NONE && plan->values[v].one_sample &&
                plan->loop_of[n] != plan->loop_of[graph->values[v].producer])
                plan->values[v].one_sample = false;
        }
    for (uint32_t i = 0; i < graph->n_outputs; i++) plan->values[graph->outputs[i]].one_sample = false;
}

static void extend_lifetimes(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        if (plan->loop_of[n] == 0) continue;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE && !plan->values[node->inputs[i]].one_sample)
                leave_loop(plan, node->inputs[i], n);
        for (uint32_t i = 0; i < node->n_outputs; i++) {
            tsl_plan_value *value = node->outputs[i] == TSL_NONE ? NULL : &plan->values[node->outputs[i]];
            if (!value || value->one_sample) continue;
            leave_loop(plan, node->outputs[i], n);
            value->first = plan->loops[plan->loop_of[n]].begin;
        }
    }
}

static tslim_status describe(tsl_plan *plan, uint32_t v) {
    const tsl_value *value = &plan->graph->values[v];
    tsl_plan_value *p = &plan->values[v];
    p->root = p->whole = v;
    p->axis = -1;
    p->place = tsl_value_is_constant(value)  ? TSL_PLACE_CONSTANT
               : value->producer == TSL_NONE ? TSL_PLACE_CALLER
                                             : TSL_PLACE_ARENA;
    if (!tsl_shape_is_static(&value->shape)) { // of a node with bodies
        p->place = TSL_PLACE_STEP;
        p->tensor = (tsl_tensor){.dtype = value->dtype, .quant = value->quant};
        return TSLIM_OK;
    }
    uint64_t elements;
    tslim_status status = tsl_shape_elements(plan->ctx, &value->shape, &elements);
    if (status != TSLIM_OK) return tsl_fail_prefix(status, "value '%s'", value->name);
    tsl_describe_value(value, &p->tensor);
    if (p->one_sample) p->tensor.dims[0] = 1;
    return TSLIM_OK;
}

static tslim_status size_whole(tsl_plan *plan, uint32_t v, const uint16_t border[4]) {
    tsl_plan_value *p = &plan->values[v];
    if (p->whole != v || p->place == TSL_PLACE_STEP) return TSLIM_OK;
    if (border[0] | border[1] | border[2] | border[3]) tsl_describe_border(&p->tensor, border);
    TSL_REQUIRE(tsl_tensor_memory(&p->tensor, &p->bytes, &p->origin), TSLIM_ERROR_LIMIT,
        "value '%s' does not fit the address space", plan->graph->values[v].name);
    return TSLIM_OK;
}

static void describe_slice(tsl_plan *plan, uint32_t v) {
    tsl_plan_value *p = &plan->values[v];
    const tsl_tensor *whole = &plan->values[p->whole].tensor;
    if (p->whole == v) return;
    memcpy(p->tensor.strides, whole->strides, sizeof(whole->strides));
    memcpy(p->tensor.border, whole->border, sizeof(whole->border));
}

bool tsl_plan_makes_border(const tsl_plan *plan, uint32_t n, uint32_t value) {
    const tsl_plan_value *whole = &plan->values[plan->values[value].whole];
    const uint16_t *border = whole->tensor.border;
    return (border[0] | border[1] | border[2] | border[3]) != 0 && whole->maker == n;
}

tslim_status tsl_plan_place_values(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    uint16_t(*borders)[4] = tsl_arena_array(&plan->arena, graph->n_values, sizeof(*borders));
    plan->values = tsl_arena_array(&plan->arena, graph->n_values, sizeof(*plan->values));
    TSL_REQUIRE_MEMORY(borders && plan->values ? plan : NULL, graph->n_values * sizeof(*plan->values));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tslim_status status = require_border(graph, &graph->nodes[n], borders);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "node '%s'", graph->nodes[n].name);
    }
    find_inside(plan);
    for (uint32_t v = 0; v < graph->n_values; v++) TSL_TRY(describe(plan, v));
    find_lifetimes(plan);
    extend_lifetimes(plan);
    if (!plan->env->apart) TSL_TRY(tsl_plan_place_slices(plan, borders));
    for (uint32_t v = 0; v < graph->n_values; v++) TSL_TRY(size_whole(plan, v, borders[v]));
    for (uint32_t v = 0; v < graph->n_values; v++) describe_slice(plan, v);
    for (uint32_t n = 0; n < graph->n_nodes; n++) share_memory(plan, n);
    for (uint32_t v = 0; v < graph->n_values; v++) {
        size_t origin = origin_of(plan, v); // of a slice it is that of its whole until now
        plan->values[v].root = root_of(plan, v);
        plan->values[v].origin = origin;
    }
    return TSLIM_OK;
}
