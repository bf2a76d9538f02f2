// SPDX-License-Identifier: Apache-2.0
// Atoms: made, joined, locked.
#include "prune/atoms.h"

#include <inttypes.h>
#include <string.h>

// All arrays of a graph together. A real model has some hundred thousand entries.
enum { MOST_ENTRIES = 1 << 28 };

uint32_t tsl_atom_root(tsl_atoms *atoms, uint32_t atom) {
    uint32_t *parent = atoms->parent;
    while (parent[atom] != atom) {
        parent[atom] = parent[parent[atom]];
        atom = parent[atom];
    }
    return atom;
}

static tslim_status count_entries(tsl_atoms *atoms, size_t count) {
    atoms->n_entries += count;
    TSL_REQUIRE(atoms->n_entries <= MOST_ENTRIES, TSLIM_ERROR_LIMIT,
        "pruning follows %" PRIu64 " channels, the limit is %d", atoms->n_entries, MOST_ENTRIES);
    return TSLIM_OK;
}

tslim_status tsl_axis_new(tsl_atoms *atoms, size_t count, uint32_t **array) {
    TSL_TRY(count_entries(atoms, count));
    *array = tsl_arena_array(&atoms->arena, count ? count : 1, sizeof(**array));
    TSL_REQUIRE_MEMORY(*array, count * sizeof(**array));
    return TSLIM_OK;
}

static tslim_status new_atoms(tsl_atoms *atoms, uint32_t *array, size_t count, const char *reason) {
    size_t needed = (size_t)atoms->n_atoms + count;
    if (!tsl_grow(
            atoms->ctx, (void **)&atoms->parent, &atoms->parent_capacity, needed, sizeof(*atoms->parent)) ||
        !tsl_grow(
            atoms->ctx, (void **)&atoms->reason, &atoms->reason_capacity, needed, sizeof(*atoms->reason)))
        return tsl_no_memory(needed * sizeof(*atoms->reason));
    for (size_t i = 0; i < count; i++) {
        array[i] = atoms->n_atoms;
        atoms->reason[atoms->n_atoms] = reason;
        atoms->parent[atoms->n_atoms] = atoms->n_atoms;
        atoms->n_atoms++;
    }
    return TSLIM_OK;
}

// A constant that the original computes from an input's shape differs from shape to shape: it must stay.
static tslim_status constant_reason(tsl_atoms *atoms, uint32_t value, const char **reason) {
    *reason = NULL;
    uint32_t original = atoms->original_value[value];
    if (original == TSL_NONE || !atoms->from_input_shape[original]) return TSLIM_OK;
    *reason = tsl_arena_format(
        &atoms->arena, "'%s' is computed from the shape of an input", atoms->graph->values[value].name);
    TSL_REQUIRE_MEMORY(*reason, 64);
    return TSLIM_OK;
}

tslim_status tsl_axis_get(tsl_atoms *atoms, uint32_t value, uint32_t axis, const uint32_t **array) {
    const tsl_value *v = &atoms->graph->values[value];
    if (!atoms->axes[value].atoms[axis] && tsl_value_is_constant(v)) {
        const char *reason;
        uint32_t *fresh;
        TSL_TRY(constant_reason(atoms, value, &reason));
        TSL_TRY(tsl_axis_new(atoms, (size_t)v->shape.dims[axis], &fresh));
        TSL_TRY(new_atoms(atoms, fresh, (size_t)v->shape.dims[axis], reason));
        atoms->axes[value].atoms[axis] = fresh;
    }
    *array = atoms->axes[value].atoms[axis];
    return TSLIM_OK;
}

void tsl_axis_set(tsl_atoms *atoms, uint32_t value, uint32_t axis, const uint32_t *array) {
    if (value != TSL_NONE) atoms->axes[value].atoms[axis] = array;
}

static void lock(tsl_atoms *atoms, uint32_t atom, const char *reason) {
    uint32_t root = tsl_atom_root(atoms, atom);
    if (!atoms->reason[root]) atoms->reason[root] = reason;
}

void tsl_atom_join(tsl_atoms *atoms, uint32_t a, uint32_t b, const char *reason) {
    if (a == TSL_ATOM_FIXED || b == TSL_ATOM_FIXED) {
        if (a != b) lock(atoms, a == TSL_ATOM_FIXED ? b : a, reason);
        return;
    }
    a = tsl_atom_root(atoms, a);
    b = tsl_atom_root(atoms, b);
    if (a == b) return;
    // The older atom becomes the root, so that the result does not depend on the order of joins.
    uint32_t root = a < b ? a : b, child = a < b ? b : a;
    atoms->parent[child] = root;
    if (!atoms->reason[root]) atoms->reason[root] = atoms->reason[child];
}

tslim_status tsl_axis_join(
    tsl_atoms *atoms, const tsl_node *node, const uint32_t *a, const uint32_t *b, size_t count) {
    if (a == b) return TSLIM_OK;
    const char *reason = tsl_node_reason(atoms, node, "ties them to channels that cannot shrink");
    TSL_REQUIRE_MEMORY(reason, 64);
    for (size_t i = 0; i < count; i++)
        tsl_atom_join(atoms, a ? a[i] : TSL_ATOM_FIXED, b ? b[i] : TSL_ATOM_FIXED, reason);
    return TSLIM_OK;
}

void tsl_axis_lock(tsl_atoms *atoms, const uint32_t *array, size_t count, const char *reason) {
    for (size_t i = 0; array && i < count; i++)
        if (array[i] != TSL_ATOM_FIXED) lock(atoms, array[i], reason);
}

const char *tsl_node_reason(tsl_atoms *atoms, const tsl_node *node, const char *text) {
    return tsl_arena_format(&atoms->arena, "'%s' (%s) %s", node->name, node->op_type, text);
}

tslim_status tsl_value_lock_others(
    tsl_atoms *atoms, const tsl_node *node, uint32_t value, uint32_t handled, const char *text) {
    if (value == TSL_NONE) return TSLIM_OK;
    const tsl_value *v = &atoms->graph->values[value];
    if (!v->shape.known) return TSLIM_OK;
    const char *reason = NULL;
    for (uint32_t axis = 0; axis < v->shape.rank; axis++) {
        const uint32_t *array;
        if (handled & (1u << axis)) continue;
        TSL_TRY(tsl_axis_get(atoms, value, axis, &array));
        if (!array) continue;
        if (!reason) reason = tsl_node_reason(atoms, node, text);
        TSL_REQUIRE_MEMORY(reason, 64);
        tsl_axis_lock(atoms, array, (size_t)v->shape.dims[axis], reason);
    }
    return TSLIM_OK;
}

tslim_status tsl_node_lock(tsl_atoms *atoms, const tsl_node *node, const char *text) {
    for (uint32_t i = 0; i < node->n_inputs; i++)
        TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[i], 0, text));
    return TSLIM_OK;
}

tslim_status tsl_atoms_add_edit(tsl_atoms *atoms, tsl_edit edit) {
    if (!tsl_grow(atoms->ctx, (void **)&atoms->edits, &atoms->edits_capacity, (size_t)atoms->n_edits + 1,
            sizeof(*atoms->edits)))
        return tsl_no_memory(sizeof(edit));
    atoms->edits[atoms->n_edits++] = edit;
    return TSLIM_OK;
}

tslim_status tsl_atoms_add_layer(tsl_atoms *atoms, const tsl_layer *layer) {
    if (!tsl_grow(atoms->ctx, (void **)&atoms->layers, &atoms->layers_capacity, (size_t)atoms->n_layers + 1,
            sizeof(*atoms->layers)))
        return tsl_no_memory(sizeof(*layer));
    atoms->layers[atoms->n_layers++] = *layer;
    return TSLIM_OK;
}

void tsl_layer_add_factor(tsl_layer *layer, const uint32_t *array, uint32_t count) {
    if (!array) return;
    layer->factors[layer->n_factors] = array;
    layer->factor_dims[layer->n_factors++] = count;
}

uint32_t tsl_atoms_kept(
    const tsl_atoms *atoms, const uint32_t *array, uint32_t count, const uint8_t *removed) {
    if (!array) return count;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        kept += array[i] == TSL_ATOM_FIXED || !removed[atoms->parent[array[i]]];
    return kept;
}

// ---- Numbers that follow ----

static const tsl_node *original_node(const tsl_atoms *atoms, const tsl_node *node) {
    uint32_t index = atoms->original_node[node - atoms->graph->nodes];
    return index == TSL_NONE ? NULL : &atoms->original->nodes[index];
}

bool tsl_input_is_literal(const tsl_atoms *atoms, const tsl_node *node, uint32_t slot) {
    const tsl_node *original = original_node(atoms, node);
    const tsl_value *value = original ? tsl_node_input(atoms->original, original, slot) : NULL;
    return value && tsl_value_is_constant(value);
}

static bool same_atoms(tsl_atoms *atoms, const uint32_t *a, const uint32_t *b, size_t count) {
    if (a == b) return true;
    if (!a || !b) return false;
    for (size_t i = 0; i < count; i++) {
        if (a[i] == b[i]) continue;
        if (a[i] == TSL_ATOM_FIXED || b[i] == TSL_ATOM_FIXED ||
            tsl_atom_root(atoms, a[i]) != tsl_atom_root(atoms, b[i]))
            return false;
    }
    return true;
}

// Locks the output's axis, and that of the value whose dim is read, if any.
static tslim_status lock_target(
    tsl_atoms *atoms, const tsl_node *node, uint32_t axis, const uint32_t *read, size_t n_read) {
    const uint32_t *array = atoms->axes[node->outputs[0]].atoms[axis];
    if (!array && !read) return TSLIM_OK;
    const char *reason = tsl_node_reason(atoms, node, "has a target shape that would not follow");
    TSL_REQUIRE_MEMORY(reason, 64);
    tsl_axis_lock(atoms, array, (size_t)atoms->graph->values[node->outputs[0]].shape.dims[axis], reason);
    tsl_axis_lock(atoms, read, n_read, reason);
    return TSLIM_OK;
}

static tslim_status follow_literal(
    tsl_atoms *atoms, const tsl_node *node, uint32_t slot, uint32_t element, uint32_t axis, int64_t number) {
    uint32_t output = node->outputs[0];
    const uint32_t *array = atoms->axes[output].atoms[axis];
    uint32_t dim = (uint32_t)atoms->graph->values[output].shape.dims[axis];
    if (!array || (node->op == TSL_OP_RESHAPE && number == -1) || (node->op == TSL_OP_EXPAND && number == 1))
        return TSLIM_OK;
    if (node->op == TSL_OP_RESHAPE && number == 0) { // the input's dim at the same place
        const tsl_shape *in = &atoms->graph->values[node->inputs[0]].shape;
        bool same = axis < in->rank && in->dims[axis] == (int64_t)dim &&
                    same_atoms(atoms, atoms->axes[node->inputs[0]].atoms[axis], array, dim);
        return same ? TSLIM_OK : lock_target(atoms, node, axis, NULL, 0);
    }
    if (!tsl_input_is_literal(atoms, node, slot)) return lock_target(atoms, node, axis, NULL, 0);
    return tsl_atoms_add_edit(atoms, (tsl_edit){.node = (uint32_t)(node - atoms->graph->nodes),
                                         .slot = slot,
                                         .element = element,
                                         .value = output,
                                         .axis = axis,
                                         .upto = dim});
}

tslim_status tsl_axis_follow_target(
    tsl_atoms *atoms, const tsl_node *node, uint32_t slot, uint32_t element, uint32_t axis) {
    const tsl_node *original = original_node(atoms, node);
    if (!original || slot >= original->n_inputs || original->inputs[slot] == TSL_NONE ||
        !atoms->traces[original->inputs[slot]].known ||
        element >= atoms->traces[original->inputs[slot]].count)
        return lock_target(atoms, node, axis, NULL, 0);
    const tsl_origin *origin = &atoms->traces[original->inputs[slot]].items[element];
    if (origin->kind == TSL_ORIGIN_LITERAL)
        return follow_literal(atoms, node, slot, element, axis, origin->number);
    if (origin->kind == TSL_ORIGIN_OTHER) return lock_target(atoms, node, axis, NULL, 0);
    uint32_t read = tsl_graph_find_value(atoms->graph, atoms->original->values[origin->value].name);
    const uint32_t *read_array = read == TSL_NONE ? NULL : atoms->axes[read].atoms[origin->axis];
    size_t n_read = read_array ? (size_t)atoms->graph->values[read].shape.dims[origin->axis] : 0;
    const uint32_t *array = atoms->axes[node->outputs[0]].atoms[axis];
    size_t dim = (size_t)atoms->graph->values[node->outputs[0]].shape.dims[axis];
    if (!array && !read_array) return TSLIM_OK;
    if (read_array && n_read == dim && same_atoms(atoms, array, read_array, dim)) return TSLIM_OK;
    return lock_target(atoms, node, axis, read_array, n_read);
}
