// SPDX-License-Identifier: Apache-2.0
// Graphs within nodes. Names that a body reads and does not make itself are those of the graph around it:
// they become inputs of the body and of the node (ir/bodies.h), and the search goes on one graph further out.
#include <string.h>

#include "format/onnx_reader.h"
#include "ir/bodies.h"

// ---- One body ----

static bool needs_source(const tslim_graph *body, const uint8_t *has_source, uint32_t id) {
    const tsl_value *value = &body->values[id];
    return value->producer == TSL_NONE && !tsl_value_is_constant(value) && !has_source[id];
}

static tslim_status collect_captured(tslim_graph *body, uint8_t *has_source, uint32_t *ids, uint32_t *count) {
    for (uint32_t i = 0; i < body->n_inputs; i++) has_source[body->inputs[i]] = 1;
    for (uint32_t n = 0; n < body->n_nodes; n++)
        for (uint32_t i = 0; i < body->nodes[n].n_inputs; i++) {
            uint32_t id = body->nodes[n].inputs[i];
            if (id == TSL_NONE || !needs_source(body, has_source, id)) continue;
            has_source[id] = 1;
            ids[(*count)++] = id;
        }
    for (uint32_t i = 0; i < body->n_outputs; i++) {
        uint32_t id = body->outputs[i];
        if (!needs_source(body, has_source, id)) continue;
        has_source[id] = 1;
        ids[(*count)++] = id;
    }
    return TSLIM_OK;
}

// Behind the body's own inputs.
static tslim_status append_captured(tslim_graph *body, uint32_t *n_captured) {
    size_t bytes = body->n_values * sizeof(uint32_t);
    uint8_t *has_source = tsl_allocate_zeroed(body->ctx, body->n_values);
    uint32_t *ids = tsl_allocate(body->ctx, bytes), *inputs = NULL;
    tslim_status status = has_source && ids ? TSLIM_OK : tsl_no_memory(bytes);
    *n_captured = 0;
    if (status == TSLIM_OK) status = collect_captured(body, has_source, ids, n_captured);
    if (status == TSLIM_OK) {
        inputs = tsl_arena_array(&body->arena, (size_t)body->n_inputs + *n_captured, sizeof(uint32_t));
        if (!inputs) status = tsl_no_memory(bytes);
    }
    if (status == TSLIM_OK) {
        memcpy(inputs, body->inputs, body->n_inputs * sizeof(uint32_t));
        memcpy(inputs + body->n_inputs, ids, *n_captured * sizeof(uint32_t));
        body->inputs = inputs;
        body->n_inputs += *n_captured;
    }
    tsl_free(body->ctx, ids, bytes);
    tsl_free(body->ctx, has_source, body->n_values);
    return status;
}

tslim_status tsl_onnx_read_body(
    tsl_onnx_reader *reader, tsl_view message, uint32_t *index, size_t *n_captured) {
    uint32_t captured = 0;
    TSL_REQUIRE(reader->depth < tsl_nesting_limit(reader->ctx), TSLIM_ERROR_LIMIT,
        "graphs within nodes, more than %u deep", tsl_nesting_limit(reader->ctx));
    tsl_onnx_reader inner = {.ctx = reader->ctx,
        .file = reader->file,
        .folder = reader->folder,
        .external = reader->external,
        .depth = reader->depth + 1};
    TSL_TRY(tsl_graph_create(reader->ctx, &inner.graph));
    tslim_status status = tsl_graph_add_body(reader->graph, inner.graph, index);
    if (status != TSLIM_OK) tslim_graph_destroy(inner.graph);
    TSL_TRY(status);
    inner.proto = (tsl_proto){.ctx = reader->ctx, .arena = &inner.graph->arena, .start = reader->proto.start};
    status = tsl_onnx_read_graph(&inner, message);
    tsl_onnx_reader_clear(&inner);
    TSL_TRY(status);
    TSL_TRY(append_captured(inner.graph, &captured));
    *n_captured = captured;
    return TSLIM_OK;
}

// ---- What all bodies of a node capture ----

typedef struct capture {
    tsl_onnx_reader *reader;
    uint32_t node;
    tsl_name_map slots; // of each captured name: its place in `names`
    const char **names;
    uint32_t count;
} capture;

static bool is_body(const tsl_attr *attr) {
    return attr->type == TSL_ATTR_TYPE_GRAPH;
}

static tslim_status add_names(capture *c, const tslim_graph *body, uint32_t n_captured) {
    for (uint32_t i = body->n_inputs - n_captured; i < body->n_inputs; i++) {
        const char *name = body->values[body->inputs[i]].name;
        if (tsl_name_map_get(&c->slots, name) != TSL_NAME_ABSENT) continue;
        if (!tsl_name_map_set(&c->slots, name, c->count)) return tsl_no_memory(sizeof(tsl_name_slot));
        c->names[c->count++] = name;
    }
    return TSLIM_OK;
}

// The same captured inputs in each body, whether it reads them or not.
static tslim_status arrange_inputs(const capture *c, tslim_graph *body, uint32_t n_captured) {
    uint32_t own = body->n_inputs - n_captured;
    uint32_t *inputs = tsl_arena_array(&body->arena, (size_t)own + c->count, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(inputs, sizeof(uint32_t));
    for (uint32_t i = 0; i < own + c->count; i++) inputs[i] = i < own ? body->inputs[i] : TSL_NONE;
    for (uint32_t i = own; i < body->n_inputs; i++)
        inputs[own + tsl_name_map_get(&c->slots, body->values[body->inputs[i]].name)] = body->inputs[i];
    for (uint32_t i = own; i < own + c->count; i++)
        if (inputs[i] == TSL_NONE) TSL_TRY(tsl_graph_add_value(body, "unused", TSLIM_DTYPE_NONE, &inputs[i]));
    body->inputs = inputs;
    body->n_inputs = own + c->count;
    return TSLIM_OK;
}

static tslim_status extend_operands(capture *c) {
    tslim_graph *graph = c->reader->graph;
    tsl_node *node = &graph->nodes[c->node];
    uint32_t own = node->n_inputs;
    uint32_t *inputs = tsl_arena_array(&graph->arena, (size_t)own + c->count, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(inputs, sizeof(uint32_t));
    memcpy(inputs, node->inputs, own * sizeof(uint32_t));
    for (uint32_t i = 0; i < c->count; i++)
        TSL_TRY(tsl_onnx_value_of_name(c->reader, c->names[i], &inputs[own + i]));
    node->inputs = inputs;
    node->n_inputs = own + c->count;
    node->n_captured = c->count;
    return TSLIM_OK;
}

static tslim_status capture_names(capture *c) {
    tslim_graph *graph = c->reader->graph;
    const tsl_attrs attrs = graph->nodes[c->node].attrs;
    size_t total = 0;
    for (uint32_t i = 0; i < attrs.count; i++)
        if (is_body(&attrs.items[i])) total += attrs.items[i].count;
    if (total == 0) return TSLIM_OK;
    c->names = tsl_arena_array(&graph->arena, total, sizeof(*c->names));
    TSL_REQUIRE_MEMORY(c->names, total * sizeof(*c->names));
    for (uint32_t i = 0; i < attrs.count; i++)
        if (is_body(&attrs.items[i]))
            TSL_TRY(add_names(c, graph->bodies[attrs.items[i].i], (uint32_t)attrs.items[i].count));
    for (uint32_t i = 0; i < attrs.count; i++)
        if (is_body(&attrs.items[i]))
            TSL_TRY(arrange_inputs(c, graph->bodies[attrs.items[i].i], (uint32_t)attrs.items[i].count));
    for (uint32_t i = 0; i < attrs.count; i++)
        if (is_body(&attrs.items[i])) attrs.items[i].count = 0;
    return extend_operands(c);
}

tslim_status tsl_onnx_capture(tsl_onnx_reader *reader, uint32_t node) {
    capture c = {.reader = reader, .node = node};
    tsl_name_map_init(&c.slots, reader->ctx);
    tslim_status status = capture_names(&c);
    tsl_name_map_clear(&c.slots);
    return status;
}
