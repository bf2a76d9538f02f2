// SPDX-License-Identifier: Apache-2.0
// Gradients of functions of one value, element by element.
#include "train/gradient.h"

// Where the derivative follows from the result alone, the operand need not be kept: see cpu/function.h.
static bool by_result(tsl_op op) {
    switch (op) {
    case TSL_OP_RELU:
    case TSL_OP_CLIP:
    case TSL_OP_SIGMOID:
    case TSL_OP_HARD_SIGMOID:
    case TSL_OP_TANH:
    case TSL_OP_EXP:
    case TSL_OP_SQRT:
    case TSL_OP_RECIPROCAL:
        return true;
    default:
        return false;
    }
}

void tsl_gradient_function(tsl_gradient *g) {
    const uint32_t value = by_result(g->node.op) ? tsl_y(g, 0) : tsl_x(g, 0);
    const uint32_t inputs[] = {g->dy[0], value, tsl_x(g, 1), tsl_x(g, 2)}; // Clip's bounds
    tsl_begin(g, TSL_OP_FUNCTION_GRADIENT, g->node.n_inputs > 1 ? g->node.n_inputs + 1 : 2, inputs, 1);
    tsl_with_its_attributes(g);
    tsl_with_string(g, TSL_ATTR_mode, tsl_op_get_info(g->node.op)->name);
    tsl_give(g, 0, tsl_end(g));
}

void tsl_gradient_identity(tsl_gradient *g) {
    tsl_give(g, 0, g->dy[0]);
}

// As it runs here: without training_mode nothing is dropped.
void tsl_gradient_dropout(tsl_gradient *g) {
    if (tsl_x(g, 2) != TSL_NONE) {
        tsl_refuse(g, "Dropout with training_mode");
        return;
    }
    tsl_give(g, 0, g->dy[0]);
}

void tsl_gradient_cast(tsl_gradient *g) {
    if (!tsl_wants(g, 0)) return;
    const tslim_dtype dtype = g->graph->values[tsl_x(g, 0)].dtype;
    tsl_begin(g, TSL_OP_CAST, 1, &g->dy[0], 1);
    tsl_with_int(g, TSL_ATTR_to, dtype);
    tsl_give(g, 0, tsl_end(g));
}

// y = x where x >= 0, slope * x elsewhere.
void tsl_gradient_prelu(tsl_gradient *g) {
    const uint32_t x = tsl_x(g, 0), slope = tsl_x(g, 1), dy = g->dy[0];
    const uint32_t below = tsl_combine(g, TSL_OP_LESS, x, tsl_number(g, 0));
    if (tsl_wants(g, 0)) {
        const uint32_t operands[] = {below, tsl_combine(g, TSL_OP_MUL, dy, slope), dy};
        tsl_begin(g, TSL_OP_WHERE, 3, operands, 1);
        tsl_give(g, 0, tsl_end(g));
    }
    if (tsl_wants(g, 1)) {
        const uint32_t operands[] = {below, tsl_combine(g, TSL_OP_MUL, dy, x), tsl_number(g, 0)};
        tsl_begin(g, TSL_OP_WHERE, 3, operands, 1);
        tsl_give(g, 1, tsl_end(g));
    }
}

// ---- Softmax: dx = y * (dy - sum(dy * y)); its logarithm: dx = dy - exp(y) * sum(dy) ----

// Before opset 13 all axes from `axis` on are one.
static uint32_t softmax_axes(tsl_gradient *g) {
    const bool flat = g->graph->opset < 13;
    const uint32_t rank = tsl_shape_of(g, tsl_y(g, 0)).rank;
    int64_t axis = tsl_attribute(g, TSL_ATTR_axis, flat ? 1 : -1);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis > (int64_t)rank || axis > 31) return 0;
    return flat ? ((1u << rank) - 1) & (UINT32_MAX << axis) : 1u << axis;
}

void tsl_gradient_softmax(tsl_gradient *g) {
    const uint32_t y = tsl_y(g, 0), dy = g->dy[0];
    const uint32_t sum =
        tsl_reduced(g, TSL_OP_REDUCE_SUM, tsl_combine(g, TSL_OP_MUL, dy, y), softmax_axes(g));
    tsl_give(g, 0, tsl_combine(g, TSL_OP_MUL, y, tsl_combine(g, TSL_OP_SUB, dy, sum)));
}

void tsl_gradient_log_softmax(tsl_gradient *g) {
    const uint32_t dy = g->dy[0], sum = tsl_reduced(g, TSL_OP_REDUCE_SUM, dy, softmax_axes(g));
    const uint32_t part = tsl_combine(g, TSL_OP_MUL, tsl_apply(g, TSL_OP_EXP, tsl_y(g, 0)), sum);
    tsl_give(g, 0, tsl_combine(g, TSL_OP_SUB, dy, part));
}
