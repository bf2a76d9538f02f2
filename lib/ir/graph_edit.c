// SPDX-License-Identifier: Apache-2.0
// Changing a graph: attributes, uses, removal, order.
#include <string.h>

#include "base/checked.h"
#include "ir/bodies.h"

// ---- Attributes ----

// The attribute of that id, made if it is not there; NULL when memory is short.
static tsl_attr *need_attr(tslim_graph *graph, tsl_node *node, tsl_attr_id id) {
    for (uint32_t i = 0; i < node->attrs.count; i++)
        if (node->attrs.items[i].id == id) return &node->attrs.items[i];
    tsl_attr *items = tsl_arena_array(&graph->arena, (size_t)node->attrs.count + 1, sizeof(*items));
    if (!items) return NULL;
    if (node->attrs.count) memcpy(items, node->attrs.items, node->attrs.count * sizeof(*items));
    node->attrs.items = items;
    tsl_attr *attr = &items[node->attrs.count++];
    *attr = (tsl_attr){.id = id, .name = tsl_attr_name(id)};
    return attr;
}

tslim_status tsl_node_set_int(tslim_graph *graph, tsl_node *node, tsl_attr_id id, int64_t value) {
    tsl_attr *attr = need_attr(graph, node, id);
    TSL_REQUIRE_MEMORY(attr, sizeof(*attr));
    attr->type = TSL_ATTR_TYPE_INT;
    attr->i = value;
    return TSLIM_OK;
}

tslim_status tsl_node_set_float(tslim_graph *graph, tsl_node *node, tsl_attr_id id, float value) {
    tsl_attr *attr = need_attr(graph, node, id);
    TSL_REQUIRE_MEMORY(attr, sizeof(*attr));
    attr->type = TSL_ATTR_TYPE_FLOAT;
    attr->f = value;
    return TSLIM_OK;
}

tslim_status tsl_node_set_string(tslim_graph *graph, tsl_node *node, tsl_attr_id id, const char *value) {
    const char *copy = tsl_arena_string(&graph->arena, value);
    tsl_attr *attr = copy ? need_attr(graph, node, id) : NULL;
    TSL_REQUIRE_MEMORY(attr, strlen(value));
    attr->type = TSL_ATTR_TYPE_STRING;
    attr->s = copy;
    attr->count = strlen(value);
    return TSLIM_OK;
}

tslim_status tsl_node_set_ints(
    tslim_graph *graph, tsl_node *node, tsl_attr_id id, const int64_t *values, size_t count) {
    const int64_t *copy = tsl_arena_copy(&graph->arena, values, count * sizeof(*values));
    tsl_attr *attr = copy ? need_attr(graph, node, id) : NULL;
    TSL_REQUIRE_MEMORY(attr, count * sizeof(*values));
    attr->type = TSL_ATTR_TYPE_INTS;
    attr->ints = copy;
    attr->count = count;
    return TSLIM_OK;
}

void tsl_node_remove_attr(tsl_node *node, tsl_attr_id id) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < node->attrs.count; i++)
        if (node->attrs.items[i].id != id) node->attrs.items[kept++] = node->attrs.items[i];
    node->attrs.count = kept;
}

tslim_status tsl_node_add_input(tslim_graph *graph, tsl_node *node, uint32_t value) {
    uint32_t *inputs = tsl_arena_array(&graph->arena, (size_t)node->n_inputs + 1, sizeof(*inputs));
    TSL_REQUIRE_MEMORY(inputs, sizeof(*inputs));
    if (node->n_inputs) memcpy(inputs, node->inputs, node->n_inputs * sizeof(*inputs));
    inputs[node->n_inputs] = value;
    node->inputs = inputs;
    node->n_inputs++;
    return TSLIM_OK;
}

// ---- Uses ----

uint32_t tsl_graph_find_value(const tslim_graph *graph, const char *name) {
    uint32_t id = tsl_name_map_get(&graph->value_names, name);
    return id == TSL_NAME_ABSENT ? TSL_NONE : id;
}

uint32_t tsl_graph_find_node(const tslim_graph *graph, const char *name) {
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph->nodes[i].name, name) == 0) return i;
    return TSL_NONE;
}

bool tsl_graph_is_output(const tslim_graph *graph, uint32_t value) {
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == value) return true;
    return false;
}

tslim_status tsl_uses_find(const tslim_graph *graph, tsl_uses *uses) {
    size_t total = 0;
    for (uint32_t n = 0; n < graph->n_nodes; n++) total += graph->nodes[n].n_inputs;
    *uses = (tsl_uses){.ctx = graph->ctx,
        .first_bytes = ((size_t)graph->n_values + 2) * sizeof(uint32_t),
        .nodes_bytes = total * sizeof(uint32_t)};
    uses->first = tsl_allocate_zeroed(graph->ctx, uses->first_bytes);
    uses->nodes = tsl_allocate(graph->ctx, uses->nodes_bytes);
    if (!uses->first || !uses->nodes) {
        tsl_uses_free(uses);
        return tsl_no_memory(uses->first_bytes + uses->nodes_bytes);
    }
    // Counted two places ahead, so that filling moves each start to where it belongs.
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != TSL_NONE) uses->first[graph->nodes[n].inputs[i] + 2]++;
    for (uint32_t v = 2; v < graph->n_values + 2; v++) uses->first[v] += uses->first[v - 1];
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != TSL_NONE)
                uses->nodes[uses->first[graph->nodes[n].inputs[i] + 1]++] = n;
    return TSLIM_OK;
}

void tsl_uses_free(tsl_uses *uses) {
    if (!uses->ctx) return;
    tsl_free(uses->ctx, uses->first, uses->first_bytes);
    tsl_free(uses->ctx, uses->nodes, uses->nodes_bytes);
    uses->first = uses->nodes = NULL;
}

void tsl_graph_replace_uses(tslim_graph *graph, uint32_t old_value, uint32_t new_value) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] == old_value) graph->nodes[n].inputs[i] = new_value;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == old_value) graph->outputs[i] = new_value;
}

// ---- Removal ----

void tsl_graph_remove_node(tslim_graph *graph, uint32_t index) {
    tsl_node *node = &graph->nodes[index];
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE && graph->values[node->outputs[i]].producer == index)
            graph->values[node->outputs[i]].producer = TSL_NONE;
    node->op = TSL_OP_UNKNOWN;
    node->n_inputs = node->n_outputs = node->n_captured = 0;
    node->attrs.count = 0;
}

static void mark(uint8_t *used, const uint32_t *ids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] != TSL_NONE) used[ids[i]] = 1;
}

static void mark_used_values(const tslim_graph *graph, uint8_t *used) {
    mark(used, graph->inputs, graph->n_inputs);
    mark(used, graph->outputs, graph->n_outputs);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        mark(used, node->inputs, node->n_inputs);
        mark(used, node->outputs, node->n_outputs);
        for (uint32_t i = 0; i < node->attrs.count; i++)
            if (node->attrs.items[i].type == TSL_ATTR_TYPE_TENSOR) used[node->attrs.items[i].i] = 1;
    }
}

static void renumber(uint32_t *ids, uint32_t count, const uint32_t *number) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] != TSL_NONE) ids[i] = number[ids[i]];
}

static void remove_marked_nodes(tslim_graph *graph) {
    uint32_t kept = 0;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (graph->nodes[n].n_outputs == 0) continue;
        graph->nodes[kept] = graph->nodes[n];
        for (uint32_t i = 0; i < graph->nodes[kept].n_outputs; i++)
            if (graph->nodes[kept].outputs[i] != TSL_NONE)
                graph->values[graph->nodes[kept].outputs[i]].producer = kept;
        kept++;
    }
    graph->n_nodes = kept;
}

tslim_status tsl_graph_compact(tslim_graph *graph) {
    uint32_t n_values = graph->n_values;
    size_t bytes = n_values * sizeof(uint32_t);
    uint32_t *number = tsl_allocate(graph->ctx, bytes);
    uint8_t *used = tsl_allocate_zeroed(graph->ctx, n_values);
    tsl_name_map names;
    tsl_name_map_init(&names, graph->ctx);
    tslim_status status = TSLIM_OK;
    TSL_REQUIRE_GOTO(number && used, TSLIM_ERROR_NO_MEMORY, "no memory for %zu bytes", bytes);

    TSL_TRY_GOTO(tsl_graph_drop_bodies(graph));
    remove_marked_nodes(graph);
    mark_used_values(graph, used);
    uint32_t kept = 0;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        number[v] = used[v] ? kept++ : TSL_NONE;
        if (used[v])
            TSL_REQUIRE_GOTO(tsl_name_map_set(&names, graph->values[v].name, number[v]),
                TSLIM_ERROR_NO_MEMORY, "no memory for %u names", graph->n_values);
    }
    for (uint32_t v = 0; v < graph->n_values; v++) {
        if (used[v])
            graph->values[number[v]] = graph->values[v];
        else
            tsl_buffer_release(graph->values[v].buffer);
    }
    graph->n_values = kept;
    renumber(graph->inputs, graph->n_inputs, number);
    renumber(graph->outputs, graph->n_outputs, number);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tsl_node *node = &graph->nodes[n];
        renumber(node->inputs, node->n_inputs, number);
        renumber(node->outputs, node->n_outputs, number);
        for (uint32_t i = 0; i < node->attrs.count; i++)
            if (node->attrs.items[i].type == TSL_ATTR_TYPE_TENSOR)
                node->attrs.items[i].i = number[node->attrs.items[i].i];
    }
    tsl_name_map_clear(&graph->value_names);
    graph->value_names = names;
    tsl_name_map_init(&names, graph->ctx);
fail:
    tsl_name_map_clear(&names);
    tsl_free(graph->ctx, used, n_values);
    tsl_free(graph->ctx, number, bytes);
    return status;
}

// ---- Order ----

enum { UNSEEN, OPEN, DONE };

typedef struct sorter {
    tsl_node *sorted;
    uint32_t count;
    uint8_t *state;
    uint32_t *next_input; // of each node: inputs before it are placed
    uint32_t *stack; // nodes that wait for a producer, the deepest last
    uint32_t depth;
} sorter;

// The producer of some input that has not been placed yet, or TSL_NONE.
static uint32_t find_unplaced_producer(const tslim_graph *graph, sorter *s, uint32_t n) {
    const tsl_node *node = &graph->nodes[n];
    for (; s->next_input[n] < node->n_inputs; s->next_input[n]++) {
        uint32_t input = node->inputs[s->next_input[n]];
        uint32_t producer = input == TSL_NONE ? TSL_NONE : graph->values[input].producer;
        if (producer != TSL_NONE && s->state[producer] != DONE) return producer;
    }
    return TSL_NONE;
}

// Places a node after everything that it needs: depth first, with a stack of our own because files can be
// hostile.
static tslim_status place(const tslim_graph *graph, sorter *s, uint32_t start) {
    s->stack[s->depth++] = start;
    s->state[start] = OPEN;
    while (s->depth > 0) {
        uint32_t n = s->stack[s->depth - 1];
        uint32_t producer = find_unplaced_producer(graph, s, n);
        if (producer == TSL_NONE) {
            s->sorted[s->count++] = graph->nodes[n];
            s->state[n] = DONE;
            s->depth--;
            continue;
        }
        TSL_REQUIRE(s->state[producer] == UNSEEN, TSLIM_ERROR_BAD_FILE, "node '%s' (%s) is part of a cycle",
            graph->nodes[producer].name, graph->nodes[producer].op_type);
        s->state[producer] = OPEN;
        s->stack[s->depth++] = producer;
    }
    return TSLIM_OK;
}

tslim_status tsl_graph_sort(tslim_graph *graph) {
    tslim_context *ctx = graph->ctx;
    uint32_t n_nodes = graph->n_nodes;
    sorter s = {.sorted = tsl_allocate(ctx, n_nodes * sizeof(tsl_node)),
        .state = tsl_allocate_zeroed(ctx, n_nodes),
        .next_input = tsl_allocate_zeroed(ctx, n_nodes * sizeof(uint32_t)),
        .stack = tsl_allocate(ctx, n_nodes * sizeof(uint32_t))};
    tslim_status status = TSLIM_OK;
    TSL_REQUIRE_GOTO(s.sorted && s.state && s.next_input && s.stack, TSLIM_ERROR_NO_MEMORY,
        "no memory to sort %u nodes", n_nodes);
    for (uint32_t n = 0; n < n_nodes; n++)
        if (s.state[n] == UNSEEN) TSL_TRY_GOTO(place(graph, &s, n));
    for (uint32_t n = 0; n < n_nodes; n++) {
        graph->nodes[n] = s.sorted[n];
        for (uint32_t i = 0; i < graph->nodes[n].n_outputs; i++)
            if (graph->nodes[n].outputs[i] != TSL_NONE)
                graph->values[graph->nodes[n].outputs[i]].producer = n;
    }
fail:
    tsl_free(ctx, s.next_input, n_nodes * sizeof(uint32_t));
    tsl_free(ctx, s.stack, n_nodes * sizeof(uint32_t));
    tsl_free(ctx, s.state, n_nodes);
    tsl_free(ctx, s.sorted, n_nodes * sizeof(tsl_node));
    return status;
}
