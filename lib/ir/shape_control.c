// SPDX-License-Identifier: Apache-2.0
// Shapes of nodes with bodies, from what is known of their bodies' outputs: pass/infer_bodies.c has told the
// bodies their inputs' shapes and inferred theirs before these are asked.
#include "ir/bodies.h"
#include "ir/shape_functions.h"

// What holds whichever of the two it is. Names of dims are the bodies' own: they are left behind.
static void merge(const tsl_shape *a, const tsl_shape *b, tsl_shape *out) {
    *out = (tsl_shape){0};
    if (!a->known || !b->known || a->rank != b->rank) return;
    out->known = true;
    out->rank = a->rank;
    for (uint32_t i = 0; i < a->rank; i++) out->dims[i] = a->dims[i] == b->dims[i] ? a->dims[i] : -1;
}

tslim_status tsl_shape_if(tslim_graph *graph, const tsl_node *node) {
    const tslim_graph *a = tsl_node_body(graph, node, TSL_ATTR_then_branch);
    const tslim_graph *b = tsl_node_body(graph, node, TSL_ATTR_else_branch);
    TSL_REQUIRE(a && b && a->n_outputs == node->n_outputs && b->n_outputs == node->n_outputs,
        TSLIM_ERROR_INVALID_ARGUMENT, "its branches do not have its %u results", node->n_outputs);
    TSL_TRY(tsl_require_type(tsl_node_input(graph, node, 0), TSL_TYPE(BOOL)));
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        // A branch that cannot run with these operands says nothing of its results, not even their type.
        const tsl_value *x = &a->values[a->outputs[i]], *y = &b->values[b->outputs[i]];
        if (x->dtype == TSLIM_DTYPE_NONE) x = y;
        if (y->dtype == TSLIM_DTYPE_NONE) y = x;
        TSL_REQUIRE(x->dtype == y->dtype, TSLIM_ERROR_INVALID_ARGUMENT,
            "result %u is %s in one branch, %s in the other", i, tslim_dtype_name(x->dtype),
            tslim_dtype_name(y->dtype));
        tsl_shape shape;
        merge(&x->shape, &y->shape, &shape);
        TSL_TRY(tsl_set_output_exact(graph, node, i, x->dtype, &shape));
    }
    return TSLIM_OK;
}

static tslim_status set_states(tslim_graph *graph, const tsl_node *node, const tslim_graph *body,
    uint32_t first_input, uint32_t first_output) {
    for (uint32_t i = 0; i < tsl_node_states(node); i++) {
        const tsl_value *before = tsl_node_input(graph, node, first_input + i);
        const tsl_value *after = &body->values[body->outputs[first_output + i]];
        TSL_REQUIRE(before, TSLIM_ERROR_INVALID_ARGUMENT, "operand %u is absent", first_input + i);
        TSL_REQUIRE(before->dtype == after->dtype || !before->dtype || !after->dtype,
            TSLIM_ERROR_INVALID_ARGUMENT, "carried value %u begins as %s and goes on as %s", i,
            tslim_dtype_name(before->dtype), tslim_dtype_name(after->dtype));
        tsl_shape shape;
        merge(&before->shape, &after->shape, &shape);
        TSL_TRY(tsl_set_output_exact(graph, node, i, after->dtype ? after->dtype : before->dtype, &shape));
    }
    return TSLIM_OK;
}

// A slice of each iteration, side by side along a new axis.
static tslim_status set_stacked(tslim_graph *graph, const tsl_node *node, uint32_t output,
    const tsl_value *slice, uint32_t axis, int64_t count) {
    tsl_shape shape = {.known = slice->shape.known};
    for (uint32_t i = 0; shape.known && i <= slice->shape.rank; i++) {
        if (i == axis) TSL_TRY(tsl_shape_append(&shape, count, NULL));
        if (i < slice->shape.rank) TSL_TRY(tsl_shape_append(&shape, slice->shape.dims[i], NULL));
    }
    return tsl_set_output_exact(graph, node, output, slice->dtype, &shape);
}

// ---- Loop ----

static bool is_true(const tsl_value *value) {
    return tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_BOOL && value->bytes == 1 &&
           *(const uint8_t *)value->data != 0;
}

// True when the body's condition is the constant true, or handed on as it came.
static bool never_ends_early(const tslim_graph *graph, const tsl_node *node, const tslim_graph *body) {
    const tsl_value *start = tsl_node_input(graph, node, 1);
    if (start && !is_true(start)) return false;
    uint32_t id = body->outputs[0];
    while (
        body->values[id].producer != TSL_NONE && body->nodes[body->values[id].producer].op == TSL_OP_IDENTITY)
        id = body->nodes[body->values[id].producer].inputs[0];
    return is_true(&body->values[id]) || id == body->inputs[1];
}

static int64_t trip_count(const tslim_graph *graph, const tsl_node *node, const tslim_graph *body) {
    tsl_numbers count;
    if (tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 0, &count) != TSLIM_OK || !count.known ||
        count.count != 1 || !never_ends_early(graph, node, body))
        return -1;
    return tsl_max_i64(tsl_numbers_int(&count, 0), 0);
}

tslim_status tsl_shape_loop(tslim_graph *graph, const tsl_node *node) {
    const tslim_graph *body = tsl_node_body(graph, node, TSL_ATTR_body);
    TSL_REQUIRE(body && body->n_outputs == node->n_outputs + 1 && body->n_inputs == node->n_inputs &&
                    tsl_node_own_inputs(node) >= 2 && tsl_node_states(node) <= node->n_outputs,
        TSLIM_ERROR_INVALID_ARGUMENT, "its body does not go with its operands and results");
    TSL_TRY(set_states(graph, node, body, 2, 1));
    for (uint32_t i = tsl_node_states(node); i < node->n_outputs; i++)
        TSL_TRY(set_stacked(
            graph, node, i, &body->values[body->outputs[1 + i]], 0, trip_count(graph, node, body)));
    return TSLIM_OK;
}

// ---- Scan ----

tslim_status tsl_scan_axis(
    const tsl_attrs *attrs, tsl_attr_id attr, uint32_t index, uint32_t rank, uint32_t *axis) {
    size_t count;
    const int64_t *axes = tsl_attrs_ints(attrs, attr, &count);
    TSL_REQUIRE(!axes || index < count, TSLIM_ERROR_INVALID_ARGUMENT, "%s has %zu numbers",
        tsl_attr_name(attr), count);
    return tsl_normalize_axis(axes ? axes[index] : 0, rank, axis);
}

tslim_status tsl_shape_scan(tslim_graph *graph, const tsl_node *node) {
    const tslim_graph *body = tsl_node_body(graph, node, TSL_ATTR_body);
    TSL_REQUIRE(body && body->n_outputs == node->n_outputs && body->n_inputs == node->n_inputs &&
                    tsl_node_states(node) < tsl_node_own_inputs(node) &&
                    tsl_node_states(node) <= node->n_outputs,
        TSLIM_ERROR_INVALID_ARGUMENT, "its body does not go with its operands and results");
    uint32_t states = tsl_node_states(node), axis = 0;
    const tsl_value *scanned = tsl_node_input(graph, node, states);
    TSL_REQUIRE(scanned, TSLIM_ERROR_INVALID_ARGUMENT, "operand %u is absent", states);
    int64_t count = -1;
    if (scanned->shape.known) {
        TSL_TRY(tsl_scan_axis(&node->attrs, TSL_ATTR_scan_input_axes, 0, scanned->shape.rank, &axis));
        count = scanned->shape.dims[axis];
    }
    TSL_TRY(set_states(graph, node, body, 0, 0));
    for (uint32_t i = states; i < node->n_outputs; i++) {
        const tsl_value *slice = &body->values[body->outputs[i]];
        axis = 0;
        if (slice->shape.known)
            TSL_TRY(tsl_scan_axis(
                &node->attrs, TSL_ATTR_scan_output_axes, i - states, slice->shape.rank + 1, &axis));
        TSL_TRY(set_stacked(graph, node, i, slice, axis, count));
    }
    return TSLIM_OK;
}
