// SPDX-License-Identifier: Apache-2.0
// Surgery: constants lose the indices whose atoms go, and the numbers that count channels follow.
#include <string.h>

#include "pass/pass.h"
#include "prune/atoms.h"

// ---- Cutting a constant ----

// What stays of a constant, axis by axis.
typedef struct cut {
    int64_t dims[TSLIM_MAX_RANK]; // afterwards
    uint32_t *kept[TSLIM_MAX_RANK]; // indices; NULL: all
    bool any;
} cut;

static tslim_status plan_cut(
    const tsl_atoms *atoms, uint32_t value, const uint8_t *removed, tsl_arena *arena, cut *c) {
    const tsl_value *v = &atoms->graph->values[value];
    *c = (cut){.any = false};
    for (uint32_t axis = 0; axis < v->shape.rank; axis++) {
        const uint32_t *array = atoms->axes[value].atoms[axis];
        uint32_t dim = array ? (uint32_t)v->shape.dims[axis] : 0;
        uint32_t n_kept = tsl_atoms_kept(atoms, array, dim, removed);
        c->dims[axis] = v->shape.dims[axis];
        if (n_kept == dim) continue;
        TSL_REQUIRE(
            n_kept > 0, TSLIM_ERROR_INTERNAL, "nothing would be left of axis %u of '%s'", axis, v->name);
        uint32_t *kept = tsl_arena_array(arena, n_kept, sizeof(*kept));
        TSL_REQUIRE_MEMORY(kept, n_kept * sizeof(*kept));
        for (uint32_t i = 0, next = 0; i < dim; i++)
            if (array[i] == TSL_ATOM_FIXED || !removed[atoms->parent[array[i]]]) kept[next++] = i;
        c->kept[axis] = kept;
        c->dims[axis] = n_kept;
        c->any = true;
    }
    return TSLIM_OK;
}

// Copies what stays. The axes behind the last one that is cut are copied in one piece.
static void copy_kept(const tsl_value *from, const cut *c, uint8_t *to) {
    uint32_t rank = from->shape.rank, last = 0;
    for (uint32_t axis = 0; axis < rank; axis++)
        if (c->kept[axis]) last = axis;
    size_t strides[TSLIM_MAX_RANK], run = tslim_dtype_size(from->dtype);
    for (uint32_t axis = rank; axis-- > 0;) {
        strides[axis] = run;
        run *= (size_t)from->shape.dims[axis];
    }
    run = strides[last];
    int64_t index[TSLIM_MAX_RANK] = {0};
    for (;;) {
        size_t offset = 0;
        for (uint32_t axis = 0; axis <= last; axis++)
            offset += strides[axis] * (c->kept[axis] ? c->kept[axis][index[axis]] : (size_t)index[axis]);
        memcpy(to, (const uint8_t *)from->data + offset, run);
        to += run;
        uint32_t axis = last + 1;
        while (axis > 0 && ++index[axis - 1] == c->dims[axis - 1]) index[--axis] = 0;
        if (axis == 0) return;
    }
}

// Whether every reader of the original's constant reads it in the specialized graph too. A reader that was
// folded away there (a Transpose of weights, say) wants the constant as it was.
static bool only_followed_readers(const tsl_atoms *atoms, const tslim_graph *graph, uint32_t original) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tsl_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i] != original) continue;
            uint32_t output = tsl_graph_find_value(atoms->graph, graph->values[node->outputs[0]].name);
            if (output == TSL_NONE || atoms->graph->values[output].producer == TSL_NONE) return false;
        }
    }
    return true;
}

// The nodes that read the value in the specialized graph read `replacement` in this one.
static void point_readers_at(
    const tsl_atoms *atoms, uint32_t value, tslim_graph *graph, uint32_t replacement) {
    for (uint32_t n = 0; n < atoms->graph->n_nodes; n++) {
        const tsl_node *node = &atoms->graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] == value) graph->nodes[atoms->original_node[n]].inputs[i] = replacement;
    }
}

static tslim_status cut_constant(
    const tsl_atoms *atoms, uint32_t value, const uint8_t *removed, tsl_arena *arena, tslim_graph *graph) {
    const tsl_value *from = &atoms->graph->values[value];
    uint32_t original = atoms->original_value[value];
    cut c;
    TSL_TRY(plan_cut(atoms, value, removed, arena, &c));
    if (!c.any) return TSLIM_OK;
    TSL_REQUIRE(original != TSL_NONE, TSLIM_ERROR_INTERNAL, "'%s' is not in the model", from->name);
    void *data;
    if (tsl_value_is_constant(&graph->values[original]) && only_followed_readers(atoms, graph, original)) {
        size_t bytes = tslim_dtype_size(from->dtype);
        for (uint32_t axis = 0; axis < from->shape.rank; axis++) bytes *= (size_t)c.dims[axis];
        TSL_TRY(tsl_value_new_data(graph, original, bytes, &data));
        tsl_shape_set(&graph->values[original].shape, from->shape.rank, c.dims);
    } else {
        uint32_t replacement;
        TSL_TRY(tsl_graph_add_constant(
            graph, from->name, from->dtype, from->shape.rank, c.dims, &replacement, &data));
        point_readers_at(atoms, value, graph, replacement);
    }
    copy_kept(from, &c, data);
    return TSLIM_OK;
}

// ---- Numbers ----

// The list that an edit is in, to be changed: an attribute or a constant of the node's own.
static tslim_status edit_attribute(tslim_graph *graph, tsl_node *node, const tsl_edit *edit, int64_t number) {
    if (edit->attr == TSL_ATTR_group) return tsl_node_set_int(graph, node, TSL_ATTR_group, number);
    size_t count;
    const int64_t *old = tsl_attrs_ints(&node->attrs, edit->attr, &count);
    int64_t *list = tsl_arena_array(&graph->arena, old ? count : edit->n_elements, sizeof(*list));
    TSL_REQUIRE_MEMORY(list, 64);
    if (old)
        memcpy(list, old, count * sizeof(*list));
    else
        count = edit->n_elements;
    TSL_REQUIRE(edit->element < count, TSLIM_ERROR_INTERNAL, "'%s': number %u of %zu", node->name,
        edit->element, count);
    list[edit->element] = number;
    return tsl_node_set_ints(graph, node, edit->attr, list, count);
}

static tslim_status own_list(tslim_graph *graph, uint32_t node_index, const tsl_edit *edit, uint32_t *list) {
    tsl_node *node = &graph->nodes[node_index];
    const tsl_value *old = tsl_node_input(graph, node, edit->slot);
    tslim_dtype dtype = old ? old->dtype : TSLIM_DTYPE_INT64;
    tsl_shape shape = old ? old->shape : (tsl_shape){.known = true, .rank = 1, .dims = {edit->n_elements}};
    size_t bytes = old ? old->bytes : 0;
    const void *old_data = old ? old->data : NULL;
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, node->name, dtype, shape.rank, shape.dims, list, &data));
    if (bytes) memcpy(data, old_data, bytes);
    node = &graph->nodes[node_index];
    while (node->n_inputs <= edit->slot) TSL_TRY(tsl_node_add_input(graph, node, TSL_NONE));
    node->inputs[edit->slot] = *list;
    if (node->op == TSL_OP_SPLIT) tsl_node_remove_attr(node, TSL_ATTR_num_outputs);
    return TSLIM_OK;
}

static tslim_status edit_input(
    tslim_graph *graph, uint32_t node_index, const tsl_edit *edit, int64_t number) {
    uint32_t list;
    TSL_TRY(own_list(graph, node_index, edit, &list));
    tsl_value *value = &graph->values[list];
    size_t size = tslim_dtype_size(value->dtype);
    TSL_REQUIRE((value->dtype == TSLIM_DTYPE_INT64 || value->dtype == TSLIM_DTYPE_INT32) &&
                    edit->element < value->bytes / size,
        TSLIM_ERROR_INTERNAL, "'%s' has no number %u", value->name, edit->element);
    int32_t narrow = (int32_t)number;
    uint8_t *data = value->buffer->data; // its own: nobody else has it yet
    if (value->dtype == TSLIM_DTYPE_INT64)
        memcpy(data + edit->element * size, &number, size);
    else
        memcpy(data + edit->element * size, &narrow, size);
    return TSLIM_OK;
}

// Whether the axis shrinks at all: a bound that counts from the end changes even where no channel before it
// goes.
static bool changes(const tsl_atoms *atoms, const tsl_edit *edit, const uint8_t *removed) {
    uint32_t dim = (uint32_t)atoms->graph->values[edit->value].shape.dims[edit->axis];
    return tsl_atoms_kept(atoms, atoms->axes[edit->value].atoms[edit->axis], dim, removed) != dim;
}

// Sizes of a Split that had none must all be written, not only those that change.
static bool list_changes(const tsl_atoms *atoms, uint32_t index, const uint8_t *removed) {
    const tsl_edit *edit = &atoms->edits[index];
    if (changes(atoms, edit, removed)) return true;
    if (edit->n_elements == 0) return false;
    for (uint32_t e = 0; e < atoms->n_edits; e++) {
        const tsl_edit *other = &atoms->edits[e];
        if (other->node == edit->node && changes(atoms, other, removed)) return true;
    }
    return false;
}

static tslim_status apply_edits(const tsl_atoms *atoms, const uint8_t *removed, tslim_graph *graph) {
    for (uint32_t e = 0; e < atoms->n_edits; e++) {
        const tsl_edit *edit = &atoms->edits[e];
        if (!list_changes(atoms, e, removed)) continue;
        uint32_t node = atoms->original_node[edit->node];
        TSL_REQUIRE(node != TSL_NONE, TSLIM_ERROR_INTERNAL, "'%s' is not in the model",
            atoms->graph->nodes[edit->node].name);
        int64_t number =
            tsl_atoms_kept(atoms, atoms->axes[edit->value].atoms[edit->axis], edit->upto, removed);
        if (edit->attr != TSL_ATTR_UNKNOWN)
            TSL_TRY(edit_attribute(graph, &graph->nodes[node], edit, number));
        else
            TSL_TRY(edit_input(graph, node, edit, number));
    }
    return TSLIM_OK;
}

// What the file said of the shapes of values between nodes.
static void update_shapes(const tsl_atoms *atoms, const uint8_t *removed, tslim_graph *graph) {
    for (uint32_t v = 0; v < atoms->graph->n_values; v++) {
        const tsl_shape *shape = &atoms->graph->values[v].shape;
        uint32_t original = atoms->original_value[v];
        if (original == TSL_NONE || !shape->known || tsl_value_is_constant(&graph->values[original]))
            continue;
        tsl_shape *target = &graph->values[original].shape;
        for (uint32_t axis = 0; target->known && target->rank == shape->rank && axis < shape->rank; axis++) {
            const uint32_t *array = atoms->axes[v].atoms[axis];
            if (array && target->dims[axis] == shape->dims[axis])
                target->dims[axis] = tsl_atoms_kept(atoms, array, (uint32_t)shape->dims[axis], removed);
        }
    }
}

tslim_status tsl_surgery(const tsl_atoms *atoms, const uint8_t *removed, tslim_graph *graph) {
    tsl_arena arena;
    tsl_arena_init(&arena, atoms->ctx);
    tslim_status status = TSLIM_OK;
    for (uint32_t v = 0; status == TSLIM_OK && v < atoms->graph->n_values; v++) {
        if (!tsl_value_is_constant(&atoms->graph->values[v])) continue;
        status = cut_constant(atoms, v, removed, &arena, graph);
        tsl_arena_clear(&arena);
    }
    if (status == TSLIM_OK) update_shapes(atoms, removed, graph);
    if (status == TSLIM_OK) status = apply_edits(atoms, removed, graph);
    // Nodes that nobody reads were not followed, and constants that were replaced are not needed any more.
    if (status == TSLIM_OK) status = tsl_pass_remove_dead(graph);
    if (status == TSLIM_OK) status = TSL_VERIFY(graph);
    return status;
}
