// SPDX-License-Identifier: Apache-2.0
// Layer normalization that exporters spell out becomes one node (Ba et al., 2016, arXiv:1607.06450):
//   d = x - mean(x);  y = d / sqrt(mean(d * d) + epsilon) * scale + shift, means along the last axis
#include "ir/shape_infer.h"
#include "pass/pass.h"

// The node of operator `op` that makes operand `input` of `node`, in float; NULL otherwise.
static const tsl_node *producer(const tslim_graph *graph, const tsl_node *node, uint32_t input, tsl_op op) {
    const tsl_value *value = node ? tsl_node_input(graph, node, input) : NULL;
    if (!value || value->producer == TSL_NONE || value->dtype != TSLIM_DTYPE_FLOAT) return NULL;
    const tsl_node *made_by = &graph->nodes[value->producer];
    return made_by->op == op && !made_by->epilogue.clamp && made_by->epilogue.residual < 0 ? made_by : NULL;
}

static bool is_mean_of_rows(const tslim_graph *graph, const tsl_node *node) {
    int64_t axis;
    size_t count;
    if (!node || tsl_attrs_int(&node->attrs, TSL_ATTR_keepdims, 1) == 0 ||
        !tsl_node_get_ints(graph, node, TSL_ATTR_axes, 1, &axis, 1, &count) || count != 1)
        return false;
    const tsl_attr *attr = tsl_attrs_find(&node->attrs, TSL_ATTR_axes);
    const tsl_value *operand = tsl_node_input(graph, node, 1);
    if (attr ? attr->type == TSL_ATTR_TYPE_INTS && attr->count != 1
             : operand->shape.rank == 1 && operand->shape.dims[0] != 1)
        return false;
    const tsl_shape *x = &tsl_node_input(graph, node, 0)->shape;
    return axis == -1 || (x->known && axis == (int64_t)x->rank - 1);
}

// d = x - mean(x): x; TSL_NONE otherwise.
static uint32_t match_centered(const tslim_graph *graph, const tsl_node *sub) {
    const tsl_node *mean = producer(graph, sub, 1, TSL_OP_REDUCE_MEAN);
    return is_mean_of_rows(graph, mean) && mean->inputs[0] == sub->inputs[0] ? sub->inputs[0] : TSL_NONE;
}

// The square of d, which may be computed once more: x; TSL_NONE otherwise.
static uint32_t match_square(const tslim_graph *graph, const tsl_node *mean) {
    const tsl_node *pow = producer(graph, mean, 0, TSL_OP_POW), *mul = producer(graph, mean, 0, TSL_OP_MUL);
    float exponent;
    if (pow && tsl_constant_scalar(tsl_node_input(graph, pow, 1), &exponent) && exponent == 2)
        return match_centered(graph, producer(graph, pow, 0, TSL_OP_SUB));
    if (mul && mul->inputs[0] == mul->inputs[1])
        return match_centered(graph, producer(graph, mul, 0, TSL_OP_SUB));
    return TSL_NONE;
}

// For d / sqrt(mean(d * d) + epsilon): x, and epsilon; TSL_NONE otherwise.
static uint32_t match_quotient(const tslim_graph *graph, const tsl_node *div, float *epsilon) {
    const tsl_node *sub = producer(graph, div, 0, TSL_OP_SUB), *root = producer(graph, div, 1, TSL_OP_SQRT);
    const tsl_node *add = producer(graph, root, 0, TSL_OP_ADD);
    if (!sub || !add) return TSL_NONE;
    const uint32_t side = tsl_constant_scalar(tsl_node_input(graph, add, 1), epsilon) ? 0 : 1;
    if (side == 1 && !tsl_constant_scalar(tsl_node_input(graph, add, 0), epsilon)) return TSL_NONE;
    const tsl_node *variance = producer(graph, add, side, TSL_OP_REDUCE_MEAN);
    if (!is_mean_of_rows(graph, variance)) return TSL_NONE;
    const uint32_t x = match_centered(graph, sub);
    return x != TSL_NONE && match_square(graph, variance) == x ? x : TSL_NONE;
}

// The operand of `node` beside `value`, when it is a constant with an element for each of a row of x.
static uint32_t row_constant(
    const tslim_graph *graph, const tsl_node *node, uint32_t value, const tsl_value *x) {
    for (uint32_t i = 0; i < 2; i++) {
        const tsl_value *other = tsl_node_input(graph, node, i);
        if (node->inputs[1 - i] != value || !other || !tsl_value_is_constant(other) ||
            other->dtype != TSLIM_DTYPE_FLOAT || other->shape.rank == 0 || other->shape.rank > x->shape.rank)
            continue;
        const int64_t length = other->shape.dims[other->shape.rank - 1],
                      dim = x->shape.dims[x->shape.rank - 1];
        if (length > 1 && other->bytes == (size_t)length * sizeof(float) && (dim == length || dim < 0))
            return node->inputs[i];
    }
    return TSL_NONE;
}

static tslim_status fuse(tslim_graph *graph, const tsl_uses *uses, uint32_t n, bool *fused) {
    float epsilon;
    const tsl_node *div = &graph->nodes[n];
    const uint32_t x = div->op == TSL_OP_DIV ? match_quotient(graph, div, &epsilon) : TSL_NONE;
    if (x == TSL_NONE || graph->values[x].dtype != TSLIM_DTYPE_FLOAT || !graph->values[x].shape.known)
        return TSLIM_OK;
    const uint32_t scaled = tsl_single_use(graph, uses, div->outputs[0]);
    if (scaled == TSL_NONE || graph->nodes[scaled].op != TSL_OP_MUL) return TSLIM_OK;
    const uint32_t scale = row_constant(graph, &graph->nodes[scaled], div->outputs[0], &graph->values[x]);
    if (scale == TSL_NONE) return TSLIM_OK;
    const uint32_t product = graph->nodes[scaled].outputs[0], shifted = tsl_single_use(graph, uses, product);
    uint32_t last = scaled, shift = TSL_NONE;
    if (shifted != TSL_NONE && graph->nodes[shifted].op == TSL_OP_ADD)
        shift = row_constant(graph, &graph->nodes[shifted], product, &graph->values[x]);
    if (shift != TSL_NONE) last = shifted;
    if (graph->values[graph->nodes[last].outputs[0]].dtype != TSLIM_DTYPE_FLOAT) return TSLIM_OK;
    const tsl_op_info *info = tsl_op_get_info(TSL_OP_LAYER_NORMALIZATION);
    tsl_node *node = &graph->nodes[last];
    node->op = TSL_OP_LAYER_NORMALIZATION;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs[0] = x;
    node->inputs[1] = scale;
    node->attrs.count = 0;
    if (shift != TSL_NONE) TSL_TRY(tsl_node_add_input(graph, node, shift));
    TSL_TRY(tsl_node_set_int(graph, &graph->nodes[last], TSL_ATTR_axis, -1));
    *fused = true;
    return tsl_node_set_float(graph, &graph->nodes[last], TSL_ATTR_epsilon, epsilon);
}

tslim_status tsl_pass_fuse_normalization(tslim_graph *graph) {
    bool fused = false;
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses)); // what is fused is read by nobody else
    tslim_status status = TSLIM_OK;
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++)
        status = fuse(graph, &uses, n, &fused);
    tsl_uses_free(&uses);
    TSL_TRY(status);
    return fused ? tsl_pass_remove_dead(graph) : TSLIM_OK;
}
