// SPDX-License-Identifier: Apache-2.0
// A graph's life: made, filled, copied, destroyed; and the public questions about it.
#include "ir/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

tslim_status tsl_graph_create(tslim_context *ctx, tslim_graph **result) {
    tslim_graph *graph = tsl_allocate_zeroed(ctx, sizeof(*graph));
    TSL_REQUIRE_MEMORY(graph, sizeof(*graph));
    graph->ctx = tsl_context_retain(ctx);
    graph->name = graph->producer_name = "";
    tsl_arena_init(&graph->arena, ctx);
    tsl_name_map_init(&graph->value_names, ctx);
    tsl_name_map_init(&graph->node_names, ctx);
    *result = graph;
    return TSLIM_OK;
}

void tslim_graph_destroy(tslim_graph *graph) {
    if (!graph) return;
    tslim_context *ctx = graph->ctx;
    for (uint32_t i = 0; i < graph->n_values; i++) tsl_buffer_release(graph->values[i].buffer);
    for (uint32_t i = 0; i < graph->n_bodies; i++) tslim_graph_destroy(graph->bodies[i]);
    tsl_free(ctx, graph->bodies, graph->bodies_capacity * sizeof(*graph->bodies));
    tsl_free(ctx, graph->values, graph->values_capacity * sizeof(*graph->values));
    tsl_free(ctx, graph->nodes, graph->nodes_capacity * sizeof(*graph->nodes));
    tsl_name_map_clear(&graph->value_names);
    tsl_name_map_clear(&graph->node_names);
    tsl_arena_clear(&graph->arena);
    tsl_buffer_release(graph->file);
    tsl_free(ctx, graph, sizeof(*graph));
    tsl_context_release(ctx);
}

// ---- Copying ----

static const char *copy_text(tsl_arena *arena, const char *text, bool *failed) {
    if (!text) return NULL;
    const char *copy = tsl_arena_string(arena, text);
    if (!copy) *failed = true;
    return copy ? copy : "";
}

static void *copy_bytes(tsl_arena *arena, const void *data, size_t size, bool *failed) {
    if (!data) return NULL;
    void *copy = tsl_arena_copy(arena, data, size);
    if (!copy) *failed = true;
    return copy;
}

static void copy_attr(tsl_arena *arena, tsl_attr *attr, bool *failed) {
    attr->name = copy_text(arena, attr->name, failed);
    if (attr->type == TSL_ATTR_TYPE_STRING || attr->type == TSL_ATTR_TYPE_STRINGS ||
        attr->type == TSL_ATTR_TYPE_OPAQUE)
        attr->s = copy_bytes(arena, attr->s, attr->count + 1, failed);
    else if (attr->type == TSL_ATTR_TYPE_INTS)
        attr->ints = copy_bytes(arena, attr->ints, attr->count * sizeof(int64_t), failed);
    else if (attr->type == TSL_ATTR_TYPE_FLOATS)
        attr->floats = copy_bytes(arena, attr->floats, attr->count * sizeof(float), failed);
}

void tsl_node_copy_parts(tsl_arena *arena, tsl_node *node, bool *failed) {
    node->name = copy_text(arena, node->name, failed);
    node->op_type = copy_text(arena, node->op_type, failed);
    node->domain = copy_text(arena, node->domain, failed);
    node->inputs = copy_bytes(arena, node->inputs, node->n_inputs * sizeof(uint32_t), failed);
    node->outputs = copy_bytes(arena, node->outputs, node->n_outputs * sizeof(uint32_t), failed);
    node->attrs.items = copy_bytes(arena, node->attrs.items, node->attrs.count * sizeof(tsl_attr), failed);
    for (uint32_t i = 0; !*failed && i < node->attrs.count; i++)
        copy_attr(arena, &node->attrs.items[i], failed);
}

void tsl_value_copy_parts(tsl_arena *arena, tsl_value *value, bool *failed) {
    value->name = copy_text(arena, value->name, failed);
    for (uint32_t i = 0; i < value->shape.rank; i++)
        value->shape.symbols[i] = copy_text(arena, value->shape.symbols[i], failed);
    value->quant.scales =
        copy_bytes(arena, value->quant.scales, value->quant.n_scales * sizeof(float), failed);
    value->quant.zero_points =
        copy_bytes(arena, value->quant.zero_points, value->quant.n_scales * sizeof(int32_t), failed);
    tsl_buffer_retain(value->buffer);
}

// Bodies are nested no deeper than the context's limit.
static bool copy_bodies(const tslim_graph *from, tslim_graph *to) {
    if (!tsl_grow(to->ctx, (void **)&to->bodies, &to->bodies_capacity, from->n_bodies, sizeof(*to->bodies)))
        return false;
    for (uint32_t i = 0; i < from->n_bodies; i++) {
        if (tslim_graph_clone(from->bodies[i], &to->bodies[i]) != TSLIM_OK) return false;
        to->n_bodies++;
    }
    return true;
}

static bool copy_contents(const tslim_graph *from, tslim_graph *to) {
    bool failed = false;
    tsl_arena *arena = &to->arena;
    to->name = copy_text(arena, from->name, &failed);
    to->producer_name = copy_text(arena, from->producer_name, &failed);
    to->opset = from->opset;
    to->optimized = from->optimized;
    to->preparation = from->preparation;
    to->file = tsl_buffer_retain(from->file);
    to->inputs = copy_bytes(arena, from->inputs, from->n_inputs * sizeof(uint32_t), &failed);
    to->outputs = copy_bytes(arena, from->outputs, from->n_outputs * sizeof(uint32_t), &failed);
    to->n_inputs = from->n_inputs;
    to->n_outputs = from->n_outputs;
    to->history = copy_bytes(arena, from->history, from->n_history * sizeof(char *), &failed);
    to->n_history = from->n_history;
    for (uint32_t i = 0; !failed && i < to->n_history; i++)
        to->history[i] = copy_text(arena, from->history[i], &failed);
    if (failed || tsl_graph_copy_metadata(from, to) != TSLIM_OK) return false;
    if (!tsl_grow(to->ctx, (void **)&to->values, &to->values_capacity, from->n_values, sizeof(tsl_value)) ||
        !tsl_grow(to->ctx, (void **)&to->nodes, &to->nodes_capacity, from->n_nodes, sizeof(tsl_node)))
        return false;
    for (uint32_t i = 0; i < from->n_values; i++) {
        to->values[i] = from->values[i];
        tsl_value_copy_parts(arena, &to->values[i], &failed);
        to->n_values++;
        if (failed || !tsl_name_map_set(&to->value_names, to->values[i].name, i)) return false;
    }
    for (uint32_t i = 0; i < from->n_nodes; i++) {
        to->nodes[i] = from->nodes[i];
        tsl_node_copy_parts(arena, &to->nodes[i], &failed);
        to->n_nodes++;
        if (failed || !tsl_name_map_set(&to->node_names, to->nodes[i].name, i)) return false;
    }
    return copy_bodies(from, to);
}

tslim_status tslim_graph_clone(const tslim_graph *graph, tslim_graph **clone) {
    TSL_REQUIRE(graph && clone, TSLIM_ERROR_INVALID_ARGUMENT, "graph or clone is NULL");
    *clone = NULL;
    tslim_graph *copy = NULL;
    TSL_TRY(tsl_graph_create(graph->ctx, &copy));
    if (!copy_contents(graph, copy)) {
        tslim_graph_destroy(copy);
        return tsl_no_memory(graph->n_values * sizeof(tsl_value));
    }
    *clone = copy;
    return TSLIM_OK;
}

void tsl_graph_swap(tslim_graph *a, tslim_graph *b) {
    tslim_graph kept = *a;
    *a = *b;
    *b = kept;
}

// ---- Filling ----

// A copy of the name, with a number behind it when it is taken. NULL when memory is short.
static const char *unique_name(tslim_graph *graph, const tsl_name_map *taken, const char *name) {
    if (tsl_name_map_get(taken, name) == TSL_NAME_ABSENT) return tsl_arena_string(&graph->arena, name);
    // Where that is taken too, numbers of a long cycle (Knuth's, of MMIX), so that no file can hold the next
    // ones all.
    for (uint64_t number = taken->count;;
         number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407)) {
        char *candidate = tsl_arena_format(&graph->arena, "%s_%" PRIu64, name, number);
        if (!candidate || tsl_name_map_get(taken, candidate) == TSL_NAME_ABSENT) return candidate;
    }
}

tslim_status tsl_graph_add_value(tslim_graph *graph, const char *name, tslim_dtype dtype, uint32_t *id) {
    // Every node makes a value or more, and has a few constants: ten times the nodes is beyond any real
    // model.
    uint64_t limit =
        graph->ctx->limits.nodes > UINT32_MAX / 20 ? UINT32_MAX / 2 : graph->ctx->limits.nodes * 10;
    TSL_REQUIRE(graph->n_values < limit, TSLIM_ERROR_LIMIT, "more than %" PRIu64 " values", limit);
    const char *unique = unique_name(graph, &graph->value_names, name && *name ? name : "value");
    TSL_REQUIRE_MEMORY(unique, sizeof(tsl_value));
    if (!tsl_grow(graph->ctx, (void **)&graph->values, &graph->values_capacity, (size_t)graph->n_values + 1,
            sizeof(tsl_value)) ||
        !tsl_name_map_set(&graph->value_names, unique, graph->n_values))
        return tsl_no_memory(sizeof(tsl_value));
    graph->values[graph->n_values] = (tsl_value){.name = unique, .dtype = dtype, .producer = TSL_NONE};
    *id = graph->n_values++;
    return TSLIM_OK;
}

tslim_status tsl_graph_add_constant(tslim_graph *graph, const char *name, tslim_dtype dtype, uint32_t rank,
    const int64_t *dims, uint32_t *id, void **data) {
    tsl_shape shape = {0};
    tsl_shape_set(&shape, rank, dims);
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(graph->ctx, &shape, &elements));
    size_t bytes = (size_t)elements * tslim_dtype_size(dtype);
    TSL_TRY(tsl_graph_add_value(graph, name, dtype, id));
    graph->values[*id].shape = shape;
    TSL_TRY(tsl_value_new_data(graph, *id, bytes, data));
    memset(*data, 0, bytes);
    return TSLIM_OK;
}

tslim_status tsl_graph_add_node(tslim_graph *graph, tsl_op op, const char *name, uint32_t n_inputs,
    const uint32_t *inputs, uint32_t n_outputs, const uint32_t *outputs, uint32_t *index) {
    TSL_REQUIRE(graph->n_nodes < graph->ctx->limits.nodes, TSLIM_ERROR_LIMIT, "more than %" PRIu64 " nodes",
        graph->ctx->limits.nodes);
    const tsl_op_info *info = tsl_op_get_info(op);
    tsl_node node = {.op = op,
        .op_type = info->name,
        .domain = info->domain,
        .n_inputs = n_inputs,
        .n_outputs = n_outputs,
        .epilogue.residual = -1};
    if (!name || !*name)
        name = n_outputs > 0 && outputs[0] != TSL_NONE ? graph->values[outputs[0]].name : "node";
    node.name = unique_name(graph, &graph->node_names, name);
    node.inputs = tsl_arena_array(&graph->arena, n_inputs, sizeof(uint32_t));
    node.outputs = tsl_arena_array(&graph->arena, n_outputs, sizeof(uint32_t));
    if (!node.name || !node.inputs || !node.outputs ||
        !tsl_grow(graph->ctx, (void **)&graph->nodes, &graph->nodes_capacity, (size_t)graph->n_nodes + 1,
            sizeof(tsl_node)) ||
        !tsl_name_map_set(&graph->node_names, node.name, graph->n_nodes))
        return tsl_no_memory(sizeof(tsl_node));
    for (uint32_t i = 0; i < n_inputs; i++) node.inputs[i] = inputs ? inputs[i] : TSL_NONE;
    for (uint32_t i = 0; i < n_outputs; i++) {
        node.outputs[i] = outputs[i];
        if (outputs[i] != TSL_NONE) graph->values[outputs[i]].producer = graph->n_nodes;
    }
    graph->nodes[graph->n_nodes] = node;
    *index = graph->n_nodes++;
    return TSLIM_OK;
}

void tsl_value_set_dtype(tsl_value *value, tslim_dtype dtype) {
    bool quantized = dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
    bool as_before = dtype == TSLIM_DTYPE_FLOAT && value->dtype == dtype;
    if (!quantized && !as_before) value->quant = (tsl_quant){0};
    value->dtype = dtype;
}

void tsl_value_set_data(tsl_value *value, tsl_buffer *buffer, const void *data, size_t bytes) {
    tsl_buffer_retain(buffer);
    tsl_buffer_release(value->buffer);
    value->buffer = buffer;
    value->data = data;
    value->bytes = bytes;
}

tslim_status tsl_value_new_data(tslim_graph *graph, uint32_t id, size_t bytes, void **data) {
    tsl_buffer *buffer = tsl_buffer_create(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(buffer, bytes);
    tsl_value_set_data(&graph->values[id], buffer, buffer->data, bytes);
    *data = buffer->data;
    tsl_buffer_release(buffer);
    return TSLIM_OK;
}

// ---- Public questions ----

static tslim_status value_info(const tslim_graph *graph, const uint32_t *ids, uint32_t count, uint32_t index,
    const char *what, tslim_tensor_info *info) {
    TSL_REQUIRE(graph && info, TSLIM_ERROR_INVALID_ARGUMENT, "graph or info is NULL");
    TSL_REQUIRE(index < count, TSLIM_ERROR_INVALID_ARGUMENT, "%s %u of %u", what, index, count);
    const tsl_value *value = &graph->values[ids[index]];
    *info = (tslim_tensor_info){.name = value->name, .dtype = value->dtype};
    if (!value->shape.known) return TSLIM_OK;
    info->rank = value->shape.rank;
    memcpy(info->dims, value->shape.dims, sizeof(info->dims));
    memcpy(info->symbols, value->shape.symbols, sizeof(info->symbols));
    return TSLIM_OK;
}

uint32_t tslim_graph_input_count(const tslim_graph *graph) {
    return graph ? graph->n_inputs : 0;
}

uint32_t tslim_graph_output_count(const tslim_graph *graph) {
    return graph ? graph->n_outputs : 0;
}

tslim_status tslim_graph_input_info(const tslim_graph *graph, uint32_t index, tslim_tensor_info *info) {
    return value_info(
        graph, graph ? graph->inputs : NULL, tslim_graph_input_count(graph), index, "input", info);
}

tslim_status tslim_graph_output_info(const tslim_graph *graph, uint32_t index, tslim_tensor_info *info) {
    return value_info(
        graph, graph ? graph->outputs : NULL, tslim_graph_output_count(graph), index, "output", info);
}

uint32_t tslim_graph_node_count(const tslim_graph *graph) {
    return graph ? graph->n_nodes : 0;
}

// The type that a node computes in: that of its first operand of numbers.
static tslim_dtype node_precision(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *first = tsl_node_input(graph, node, 0);
    if (!first) first = tsl_node_output(graph, node, 0);
    return first ? first->dtype : TSLIM_DTYPE_NONE;
}

tslim_status tslim_graph_node_info(const tslim_graph *graph, uint32_t index, tslim_node_info *info) {
    TSL_REQUIRE(graph && info, TSLIM_ERROR_INVALID_ARGUMENT, "graph or info is NULL");
    TSL_REQUIRE(index < graph->n_nodes, TSLIM_ERROR_INVALID_ARGUMENT, "node %u of %u", index, graph->n_nodes);
    TSL_REQUIRE(info->struct_size == sizeof(*info), TSLIM_ERROR_INVALID_ARGUMENT,
        "node info: struct_size %u, not %zu", info->struct_size, sizeof(*info));
    const tsl_node *node = &graph->nodes[index];
    const tsl_value *output = tsl_node_output(graph, node, 0);
    *info = (tslim_node_info){.struct_size = sizeof(*info),
        .name = node->name,
        .op_type = node->op_type,
        .domain = node->domain,
        .output = output ? output->name : "",
        .precision = node_precision(graph, node),
        .macs = node->macs};
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *input = tsl_node_input(graph, node, i);
        uint64_t elements;
        if (input && tsl_value_is_constant(input) &&
            tsl_shape_elements(graph->ctx, &input->shape, &elements) == TSLIM_OK)
            info->parameters += elements;
    }
    if (output && output->shape.known) {
        info->rank = output->shape.rank;
        memcpy(info->dims, output->shape.dims, sizeof(info->dims));
    }
    return TSLIM_OK;
}

tslim_status tslim_graph_set_preparation(tslim_graph *graph, const tslim_input_preparation *preparation) {
    TSL_REQUIRE(graph && preparation, TSLIM_ERROR_INVALID_ARGUMENT, "graph or preparation is NULL");
    TSL_REQUIRE(preparation->struct_size == sizeof(*preparation), TSLIM_ERROR_INVALID_ARGUMENT,
        "preparation: struct_size %u, not %zu", preparation->struct_size, sizeof(*preparation));
    TSL_REQUIRE(preparation->n_channels <= 4 && preparation->layout <= 1 && preparation->channels <= 2,
        TSLIM_ERROR_INVALID_ARGUMENT, "preparation: %u channels, layout %u, channel order %u",
        preparation->n_channels, preparation->layout, preparation->channels);
    graph->preparation = *preparation;
    return TSLIM_OK;
}

tslim_status tslim_graph_get_preparation(const tslim_graph *graph, tslim_input_preparation *preparation) {
    TSL_REQUIRE(graph && preparation, TSLIM_ERROR_INVALID_ARGUMENT, "graph or preparation is NULL");
    TSL_REQUIRE(preparation->struct_size == sizeof(*preparation), TSLIM_ERROR_INVALID_ARGUMENT,
        "preparation: struct_size %u, not %zu", preparation->struct_size, sizeof(*preparation));
    *preparation = graph->preparation;
    preparation->struct_size = sizeof(*preparation);
    return TSLIM_OK;
}

uint32_t tslim_graph_history_count(const tslim_graph *graph) {
    return graph ? graph->n_history : 0;
}

const char *tslim_graph_history(const tslim_graph *graph, uint32_t index) {
    return graph && index < graph->n_history ? graph->history[index] : NULL;
}

tslim_status tslim_graph_history_add(tslim_graph *graph, const char *line) {
    TSL_REQUIRE(graph && line, TSLIM_ERROR_INVALID_ARGUMENT, "graph or line is NULL");
    const char *copy = tsl_arena_string(&graph->arena, line);
    const char **history = tsl_arena_array(&graph->arena, (size_t)graph->n_history + 1, sizeof(*history));
    TSL_REQUIRE_MEMORY(copy && history ? graph : NULL, strlen(line));
    if (graph->n_history) memcpy(history, graph->history, graph->n_history * sizeof(*history));
    history[graph->n_history] = copy;
    graph->history = history;
    graph->n_history++;
    return TSLIM_OK;
}

// ---- Shapes ----

tslim_status tsl_shape_elements(tslim_context *ctx, const tsl_shape *shape, uint64_t *elements) {
    char text[256];
    TSL_REQUIRE(tsl_shape_is_static(shape), TSLIM_ERROR_INVALID_ARGUMENT, "the shape %s is not known",
        tsl_shape_format(shape, text, sizeof(text)));
    uint64_t product = 1;
    bool zero = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 0)
            zero = true;
        else if (__builtin_mul_overflow(product, (uint64_t)shape->dims[i], &product) ||
                 product > ctx->limits.elements)
            return tsl_fail(TSLIM_ERROR_LIMIT, "a tensor of %s has more than %" PRIu64 " elements",
                tsl_shape_format(shape, text, sizeof(text)), ctx->limits.elements);
    }
    *elements = zero ? 0 : product;
    return TSLIM_OK;
}

bool tsl_shape_is_static(const tsl_shape *shape) {
    if (!shape->known) return false;
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0) return false;
    return true;
}

void tsl_shape_set(tsl_shape *shape, uint32_t rank, const int64_t *dims) {
    *shape = (tsl_shape){.known = true, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) shape->dims[i] = dims[i];
}

const char *tsl_shape_format(const tsl_shape *shape, char *text, size_t size) {
    if (!shape->known) {
        snprintf(text, size, "?");
        return text;
    }
    if (shape->rank == 0) snprintf(text, size, "scalar");
    size_t used = 0;
    for (uint32_t i = 0; i < shape->rank && used < size; i++) {
        const char *separator = i ? "x" : "";
        int length = shape->dims[i] >= 0
                         ? snprintf(text + used, size - used, "%s%" PRId64, separator, shape->dims[i])
                         : snprintf(text + used, size - used, "%s%.40s", separator,
                               shape->symbols[i] ? shape->symbols[i] : "?");
        if (length < 0) break;
        used += (size_t)length;
    }
    return text;
}

const char *tsl_dims_format(uint32_t rank, const int64_t *dims, char *text, size_t size) {
    tsl_shape shape;
    tsl_shape_set(&shape, rank, dims);
    return tsl_shape_format(&shape, text, size);
}
