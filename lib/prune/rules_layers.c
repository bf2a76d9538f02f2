// SPDX-License-Identifier: Apache-2.0
// Operators with weights: they make channels (the weights' output axis) and use up those that they read.
#include "plan/specialize.h"
#include "prune/atoms.h"

static const char other_axis[] = "reads an axis that it cannot follow";

static uint32_t dim(const tsl_atoms *atoms, uint32_t value, uint32_t axis) {
    return (uint32_t)atoms->graph->values[value].shape.dims[axis];
}

static tsl_layer new_layer(const tsl_atoms *atoms, const tsl_node *node) {
    return (tsl_layer){.node = (uint32_t)(node - atoms->graph->nodes),
        .weight = TSL_NONE,
        .macs = tsl_node_macs(atoms->graph, node)};
}

static bool is_constant(const tsl_atoms *atoms, uint32_t value) {
    return tsl_value_is_constant(&atoms->graph->values[value]);
}

// One bias a channel.
static tslim_status join_bias(tsl_atoms *atoms, const tsl_node *node, const uint32_t *out) {
    if (node->n_inputs < 3 || node->inputs[2] == TSL_NONE) return TSLIM_OK;
    const uint32_t *bias;
    TSL_TRY(tsl_axis_get(atoms, node->inputs[2], 0, &bias));
    return tsl_axis_join(atoms, node, out, bias, dim(atoms, node->inputs[2], 0));
}

// What a convolution's channels are numbered by. All groups lose the same channels, so that they stay of one
// size: channel i of each group is one atom, and the weights' axis over a group's channels has it as index i.
typedef struct convolution {
    uint32_t x, weight, group;
    uint32_t in_per_group, out_per_group;
    const uint32_t *in; // NULL: fixed
    const char *reason;
} convolution;

static tslim_status read_convolution(tsl_atoms *atoms, const tsl_node *node, convolution *c) {
    *c = (convolution){.x = node->inputs[0], .weight = node->inputs[1]};
    c->group = (uint32_t)tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1);
    bool transposed = node->op == TSL_OP_CONV_TRANSPOSE;
    c->in_per_group = dim(atoms, c->x, 1) / c->group;
    c->out_per_group = transposed ? dim(atoms, c->weight, 1) : dim(atoms, c->weight, 0) / c->group;
    c->reason = tsl_node_reason(atoms, node, "ties them to channels that cannot shrink");
    TSL_REQUIRE_MEMORY(c->reason, 64);
    TSL_TRY(tsl_value_lock_others(atoms, node, c->x, 1u << 1, other_axis));
    TSL_TRY(tsl_value_lock_others(atoms, node, c->weight, 3, other_axis));
    return tsl_axis_get(atoms, c->x, 1, &c->in);
}

static uint32_t in_atom(const convolution *c, uint32_t index) {
    return c->in ? c->in[index] : TSL_ATOM_FIXED;
}

static bool is_depthwise(const convolution *c) {
    return c->group > 1 && c->in_per_group == 1;
}

// Input channel i makes output channels i * out_per_group and on; the number of groups shrinks.
static tslim_status join_depthwise(
    tsl_atoms *atoms, const tsl_node *node, const convolution *c, const uint32_t *out) {
    for (uint32_t i = 0; i < c->group; i++)
        for (uint32_t j = 0; j < c->out_per_group; j++)
            tsl_atom_join(atoms, in_atom(c, i), out[i * c->out_per_group + j], c->reason);
    if (!c->in) return TSLIM_OK;
    return tsl_atoms_add_edit(atoms, (tsl_edit){.node = (uint32_t)(node - atoms->graph->nodes),
                                         .attr = TSL_ATTR_group,
                                         .value = c->x,
                                         .axis = 1,
                                         .upto = c->group});
}

tslim_status tsl_rule_conv(tsl_atoms *atoms, const tsl_node *node) {
    if (!is_constant(atoms, node->inputs[1]))
        return tsl_node_lock(atoms, node, "has weights that are computed");
    convolution c;
    const uint32_t *out, *weight_in;
    TSL_TRY(read_convolution(atoms, node, &c));
    TSL_TRY(tsl_axis_get(atoms, c.weight, 0, &out));
    TSL_TRY(tsl_axis_get(atoms, c.weight, 1, &weight_in));
    tsl_layer layer = new_layer(atoms, node);
    layer.weight = c.weight;
    layer.out = out;
    layer.n_out = dim(atoms, c.weight, 0);
    layer.in_value = c.x;
    layer.in_axis = 1;
    layer.in = c.in;
    layer.n_in = dim(atoms, c.x, 1);
    tsl_layer_add_factor(&layer, out, layer.n_out);
    if (is_depthwise(&c)) {
        layer.depthwise = true;
        TSL_TRY(tsl_value_lock_others(atoms, node, c.weight, ~2u, other_axis));
        TSL_TRY(join_depthwise(atoms, node, &c, out));
    } else {
        for (uint32_t i = 0; i < layer.n_in; i++)
            tsl_atom_join(atoms, in_atom(&c, i), weight_in[i % c.in_per_group], c.reason);
        for (uint32_t i = c.out_per_group; i < layer.n_out; i++)
            tsl_atom_join(atoms, out[i % c.out_per_group], out[i], c.reason);
        tsl_layer_add_factor(&layer, weight_in, c.in_per_group);
    }
    TSL_TRY(join_bias(atoms, node, out));
    tsl_axis_set(atoms, node->outputs[0], 1, out);
    return tsl_atoms_add_layer(atoms, &layer);
}

// The weights are C x M/group x kernel: axis 0 holds all input channels, axis 1 the output channels of a
// group.
tslim_status tsl_rule_conv_transpose(tsl_atoms *atoms, const tsl_node *node) {
    if (!is_constant(atoms, node->inputs[1]))
        return tsl_node_lock(atoms, node, "has weights that are computed");
    convolution c;
    const uint32_t *weight_in, *weight_out, *out;
    TSL_TRY(read_convolution(atoms, node, &c));
    TSL_TRY(tsl_axis_get(atoms, c.weight, 0, &weight_in));
    TSL_TRY(tsl_axis_get(atoms, c.weight, 1, &weight_out));
    tsl_layer layer = new_layer(atoms, node);
    layer.weight = c.weight;
    layer.in_value = c.x;
    layer.in_axis = 1;
    layer.in = c.in;
    layer.n_in = dim(atoms, c.x, 1);
    TSL_TRY(tsl_axis_join(atoms, node, c.in, weight_in, layer.n_in));
    tsl_layer_add_factor(&layer, weight_in, layer.n_in);
    if (is_depthwise(&c)) {
        layer.depthwise = true;
        layer.weight_axis = 0;
        layer.n_out = layer.n_in;
        layer.out = weight_in;
        TSL_TRY(tsl_value_lock_others(atoms, node, c.weight, ~2u, other_axis));
        uint32_t *repeated;
        TSL_TRY(tsl_axis_new(atoms, (size_t)c.group * c.out_per_group, &repeated));
        for (uint32_t i = 0; i < c.group * c.out_per_group; i++) repeated[i] = weight_in[i / c.out_per_group];
        out = repeated;
        TSL_TRY(join_depthwise(atoms, node, &c, out));
    } else {
        layer.weight_axis = 1;
        layer.n_out = c.out_per_group;
        layer.out = weight_out;
        for (uint32_t i = c.in_per_group; i < layer.n_in; i++)
            tsl_atom_join(atoms, weight_in[i % c.in_per_group], weight_in[i], c.reason);
        tsl_layer_add_factor(&layer, weight_out, c.out_per_group);
        uint32_t *repeated;
        TSL_TRY(tsl_axis_new(atoms, (size_t)c.group * c.out_per_group, &repeated));
        for (uint32_t i = 0; i < c.group * c.out_per_group; i++)
            repeated[i] = weight_out[i % c.out_per_group];
        out = repeated;
    }
    TSL_TRY(join_bias(atoms, node, out));
    tsl_axis_set(atoms, node->outputs[0], 1, out);
    return tsl_atoms_add_layer(atoms, &layer);
}

// A matrix product sums over axis k of both operands; m and n are the axes that the output keeps.
typedef struct product {
    uint32_t a, b;
    uint32_t a_m, a_k, b_k, b_n;
    uint32_t out_m, out_n;
} product;

static tslim_status add_product(tsl_atoms *atoms, const tsl_node *node, const product *p, tsl_layer *layer) {
    const uint32_t *a_m, *a_k, *b_k, *b_n;
    TSL_TRY(tsl_axis_get(atoms, p->a, p->a_m, &a_m));
    TSL_TRY(tsl_axis_get(atoms, p->a, p->a_k, &a_k));
    TSL_TRY(tsl_axis_get(atoms, p->b, p->b_k, &b_k));
    TSL_TRY(tsl_axis_get(atoms, p->b, p->b_n, &b_n));
    layer->n_in = dim(atoms, p->a, p->a_k);
    TSL_TRY(tsl_axis_join(atoms, node, a_k, b_k, layer->n_in));
    tsl_axis_set(atoms, node->outputs[0], p->out_m, a_m);
    tsl_axis_set(atoms, node->outputs[0], p->out_n, b_n);
    bool weight_is_a = is_constant(atoms, p->a);
    layer->in_value = weight_is_a ? p->b : p->a;
    layer->in_axis = weight_is_a ? p->b_k : p->a_k;
    layer->in = atoms->axes[layer->in_value].atoms[layer->in_axis];
    if (weight_is_a || is_constant(atoms, p->b)) {
        layer->weight = weight_is_a ? p->a : p->b;
        layer->weight_axis = weight_is_a ? p->a_m : p->b_n;
        layer->out = weight_is_a ? a_m : b_n;
        layer->n_out = dim(atoms, layer->weight, layer->weight_axis);
    }
    tsl_layer_add_factor(layer, a_m, dim(atoms, p->a, p->a_m));
    tsl_layer_add_factor(layer, a_k, layer->n_in);
    tsl_layer_add_factor(layer, b_n, dim(atoms, p->b, p->b_n));
    return TSLIM_OK;
}

// The third operand of Gemm is broadcast to the output.
static tslim_status join_addend(tsl_atoms *atoms, const tsl_node *node) {
    if (node->n_inputs < 3 || node->inputs[2] == TSL_NONE) return TSLIM_OK;
    uint32_t addend = node->inputs[2], output = node->outputs[0];
    const tsl_shape *shape = &atoms->graph->values[addend].shape;
    for (uint32_t axis = 0; axis < shape->rank; axis++) {
        uint32_t out_axis = axis + 2 - shape->rank;
        const uint32_t *array, *out = atoms->axes[output].atoms[out_axis];
        if (shape->dims[axis] == 1) continue;
        TSL_TRY(tsl_axis_get(atoms, addend, axis, &array));
        TSL_TRY(tsl_axis_join(atoms, node, out, array, dim(atoms, addend, axis)));
    }
    return TSLIM_OK;
}

tslim_status tsl_rule_gemm(tsl_atoms *atoms, const tsl_node *node) {
    bool trans_a = tsl_attrs_int(&node->attrs, TSL_ATTR_transA, 0) != 0;
    bool trans_b = tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0;
    product p = {.a = node->inputs[0],
        .b = node->inputs[1],
        .a_m = trans_a ? 1 : 0,
        .a_k = trans_a ? 0 : 1,
        .b_k = trans_b ? 1 : 0,
        .b_n = trans_b ? 0 : 1,
        .out_m = 0,
        .out_n = 1};
    tsl_layer layer = new_layer(atoms, node);
    TSL_TRY(add_product(atoms, node, &p, &layer));
    TSL_TRY(join_addend(atoms, node));
    return tsl_atoms_add_layer(atoms, &layer);
}

tslim_status tsl_rule_matmul(tsl_atoms *atoms, const tsl_node *node) {
    uint32_t a_rank = atoms->graph->values[node->inputs[0]].shape.rank;
    uint32_t b_rank = atoms->graph->values[node->inputs[1]].shape.rank;
    uint32_t output = node->outputs[0], rank = atoms->graph->values[output].shape.rank;
    if (a_rank < 2 || b_rank < 2) return tsl_node_lock(atoms, node, "has an operand with a single axis");
    product p = {.a = node->inputs[0],
        .b = node->inputs[1],
        .a_m = a_rank - 2,
        .a_k = a_rank - 1,
        .b_k = b_rank - 2,
        .b_n = b_rank - 1,
        .out_m = rank - 2,
        .out_n = rank - 1};
    tsl_layer layer = new_layer(atoms, node);
    TSL_TRY(add_product(atoms, node, &p, &layer));
    TSL_TRY(tsl_broadcast_axes(atoms, node, node->inputs, 2, 2, output));
    for (uint32_t axis = 0; axis + 2 < rank; axis++)
        tsl_layer_add_factor(&layer, atoms->axes[output].atoms[axis], dim(atoms, output, axis));
    return tsl_atoms_add_layer(atoms, &layer);
}
