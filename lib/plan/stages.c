// SPDX-License-Identifier: Apache-2.0
// Splitting a graph where a shape needs a number that only a run gives.
#include "plan/stages.h"

#include <string.h>

#include "ir/bodies.h"
#include "ir/shape_infer.h"

typedef struct splitter {
    tslim_graph *graph;
    enum { NOT_MADE, KNOWN, MADE } * state; // of each value: MADE is there, but its size is known only then
    uint8_t *now; // of each node
    uint32_t *between; // values that the rest reads
    uint32_t n_between;
} splitter;

static bool outputs_are_static(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *output = tsl_node_output(graph, node, i);
        if (output && !tsl_shape_is_static(&output->shape)) return false;
    }
    return true;
}

static tslim_status decide(splitter *s, uint32_t n, bool *now) {
    const tsl_node *node = &s->graph->nodes[n];
    *now = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *input = tsl_node_input(s->graph, node, i);
        if (!input || tsl_value_is_constant(input)) continue;
        if (s->state[node->inputs[i]] != KNOWN || tsl_operand_decides(node->op, i)) return TSLIM_OK;
    }
    *now = true;
    if (outputs_are_static(s->graph, node) || tsl_op_finds_shape(node->op) || tsl_op_has_bodies(node->op))
        return TSLIM_OK;
    return tsl_fail(TSLIM_ERROR_UNSUPPORTED,
        "node '%s' (%s): the size of its result cannot be known before it runs", node->name, node->op_type);
}

static void mark_outputs(splitter *s, uint32_t n) {
    const tsl_node *node = &s->graph->nodes[n];
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE)
            s->state[node->outputs[i]] =
                tsl_shape_is_static(&s->graph->values[node->outputs[i]].shape) ? KNOWN : MADE;
}

static tslim_status find_stage(splitter *s, bool *whole) {
    const tslim_graph *graph = s->graph;
    *whole = true;
    for (uint32_t i = 0; i < graph->n_inputs; i++) s->state[graph->inputs[i]] = KNOWN;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        bool now;
        TSL_TRY(decide(s, n, &now));
        s->now[n] = now;
        *whole = *whole && now;
        if (now) mark_outputs(s, n);
    }
    return TSLIM_OK;
}

static void need(splitter *s, uint8_t *needed, uint32_t id) {
    if (id == TSL_NONE || needed[id] || s->state[id] == NOT_MADE ||
        tsl_value_is_constant(&s->graph->values[id]))
        return;
    needed[id] = 1;
    s->between[s->n_between++] = id;
}

static void find_between(splitter *s, uint8_t *needed) {
    for (uint32_t n = 0; n < s->graph->n_nodes; n++)
        for (uint32_t i = 0; !s->now[n] && i < s->graph->nodes[n].n_inputs; i++)
            need(s, needed, s->graph->nodes[n].inputs[i]);
    for (uint32_t i = 0; i < s->graph->n_outputs; i++) need(s, needed, s->graph->outputs[i]);
}

// Keeps the nodes of one side. Indices change with it, so the two graphs are cut before either is compacted.
static tslim_status cut(const splitter *s, tslim_graph *graph, bool now, uint32_t **ends, uint32_t *n_ends) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if ((s->now[n] != 0) != now) tsl_graph_remove_node(graph, n);
    *ends = tsl_arena_copy(&graph->arena, s->between, s->n_between * sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(*ends, s->n_between * sizeof(uint32_t));
    *n_ends = s->n_between;
    TSL_TRY(tsl_graph_compact(graph));
    return TSL_VERIFY(graph);
}

static tslim_status split(splitter *s, uint8_t *needed, tslim_graph **rest) {
    bool whole;
    TSL_TRY(find_stage(s, &whole));
    if (whole) return TSLIM_OK;
    find_between(s, needed);
    TSL_TRY(tslim_graph_clone(s->graph, rest));
    TSL_TRY(cut(s, *rest, false, &(*rest)->inputs, &(*rest)->n_inputs));
    return cut(s, s->graph, true, &s->graph->outputs, &s->graph->n_outputs);
}

tslim_status tsl_graph_split(tslim_graph *graph, tslim_graph **rest) {
    tsl_arena arena;
    tsl_arena_init(&arena, graph->ctx);
    *rest = NULL;
    splitter s = {.graph = graph,
        .state = tsl_arena_array(&arena, graph->n_values, sizeof(*s.state)),
        .now = tsl_arena_array(&arena, graph->n_nodes, 1),
        .between = tsl_arena_array(&arena, graph->n_values, sizeof(uint32_t))};
    uint8_t *needed = tsl_arena_array(&arena, graph->n_values, 1);
    tslim_status status = s.state && s.now && s.between && needed
                              ? split(&s, needed, rest)
                              : tsl_no_memory(graph->n_values * sizeof(uint32_t));
    tsl_arena_clear(&arena);
    if (status == TSLIM_OK) return status;
    tslim_graph_destroy(*rest);
    *rest = NULL;
    return status;
}
