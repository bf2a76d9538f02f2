// SPDX-License-Identifier: Apache-2.0
// The scale of each INT8 value: the calibrated range over 127 steps. Values between which elements only move
// share one, so that nothing is rounded twice.
#include <math.h>

#include "quant/quantizer.h"

// Operands of a Concat whose ranges differ by no more than this share the largest one's scale.
#define CONCAT_SHARING 2.0f

// Values of one scale form a tree (union-find); the root holds the largest threshold.
typedef struct scale_groups {
    tsl_quantizer *q;
    uint32_t *parent;
    float *threshold; // negative: not stored in INT8
} scale_groups;

static uint32_t find_root(scale_groups *g, uint32_t value) {
    while (g->parent[value] != value) value = g->parent[value] = g->parent[g->parent[value]];
    return value;
}

static void join(scale_groups *g, uint32_t a, uint32_t b) {
    a = find_root(g, a);
    b = find_root(g, b);
    g->parent[b] = a;
    g->threshold[a] = fmaxf(g->threshold[a], g->threshold[b]);
}

static tslim_status need_threshold(scale_groups *g, uint32_t value) {
    const tsl_value *v = &g->q->graph->values[value];
    if (tsl_value_is_constant(v) || g->threshold[value] >= 0) return TSLIM_OK;
    return tsl_calibration_threshold(g->q->calibration, v->name, &g->threshold[value]);
}

static tslim_status find_thresholds(scale_groups *g) {
    const tsl_quantizer *q = g->q;
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        if (!tsl_runs_in_int8(q, n)) continue;
        const tsl_node *node = &q->graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE && tsl_is_data_operand(node, i))
                TSL_TRY(need_threshold(g, node->inputs[i]));
        for (uint32_t i = 0; i < node->n_outputs && !q->to_float[n]; i++)
            if (node->outputs[i] != TSL_NONE) TSL_TRY(need_threshold(g, node->outputs[i]));
    }
    return TSLIM_OK;
}

static void join_concat(scale_groups *g, const tsl_node *node) {
    uint32_t output = node->outputs[0];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        float input = g->threshold[find_root(g, node->inputs[i])];
        if (input * CONCAT_SHARING >= g->threshold[find_root(g, output)]) join(g, output, node->inputs[i]);
    }
}

static void join_groups(scale_groups *g) {
    const tsl_quantizer *q = g->q;
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        const tsl_node *node = &q->graph->nodes[n];
        if (!tsl_runs_in_int8(q, n)) continue;
        if (tsl_keeps_scale(node))
            for (uint32_t i = 0; i < node->n_outputs; i++)
                if (node->outputs[i] != TSL_NONE) join(g, node->inputs[0], node->outputs[i]);
    }
    for (uint32_t n = 0; n < q->n_nodes; n++)
        if (tsl_runs_in_int8(q, n) && q->graph->nodes[n].op == TSL_OP_CONCAT)
            join_concat(g, &q->graph->nodes[n]);
}

tslim_status tsl_choose_scales(tsl_quantizer *q) {
    scale_groups g = {.q = q,
        .parent = tsl_arena_array(&q->arena, q->n_values, sizeof(uint32_t)),
        .threshold = tsl_arena_array(&q->arena, q->n_values, sizeof(float))};
    TSL_REQUIRE_MEMORY(g.parent && g.threshold ? q : NULL, q->n_values * sizeof(uint32_t));
    for (uint32_t v = 0; v < q->n_values; v++) {
        g.parent[v] = v;
        g.threshold[v] = -1;
    }
    TSL_TRY(find_thresholds(&g));
    join_groups(&g);
    for (uint32_t v = 0; v < q->n_values; v++) {
        if (g.threshold[v] < 0) continue;
        float scale = g.threshold[find_root(&g, v)] / 127;
        // A value that was always 0 stays 0 at any scale; a range of subnormal numbers is as good as 0.
        q->scale[v] = scale >= 1e-30f ? scale : 1;
    }
    return TSLIM_OK;
}
