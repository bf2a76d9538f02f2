// SPDX-License-Identifier: Apache-2.0
// Gradients of normalizations: y = (x - mean) / deviation * scale + bias.
#include "train/gradient.h"

// ---- BatchNormalization ----

// Training mode: outputs 3 and 4 become the batch's mean and 1 / deviation, where the node lacks them.
static void add_saved_outputs(tsl_gradient *g, uint32_t node) {
    if (tsl_y(g, 3) != TSL_NONE && tsl_y(g, 4) != TSL_NONE) return;
    const tsl_shape shape = tsl_shape_of(g, tsl_x(g, 3));
    uint32_t *outputs = tsl_arena_array(&g->graph->arena, 5, sizeof(*outputs));
    if (!outputs) {
        tsl_check(g, tsl_no_memory(5 * sizeof(*outputs)));
        return;
    }
    for (uint32_t i = 0; i < 5; i++) {
        outputs[i] = tsl_y(g, i);
        if (outputs[i] != TSL_NONE || i < 3) continue;
        tsl_check(g, tsl_graph_add_value(g->graph, "batch", g->dtype, &outputs[i]));
        if (g->status != TSLIM_OK) return;
        g->graph->values[outputs[i]].shape = shape;
        g->graph->values[outputs[i]].producer = node;
    }
    g->graph->nodes[node].outputs = g->node.outputs = outputs;
    g->graph->nodes[node].n_outputs = g->node.n_outputs = 5;
}

static void batch_in_training(tsl_gradient *g) {
    add_saved_outputs(g, g->graph->values[tsl_y(g, 0)].producer);
    const uint32_t operands[] = {g->dy[0], tsl_x(g, 0), tsl_x(g, 1), tsl_y(g, 3), tsl_y(g, 4)};
    tsl_begin(g, TSL_OP_BATCH_NORMALIZATION_GRADIENT, 5, operands, 3);
    tsl_end(g);
    for (uint32_t i = 0; i < 3; i++) tsl_give(g, i, tsl_end_result(g, i));
}

// By fixed statistics it is y = x * a + b for each channel.
static void batch_at_inference(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), vector = tsl_shape_of(g, tsl_x(g, 1));
    const uint32_t others = ((1u << x.rank) - 1) & ~2u, dy = g->dy[0];
    tsl_shape broad = x;
    for (uint32_t i = 0; i < x.rank; i++)
        if (i != 1) broad.dims[i] = 1;
    if (tsl_wants(g, 3) || tsl_wants(g, 4)) tsl_refuse(g, "its running statistics are computed");
    const double epsilon = (double)tsl_attrs_float(&g->node.attrs, TSL_ATTR_epsilon, 1e-5f);
    const uint32_t variance = tsl_combine(g, TSL_OP_ADD, tsl_x(g, 4), tsl_number(g, epsilon));
    const uint32_t inverse = tsl_apply(g, TSL_OP_RECIPROCAL, tsl_apply(g, TSL_OP_SQRT, variance));
    if (tsl_wants(g, 0)) {
        const uint32_t a = tsl_combine(g, TSL_OP_MUL, tsl_x(g, 1), inverse);
        tsl_give(g, 0, tsl_combine(g, TSL_OP_MUL, dy, tsl_reshaped_like(g, a, &broad)));
    }
    if (tsl_wants(g, 1)) {
        const uint32_t mean = tsl_reshaped_like(g, tsl_x(g, 3), &broad);
        const uint32_t centered = tsl_combine(g, TSL_OP_SUB, tsl_x(g, 0), mean);
        const uint32_t sum =
            tsl_reduced(g, TSL_OP_REDUCE_SUM, tsl_combine(g, TSL_OP_MUL, dy, centered), others);
        tsl_give(g, 1, tsl_combine(g, TSL_OP_MUL, tsl_reshaped_like(g, sum, &vector), inverse));
    }
    if (tsl_wants(g, 2))
        tsl_give(g, 2, tsl_reshaped_like(g, tsl_reduced(g, TSL_OP_REDUCE_SUM, dy, others), &vector));
}

void tsl_gradient_batch_normalization(tsl_gradient *g) {
    for (uint32_t i = 1; i < g->node.n_outputs; i++)
        if (g->dy[i] != TSL_NONE) tsl_refuse(g, "the loss depends on its statistics");
    if (g->status != TSLIM_OK || g->dy[0] == TSL_NONE) return;
    if (tsl_attribute(g, TSL_ATTR_training_mode, 0) != 0)
        batch_in_training(g);
    else
        batch_at_inference(g);
}

// ---- Groups of elements ----

// x over the axes of `mask`, with a scale and bias that broadcast to it:
// with n = (x - mean) / deviation and d = dy * scale: dx = (d - mean(d) - n * mean(d * n)) / deviation
static void normalized(tsl_gradient *g, uint32_t x, uint32_t dy, uint32_t mask, uint32_t scale) {
    const double epsilon = (double)tsl_attrs_float(&g->node.attrs, TSL_ATTR_epsilon, 1e-5f);
    const uint32_t centered = tsl_combine(g, TSL_OP_SUB, x, tsl_reduced(g, TSL_OP_REDUCE_MEAN, x, mask));
    const uint32_t variance =
        tsl_reduced(g, TSL_OP_REDUCE_MEAN, tsl_combine(g, TSL_OP_MUL, centered, centered), mask);
    const uint32_t deviation =
        tsl_apply(g, TSL_OP_SQRT, tsl_combine(g, TSL_OP_ADD, variance, tsl_number(g, epsilon)));
    const uint32_t n = tsl_combine(g, TSL_OP_DIV, centered, deviation);
    if (tsl_wants(g, 0)) {
        const tsl_shape shape = tsl_shape_of(g, tsl_x(g, 0));
        const uint32_t d = tsl_combine(g, TSL_OP_MUL, dy, scale);
        const uint32_t mean = tsl_reduced(g, TSL_OP_REDUCE_MEAN, d, mask);
        const uint32_t along = tsl_reduced(g, TSL_OP_REDUCE_MEAN, tsl_combine(g, TSL_OP_MUL, d, n), mask);
        const uint32_t rest = tsl_combine(
            g, TSL_OP_SUB, tsl_combine(g, TSL_OP_SUB, d, mean), tsl_combine(g, TSL_OP_MUL, n, along));
        tsl_give(g, 0, tsl_reshaped_like(g, tsl_combine(g, TSL_OP_DIV, rest, deviation), &shape));
    }
    const tsl_shape broad = tsl_shape_of(g, scale);
    for (uint32_t i = 1; i < 3; i++) {
        if (!tsl_wants(g, i)) continue;
        const tsl_shape shape = tsl_shape_of(g, tsl_x(g, i));
        const uint32_t part = i == 1 ? tsl_combine(g, TSL_OP_MUL, dy, n) : dy;
        tsl_give(g, i, tsl_reshaped_like(g, tsl_summed_to(g, part, &broad), &shape));
    }
}

void tsl_gradient_layer_normalization(tsl_gradient *g) {
    const uint32_t rank = tsl_shape_of(g, tsl_x(g, 0)).rank;
    int64_t axis = tsl_attribute(g, TSL_ATTR_axis, -1);
    if (axis < 0) axis += rank;
    if ((g->node.n_outputs > 1 && g->dy[1] != TSL_NONE) || (g->node.n_outputs > 2 && g->dy[2] != TSL_NONE))
        tsl_refuse(g, "the loss depends on its statistics");
    if (g->status != TSLIM_OK || g->dy[0] == TSL_NONE) return;
    normalized(g, tsl_x(g, 0), g->dy[0], ((1u << rank) - 1) & (UINT32_MAX << axis), tsl_x(g, 1));
}

// Channels in groups, each channel's (or group's) pixels side by side: [batch][group][channel][pixel].
static void normalized_channels(tsl_gradient *g, int64_t groups) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), given = tsl_shape_of(g, tsl_x(g, 1));
    int64_t dims[4] = {x.dims[0], groups, x.dims[1] / groups, 1};
    for (uint32_t i = 2; i < x.rank; i++) dims[3] *= x.dims[i];
    const int64_t scale_dims[4] = {1, groups, given.dims[0] / groups, 1};
    const uint32_t scale = tsl_reshaped(g, tsl_x(g, 1), 4, scale_dims);
    normalized(g, tsl_reshaped(g, tsl_x(g, 0), 4, dims), tsl_reshaped(g, g->dy[0], 4, dims), 12, scale);
}

void tsl_gradient_instance_normalization(tsl_gradient *g) {
    normalized_channels(g, tsl_shape_of(g, tsl_x(g, 0)).dims[1]);
}

void tsl_gradient_group_normalization(tsl_gradient *g) {
    normalized_channels(g, tsl_attribute(g, TSL_ATTR_num_groups, 1));
}
