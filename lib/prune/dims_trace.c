// SPDX-License-Identifier: Apache-2.0
// Follows vectors of dims through the operators that exporters build them with.
#include "prune/dims_trace.h"

#include "ir/shape_infer.h"

// Longer vectors are data, not shapes.
enum { LONGEST_TRACE = 16 };

typedef struct tracer {
    const tslim_graph *graph;
    const uint32_t *ranks;
    tsl_arena *arena;
    tsl_dims_trace *traces;
} tracer;

static tslim_status new_trace(tracer *t, uint32_t value, uint32_t count, tsl_origin **items) {
    *items = tsl_arena_array(t->arena, count ? count : 1, sizeof(**items));
    TSL_REQUIRE_MEMORY(*items, count * sizeof(**items));
    t->traces[value] = (tsl_dims_trace){.items = *items, .count = count, .known = true};
    return TSLIM_OK;
}

static tslim_status trace_constant(tracer *t, uint32_t id) {
    const tsl_value *value = &t->graph->values[id];
    size_t size = tslim_dtype_size(value->dtype);
    if ((value->dtype != TSLIM_DTYPE_INT64 && value->dtype != TSLIM_DTYPE_INT32) || value->shape.rank > 1 ||
        value->bytes / size > LONGEST_TRACE)
        return TSLIM_OK;
    tsl_origin *items;
    TSL_TRY(new_trace(t, id, (uint32_t)(value->bytes / size), &items));
    for (uint32_t i = 0; i < t->traces[id].count; i++) {
        items[i].kind = TSL_ORIGIN_LITERAL;
        items[i].number = value->dtype == TSLIM_DTYPE_INT64 ? ((const int64_t *)value->data)[i]
                                                            : ((const int32_t *)value->data)[i];
    }
    return TSLIM_OK;
}

static const tsl_dims_trace *input_trace(const tracer *t, const tsl_node *node, uint32_t input) {
    if (input >= node->n_inputs || node->inputs[input] == TSL_NONE) return NULL;
    const tsl_dims_trace *trace = &t->traces[node->inputs[input]];
    return trace->known ? trace : NULL;
}

static tslim_status trace_shape(tracer *t, const tsl_node *node) {
    uint32_t value = node->inputs[0];
    if (value == TSL_NONE || t->ranks[value] == UINT32_MAX) return TSLIM_OK;
    int64_t rank = t->ranks[value];
    int64_t start = tsl_attrs_int(&node->attrs, TSL_ATTR_start, 0);
    int64_t end = tsl_attrs_int(&node->attrs, TSL_ATTR_end, rank);
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    start = start < 0 ? 0 : start;
    end = end > rank ? rank : end;
    if (end < start || rank > TSLIM_MAX_RANK) return TSLIM_OK;
    tsl_origin *items;
    TSL_TRY(new_trace(t, node->outputs[0], (uint32_t)(end - start), &items));
    for (int64_t i = start; i < end; i++)
        items[i - start] = (tsl_origin){.kind = TSL_ORIGIN_DIM, .value = value, .axis = (uint32_t)i};
    return TSLIM_OK;
}

static tslim_status trace_gather(tracer *t, const tsl_node *node) {
    const tsl_dims_trace *data = input_trace(t, node, 0);
    const tsl_dims_trace *indices = input_trace(t, node, 1);
    if (!data || !indices || tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0) != 0) return TSLIM_OK;
    for (uint32_t i = 0; i < indices->count; i++) {
        if (indices->items[i].kind != TSL_ORIGIN_LITERAL ||
            indices->items[i].number < -(int64_t)data->count ||
            indices->items[i].number >= (int64_t)data->count)
            return TSLIM_OK;
    }
    tsl_origin *items;
    TSL_TRY(new_trace(t, node->outputs[0], indices->count, &items));
    for (uint32_t i = 0; i < indices->count; i++) {
        int64_t index = indices->items[i].number;
        items[i] = data->items[index < 0 ? index + (int64_t)data->count : index];
    }
    return TSLIM_OK;
}

static tslim_status trace_concat(tracer *t, const tsl_node *node) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_dims_trace *part = input_trace(t, node, i);
        if (!part || part->count > LONGEST_TRACE - count) return TSLIM_OK;
        count += part->count;
    }
    tsl_origin *items;
    TSL_TRY(new_trace(t, node->outputs[0], count, &items));
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_dims_trace *part = input_trace(t, node, i);
        for (uint32_t j = 0; j < part->count; j++) *items++ = part->items[j];
    }
    return TSLIM_OK;
}

// The single number of an attribute's or input's list, or false.
static bool one_number(
    const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr, uint32_t input, int64_t *number) {
    size_t count;
    return tsl_node_get_ints(graph, node, attr, input, number, 1, &count) && count == 1;
}

static tslim_status trace_slice(tracer *t, const tsl_node *node) {
    const tsl_dims_trace *data = input_trace(t, node, 0);
    const tsl_dims_trace *step = input_trace(t, node, 4);
    int64_t start, end;
    if (!data || !one_number(t->graph, node, TSL_ATTR_starts, 1, &start) ||
        !one_number(t->graph, node, TSL_ATTR_ends, 2, &end))
        return TSLIM_OK;
    if (tsl_node_input(t->graph, node, 4) &&
        (!step || step->count != 1 || step->items[0].kind != TSL_ORIGIN_LITERAL ||
            step->items[0].number != 1))
        return TSLIM_OK;
    int64_t count = data->count;
    if (start < 0) start = start < -count ? 0 : start + count;
    if (end < 0) end = end < -count ? 0 : end + count;
    start = start > count ? count : start;
    end = end > count ? count : end;
    if (end < start) end = start;
    tsl_origin *items;
    TSL_TRY(new_trace(t, node->outputs[0], (uint32_t)(end - start), &items));
    for (int64_t i = start; i < end; i++) items[i - start] = data->items[i];
    return TSLIM_OK;
}

static tslim_status trace_node(tracer *t, const tsl_node *node) {
    if (node->n_outputs == 0 || node->outputs[0] == TSL_NONE || node->n_inputs == 0) return TSLIM_OK;
    switch (node->op) {
    case TSL_OP_SHAPE:
        return trace_shape(t, node);
    case TSL_OP_GATHER:
        return trace_gather(t, node);
    case TSL_OP_CONCAT:
        return trace_concat(t, node);
    case TSL_OP_SLICE:
        return trace_slice(t, node);
    case TSL_OP_CAST:
    case TSL_OP_IDENTITY:
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE: {
        const tsl_dims_trace *data = input_trace(t, node, 0);
        if (data) t->traces[node->outputs[0]] = *data;
        return TSLIM_OK;
    }
    default:
        return TSLIM_OK;
    }
}

tslim_status tsl_dims_trace_find(
    const tslim_graph *graph, const uint32_t *ranks, tsl_arena *arena, tsl_dims_trace **traces) {
    tracer t = {.graph = graph, .ranks = ranks, .arena = arena};
    t.traces = tsl_arena_array(arena, (size_t)graph->n_values + 1, sizeof(*t.traces));
    TSL_REQUIRE_MEMORY(t.traces, graph->n_values * sizeof(*t.traces));
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (tsl_value_is_constant(&graph->values[v])) TSL_TRY(trace_constant(&t, v));
    for (uint32_t n = 0; n < graph->n_nodes; n++) TSL_TRY(trace_node(&t, &graph->nodes[n]));
    *traces = t.traces;
    return TSLIM_OK;
}

bool tsl_dims_trace_passes(const tsl_node *node, const tsl_dims_trace *traces) {
    return node->n_outputs > 0 && node->outputs[0] != TSL_NONE && traces[node->outputs[0]].known;
}
