// SPDX-License-Identifier: Apache-2.0
// Operators that work on each channel by itself, or across all of them.
#include "ir/shape_infer.h"
#include "prune/atoms.h"

static const char across[] = "works across the channels";

static const tsl_shape *shape_of(const tsl_atoms *atoms, uint32_t value) {
    return &atoms->graph->values[value].shape;
}

// Axis i of the input becomes axis i of every output.
static tslim_status pass_axes(tsl_atoms *atoms, const tsl_node *node, uint32_t handled) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]);
    TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[0], handled, across));
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] == TSL_NONE) continue;
        for (uint32_t axis = 0; axis < in->rank; axis++) {
            const uint32_t *array;
            if (!(handled & (1u << axis))) continue;
            TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
            tsl_axis_set(atoms, node->outputs[i], axis, array);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_pass(tsl_atoms *atoms, const tsl_node *node) {
    for (uint32_t i = 1; i < node->n_inputs; i++) // Clip's limits, Dropout's ratio: scalars
        TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[i], 0, across));
    return pass_axes(atoms, node, ~0u);
}

static tslim_status no_extra_outputs(const tsl_node *node, bool *none) {
    *none = true;
    for (uint32_t i = 1; i < node->n_outputs; i++) *none &= node->outputs[i] == TSL_NONE;
    return TSLIM_OK;
}

// One axis of the output: the operands that are as long as it are joined, those of length 1 are repeated.
static tslim_status broadcast_axis(tsl_atoms *atoms, const tsl_node *node, const uint32_t *operands,
    uint32_t n_operands, uint32_t output, uint32_t axis) {
    const tsl_shape *out = shape_of(atoms, output);
    int64_t length = out->dims[axis];
    const uint32_t *chosen = NULL;
    bool any_fixed = false;
    for (uint32_t pass = 0; pass < 2; pass++) { // activations first: they say whether the axis is fixed
        for (uint32_t i = 0; i < n_operands; i++) {
            const tsl_shape *shape = operands[i] == TSL_NONE ? NULL : shape_of(atoms, operands[i]);
            if (!shape || shape->rank + axis < out->rank) continue;
            uint32_t own = shape->rank + axis - out->rank;
            bool constant = tsl_value_is_constant(&atoms->graph->values[operands[i]]);
            if (constant != (pass == 1) || shape->dims[own] != length) continue;
            if (constant && length == 1) continue; // repeated, or a batch of one
            const uint32_t *array;
            TSL_TRY(tsl_axis_get(atoms, operands[i], own, &array));
            if (constant && (!chosen || any_fixed)) { // a constant does not make channels
                TSL_TRY(tsl_axis_join(atoms, node, NULL, array, (size_t)length));
            } else if (!array) {
                any_fixed = true;
                TSL_TRY(tsl_axis_join(atoms, node, chosen, NULL, (size_t)length));
            } else {
                if (any_fixed) TSL_TRY(tsl_axis_join(atoms, node, NULL, array, (size_t)length));
                if (chosen)
                    TSL_TRY(tsl_axis_join(atoms, node, chosen, array, (size_t)length));
                else
                    chosen = array;
            }
        }
    }
    tsl_axis_set(atoms, output, axis, any_fixed && length != 1 ? NULL : chosen);
    return TSLIM_OK;
}

tslim_status tsl_broadcast_axes(tsl_atoms *atoms, const tsl_node *node, const uint32_t *operands,
    uint32_t n_operands, uint32_t skip_last, uint32_t output) {
    uint32_t rank = shape_of(atoms, output)->rank;
    for (uint32_t axis = 0; axis + skip_last < rank; axis++)
        TSL_TRY(broadcast_axis(atoms, node, operands, n_operands, output, axis));
    return TSLIM_OK;
}

tslim_status tsl_rule_broadcast(tsl_atoms *atoms, const tsl_node *node) {
    return tsl_broadcast_axes(atoms, node, node->inputs, node->n_inputs, 0, node->outputs[0]);
}

// Constants with one element a channel, from input `first` on.
static tslim_status join_channel_constants(tsl_atoms *atoms, const tsl_node *node, uint32_t first) {
    const uint32_t *channels;
    TSL_TRY(tsl_axis_get(atoms, node->inputs[0], 1, &channels));
    for (uint32_t i = first; i < node->n_inputs; i++) {
        const uint32_t *array;
        if (node->inputs[i] == TSL_NONE) continue;
        TSL_TRY(tsl_axis_get(atoms, node->inputs[i], 0, &array));
        TSL_TRY(
            tsl_axis_join(atoms, node, channels, array, (size_t)shape_of(atoms, node->inputs[i])->dims[0]));
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_batch_normalization(tsl_atoms *atoms, const tsl_node *node) {
    bool none;
    TSL_TRY(no_extra_outputs(node, &none));
    if (!none) return tsl_node_lock(atoms, node, "is in training mode");
    if (shape_of(atoms, node->inputs[0])->rank < 2) return tsl_node_lock(atoms, node, across);
    TSL_TRY(join_channel_constants(atoms, node, 1));
    return pass_axes(atoms, node, ~0u);
}

tslim_status tsl_rule_instance_normalization(tsl_atoms *atoms, const tsl_node *node) {
    if (shape_of(atoms, node->inputs[0])->rank < 2) return tsl_node_lock(atoms, node, across);
    TSL_TRY(join_channel_constants(atoms, node, 1));
    return pass_axes(atoms, node, 3);
}

// A bit for each axis from `axis` on.
static tslim_status axes_before(const tsl_shape *shape, int64_t axis, uint32_t *before) {
    uint32_t normalized;
    TSL_TRY(tsl_normalize_axis(axis, shape->rank, &normalized));
    *before = (1u << normalized) - 1;
    return TSLIM_OK;
}

tslim_status tsl_rule_layer_normalization(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t before;
    bool none;
    TSL_TRY(no_extra_outputs(node, &none));
    if (!none) return tsl_node_lock(atoms, node, "has its statistics as outputs");
    TSL_TRY(axes_before(
        shape_of(atoms, node->inputs[0]), tsl_attrs_int(&node->attrs, TSL_ATTR_axis, -1), &before));
    for (uint32_t i = 1; i < node->n_inputs; i++)
        TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[i], 0, across));
    return pass_axes(atoms, node, before);
}

tslim_status tsl_rule_pool(tsl_atoms *atoms, const tsl_node *node) {
    bool none;
    TSL_TRY(no_extra_outputs(node, &none));
    if (!none) return tsl_node_lock(atoms, node, "has the indices of its maxima as an output");
    return pass_axes(atoms, node, 3);
}

tslim_status tsl_rule_softmax(tsl_atoms *atoms, const tsl_node *node) {
    bool flattens = atoms->graph->opset < 13; // then the axes from `axis` on are one
    const tsl_shape *shape = shape_of(atoms, node->inputs[0]);
    int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, flattens ? 1 : -1);
    if (flattens && axis == (int64_t)shape->rank) return pass_axes(atoms, node, 0);
    uint32_t before, normalized;
    TSL_TRY(axes_before(shape, axis, &before));
    TSL_TRY(tsl_normalize_axis(axis, shape->rank, &normalized));
    return pass_axes(atoms, node, flattens ? before : ~(1u << normalized));
}

// Which axes a reduction sums over, as bits. False when they are computed.
static tslim_status read_reduced_axes(tsl_atoms *atoms, const tsl_node *node, uint32_t *bits, bool *known) {
    const tsl_shape *shape = shape_of(atoms, node->inputs[0]);
    int64_t axes[TSLIM_MAX_RANK];
    size_t count = 0;
    uint32_t normalized;
    *known = true;
    *bits = 0;
    if (node->op == TSL_OP_ARG_MAX || node->op == TSL_OP_ARG_MIN) {
        axes[count++] = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0);
    } else if (!tsl_node_get_ints(atoms->graph, node, TSL_ATTR_axes, 1, axes, TSLIM_MAX_RANK, &count)) {
        *known = tsl_node_input(atoms->graph, node, 1) == NULL;
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        TSL_TRY(tsl_normalize_axis(axes[i], shape->rank, &normalized));
        *bits |= 1u << normalized;
    }
    if (count == 0 && !tsl_attrs_int(&node->attrs, TSL_ATTR_noop_with_empty_axes, 0)) *bits = ~0u;
    return TSLIM_OK;
}

tslim_status tsl_rule_reduce(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t reduced;
    bool known;
    TSL_TRY(read_reduced_axes(atoms, node, &reduced, &known));
    if (!known) return tsl_node_lock(atoms, node, "has axes that are computed");
    bool keep = tsl_attrs_int(&node->attrs, TSL_ATTR_keepdims, 1) != 0;
    TSL_TRY(tsl_value_lock_others(atoms, node, node->inputs[0], ~reduced, across));
    uint32_t out = 0;
    for (uint32_t axis = 0; axis < shape_of(atoms, node->inputs[0])->rank; axis++) {
        bool gone = reduced & (1u << axis);
        const uint32_t *array = NULL;
        if (!gone) TSL_TRY(tsl_axis_get(atoms, node->inputs[0], axis, &array));
        if (!gone) tsl_axis_set(atoms, node->outputs[0], out, array);
        out += !gone || keep;
    }
    return TSLIM_OK;
}

// The element of Resize's sizes that belongs to an axis (its `axes` attribute names some); -1: none.
static tslim_status find_size_element(
    tsl_atoms *atoms, const tsl_node *node, uint32_t axis, int64_t *element) {
    size_t count;
    const int64_t *axes = tsl_attrs_ints(&node->attrs, TSL_ATTR_axes, &count);
    *element = axes ? -1 : (int64_t)axis;
    for (size_t i = 0; axes && i < count; i++) {
        uint32_t normalized;
        TSL_TRY(tsl_normalize_axis(axes[i], shape_of(atoms, node->inputs[0])->rank, &normalized));
        if (normalized == axis) *element = (int64_t)i;
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_resize(tsl_atoms *atoms, const tsl_node *node) {
    const tsl_shape *in = shape_of(atoms, node->inputs[0]), *out = shape_of(atoms, node->outputs[0]);
    uint32_t same = 0;
    for (uint32_t axis = 0; axis < in->rank; axis++)
        if (in->dims[axis] == out->dims[axis]) same |= 1u << axis;
    TSL_TRY(pass_axes(atoms, node, same));
    if (node->op != TSL_OP_RESIZE || !tsl_node_input(atoms->graph, node, 3)) return TSLIM_OK;
    for (uint32_t axis = 0; axis < in->rank; axis++) {
        int64_t element;
        TSL_TRY(find_size_element(atoms, node, axis, &element));
        if (element >= 0) TSL_TRY(tsl_axis_follow_target(atoms, node, 3, (uint32_t)element, axis));
    }
    return TSLIM_OK;
}
