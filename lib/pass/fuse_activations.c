// SPDX-License-Identifier: Apache-2.0
// Activation functions that exporters spell out become one node: fewer passes over memory, and in INT8 one
// table.
//   HardSigmoid(x) = clip(x + 3, 0, 6) / 6,  HardSwish(x) = x * HardSigmoid(x)  (Howard et al., 2019,
//   arXiv:1905.02244) SiLU(x) = x * sigmoid(x)                                                   (Elfwing et
//   al., 2017, arXiv:1702.03118)
//   Gelu(x) = 0.5 * x * (1 + erf(x / sqrt(2)))  (Hendrycks and Gimpel, 2016, arXiv:1606.08415)
#include <math.h>

#include "pass/pass.h"

typedef struct matcher {
    tslim_graph *graph;
    tsl_uses uses;
} matcher;

static bool is_about(float value, double wanted) {
    return fabs((double)value - wanted) < 1e-6 * fabs(wanted) + 1e-7;
}

// The node of operator `op` that makes a value which only `reader` reads; NULL otherwise.
static const tsl_node *producer_for(const matcher *m, uint32_t value, tsl_op op, uint32_t reader) {
    if (value == TSL_NONE) return NULL;
    uint32_t producer = m->graph->values[value].producer;
    if (producer == TSL_NONE || m->graph->nodes[producer].op != op) return NULL;
    const tsl_node *node = &m->graph->nodes[producer];
    if (node->epilogue.clamp || node->epilogue.residual >= 0) return NULL;
    return tsl_single_use(m->graph, &m->uses, value) == reader ? node : NULL;
}

// For `node` = f(value, constant scalar): the value, with the scalar in *scalar; TSL_NONE otherwise.
static uint32_t operand_with_scalar(const matcher *m, const tsl_node *node, bool either_side, float *scalar) {
    if (tsl_constant_scalar(tsl_node_input(m->graph, node, 1), scalar)) return node->inputs[0];
    if (either_side && tsl_constant_scalar(tsl_node_input(m->graph, node, 0), scalar)) return node->inputs[1];
    return TSL_NONE;
}

bool tsl_clip_bounds(const tslim_graph *graph, const tsl_node *node, float *lo, float *hi) {
    *lo = -INFINITY;
    *hi = INFINITY;
    if (node->op == TSL_OP_RELU) {
        *lo = 0;
        return true;
    }
    if (node->op != TSL_OP_CLIP) return false;
    const tsl_value *low = tsl_node_input(graph, node, 1), *high = tsl_node_input(graph, node, 2);
    if ((low && !tsl_constant_scalar(low, lo)) || (high && !tsl_constant_scalar(high, hi))) return false;
    if (graph->opset < 11) {
        *lo = tsl_attrs_float(&node->attrs, TSL_ATTR_min, -INFINITY);
        *hi = tsl_attrs_float(&node->attrs, TSL_ATTR_max, INFINITY);
    }
    return *lo <= *hi;
}

// value = clip(x + 3, 0, 6), read by `reader` alone: x; TSL_NONE otherwise.
static uint32_t match_relu6_of_sum(const matcher *m, uint32_t value, uint32_t reader) {
    const tsl_node *clip = producer_for(m, value, TSL_OP_CLIP, reader);
    float lo, hi, three;
    if (!clip || !tsl_clip_bounds(m->graph, clip, &lo, &hi) || lo != 0 || hi != 6) return TSL_NONE;
    const tsl_node *add = producer_for(m, clip->inputs[0], TSL_OP_ADD, m->graph->values[value].producer);
    if (!add) return TSL_NONE;
    uint32_t x = operand_with_scalar(m, add, true, &three);
    return x != TSL_NONE && three == 3 ? x : TSL_NONE;
}

// The value that `node` divides by 6 (or multiplies by 1/6); TSL_NONE otherwise.
static uint32_t match_sixth(const matcher *m, const tsl_node *node) {
    float scalar;
    if (node->op != TSL_OP_DIV && node->op != TSL_OP_MUL) return TSL_NONE;
    uint32_t value = operand_with_scalar(m, node, node->op == TSL_OP_MUL, &scalar);
    if (value == TSL_NONE) return TSL_NONE;
    return is_about(scalar, node->op == TSL_OP_DIV ? 6.0 : 1.0 / 6) ? value : TSL_NONE;
}

// Makes node `n` an `op` of x alone.
static void replace(matcher *m, uint32_t n, tsl_op op, uint32_t x) {
    tsl_node *node = &m->graph->nodes[n];
    const tsl_op_info *info = tsl_op_get_info(op);
    node->op = op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs[0] = x;
    node->n_inputs = 1;
    node->attrs.count = 0;
}

static tslim_status fuse_hard_sigmoid(matcher *m, uint32_t n, bool *changed) {
    uint32_t clip = match_sixth(m, &m->graph->nodes[n]);
    uint32_t x = clip == TSL_NONE ? TSL_NONE : match_relu6_of_sum(m, clip, n);
    if (x == TSL_NONE) return TSLIM_OK;
    replace(m, n, TSL_OP_HARD_SIGMOID, x);
    TSL_TRY(tsl_node_set_float(m->graph, &m->graph->nodes[n], TSL_ATTR_alpha, 1.0f / 6));
    TSL_TRY(tsl_node_set_float(m->graph, &m->graph->nodes[n], TSL_ATTR_beta, 0.5f));
    *changed = true;
    return TSLIM_OK;
}

// (x * clip(x + 3, 0, 6)) / 6
static bool fuse_hard_swish_of_product(matcher *m, uint32_t n) {
    uint32_t product = match_sixth(m, &m->graph->nodes[n]);
    const tsl_node *mul = product == TSL_NONE ? NULL : producer_for(m, product, TSL_OP_MUL, n);
    if (!mul) return false;
    uint32_t mul_index = m->graph->values[product].producer;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t x = match_relu6_of_sum(m, mul->inputs[side], mul_index);
        if (x == TSL_NONE || x != mul->inputs[1 - side]) continue;
        replace(m, n, TSL_OP_HARD_SWISH, x);
        return true;
    }
    return false;
}

// x * f(x), where f is HardSigmoid with HardSwish's constants, or Sigmoid
static bool fuse_gate(matcher *m, uint32_t n) {
    const tsl_node *mul = &m->graph->nodes[n];
    if (mul->op != TSL_OP_MUL) return false;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t gate = mul->inputs[side], x = mul->inputs[1 - side];
        const tsl_node *sigmoid = producer_for(m, gate, TSL_OP_SIGMOID, n);
        const tsl_node *hard = producer_for(m, gate, TSL_OP_HARD_SIGMOID, n);
        if (sigmoid && sigmoid->inputs[0] == x) {
            replace(m, n, TSL_OP_SILU, x);
            return true;
        }
        if (hard && hard->inputs[0] == x &&
            is_about(tsl_attrs_float(&hard->attrs, TSL_ATTR_alpha, 0.2f), 1.0 / 6) &&
            tsl_attrs_float(&hard->attrs, TSL_ATTR_beta, 0.5f) == 0.5f) {
            replace(m, n, TSL_OP_HARD_SWISH, x);
            return true;
        }
    }
    return false;
}

// ---- Gelu ----

#define MOST_FACTORS 3

// The factors of a product, through products that only this one reads. False when there are more.
static bool collect_factors(
    const matcher *m, uint32_t n, uint32_t depth, uint32_t factors[MOST_FACTORS], uint32_t *count) {
    const tsl_node *mul = &m->graph->nodes[n];
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t value = mul->inputs[i];
        if (depth < MOST_FACTORS && producer_for(m, value, TSL_OP_MUL, n)) {
            if (!collect_factors(m, m->graph->values[value].producer, depth + 1, factors, count))
                return false;
            continue;
        }
        if (*count == MOST_FACTORS) return false;
        factors[(*count)++] = value;
    }
    return true;
}

// value = 1 + erf(x / sqrt(2)), read by one node alone: x; TSL_NONE otherwise.
static uint32_t match_erf_sum(const matcher *m, uint32_t value) {
    const uint32_t reader = value == TSL_NONE ? TSL_NONE : tsl_single_use(m->graph, &m->uses, value);
    const tsl_node *add = reader == TSL_NONE ? NULL : producer_for(m, value, TSL_OP_ADD, reader);
    float scalar;
    const uint32_t sum = add ? operand_with_scalar(m, add, true, &scalar) : TSL_NONE;
    if (sum == TSL_NONE || scalar != 1) return TSL_NONE;
    const tsl_node *erf = producer_for(m, sum, TSL_OP_ERF, m->graph->values[value].producer);
    if (!erf) return TSL_NONE;
    const uint32_t scaled = erf->inputs[0], erf_index = m->graph->values[sum].producer;
    const tsl_node *div = producer_for(m, scaled, TSL_OP_DIV, erf_index);
    const tsl_node *mul = producer_for(m, scaled, TSL_OP_MUL, erf_index);
    const uint32_t x = div   ? operand_with_scalar(m, div, false, &scalar)
                       : mul ? operand_with_scalar(m, mul, true, &scalar)
                             : TSL_NONE;
    return x != TSL_NONE && is_about(scalar, div ? 1.4142135623730951 : 0.70710678118654752) ? x : TSL_NONE;
}

// 0.5 * x * (1 + erf(x / sqrt(2))), in any order
static bool fuse_gelu(matcher *m, uint32_t n) {
    uint32_t factors[MOST_FACTORS], count = 0;
    if (m->graph->nodes[n].op != TSL_OP_MUL || !collect_factors(m, n, 0, factors, &count) ||
        count != MOST_FACTORS)
        return false;
    for (uint32_t i = 0; i < MOST_FACTORS; i++) {
        const uint32_t x = match_erf_sum(m, factors[i]);
        for (uint32_t k = 0; x != TSL_NONE && k < MOST_FACTORS; k++) {
            float half;
            if (k == i || factors[k] != x ||
                !tsl_constant_scalar(&m->graph->values[factors[3 - i - k]], &half) || half != 0.5f)
                continue;
            replace(m, n, TSL_OP_GELU, x);
            return true;
        }
    }
    return false;
}

static tslim_status fuse(matcher *m, bool *changed) {
    for (uint32_t n = 0; n < m->graph->n_nodes; n++) {
        const tsl_value *output = tsl_node_output(m->graph, &m->graph->nodes[n], 0);
        if (!output || output->dtype != TSLIM_DTYPE_FLOAT) continue;
        TSL_TRY(fuse_hard_sigmoid(m, n, changed));
        if (m->graph->nodes[n].op == TSL_OP_HARD_SIGMOID) continue;
        if (fuse_hard_swish_of_product(m, n) || fuse_gate(m, n) || fuse_gelu(m, n)) *changed = true;
    }
    return TSLIM_OK;
}

tslim_status tsl_pass_fuse_activations(tslim_graph *graph) {
    bool changed = true;
    while (changed) { // a second round sees what the first made: x * (clip(x + 3, 0, 6) / 6)
        changed = false;
        matcher m = {.graph = graph};
        TSL_TRY(tsl_uses_find(graph, &m.uses));
        tslim_status status = fuse(&m, &changed);
        tsl_uses_free(&m.uses);
        TSL_TRY(status);
        TSL_TRY(tsl_pass_remove_dead(graph));
    }
    return TSLIM_OK;
}
