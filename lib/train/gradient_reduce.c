// SPDX-License-Identifier: Apache-2.0
// Gradients of reductions.
#include "ir/shape_functions.h"
#include "train/gradient.h"

typedef struct reduction {
    uint32_t mask; // of the axes
    tsl_shape kept; // of the result with the reduced axes as 1
    double count; // of elements that make one
    uint32_t dy; // of shape `kept`
} reduction;

static tslim_status find_axes(const tsl_gradient *g, uint32_t rank, uint32_t *mask) {
    tsl_numbers axes;
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_axes, 1, &axes));
    const bool nothing = tsl_attribute(g, TSL_ATTR_noop_with_empty_axes, 0) != 0;
    *mask = nothing ? 0 : rank >= 32 ? UINT32_MAX : (1u << rank) - 1;
    if (!axes.present || axes.count == 0) return TSLIM_OK;
    TSL_REQUIRE(axes.known, TSLIM_ERROR_UNSUPPORTED, "axes that are computed");
    return tsl_axes_mask(&axes, rank, mask);
}

static reduction read(tsl_gradient *g) {
    reduction r = {.kept = tsl_shape_of(g, tsl_x(g, 0)), .count = 1};
    tsl_check(g, find_axes(g, r.kept.rank, &r.mask));
    for (uint32_t i = 0; i < r.kept.rank; i++) {
        if (!(r.mask >> i & 1)) continue;
        r.count *= (double)r.kept.dims[i];
        r.kept.dims[i] = 1;
    }
    r.dy = tsl_reshaped_like(g, g->dy[0], &r.kept);
    return r;
}

// The result, with its axes kept.
static uint32_t result(tsl_gradient *g, const reduction *r) {
    return tsl_reshaped_like(g, tsl_y(g, 0), &r->kept);
}

static void give_all(tsl_gradient *g, uint32_t a) {
    const tsl_shape shape = tsl_shape_of(g, tsl_x(g, 0));
    tsl_give(g, 0, tsl_expanded_like(g, a, &shape));
}

void tsl_gradient_reduce_sum(tsl_gradient *g) {
    const reduction r = read(g);
    give_all(g, r.dy);
}

void tsl_gradient_reduce_mean(tsl_gradient *g) {
    const reduction r = read(g);
    give_all(g, tsl_times(g, r.dy, 1 / r.count));
}

void tsl_gradient_reduce_l1(tsl_gradient *g) {
    const reduction r = read(g);
    give_all(g, tsl_combine(g, TSL_OP_MUL, tsl_apply(g, TSL_OP_SIGN, tsl_x(g, 0)), r.dy));
}

// y = sqrt(sum(x^2)): dx = dy * x / y
void tsl_gradient_reduce_l2(tsl_gradient *g) {
    const reduction r = read(g);
    const uint32_t part = tsl_combine(g, TSL_OP_DIV, r.dy, result(g, &r));
    give_all(g, tsl_combine(g, TSL_OP_MUL, tsl_x(g, 0), part));
}

void tsl_gradient_reduce_sum_square(tsl_gradient *g) {
    const reduction r = read(g);
    give_all(g, tsl_combine(g, TSL_OP_MUL, tsl_x(g, 0), tsl_times(g, r.dy, 2)));
}

// y = log(sum(x)): dx = dy / exp(y)
void tsl_gradient_reduce_log_sum(tsl_gradient *g) {
    const reduction r = read(g);
    give_all(g, tsl_combine(g, TSL_OP_DIV, r.dy, tsl_apply(g, TSL_OP_EXP, result(g, &r))));
}

// y = log(sum(exp(x))): dx = dy * exp(x - y)
void tsl_gradient_reduce_log_sum_exp(tsl_gradient *g) {
    const reduction r = read(g);
    const uint32_t difference = tsl_combine(g, TSL_OP_SUB, tsl_x(g, 0), result(g, &r));
    give_all(g, tsl_combine(g, TSL_OP_MUL, tsl_apply(g, TSL_OP_EXP, difference), r.dy));
}

// Elements that are equal to the result share.
static void share_among_equals(tsl_gradient *g, uint32_t y, uint32_t dy, uint32_t mask) {
    const uint32_t here = tsl_mask(g, tsl_combine(g, TSL_OP_EQUAL, tsl_x(g, 0), y));
    const uint32_t count = tsl_reduced(g, TSL_OP_REDUCE_SUM, here, mask);
    tsl_give(g, 0, tsl_combine(g, TSL_OP_MUL, here, tsl_combine(g, TSL_OP_DIV, dy, count)));
}

void tsl_gradient_reduce_extremum(tsl_gradient *g) {
    const reduction r = read(g);
    share_among_equals(g, result(g, &r), r.dy, r.mask);
}

// ---- Pooling of whole planes ----

void tsl_gradient_global_max_pool(tsl_gradient *g) {
    const uint32_t rank = tsl_shape_of(g, tsl_x(g, 0)).rank;
    share_among_equals(g, tsl_y(g, 0), g->dy[0], ((1u << rank) - 1) & ~3u);
}

void tsl_gradient_global_average_pool(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    double pixels = 1;
    for (uint32_t i = 2; i < x.rank; i++) pixels *= (double)x.dims[i];
    give_all(g, tsl_times(g, g->dy[0], 1 / pixels));
}
