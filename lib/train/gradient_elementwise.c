// SPDX-License-Identifier: Apache-2.0
// Gradients of functions of two and more values; tsl_give sums up what was broadcast.
#include "train/gradient.h"

void tsl_gradient_add(tsl_gradient *g) {
    tsl_give(g, 0, g->dy[0]);
    tsl_give(g, 1, g->dy[0]);
}

void tsl_gradient_sub(tsl_gradient *g) {
    tsl_give(g, 0, g->dy[0]);
    if (tsl_wants(g, 1)) tsl_give(g, 1, tsl_apply(g, TSL_OP_NEG, g->dy[0]));
}

void tsl_gradient_mul(tsl_gradient *g) {
    for (uint32_t i = 0; i < 2; i++)
        if (tsl_wants(g, i)) tsl_give(g, i, tsl_combine(g, TSL_OP_MUL, g->dy[0], tsl_x(g, 1 - i)));
}

// y = a / b: da = dy / b, db = -dy * y / b
void tsl_gradient_div(tsl_gradient *g) {
    const uint32_t da = tsl_combine(g, TSL_OP_DIV, g->dy[0], tsl_x(g, 1));
    if (tsl_wants(g, 0)) tsl_give(g, 0, da);
    if (tsl_wants(g, 1))
        tsl_give(g, 1, tsl_apply(g, TSL_OP_NEG, tsl_combine(g, TSL_OP_MUL, da, tsl_y(g, 0))));
}

// y = a^b: da = dy * b * a^(b - 1), db = dy * y * log(a)
void tsl_gradient_pow(tsl_gradient *g) {
    const uint32_t a = tsl_x(g, 0), dy = g->dy[0];
    uint32_t b = tsl_x(g, 1);
    if (g->graph->values[b].dtype != g->dtype) { // the exponent may be of another type
        tsl_begin(g, TSL_OP_CAST, 1, &b, 1);
        tsl_with_int(g, TSL_ATTR_to, g->dtype);
        b = tsl_end(g);
    }
    if (tsl_wants(g, 0)) {
        const uint32_t power = tsl_combine(g, TSL_OP_POW, a, tsl_combine(g, TSL_OP_SUB, b, tsl_number(g, 1)));
        tsl_give(g, 0, tsl_combine(g, TSL_OP_MUL, tsl_combine(g, TSL_OP_MUL, dy, b), power));
    }
    if (tsl_wants(g, 1)) {
        const uint32_t slope = tsl_combine(g, TSL_OP_MUL, tsl_y(g, 0), tsl_apply(g, TSL_OP_LOG, a));
        tsl_give(g, 1, tsl_combine(g, TSL_OP_MUL, dy, slope));
    }
}

void tsl_gradient_where(tsl_gradient *g) {
    const uint32_t zero = tsl_number(g, 0);
    for (uint32_t i = 1; i < 3; i++) {
        if (!tsl_wants(g, i)) continue;
        const uint32_t operands[] = {tsl_x(g, 0), i == 1 ? g->dy[0] : zero, i == 1 ? zero : g->dy[0]};
        tsl_begin(g, TSL_OP_WHERE, 3, operands, 1);
        tsl_give(g, i, tsl_end(g));
    }
}

void tsl_gradient_sum(tsl_gradient *g) {
    for (uint32_t i = 0; i < g->node.n_inputs; i++) tsl_give(g, i, g->dy[0]);
}

void tsl_gradient_mean(tsl_gradient *g) {
    const uint32_t part = tsl_times(g, g->dy[0], 1 / (double)g->node.n_inputs);
    for (uint32_t i = 0; i < g->node.n_inputs; i++) tsl_give(g, i, part);
}

// Max and Min: operands that are equal share.
void tsl_gradient_extremum(tsl_gradient *g) {
    const uint32_t y = tsl_y(g, 0);
    uint32_t count = TSL_NONE;
    for (uint32_t i = 0; i < g->node.n_inputs; i++) {
        const uint32_t here = tsl_mask(g, tsl_combine(g, TSL_OP_EQUAL, tsl_x(g, i), y));
        count = i == 0 ? here : tsl_combine(g, TSL_OP_ADD, count, here);
        if (tsl_wants(g, i)) g->dx[i] = here;
    }
    const uint32_t share = tsl_combine(g, TSL_OP_DIV, g->dy[0], count);
    for (uint32_t i = 0; i < g->node.n_inputs; i++)
        if (tsl_wants(g, i)) tsl_give(g, i, tsl_combine(g, TSL_OP_MUL, share, g->dx[i]));
}
