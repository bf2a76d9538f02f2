// SPDX-License-Identifier: Apache-2.0
// The walk that gives every axis its atoms.
#include <string.h>

#include "ir/bodies.h"
#include "plan/specialize.h"
#include "prune/atoms.h"

// ---- From the specialized graph to the original and back, by name ----

static tslim_status map_to_original(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph, *original = atoms->original;
    atoms->original_value = tsl_arena_array(&atoms->arena, (size_t)graph->n_values + 1, sizeof(uint32_t));
    atoms->original_node = tsl_arena_array(&atoms->arena, (size_t)graph->n_nodes + 1, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(
        atoms->original_value && atoms->original_node ? graph : NULL, graph->n_values * sizeof(uint32_t));
    for (uint32_t v = 0; v < graph->n_values; v++)
        atoms->original_value[v] = tsl_graph_find_value(original, graph->values[v].name);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        atoms->original_node[n] = TSL_NONE;
        for (uint32_t i = 0; i < node->n_outputs; i++) {
            uint32_t value =
                node->outputs[i] == TSL_NONE ? TSL_NONE : atoms->original_value[node->outputs[i]];
            if (value != TSL_NONE) atoms->original_node[n] = original->values[value].producer;
        }
    }
    return TSLIM_OK;
}

static tslim_status find_input_dependence(tsl_atoms *atoms) {
    const tslim_graph *original = atoms->original;
    atoms->from_input_shape = tsl_arena_array(&atoms->arena, (size_t)original->n_values + 1, sizeof(bool));
    TSL_REQUIRE_MEMORY(atoms->from_input_shape, original->n_values);
    for (uint32_t i = 0; i < original->n_inputs; i++) {
        uint32_t input = original->inputs[i];
        if (!tsl_value_is_constant(&original->values[input])) atoms->from_input_shape[input] = true;
    }
    for (uint32_t n = 0; n < original->n_nodes; n++) {
        const tsl_node *node = &original->nodes[n];
        bool depends = false;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            depends |= node->inputs[i] != TSL_NONE && atoms->from_input_shape[node->inputs[i]];
        for (uint32_t i = 0; depends && i < node->n_outputs; i++)
            if (node->outputs[i] != TSL_NONE) atoms->from_input_shape[node->outputs[i]] = true;
    }
    return TSLIM_OK;
}

static tslim_status find_traces(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph, *original = atoms->original;
    uint32_t *ranks = tsl_arena_array(&atoms->arena, (size_t)original->n_values + 1, sizeof(*ranks));
    TSL_REQUIRE_MEMORY(ranks, original->n_values * sizeof(*ranks));
    for (uint32_t v = 0; v < original->n_values; v++) {
        uint32_t value = tsl_graph_find_value(graph, original->values[v].name);
        bool known = value != TSL_NONE && graph->values[value].shape.known;
        ranks[v] = known ? graph->values[value].shape.rank : UINT32_MAX;
    }
    return tsl_dims_trace_find(original, ranks, &atoms->arena, &atoms->traces);
}

// ---- The walk ----

static bool shapes_are_known(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_node_input(graph, node, i);
        if (value && !tsl_shape_is_static(&value->shape)) return false;
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *value = tsl_node_output(graph, node, i);
        if (value && !tsl_shape_is_static(&value->shape)) return false;
    }
    return true;
}

// A layer that cannot be followed is listed all the same, with the reason.
static tslim_status lock_layer(tsl_atoms *atoms, uint32_t index, const char *text) {
    const tsl_node *node = &atoms->graph->nodes[index];
    TSL_TRY(tsl_node_lock(atoms, node, text));
    const tsl_value *weight = tsl_node_input(atoms->graph, node, 1);
    if (!weight || !tsl_value_is_constant(weight) || weight->shape.rank < 2) return TSLIM_OK;
    uint32_t axis;
    switch (node->op) {
    case TSL_OP_CONV:
        axis = 0;
        break;
    case TSL_OP_CONV_TRANSPOSE:
        axis = 1;
        break;
    case TSL_OP_GEMM:
        axis = tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) ? 0 : 1;
        break;
    case TSL_OP_MATMUL:
        axis = weight->shape.rank - 1;
        break;
    default:
        return TSLIM_OK;
    }
    tsl_layer layer = {.node = index,
        .weight = node->inputs[1],
        .weight_axis = axis,
        .in_value = node->inputs[0],
        .n_out = (uint32_t)weight->shape.dims[axis]};
    TSL_TRY(tsl_axis_get(atoms, layer.weight, axis, &layer.out));
    return tsl_atoms_add_layer(atoms, &layer);
}

static tslim_status walk(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        tsl_rule rule = tsl_rule_find(node->op);
        if (!rule)
            TSL_TRY(tsl_node_lock(atoms, node, "is an operator that pruning cannot follow"));
        else if (!shapes_are_known(graph, node))
            TSL_TRY(lock_layer(atoms, n, "has a shape that is not known"));
        else
            TSL_TRY(rule(atoms, node));
    }
    return TSLIM_OK;
}

// ---- What is locked once all is known ----

static tslim_status lock_value(tsl_atoms *atoms, uint32_t value, const char *reason) {
    TSL_REQUIRE_MEMORY(reason, 64);
    const tsl_value *v = &atoms->graph->values[value];
    if (!tsl_shape_is_static(&v->shape)) return TSLIM_OK;
    for (uint32_t axis = 0; axis < v->shape.rank; axis++) {
        const uint32_t *array;
        TSL_TRY(tsl_axis_get(atoms, value, axis, &array));
        tsl_axis_lock(atoms, array, (size_t)v->shape.dims[axis], reason);
    }
    return TSLIM_OK;
}

static tslim_status lock_outputs(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph;
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const char *name = graph->values[graph->outputs[i]].name;
        TSL_TRY(lock_value(atoms, graph->outputs[i],
            tsl_arena_format(&atoms->arena, "they are the model's output '%s'", name)));
    }
    return TSLIM_OK;
}

static tslim_status lock_by_name(tsl_atoms *atoms, const uint32_t *ids, uint32_t count, const char *reason) {
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == TSL_NONE) continue;
        uint32_t value = tsl_graph_find_value(atoms->graph, atoms->original->values[ids[i]].name);
        if (value != TSL_NONE) TSL_TRY(lock_value(atoms, value, reason));
    }
    return TSLIM_OK;
}

// What goes into bodies and comes out of them keeps its channels: the weights within are not followed. Where
// the specialized graph has a branch in place of its If, that is true of the branch's nodes.
static tslim_status lock_bodies(tsl_atoms *atoms) {
    const tslim_graph *original = atoms->original;
    if (original->n_bodies == 0) return TSLIM_OK;
    for (uint32_t n = 0; n < original->n_nodes; n++) {
        const tsl_node *node = &original->nodes[n];
        bool holds = tsl_op_has_bodies(node->op) || node->n_captured > 0;
        if (!holds) continue;
        const char *reason = tsl_node_reason(atoms, node, "holds graphs of its own");
        TSL_TRY(lock_by_name(atoms, node->inputs, node->n_inputs, reason));
        TSL_TRY(lock_by_name(atoms, node->outputs, node->n_outputs, reason));
    }
    for (uint32_t v = 0; v < atoms->graph->n_values; v++)
        if (tsl_graph_find_value(original, atoms->graph->values[v].name) == TSL_NONE)
            TSL_TRY(lock_value(atoms, v, "they are a branch's"));
    return TSLIM_OK;
}

// What is kept as it came may hold a graph that reads values of this one by name, unseen.
static tslim_status lock_captured(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        bool opaque = false;
        for (uint32_t i = 0; node->op == TSL_OP_UNKNOWN && i < node->attrs.count; i++)
            opaque |= node->attrs.items[i].type == TSL_ATTR_TYPE_OPAQUE;
        if (!opaque) continue;
        const char *reason = tsl_node_reason(atoms, node, "may hold a graph of its own that reads them");
        for (uint32_t v = 0; v < graph->n_values; v++) TSL_TRY(lock_value(atoms, v, reason));
        return TSLIM_OK;
    }
    return TSLIM_OK;
}

// The inputs whose numbers the rules follow themselves.
static bool is_target(const tsl_atoms *atoms, const tsl_node *node, uint32_t slot) {
    bool target = (node->op == TSL_OP_RESHAPE && slot == 1) || (node->op == TSL_OP_EXPAND && slot == 1) ||
                  (node->op == TSL_OP_RESIZE && slot == 3);
    if (!target) return false;
    uint32_t output = tsl_graph_find_value(atoms->graph, atoms->original->values[node->outputs[0]].name);
    return output != TSL_NONE && atoms->graph->values[output].producer != TSL_NONE;
}

// A count of channels that goes into a computation would change the computation.
static tslim_status lock_computed_dims(tsl_atoms *atoms) {
    const tslim_graph *original = atoms->original;
    for (uint32_t n = 0; n < original->n_nodes; n++) {
        const tsl_node *node = &original->nodes[n];
        if (tsl_dims_trace_passes(node, atoms->traces)) continue;
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i] == TSL_NONE || is_target(atoms, node, i)) continue;
            const tsl_dims_trace *trace = &atoms->traces[node->inputs[i]];
            for (uint32_t j = 0; trace->known && j < trace->count; j++) {
                if (trace->items[j].kind != TSL_ORIGIN_DIM) continue;
                const char *name = original->values[trace->items[j].value].name;
                uint32_t value = tsl_graph_find_value(atoms->graph, name);
                const uint32_t *array =
                    value == TSL_NONE ? NULL : atoms->axes[value].atoms[trace->items[j].axis];
                if (!array) continue;
                const char *reason = tsl_node_reason(atoms, node, "computes with their number");
                TSL_REQUIRE_MEMORY(reason, 64);
                tsl_axis_lock(atoms, array,
                    (size_t)atoms->graph->values[value].shape.dims[trace->items[j].axis], reason);
            }
        }
    }
    return TSLIM_OK;
}

// Size multiplies all dims; what is left of Shape has an input of unknown rank, and locks by having no rule.
static tslim_status lock_sizes(tsl_atoms *atoms) {
    const tslim_graph *original = atoms->original;
    for (uint32_t n = 0; n < original->n_nodes; n++) {
        const tsl_node *node = &original->nodes[n];
        bool followed = node->op != TSL_OP_SIZE &&
                        (node->op != TSL_OP_SHAPE || tsl_dims_trace_passes(node, atoms->traces));
        if (followed || node->n_inputs == 0 || node->inputs[0] == TSL_NONE) continue;
        uint32_t value = tsl_graph_find_value(atoms->graph, original->values[node->inputs[0]].name);
        if (value == TSL_NONE) continue;
        TSL_TRY(lock_value(atoms, value, tsl_node_reason(atoms, node, "computes with their number")));
    }
    return TSLIM_OK;
}

// A layer is shallow when nothing but weightless operators lies between it and an input of the model.
static tslim_status find_shallow(tsl_atoms *atoms) {
    const tslim_graph *graph = atoms->graph;
    bool *raw = tsl_arena_array(&atoms->arena, (size_t)graph->n_values + 1, sizeof(bool));
    TSL_REQUIRE_MEMORY(raw, graph->n_values);
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        raw[graph->inputs[i]] = !tsl_value_is_constant(&graph->values[graph->inputs[i]]);
    uint32_t next = 0; // layers are in the order of nodes
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        bool reads_input = false;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            reads_input |= node->inputs[i] != TSL_NONE && raw[node->inputs[i]];
        bool is_layer = next < atoms->n_layers && atoms->layers[next].node == n;
        if (is_layer) {
            atoms->layers[next].shallow = reads_input;
            is_layer = atoms->layers[next++].weight != TSL_NONE;
        }
        for (uint32_t i = 0; !is_layer && i < node->n_outputs; i++)
            if (node->outputs[i] != TSL_NONE) raw[node->outputs[i]] = reads_input;
    }
    return TSLIM_OK;
}

static tslim_status find(tsl_atoms *atoms, const tslim_input_shape *shapes, uint32_t n_shapes) {
    TSL_TRY(tsl_graph_specialize(atoms->original, shapes, n_shapes, &atoms->graph));
    atoms->axes = tsl_arena_array(&atoms->arena, (size_t)atoms->graph->n_values + 1, sizeof(*atoms->axes));
    TSL_REQUIRE_MEMORY(atoms->axes, atoms->graph->n_values * sizeof(*atoms->axes));
    TSL_TRY(map_to_original(atoms));
    TSL_TRY(find_input_dependence(atoms));
    TSL_TRY(find_traces(atoms));
    TSL_TRY(walk(atoms));
    TSL_TRY(lock_outputs(atoms));
    TSL_TRY(lock_captured(atoms));
    TSL_TRY(lock_bodies(atoms));
    TSL_TRY(lock_computed_dims(atoms));
    TSL_TRY(lock_sizes(atoms));
    TSL_TRY(find_shallow(atoms));
    for (uint32_t i = 0; i < atoms->n_atoms; i++) atoms->parent[i] = tsl_atom_root(atoms, i);
    return TSLIM_OK;
}

tslim_status tsl_atoms_find(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tsl_atoms **result) {
    TSL_REQUIRE(!graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "the model is quantized or packed already: prune first, quantize second");
    tsl_atoms *atoms = tsl_allocate_zeroed(graph->ctx, sizeof(*atoms));
    TSL_REQUIRE_MEMORY(atoms, sizeof(*atoms));
    atoms->ctx = tsl_context_retain(graph->ctx);
    atoms->original = graph;
    tsl_arena_init(&atoms->arena, graph->ctx);
    tslim_status status = find(atoms, shapes, n_shapes);
    if (status != TSLIM_OK) {
        tsl_atoms_destroy(atoms);
        return status;
    }
    *result = atoms;
    return TSLIM_OK;
}

void tsl_atoms_destroy(tsl_atoms *atoms) {
    if (!atoms) return;
    tslim_context *ctx = atoms->ctx;
    tsl_free(ctx, atoms->parent, atoms->parent_capacity * sizeof(*atoms->parent));
    tsl_free(ctx, atoms->reason, atoms->reason_capacity * sizeof(*atoms->reason));
    tsl_free(ctx, atoms->layers, atoms->layers_capacity * sizeof(*atoms->layers));
    tsl_free(ctx, atoms->edits, atoms->edits_capacity * sizeof(*atoms->edits));
    tslim_graph_destroy(atoms->graph);
    tsl_arena_clear(&atoms->arena);
    tsl_free(ctx, atoms, sizeof(*atoms));
    tsl_context_release(ctx);
}
