// SPDX-License-Identifier: Apache-2.0
// Operators that see the same elements under other axes.
#include "ir/shape_infer.h"
#include "prune/atoms.h"

static const tsl_shape *shape_of(const tsl_atoms *atoms, uint32_t value) {
    return &atoms->graph->values[value].shape;
}

static const uint32_t *input_axis(const tsl_atoms *atoms, const tsl_node *node, uint32_t axis) {
    return atoms->axes[node->inputs[0]].atoms[axis];
}

// ---- Reshape: axes of the input and of the output fall into blocks with the same number of elements ----

typedef struct block {
    uint32_t in[TSLIM_MAX_RANK], out[TSLIM_MAX_RANK]; // axes, outermost first
    uint32_t n_in, n_out;
} block;

static tslim_status lock_block(tsl_atoms *atoms, const tsl_node *node, const block *b, const char *text) {
    for (uint32_t i = 0; i < b->n_in; i++)
        TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[0], ~(1u << b->in[i]), text));
    return TSLIM_OK;
}

// Several axes become one: index (i, j, k) of the output's axis has the atom of the one axis that is free.
static tslim_status merge_axes(tsl_atoms *atoms, const tsl_node *node, const block *b) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]);
    uint32_t n_free = 0, free_axis = 0;
    size_t inner = 1, total = 1;
    for (uint32_t i = b->n_in; i-- > 0;) {
        if (input_axis(atoms, node, b->in[i])) {
            n_free++;
            free_axis = b->in[i];
            inner = total;
        }
        total *= (size_t)in->dims[b->in[i]];
    }
    if (n_free == 0) return TSLIM_OK;
    if (n_free > 1) return lock_block(atoms, node, b, "merges two axes of channels");
    const uint32_t *array = input_axis(atoms, node, free_axis);
    size_t length = (size_t)in->dims[free_axis];
    uint32_t *merged;
    TSL_TRY(tsl_axis_new(atoms, total, &merged));
    for (size_t i = 0; i < total; i++) merged[i] = array[i / inner % length];
    tsl_axis_set(atoms, node->outputs[0], b->out[0], merged);
    return TSLIM_OK;
}

// One axis becomes several: the longest of them keeps the channels (the last, of two that are equal), and
// those that differ only along the others go together.
static tslim_status split_axis(tsl_atoms *atoms, const tsl_node *node, const block *b) {
    const tsl_shape *out = shape_of(atoms, node->outputs[0]);
    const uint32_t *array = input_axis(atoms, node, b->in[0]);
    if (!array) return TSLIM_OK;
    size_t inner = 1, total = 1, length = 0;
    uint32_t chosen = 0;
    for (uint32_t i = b->n_out; i-- > 0;) {
        size_t dim = (size_t)out->dims[b->out[i]];
        if (dim > length) {
            chosen = b->out[i];
            length = dim;
            inner = total;
        }
        total *= dim;
    }
    const char *reason = tsl_node_reason(atoms, node, "ties them to channels that cannot shrink");
    uint32_t *kept;
    TSL_REQUIRE_MEMORY(reason, 64);
    TSL_TRY(tsl_axis_new(atoms, length, &kept));
    for (size_t i = 0; i < length; i++) kept[i] = array[i * inner];
    for (size_t i = 0; i < total; i++) {
        size_t index = i / inner % length;
        tsl_atom_join(atoms, array[i], kept[index], reason);
        if (array[i] == TSL_ATOM_FIXED) kept[index] = TSL_ATOM_FIXED;
    }
    tsl_axis_set(atoms, node->outputs[0], chosen, kept);
    return TSLIM_OK;
}

static tslim_status reshape_block(tsl_atoms *atoms, const tsl_node *node, const block *b) {
    if (b->n_in == 1 && b->n_out == 1)
        tsl_axis_set(atoms, node->outputs[0], b->out[0], input_axis(atoms, node, b->in[0]));
    else if (b->n_out == 1)
        return merge_axes(atoms, node, b);
    else if (b->n_in == 1)
        return split_axis(atoms, node, b);
    else
        return lock_block(atoms, node, b, "regroups the axis with others");
    return TSLIM_OK;
}

// The smallest blocks, from the left. Axes of length 1 belong to none.
static tslim_status reshape_blocks(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    uint32_t i = 0, o = 0;
    while (i < in->rank || o < out->rank) {
        block b = {0};
        int64_t in_size = 1, out_size = 1;
        do {
            bool take_in = i < in->rank && (in_size <= out_size || o >= out->rank);
            uint32_t axis = take_in ? i++ : o++;
            int64_t dim = take_in ? in->dims[axis] : out->dims[axis];
            if (take_in && dim != 1) b.in[b.n_in++] = axis;
            if (!take_in && dim != 1) b.out[b.n_out++] = axis;
            if (take_in)
                in_size *= dim;
            else
                out_size *= dim;
        } while (in_size != out_size && (i < in->rank || o < out->rank));
        if (in_size != out_size || in_size == 0) return tsl_node_lock(atoms, node, "has no elements");
        if (b.n_in) TSL_TRY(reshape_block(atoms, node, &b));
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_reshape(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    uint32_t single = 0;
    for (uint32_t axis = 0; axis < in->rank; axis++)
        if (in->dims[axis] == 1) single |= 1u << axis;
    TSL_TRY(
        tsl_value_lock_others(atoms, node, node->inputs[0], ~single, "moves an axis of a single channel"));
    if (tsl_value_is_constant(&atoms->graph->values[node->inputs[0]]))
        return tsl_node_lock(atoms, node, "reshapes a constant");
    TSL_TRY(reshape_blocks(atoms, node));
    if (node->op != TSL_OP_RESHAPE) return TSLIM_OK;
    for (uint32_t axis = 0; axis < out->rank; axis++)
        TSL_TRY(tsl_axis_follow_target(atoms, node, 1, axis, axis));
    return TSLIM_OK;
}

// ---- The rest ----

tslim_status tsl_rule_transpose(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t rank = shape_of(atoms, node->inputs[0])->rank;
    size_t count;
    const int64_t *perm = tsl_attrs_ints(&node->attrs, TSL_ATTR_perm, &count);
    for (uint32_t axis = 0; axis < rank; axis++) {
        uint32_t from = perm && count == rank ? (uint32_t)perm[axis] : rank - 1 - axis;
        const uint32_t *array;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], from, &array));
        tsl_axis_set(atoms, node->outputs[0], axis, array);
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_expand(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    TSL_REQUIRE(out->rank >= in->rank, TSLIM_ERROR_INTERNAL, "'%s': the output has fewer axes", node->name);
    uint32_t added = out->rank - in->rank;
    for (uint32_t axis = 0; axis < in->rank; axis++) {
        if (in->dims[axis] != out->dims[axis + added]) continue; // repeated: the copies are not channels
        const uint32_t *array;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
        tsl_axis_set(atoms, node->outputs[0], axis + added, array);
    }
    const tsl_value *target = tsl_node_input(atoms->graph, node, 1);
    uint32_t n_target = target && target->shape.rank == 1 ? (uint32_t)target->shape.dims[0] : 0;
    for (uint32_t i = 0; i < n_target && i < out->rank; i++)
        TSL_TRY(tsl_axis_follow_target(atoms, node, 1, i, out->rank - n_target + i));
    return TSLIM_OK;
}

// Channel (block row, block column, c) or (c, block row, block column) of the deep side is pixel (row,
// column) of channel c of the flat side.
static tslim_status move_depth(
    tsl_atoms *atoms, const tsl_node *node, bool channel_first, bool input_is_deep) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[0], 1u << 1, "moves pixels between axes"));
    const uint32_t *array;
    TSL_TRY(tsl_axis_get(atoms, node->inputs[0], 1, &array));
    if (!array) return TSLIM_OK;
    size_t deep = (size_t)(input_is_deep ? in : out)->dims[1],
           flat = (size_t)(input_is_deep ? out : in)->dims[1];
    if (flat == 0) return TSLIM_OK;
    size_t area = deep / flat;
    uint32_t *moved;
    const char *reason = tsl_node_reason(atoms, node, "ties them to channels that cannot shrink");
    TSL_REQUIRE_MEMORY(reason, 64);
    TSL_TRY(tsl_axis_new(atoms, (size_t)out->dims[1], &moved));
    for (size_t i = deep; i-- > 0;) { // backwards: the first channel of each kind names it
        size_t c = channel_first ? i / area : i % flat;
        if (!input_is_deep)
            moved[i] = array[c];
        else
            moved[c] = array[i];
    }
    for (size_t i = 0; input_is_deep && i < deep; i++)
        tsl_atom_join(atoms, array[i], moved[channel_first ? i / area : i % flat], reason);
    for (size_t i = 0; input_is_deep && i < deep; i++)
        if (array[i] == TSL_ATOM_FIXED) moved[channel_first ? i / area : i % flat] = TSL_ATOM_FIXED;
    tsl_axis_set(atoms, node->outputs[0], 1, moved);
    return TSLIM_OK;
}

tslim_status tsl_rule_depth_to_space(tsl_atoms *atoms, const tsl_node *node) {
    const char *mode = tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "DCR");
    return move_depth(atoms, node, mode[0] == 'C', true);
}

tslim_status tsl_rule_space_to_depth(tsl_atoms *atoms, const tsl_node *node) {
    return move_depth(atoms, node, false, false);
}
