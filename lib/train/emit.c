// SPDX-License-Identifier: Apache-2.0
// Appending the nodes of a gradient: see gradient.h. Each gets its shapes at once, since the next may need
// them.
#include <string.h>

#include "ir/shape_infer.h"
#include "train/gradient.h"

void tsl_check(tsl_gradient *g, tslim_status status) {
    if (g->status == TSLIM_OK) g->status = status;
}

void tsl_refuse(tsl_gradient *g, const char *reason) {
    tsl_check(g, tsl_fail(TSLIM_ERROR_UNSUPPORTED, "%s", reason));
}

tsl_shape tsl_shape_of(const tsl_gradient *g, uint32_t value) {
    return value == TSL_NONE ? (tsl_shape){0} : g->graph->values[value].shape;
}

int64_t tsl_attribute(const tsl_gradient *g, tsl_attr_id id, int64_t otherwise) {
    return tsl_attrs_int(&g->node.attrs, id, otherwise);
}

void tsl_give(tsl_gradient *g, uint32_t index, uint32_t gradient) {
    if (gradient == TSL_NONE || !tsl_wants(g, index)) return;
    tsl_shape shape = tsl_shape_of(g, g->node.inputs[index]);
    g->dx[index] = tsl_summed_to(g, gradient, &shape);
}

// ---- Steps ----

void tsl_begin(tsl_gradient *g, tsl_op op, uint32_t n_inputs, const uint32_t *inputs, uint32_t n_outputs) {
    uint32_t outputs[4];
    if (n_outputs > 4) tsl_check(g, tsl_fail(TSLIM_ERROR_INTERNAL, "%u results", n_outputs));
    for (uint32_t i = 0; i < n_outputs && g->status == TSLIM_OK; i++)
        tsl_check(g, tsl_graph_add_value(g->graph, "gradient", g->dtype, &outputs[i]));
    if (g->status != TSLIM_OK) return;
    g->status =
        tsl_graph_add_node(g->graph, op, g->node.name, n_inputs, inputs, n_outputs, outputs, &g->open);
}

static tsl_node *open_node(tsl_gradient *g) {
    return g->status == TSLIM_OK ? &g->graph->nodes[g->open] : NULL;
}

void tsl_with_int(tsl_gradient *g, tsl_attr_id id, int64_t value) {
    tsl_node *node = open_node(g);
    if (node) g->status = tsl_node_set_int(g->graph, node, id, value);
}

void tsl_with_float(tsl_gradient *g, tsl_attr_id id, float value) {
    tsl_node *node = open_node(g);
    if (node) g->status = tsl_node_set_float(g->graph, node, id, value);
}

void tsl_with_string(tsl_gradient *g, tsl_attr_id id, const char *value) {
    tsl_node *node = open_node(g);
    if (node) g->status = tsl_node_set_string(g->graph, node, id, value);
}

void tsl_with_ints(tsl_gradient *g, tsl_attr_id id, const int64_t *values, size_t count) {
    tsl_node *node = open_node(g);
    if (node) g->status = tsl_node_set_ints(g->graph, node, id, values, count);
}

void tsl_with_its_attributes(tsl_gradient *g) {
    tsl_node *node = open_node(g);
    if (!node) return;
    const uint32_t count = g->node.attrs.count;
    node->attrs.items =
        tsl_arena_copy(&g->graph->arena, g->node.attrs.items, count * sizeof(*node->attrs.items));
    node->attrs.count = node->attrs.items ? count : 0;
    if (!node->attrs.items && count > 0) g->status = tsl_no_memory(count * sizeof(*node->attrs.items));
}

uint32_t tsl_end(tsl_gradient *g) {
    if (g->status == TSLIM_OK) g->status = tsl_infer_node(g->graph, g->open);
    return tsl_end_result(g, 0);
}

uint32_t tsl_end_result(tsl_gradient *g, uint32_t index) {
    const tsl_node *node = open_node(g);
    return node && index < node->n_outputs ? node->outputs[index] : TSL_NONE;
}

// ---- Whole nodes ----

uint32_t tsl_apply(tsl_gradient *g, tsl_op op, uint32_t a) {
    tsl_begin(g, op, 1, &a, 1);
    return tsl_end(g);
}

uint32_t tsl_combine(tsl_gradient *g, tsl_op op, uint32_t a, uint32_t b) {
    const uint32_t inputs[] = {a, b};
    tsl_begin(g, op, 2, inputs, 1);
    return tsl_end(g);
}

uint32_t tsl_number(tsl_gradient *g, double value) {
    uint32_t id = TSL_NONE;
    void *data = NULL;
    if (g->status == TSLIM_OK)
        g->status = tsl_graph_add_constant(g->graph, "number", g->dtype, 0, NULL, &id, &data);
    if (g->status != TSLIM_OK) return TSL_NONE;
    if (g->dtype == TSLIM_DTYPE_DOUBLE)
        *(double *)data = value;
    else
        *(float *)data = (float)value;
    return id;
}

uint32_t tsl_integers(tsl_gradient *g, const int64_t *values, uint32_t count) {
    uint32_t id = TSL_NONE;
    void *data = NULL;
    const int64_t dims[1] = {count};
    if (g->status == TSLIM_OK)
        g->status = tsl_graph_add_constant(g->graph, "numbers", TSLIM_DTYPE_INT64, 1, dims, &id, &data);
    if (g->status != TSLIM_OK) return TSL_NONE;
    if (count > 0) memcpy(data, values, count * sizeof(*values));
    return id;
}

uint32_t tsl_times(tsl_gradient *g, uint32_t a, double factor) {
    return tsl_combine(g, TSL_OP_MUL, a, tsl_number(g, factor));
}

static bool same_dims(const tsl_shape *a, const tsl_shape *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

uint32_t tsl_reshaped(tsl_gradient *g, uint32_t a, uint32_t rank, const int64_t *dims) {
    tsl_shape now = tsl_shape_of(g, a), target = {0};
    tsl_shape_set(&target, rank, dims);
    if (same_dims(&now, &target)) return a;
    uint32_t inputs[] = {a, tsl_integers(g, dims, rank)};
    tsl_begin(g, TSL_OP_RESHAPE, 2, inputs, 1);
    tsl_with_int(g, TSL_ATTR_allowzero, 1);
    return tsl_end(g);
}

uint32_t tsl_reshaped_like(tsl_gradient *g, uint32_t a, const tsl_shape *shape) {
    return tsl_reshaped(g, a, shape->rank, shape->dims);
}

uint32_t tsl_expanded_like(tsl_gradient *g, uint32_t a, const tsl_shape *shape) {
    tsl_shape now = tsl_shape_of(g, a);
    if (same_dims(&now, shape)) return a;
    return tsl_combine(g, TSL_OP_EXPAND, a, tsl_integers(g, shape->dims, shape->rank));
}

uint32_t tsl_transposed(tsl_gradient *g, uint32_t a, const int64_t *perm) {
    const uint32_t rank = tsl_shape_of(g, a).rank;
    int64_t last_two[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) last_two[i] = i;
    if (rank >= 2) {
        last_two[rank - 1] = rank - 2;
        last_two[rank - 2] = rank - 1;
    }
    tsl_begin(g, TSL_OP_TRANSPOSE, 1, &a, 1);
    tsl_with_ints(g, TSL_ATTR_perm, perm ? perm : last_two, rank);
    return tsl_end(g);
}

uint32_t tsl_reduced(tsl_gradient *g, tsl_op op, uint32_t a, uint32_t mask) {
    int64_t axes[TSLIM_MAX_RANK];
    uint32_t count = 0;
    for (uint32_t i = 0; i < TSLIM_MAX_RANK; i++)
        if (mask >> i & 1) axes[count++] = i;
    if (count == 0) return a;
    tsl_begin(g, op, 1, &a, 1);
    tsl_with_ints(g, TSL_ATTR_axes, axes, count);
    tsl_with_int(g, TSL_ATTR_keepdims, 1);
    return tsl_end(g);
}

uint32_t tsl_summed_to(tsl_gradient *g, uint32_t a, const tsl_shape *shape) {
    const tsl_shape now = tsl_shape_of(g, a);
    if (g->status != TSLIM_OK || same_dims(&now, shape)) return g->status == TSLIM_OK ? a : TSL_NONE;
    const uint32_t skip = now.rank - shape->rank;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < now.rank; i++)
        if (i < skip || (shape->dims[i - skip] == 1 && now.dims[i] != 1)) mask |= 1u << i;
    return tsl_reshaped_like(g, tsl_reduced(g, TSL_OP_REDUCE_SUM, a, mask), shape);
}

uint32_t tsl_zeros(tsl_gradient *g, const tsl_shape *shape) {
    return tsl_expanded_like(g, tsl_number(g, 0), shape);
}

uint32_t tsl_mask(tsl_gradient *g, uint32_t condition) {
    tsl_begin(g, TSL_OP_CAST, 1, &condition, 1);
    tsl_with_int(g, TSL_ATTR_to, g->dtype);
    return tsl_end(g);
}
