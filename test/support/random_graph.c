// SPDX-License-Identifier: Apache-2.0
// Grows a pool of feature maps by steps drawn at random.
#include "support/random_graph.h"

enum { POOL = 24 };

typedef struct grower {
    builder b;
    uint32_t pool[POOL]; // N x C x H x W
    uint32_t count;
} grower;

static uint32_t below(grower *g, uint32_t bound) {
    return (uint32_t)tsl_rng_below(&g->b.rng, bound);
}

static uint32_t pick(grower *g) {
    return g->pool[below(g, g->count)];
}

// A later map more often than an early one, so that graphs become deep.
static uint32_t pick_late(grower *g) {
    uint32_t a = below(g, g->count), b = below(g, g->count);
    return g->pool[a > b ? a : b];
}

static void keep(grower *g, uint32_t value) {
    if (g->count < POOL)
        g->pool[g->count++] = value;
    else
        g->pool[below(g, POOL)] = value;
}

static int64_t channels(grower *g) {
    return 4 * (1 + (int64_t)below(g, 4));
}

static uint32_t activate(grower *g, uint32_t x) {
    static const tsl_op ops[] = {
        TSL_OP_RELU, TSL_OP_SIGMOID, TSL_OP_TANH, TSL_OP_HARD_SWISH, TSL_OP_IDENTITY};
    return build_unary(&g->b, ops[below(g, 5)], x);
}

// Another map of the same shape as x, or TSL_NONE.
static uint32_t pick_like(grower *g, uint32_t x, bool same_channels) {
    uint32_t start = below(g, g->count);
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t y = g->pool[(start + i) % g->count];
        if (y == x || built_dim(&g->b, y, 2) != built_dim(&g->b, x, 2)) continue;
        if (!same_channels || built_dim(&g->b, y, 1) == built_dim(&g->b, x, 1)) return y;
    }
    return TSL_NONE;
}

static uint32_t grow_conv(grower *g) {
    uint32_t x = pick_late(g);
    int64_t kernel = below(g, 2) ? 3 : 1, stride = built_dim(&g->b, x, 2) >= 4 && below(g, 4) == 0 ? 2 : 1;
    uint32_t y = build_conv(&g->b, "conv", x, channels(g), kernel, stride, 1, below(g, 2));
    if (below(g, 2)) y = build_batch_norm(&g->b, y);
    return activate(g, y);
}

static uint32_t grow_grouped(grower *g) {
    uint32_t x = pick_late(g);
    int64_t in = built_dim(&g->b, x, 1);
    int64_t group = below(g, 2) ? in : in % 2 == 0 ? 2 : 1;
    int64_t out = group == in ? in * (1 + (int64_t)below(g, 2)) : group * (2 + (int64_t)below(g, 4));
    return build_conv(&g->b, "grouped", x, out, 3, 1, group, below(g, 2));
}

static uint32_t grow_residual(grower *g) {
    static const tsl_op ops[] = {TSL_OP_ADD, TSL_OP_MUL, TSL_OP_MIN, TSL_OP_MAX};
    uint32_t x = pick_late(g), y = pick_like(g, x, true);
    if (y == TSL_NONE) y = build_conv(&g->b, "branch", x, built_dim(&g->b, x, 1), 3, 1, 1, true);
    return build_binary(&g->b, ops[below(g, 4)], x, y);
}

static uint32_t grow_concat(grower *g) {
    uint32_t parts[3] = {pick(g)};
    parts[1] = pick_like(g, parts[0], false);
    if (parts[1] == TSL_NONE) parts[1] = build_conv(&g->b, "part", parts[0], channels(g), 1, 1, 1, false);
    parts[2] = parts[0];
    return build_concat(&g->b, 2 + below(g, 2), parts, 1);
}

static uint32_t grow_split(grower *g) {
    uint32_t x = pick_late(g), parts[2];
    int64_t in = built_dim(&g->b, x, 1);
    if (in < 4) return activate(g, x);
    bool even = in % 2 == 0 && below(g, 2);
    int64_t first = even ? in / 2 : 1 + (int64_t)below(g, (uint32_t)in - 1);
    build_split(&g->b, x, 1, 2, even ? NULL : (const int64_t[]){first, in - first}, parts);
    keep(g, parts[1]);
    return parts[0];
}

static uint32_t grow_slice(grower *g) {
    uint32_t x = pick_late(g);
    int64_t in = built_dim(&g->b, x, 1), start = (int64_t)below(g, (uint32_t)in);
    int64_t end = start + 1 + (int64_t)below(g, (uint32_t)(in - start));
    if (below(g, 2) && end < in) end -= in;
    return build_slice(&g->b, x, 1, start, below(g, 3) ? end : INT64_MAX, 1);
}

// Per-channel constants, and a slope for each channel.
static uint32_t grow_constants(grower *g) {
    uint32_t x = pick_late(g);
    int64_t in = built_dim(&g->b, x, 1);
    static const tsl_op ops[] = {TSL_OP_ADD, TSL_OP_MUL, TSL_OP_DIV, TSL_OP_PRELU};
    uint32_t constant = build_weights(&g->b, below(g, 2) ? 3 : 4, (const int64_t[]){in, 1, 1, 1}, 0);
    if (built_rank(&g->b, constant) == 4) // 1 x C x 1 x 1
        constant = build_weights(&g->b, 4, (const int64_t[]){1, in, 1, 1}, 0);
    return build_binary(&g->b, ops[below(g, 4)], x, constant);
}

// Channels change places between groups: reshape, transpose, reshape.
static uint32_t grow_shuffle(grower *g) {
    uint32_t x = pick_late(g);
    int64_t in = built_dim(&g->b, x, 1), h = built_dim(&g->b, x, 2);
    if (in % 2) return activate(g, x);
    uint32_t y = build_reshape(&g->b, x, 5, (const int64_t[]){1, 2, in / 2, h, h});
    y = build_transpose(&g->b, y, 5, (const int64_t[]){0, 2, 1, 3, 4});
    return build_reshape(&g->b, y, 4, (const int64_t[]){1, below(g, 2) ? -1 : in, h, h});
}

static uint32_t grow_scale(grower *g) {
    uint32_t x = pick_late(g);
    int64_t h = built_dim(&g->b, x, 2);
    if (h >= 4 && below(g, 2)) return build_max_pool(&g->b, x);
    if (h > 4) return activate(g, x);
    return below(g, 2) ? build_resize(&g->b, x, 2) : build_conv_transpose(&g->b, "up", x, channels(g), 2, 1);
}

static uint32_t grow(grower *g) {
    switch (below(g, 12)) {
    case 0:
        return grow_grouped(g);
    case 1:
    case 2:
        return grow_residual(g);
    case 3:
        return grow_concat(g);
    case 4:
        return grow_split(g);
    case 5:
        return grow_slice(g);
    case 6:
        return grow_constants(g);
    case 7:
        return grow_shuffle(g);
    case 8:
        return grow_scale(g);
    case 9:
        return build_squeeze_excite(&g->b, pick_late(g), channels(g));
    default:
        return grow_conv(g);
    }
}

// A classifier on the whole map or on its means; or the map itself, whose channels must then stay.
static uint32_t build_head(grower *g, uint32_t x) {
    builder *b = &g->b;
    if (below(g, 4) == 0) return build_conv(b, "head", x, 6, 1, 1, 1, true);
    if (below(g, 2)) x = build_unary(b, TSL_OP_GLOBAL_AVERAGE_POOL, x);
    int64_t length = built_dim(b, x, 1) * built_dim(b, x, 2) * built_dim(b, x, 3);
    x = below(g, 2) ? build_unary(b, TSL_OP_FLATTEN, x)
                    : build_reshape(b, x, 2, (const int64_t[]){1, below(g, 2) ? -1 : length});
    x = build_gemm(b, "hidden", x, 10, below(g, 2));
    x = build_unary(b, TSL_OP_RELU, x);
    return below(g, 2) ? build_gemm(b, "head", x, 5, true) : build_matmul(b, "head", x, 5);
}

tslim_graph *random_graph(tslim_context *ctx, uint64_t seed) {
    grower g = {.count = 0};
    builder_start(&g.b, ctx, seed);
    uint32_t input = build_input(&g.b, "input", 4, (const int64_t[]){1, 3, 8, 8});
    keep(&g, build_conv(&g.b, "stem", input, channels(&g), 3, 1, 1, true));
    if (below(&g, 4) == 0) keep(&g, input);
    uint32_t steps = 3 + below(&g, 12), last = g.pool[0];
    for (uint32_t i = 0; i < steps; i++) {
        last = grow(&g);
        keep(&g, last);
    }
    build_output(&g.b, build_head(&g, last));
    if (below(&g, 4) == 0) build_output(&g.b, build_head(&g, pick(&g)));
    return g.b.graph;
}
