// SPDX-License-Identifier: Apache-2.0
// The scale and the zero point of each INT8 value, from its calibrated range. Values between which elements
// only move share them, so that nothing is rounded twice.
#include <math.h>

#include "quant/quantizer.h"

// Operands of a Concat whose ranges differ by no more than this share the largest one's scale.
#define CONCAT_SHARING 2.0f
// Asymmetric steps must be finer by this factor: symmetric tensors have the faster kernels, on every backend.
#define LEAST_GAIN 1.2f

typedef struct range {
    float minimum, maximum; // minimum <= 0 <= maximum
    bool known; // stored in INT8
} range;

// Values of one scale form a tree (union-find); the root holds the range that covers all of them.
typedef struct scale_groups {
    tsl_quantizer *q;
    uint32_t *parent;
    range *range;
} scale_groups;

static uint32_t find_root(scale_groups *g, uint32_t value) {
    while (g->parent[value] != value) value = g->parent[value] = g->parent[g->parent[value]];
    return value;
}

static void join(scale_groups *g, uint32_t a, uint32_t b) {
    a = find_root(g, a);
    b = find_root(g, b);
    g->parent[b] = a;
    range *to = &g->range[a], *from = &g->range[b];
    to->minimum = fminf(to->minimum, from->minimum);
    to->maximum = fmaxf(to->maximum, from->maximum);
    to->known |= from->known;
}

static float largest(const range *r) {
    return fmaxf(-r->minimum, r->maximum);
}

// ---- Ranges ----

// Arguments outside of these have the same results as those at the ends.
static void find_saturation(const tsl_node *node, float *floor, float *ceiling) {
    *floor = -INFINITY;
    *ceiling = INFINITY;
    if (node->op == TSL_OP_HARD_SWISH) *floor = -3;
    if (node->op != TSL_OP_HARD_SIGMOID) return;
    float alpha = tsl_attrs_float(&node->attrs, TSL_ATTR_alpha, 0.2f);
    float beta = tsl_attrs_float(&node->attrs, TSL_ATTR_beta, 0.5f);
    if (!(alpha > 0 && beta >= 0 && beta <= 1)) return;
    *floor = -beta / alpha;
    *ceiling = (1 - beta) / alpha;
}

// What all readers of a value can tell apart.
static void find_limits(const tsl_quantizer *q, uint32_t value, float *floor, float *ceiling) {
    bool read = q->uses.first[value] < q->uses.first[value + 1] && !tsl_graph_is_output(q->graph, value);
    *floor = read ? 0 : -INFINITY;
    *ceiling = read ? 0 : INFINITY;
    for (uint32_t u = q->uses.first[value]; u < q->uses.first[value + 1]; u++) {
        float lo, hi;
        find_saturation(&q->graph->nodes[q->uses.nodes[u]], &lo, &hi);
        *floor = fminf(*floor, lo);
        *ceiling = fmaxf(*ceiling, hi);
    }
}

// How much finer asymmetric steps are.
static float asymmetric_gain(float minimum, float maximum) {
    float width = maximum - minimum;
    return width > 0 ? fmaxf(-minimum, maximum) / 127 / (width / 255) : 1;
}

// Ranges that begin at 0 have a kind of kernels for them, which is the fastest on processors without VNNI.
static bool wants_asymmetric(const tsl_quantizer *q, float minimum, float maximum) {
    return !q->symmetric && minimum < 0 && asymmetric_gain(minimum, maximum) >= LEAST_GAIN;
}

// Of the pixels that become a transposed convolution's the calibration knows nothing: optimizing has made
// them. DepthToSpace only moves them: they are seen as the result is.
static const tsl_observer *observer_of(const tsl_quantizer *q, uint32_t value) {
    const tsl_observer *own = q->seen[value].observer;
    if (own || tsl_uses_count(&q->uses, value) != 1) return own;
    const tsl_node *reader = &q->graph->nodes[q->uses.nodes[q->uses.first[value]]];
    return reader->op == TSL_OP_DEPTH_TO_SPACE ? q->seen[reader->outputs[0]].observer : NULL;
}

static tslim_status need_range(scale_groups *g, uint32_t value) {
    const tsl_quantizer *q = g->q;
    const tsl_value *v = &q->graph->values[value];
    range *r = &g->range[value];
    if (tsl_value_is_constant(v) || r->known) return TSLIM_OK;
    float floor, ceiling;
    find_limits(q, value, &floor, &ceiling);
    const tsl_observer *o = observer_of(q, value);
    TSL_TRY(tsl_calibration_choose_range(
        q->calibration, v->name, o, floor, ceiling, true, &r->minimum, &r->maximum));
    if (wants_asymmetric(q, r->minimum, r->maximum))
        TSL_TRY(tsl_calibration_choose_range(
            q->calibration, v->name, o, floor, ceiling, false, &r->minimum, &r->maximum));
    r->known = true;
    return TSLIM_OK;
}

static tslim_status find_ranges(scale_groups *g) {
    const tsl_quantizer *q = g->q;
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        if (!tsl_runs_in_int8(q, n)) continue;
        const tsl_node *node = &q->graph->nodes[n];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE && tsl_is_data_operand(node, i) &&
                q->chain[n] != TSL_CHAIN_INSIDE && q->chain[n] != TSL_CHAIN_LAST)
                TSL_TRY(need_range(g, node->inputs[i]));
        bool float_output =
            q->to_float[n] || q->chain[n] == TSL_CHAIN_FIRST || q->chain[n] == TSL_CHAIN_INSIDE;
        for (uint32_t i = 0; i < node->n_outputs && !float_output; i++)
            if (node->outputs[i] != TSL_NONE) TSL_TRY(need_range(g, node->outputs[i]));
    }
    return TSLIM_OK;
}

// ---- Sharing ----

static void join_concat(scale_groups *g, const tsl_node *node) {
    uint32_t output = node->outputs[0];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        float input = largest(&g->range[find_root(g, node->inputs[i])]);
        if (input * CONCAT_SHARING >= largest(&g->range[find_root(g, output)]))
            join(g, output, node->inputs[i]);
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

// 0 is a stored number in either form: paddings are exact.
static void set_scale(tsl_quantizer *q, uint32_t value, const range *r) {
    bool asymmetric = wants_asymmetric(q, r->minimum, r->maximum);
    float scale = asymmetric ? (r->maximum - r->minimum) / 255 : largest(r) / 127;
    // A value that was always 0 stays 0 at any scale; a range of subnormal numbers is as good as 0.
    q->scale[value] = scale >= 1e-30f ? scale : 1;
    q->zero_point[value] = asymmetric ? (int32_t)rintf(-128 - r->minimum / q->scale[value]) : 0;
}

tslim_status tsl_choose_scales(tsl_quantizer *q) {
    scale_groups g = {.q = q,
        .parent = tsl_arena_array(&q->arena, q->n_values, sizeof(uint32_t)),
        .range = tsl_arena_array(&q->arena, q->n_values, sizeof(range))};
    TSL_REQUIRE_MEMORY(g.parent && g.range ? q : NULL, q->n_values * sizeof(range));
    for (uint32_t v = 0; v < q->n_values; v++) g.parent[v] = v;
    TSL_TRY(find_ranges(&g));
    join_groups(&g);
    for (uint32_t v = 0; v < q->n_values; v++)
        if (g.range[v].known) set_scale(q, v, &g.range[find_root(&g, v)]);
    return TSLIM_OK;
}
