// SPDX-License-Identifier: Apache-2.0
// Operators that put channels side by side or take some of them out.
#include "ir/shape_infer.h"
#include "prune/atoms.h"

static const tsl_shape *shape_of(const tsl_atoms *atoms, uint32_t value) {
    return &atoms->graph->values[value].shape;
}

static uint32_t node_index(const tsl_atoms *atoms, const tsl_node *node) {
    return (uint32_t)(node - atoms->graph->nodes);
}

// Passes all axes of the input but `axis` to `output`; with TSL_NONE, all.
static tslim_status pass_others(tsl_atoms *atoms, const tsl_node *node, uint32_t axis, uint32_t output) {
    for (uint32_t other = 0; other < shape_of(atoms, node->inputs[0])->rank; other++) {
        const uint32_t *array;
        if (other == axis) continue;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], other, &array));
        tsl_axis_set(atoms, output, other, array);
    }
    return TSLIM_OK;
}

static tslim_status read_axis(tsl_atoms *atoms, const tsl_node *node, int64_t default_axis, uint32_t *axis) {
    return tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, default_axis),
        shape_of(atoms, node->inputs[0])->rank, axis);
}

// The axis that the parts lie along: the output's array is theirs, one after the other.
static tslim_status concatenate(tsl_atoms *atoms, const tsl_node *node, uint32_t axis) {
    bool any_free = false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (tsl_value_is_constant(&atoms->graph->values[node->inputs[i]]))
            TSL_TRY(tsl_value_lock_others(
                atoms, node, node->inputs[i], ~(1u << axis), "puts a constant beside them"));
        else
            any_free |= atoms->axes[node->inputs[i]].atoms[axis] != NULL;
    }
    if (!any_free) return TSLIM_OK;
    uint32_t *joined, *next;
    TSL_TRY(tsl_axis_new(atoms, (size_t)shape_of(atoms, node->outputs[0])->dims[axis], &joined));
    next = joined;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        bool constant = tsl_value_is_constant(&atoms->graph->values[node->inputs[i]]);
        const uint32_t *part = constant ? NULL : atoms->axes[node->inputs[i]].atoms[axis];
        size_t length = (size_t)shape_of(atoms, node->inputs[i])->dims[axis];
        for (size_t j = 0; j < length; j++) *next++ = part ? part[j] : TSL_ATOM_FIXED;
    }
    tsl_axis_set(atoms, node->outputs[0], axis, joined);
    return TSLIM_OK;
}

// Along every other axis all parts are of one length and shrink together.
static tslim_status join_parts(tsl_atoms *atoms, const tsl_node *node, uint32_t axis) {
    const uint32_t *first = NULL;
    bool any_fixed = false;
    size_t length = (size_t)shape_of(atoms, node->outputs[0])->dims[axis];
    for (uint32_t pass = 0; pass < 2; pass++) { // constants last
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            const uint32_t *array;
            bool constant = tsl_value_is_constant(&atoms->graph->values[node->inputs[i]]);
            if (constant != (pass == 1)) continue;
            TSL_TRY(tsl_axis_get(atoms, node->inputs[i], axis, &array));
            if (!first && !any_fixed && !constant && array)
                first = array;
            else if (!array || !first)
                any_fixed = true;
            if (any_fixed) TSL_TRY(tsl_axis_join(atoms, node, NULL, array, length));
            if (first) TSL_TRY(tsl_axis_join(atoms, node, first, any_fixed ? NULL : array, length));
        }
    }
    tsl_axis_set(atoms, node->outputs[0], axis, any_fixed ? NULL : first);
    return TSLIM_OK;
}

tslim_status tsl_rule_concat(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t axis;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == TSL_NONE) return tsl_node_lock(atoms, node, "lacks an input");
    TSL_TRY(read_axis(atoms, node, 1, &axis));
    TSL_TRY(concatenate(atoms, node, axis));
    for (uint32_t other = 0; other < shape_of(atoms, node->outputs[0])->rank; other++)
        if (other != axis) TSL_TRY(join_parts(atoms, node, other));
    return TSLIM_OK;
}

// The sizes are numbers that follow; a Split without them gets them when it no longer splits evenly.
static tslim_status follow_split(tsl_atoms *atoms, const tsl_node *node, uint32_t axis) {
    bool by_attribute = atoms->graph->opset < 13;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] == TSL_NONE) continue;
        tsl_edit edit = {.node = node_index(atoms, node),
            .attr = by_attribute ? TSL_ATTR_split : TSL_ATTR_UNKNOWN,
            .slot = 1,
            .element = i,
            .n_elements = node->n_outputs,
            .value = node->outputs[i],
            .axis = axis,
            .upto = (uint32_t)shape_of(atoms, node->outputs[i])->dims[axis]};
        TSL_TRY(tsl_atoms_add_edit(atoms, edit));
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_split(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t axis;
    const uint32_t *array;
    TSL_TRY(read_axis(atoms, node, 0, &axis));
    if (tsl_node_input(atoms->graph, node, 1) && !tsl_input_is_literal(atoms, node, 1))
        return tsl_node_lock(atoms, node, "has sizes that are computed");
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] == TSL_NONE) return tsl_node_lock(atoms, node, "lacks an output");
    TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        TSL_TRY(pass_others(atoms, node, axis, node->outputs[i]));
        tsl_axis_set(atoms, node->outputs[i], axis, array);
        if (array) array += shape_of(atoms, node->outputs[i])->dims[axis];
    }
    return array ? follow_split(atoms, node, axis) : TSLIM_OK;
}

// ---- Slice ----

typedef struct slice {
    int64_t starts[TSLIM_MAX_RANK], ends[TSLIM_MAX_RANK], axes[TSLIM_MAX_RANK], steps[TSLIM_MAX_RANK];
    size_t count;
    bool by_attribute;
} slice;

static bool read_slice(const tsl_atoms *atoms, const tsl_node *node, slice *s) {
    const tslim_graph *graph = atoms->graph;
    size_t n_ends, n_axes, n_steps;
    s->by_attribute = graph->opset < 10;
    if (!tsl_node_get_ints(graph, node, TSL_ATTR_starts, 1, s->starts, TSLIM_MAX_RANK, &s->count) ||
        !tsl_node_get_ints(graph, node, TSL_ATTR_ends, 2, s->ends, TSLIM_MAX_RANK, &n_ends) ||
        n_ends != s->count)
        return false;
    bool has_axes = tsl_node_get_ints(graph, node, TSL_ATTR_axes, 3, s->axes, TSLIM_MAX_RANK, &n_axes);
    bool has_steps = tsl_node_get_ints(graph, node, TSL_ATTR_COUNT, 4, s->steps, TSLIM_MAX_RANK, &n_steps);
    if ((!has_axes && tsl_node_input(graph, node, 3)) || (!has_steps && tsl_node_input(graph, node, 4)))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        if (!has_axes) s->axes[i] = (int64_t)i;
        if (!has_steps) s->steps[i] = 1;
    }
    return (!has_axes || n_axes == s->count) && (!has_steps || n_steps == s->count);
}

// A bound that lies within the channels moves with them.
static tslim_status follow_bound(tsl_atoms *atoms, const tsl_node *node, const slice *s, bool start,
    uint32_t element, uint32_t axis, uint32_t position) {
    tsl_edit edit = {.node = node_index(atoms, node),
        .slot = start ? 1 : 2,
        .element = element,
        .n_elements = 0,
        .attr = !s->by_attribute ? TSL_ATTR_UNKNOWN
                : start          ? TSL_ATTR_starts
                                 : TSL_ATTR_ends,
        .value = node->inputs[0],
        .axis = axis,
        .upto = position};
    return tsl_atoms_add_edit(atoms, edit);
}

static int64_t clamp_position(int64_t position, int64_t dim) {
    if (position < 0) position = position < -dim ? 0 : position + dim;
    return position > dim ? dim : position;
}

static tslim_status slice_axis(tsl_atoms *atoms, const tsl_node *node, const slice *s, uint32_t element,
    uint32_t axis, const uint32_t *array) {
    int64_t dim = shape_of(atoms, node->inputs[0])->dims[axis];
    int64_t start = clamp_position(s->starts[element], dim), end = clamp_position(s->ends[element], dim);
    if (s->steps[element] != 1 || end <= start)
        return tsl_value_lock_others(atoms, node, node->inputs[0], ~(1u << axis), "takes every n-th of them");
    bool literal = s->by_attribute || ((start == 0 || tsl_input_is_literal(atoms, node, 1)) &&
                                          (end == dim || tsl_input_is_literal(atoms, node, 2)));
    if (!literal)
        return tsl_value_lock_others(
            atoms, node, node->inputs[0], ~(1u << axis), "has bounds that are computed");
    tsl_axis_set(atoms, node->outputs[0], axis, array + start);
    if (start > 0) TSL_TRY(follow_bound(atoms, node, s, true, element, axis, (uint32_t)start));
    // An end at or beyond the last channel stays there by itself.
    return end < dim ? follow_bound(atoms, node, s, false, element, axis, (uint32_t)end) : TSLIM_OK;
}

tslim_status tsl_rule_slice(tsl_atoms *atoms, const tsl_node *node) {
    slice s;
    if (!read_slice(atoms, node, &s)) return tsl_node_lock(atoms, node, "has bounds that are computed");
    TSL_TRY(pass_others(atoms, node, TSL_NONE, node->outputs[0]));
    for (uint32_t i = 0; i < s.count; i++) {
        uint32_t axis;
        const uint32_t *array;
        TSL_TRY(tsl_normalize_axis(s.axes[i], shape_of(atoms, node->inputs[0])->rank, &axis));
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
        tsl_axis_set(atoms, node->outputs[0], axis, NULL);
        if (array) TSL_TRY(slice_axis(atoms, node, &s, i, axis, array));
    }
    return TSLIM_OK;
}

// ---- Pad, Gather, Tile ----

// The amounts of Pad for one axis are zero, or its channels stay.
tslim_status tsl_rule_pad(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    int64_t pads[2 * TSLIM_MAX_RANK];
    size_t count;
    bool known = tsl_node_get_ints(atoms->graph, node, TSL_ATTR_pads, 1, pads, 2 * TSLIM_MAX_RANK, &count);
    // With an `axes` input the amounts are in its order: then only a list of zeros is understood.
    bool ordered = known && !tsl_node_input(atoms->graph, node, 3) && count == 2 * (size_t)in->rank;
    for (uint32_t axis = 0; axis < in->rank; axis++) {
        const uint32_t *array;
        bool padded = ordered ? pads[axis] != 0 || pads[in->rank + axis] != 0 : true;
        if (!ordered && known && count <= 2 * TSLIM_MAX_RANK && in->dims[axis] == out->dims[axis])
            padded = false;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
        if (padded)
            TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[0], ~(1u << axis), "pads the channels"));
        else
            tsl_axis_set(atoms, node->outputs[0], axis, array);
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_gather(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t axis;
    const tsl_shape *data = shape_of(atoms, node->inputs[0]);
    if (data->rank == 0) return tsl_node_lock(atoms, node, "reads a scalar");
    TSL_TRY(read_axis(atoms, node, 0, &axis));
    TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[1], 0, "uses them as indices"));
    if (tsl_value_is_constant(&atoms->graph->values[node->inputs[0]]))
        return tsl_value_lock_others(atoms, node, node->inputs[0], 0, "looks rows up in it");
    TSL_TRY(
        tsl_value_lock_others(atoms, node, node->inputs[0], ~(1u << axis), "picks some of them by index"));
    uint32_t index_rank = shape_of(atoms, node->inputs[1])->rank;
    for (uint32_t other = 0; other < data->rank; other++) {
        uint32_t out = other < axis ? other : other + index_rank - 1;
        if (other != axis)
            tsl_axis_set(atoms, node->outputs[0], out, atoms->axes[node->inputs[0]].atoms[other]);
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_tile(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[1], 0, "is repeated by them"));
    for (uint32_t axis = 0; axis < in->rank; axis++) {
        const uint32_t *array;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
        if (in->dims[axis] == out->dims[axis])
            tsl_axis_set(atoms, node->outputs[0], axis, array);
        else
            TSL_TRY(
                tsl_value_lock_others(atoms, node, node->inputs[0], ~(1u << axis), "repeats the channels"));
    }
    return TSLIM_OK;
}
