// SPDX-License-Identifier: Apache-2.0
// Gradients of operators that move elements: each element's gradient goes back where it came from.
#include <string.h>

#include "ir/shape_functions.h"
#include "train/gradient.h"

void tsl_gradient_reshape(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    if (tsl_wants(g, 0)) tsl_give(g, 0, tsl_reshaped_like(g, g->dy[0], &x));
}

void tsl_gradient_expand(tsl_gradient *g) {
    tsl_give(g, 0, g->dy[0]);
}

void tsl_gradient_transpose(tsl_gradient *g) {
    size_t count;
    const uint32_t rank = tsl_shape_of(g, tsl_x(g, 0)).rank;
    const int64_t *perm = tsl_attrs_ints(&g->node.attrs, TSL_ATTR_perm, &count);
    int64_t back[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) back[perm ? perm[i] : (int64_t)(rank - 1 - i)] = i;
    tsl_give(g, 0, tsl_transposed(g, g->dy[0], back));
}

void tsl_gradient_trilu(tsl_gradient *g) {
    const uint32_t operands[] = {g->dy[0], tsl_x(g, 1)};
    tsl_begin(g, TSL_OP_TRILU, tsl_x(g, 1) == TSL_NONE ? 1 : 2, operands, 1);
    tsl_with_its_attributes(g);
    tsl_give(g, 0, tsl_end(g));
}

static uint32_t normalized_axis(tsl_gradient *g, int64_t otherwise) {
    uint32_t axis = 0;
    tsl_check(g, tsl_normalize_axis(
                     tsl_attribute(g, TSL_ATTR_axis, otherwise), tsl_shape_of(g, tsl_x(g, 0)).rank, &axis));
    return axis;
}

// ---- Parts ----

static uint32_t part_of(tsl_gradient *g, uint32_t a, uint32_t axis, int64_t start, int64_t length) {
    const int64_t at = axis, end = start + length;
    const uint32_t operands[] = {
        a, tsl_integers(g, &start, 1), tsl_integers(g, &end, 1), tsl_integers(g, &at, 1)};
    tsl_begin(g, TSL_OP_SLICE, 4, operands, 1);
    return tsl_end(g);
}

void tsl_gradient_concat(tsl_gradient *g) {
    const uint32_t axis = normalized_axis(g, 0);
    int64_t start = 0;
    for (uint32_t i = 0; i < g->node.n_inputs; i++) {
        const int64_t length = tsl_shape_of(g, tsl_x(g, i)).dims[axis];
        if (tsl_wants(g, i)) tsl_give(g, i, part_of(g, g->dy[0], axis, start, length));
        start += length;
    }
}

void tsl_gradient_split(tsl_gradient *g) {
    const uint32_t axis = normalized_axis(g, 0);
    uint32_t whole = TSL_NONE;
    for (uint32_t i = 0; i < g->node.n_outputs; i++) {
        if (tsl_y(g, i) == TSL_NONE) {
            tsl_refuse(g, "a part without a name");
            return;
        }
    }
    tsl_begin(g, TSL_OP_CONCAT, g->node.n_outputs, g->dy, 1);
    tsl_with_int(g, TSL_ATTR_axis, axis);
    for (uint32_t i = 0; i < g->node.n_outputs && g->status == TSLIM_OK; i++) {
        const tsl_shape shape = tsl_shape_of(g, tsl_y(g, i));
        const uint32_t node = g->open; // the constant below does not open another
        if (g->dy[i] != TSL_NONE) continue;
        uint32_t zeros = TSL_NONE;
        void *data;
        tsl_check(
            g, tsl_graph_add_constant(g->graph, "zeros", g->dtype, shape.rank, shape.dims, &zeros, &data));
        g->graph->nodes[node].inputs[i] = zeros;
    }
    whole = tsl_end(g);
    tsl_give(g, 0, whole);
}

static uint32_t padded(tsl_gradient *g, uint32_t a, const int64_t *pads, uint32_t rank) {
    const uint32_t operands[] = {a, tsl_integers(g, pads, 2 * rank)};
    tsl_begin(g, TSL_OP_PAD, 2, operands, 1);
    return tsl_end(g);
}

// Zeros of `length` along `axis`, to which element i of `a` is added at index[i].
static uint32_t scattered(tsl_gradient *g, uint32_t a, uint32_t axis, int64_t length, const int64_t *index) {
    tsl_shape shape = tsl_shape_of(g, a), along = shape, target = shape;
    for (uint32_t i = 0; i < shape.rank; i++)
        if (i != axis) along.dims[i] = 1;
    target.dims[axis] = length;
    const uint32_t column = tsl_reshaped_like(g, tsl_integers(g, index, (uint32_t)shape.dims[axis]), &along);
    const uint32_t operands[] = {tsl_zeros(g, &target), tsl_expanded_like(g, column, &shape), a};
    tsl_begin(g, TSL_OP_SCATTER_ELEMENTS, 3, operands, 1);
    tsl_with_int(g, TSL_ATTR_axis, axis);
    tsl_with_string(g, TSL_ATTR_reduction, "add");
    return tsl_end(g);
}

// An index map for `scattered`, in the graph's memory.
static int64_t *new_map(tsl_gradient *g, int64_t length) {
    int64_t *map = tsl_arena_array(&g->graph->arena, (size_t)length, sizeof(*map));
    if (!map) tsl_check(g, tsl_no_memory((size_t)length * sizeof(*map)));
    return map;
}

typedef struct slice_axis {
    int64_t start, step;
} slice_axis;

static tslim_status read_slice(const tsl_gradient *g, const tsl_shape *x, slice_axis *axes) {
    tsl_numbers starts, given_axes, steps;
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_starts, 1, &starts));
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_axes, 3, &given_axes));
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_UNKNOWN, 4, &steps));
    TSL_REQUIRE(starts.known && (!given_axes.present || given_axes.known) && (!steps.present || steps.known),
        TSLIM_ERROR_UNSUPPORTED, "bounds that are computed");
    for (uint32_t i = 0; i < x->rank; i++) axes[i] = (slice_axis){0, 1};
    for (int64_t i = 0; i < starts.count; i++) {
        uint32_t axis;
        TSL_TRY(tsl_normalize_axis(given_axes.present ? tsl_numbers_int(&given_axes, i) : i, x->rank, &axis));
        const int64_t dim = x->dims[axis], step = steps.present ? tsl_numbers_int(&steps, i) : 1;
        int64_t start = tsl_numbers_int(&starts, i);
        if (start < 0) start = start < -dim ? 0 : start + dim;
        axes[axis] = (slice_axis){tsl_min_i64(start, step > 0 ? dim : dim - 1), step};
    }
    return TSLIM_OK;
}

void tsl_gradient_slice(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), y = tsl_shape_of(g, tsl_y(g, 0));
    slice_axis axes[TSLIM_MAX_RANK];
    tsl_check(g, read_slice(g, &x, axes));
    int64_t pads[2 * TSLIM_MAX_RANK] = {0};
    bool pad = false;
    uint32_t dx = g->dy[0];
    for (uint32_t i = 0; i < x.rank && g->status == TSLIM_OK; i++) {
        if (axes[i].step == 1) {
            pads[i] = axes[i].start;
            pads[x.rank + i] = x.dims[i] - y.dims[i] - axes[i].start;
            pad = pad || x.dims[i] != y.dims[i];
            continue;
        }
        int64_t *map = new_map(g, y.dims[i]);
        for (int64_t k = 0; map && k < y.dims[i]; k++) map[k] = axes[i].start + k * axes[i].step;
        dx = scattered(g, dx, i, x.dims[i], map);
    }
    tsl_give(g, 0, pad ? padded(g, dx, pads, x.rank) : dx);
}

// Where element `at` of a padded axis came from.
static int64_t pad_source(const char *mode, int64_t at, int64_t dim) {
    if (strcmp(mode, "edge") == 0) return at < 0 ? 0 : at >= dim ? dim - 1 : at;
    if (strcmp(mode, "wrap") == 0) return (at % dim + dim) % dim;
    const int64_t period = dim > 1 ? 2 * (dim - 1) : 1; // reflect
    const int64_t rest = (at % period + period) % period;
    return rest < dim ? rest : period - rest;
}

static tslim_status read_pads(const tsl_gradient *g, const tsl_shape *x, int64_t *pads) {
    tsl_numbers given, given_axes;
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_pads, 1, &given));
    TSL_TRY(tsl_find_ints(g->graph, &g->node, TSL_ATTR_UNKNOWN, 3, &given_axes));
    TSL_REQUIRE(given.known && (!given_axes.present || given_axes.known), TSLIM_ERROR_UNSUPPORTED,
        "pads that are computed");
    const int64_t count = given.count / 2;
    for (int64_t i = 0; i < count; i++) {
        uint32_t axis;
        TSL_TRY(tsl_normalize_axis(given_axes.present ? tsl_numbers_int(&given_axes, i) : i, x->rank, &axis));
        pads[axis] = tsl_numbers_int(&given, i);
        pads[x->rank + axis] = tsl_numbers_int(&given, count + i);
    }
    return TSLIM_OK;
}

void tsl_gradient_pad(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), y = tsl_shape_of(g, tsl_y(g, 0));
    const char *mode = tsl_attrs_string(&g->node.attrs, TSL_ATTR_mode, "constant");
    int64_t pads[2 * TSLIM_MAX_RANK] = {0};
    tsl_check(g, read_pads(g, &x, pads));
    if (tsl_wants(g, 2)) tsl_refuse(g, "the value that it pads with is computed");
    if (strcmp(mode, "constant") == 0) { // what was added goes, what was cut off is 0
        for (uint32_t i = 0; i < 2 * x.rank; i++) pads[i] = -pads[i];
        tsl_give(g, 0, padded(g, g->dy[0], pads, x.rank));
        return;
    }
    uint32_t dx = g->dy[0];
    for (uint32_t i = 0; i < x.rank && g->status == TSLIM_OK; i++) {
        if (pads[i] == 0 && pads[x.rank + i] == 0) continue;
        int64_t *map = new_map(g, y.dims[i]);
        for (int64_t k = 0; map && k < y.dims[i]; k++) map[k] = pad_source(mode, k - pads[i], x.dims[i]);
        dx = scattered(g, dx, i, x.dims[i], map);
    }
    tsl_give(g, 0, dx);
}

// ---- Repeating and picking ----

void tsl_gradient_tile(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    tsl_shape now = tsl_shape_of(g, tsl_y(g, 0));
    uint32_t dx = g->dy[0];
    int64_t before = 1;
    for (uint32_t i = 0; i < x.rank; i++) {
        if (now.dims[i] != x.dims[i] && x.dims[i] > 0) {
            int64_t after = x.dims[i];
            for (uint32_t k = i + 1; k < x.rank; k++) after *= now.dims[k];
            dx = tsl_reshaped(g, dx, 3, (int64_t[]){before, now.dims[i] / x.dims[i], after});
            dx = tsl_reduced(g, TSL_OP_REDUCE_SUM, dx, 2);
            now.dims[i] = x.dims[i];
        }
        before *= x.dims[i];
    }
    tsl_give(g, 0, tsl_reshaped_like(g, dx, &x));
}

// dx[before, index[i], after] += dy[before, i, after]
void tsl_gradient_gather(tsl_gradient *g) {
    if (!tsl_wants(g, 0)) return;
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), index = tsl_shape_of(g, tsl_x(g, 1));
    const uint32_t axis = normalized_axis(g, 0);
    int64_t dims[3] = {1, 1, 1};
    for (uint32_t i = 0; i < x.rank; i++)
        if (i != axis) dims[i < axis ? 0 : 2] *= x.dims[i];
    for (uint32_t i = 0; i < index.rank; i++) dims[1] *= index.dims[i];
    tsl_shape picked = {0}, whole = {0};
    tsl_shape_set(&picked, 3, dims);
    tsl_shape_set(&whole, 3, (int64_t[]){dims[0], x.dims[axis], dims[2]});
    const uint32_t column = tsl_reshaped(g, tsl_x(g, 1), 3, (int64_t[]){1, dims[1], 1});
    const uint32_t operands[] = {
        tsl_zeros(g, &whole), tsl_expanded_like(g, column, &picked), tsl_reshaped_like(g, g->dy[0], &picked)};
    tsl_begin(g, TSL_OP_SCATTER_ELEMENTS, 3, operands, 1);
    tsl_with_int(g, TSL_ATTR_axis, 1);
    tsl_with_string(g, TSL_ATTR_reduction, "add");
    tsl_give(g, 0, tsl_reshaped_like(g, tsl_end(g), &x));
}

// ---- Blocks of pixels as channels ----

void tsl_gradient_space_to_depth(tsl_gradient *g) {
    tsl_begin(g, TSL_OP_DEPTH_TO_SPACE, 1, g->dy, 1);
    tsl_with_int(g, TSL_ATTR_blocksize, tsl_attribute(g, TSL_ATTR_blocksize, 1));
    tsl_give(g, 0, tsl_end(g));
}

void tsl_gradient_depth_to_space(tsl_gradient *g) {
    static const int64_t swap[] = {0, 2, 1, 3, 4};
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    const int64_t block = tsl_attribute(g, TSL_ATTR_blocksize, 1), blocks = block * block;
    tsl_begin(g, TSL_OP_SPACE_TO_DEPTH, 1, g->dy, 1);
    tsl_with_int(g, TSL_ATTR_blocksize, block);
    uint32_t dx = tsl_end(g);
    if (strcmp(tsl_attrs_string(&g->node.attrs, TSL_ATTR_mode, "DCR"), "CRD") == 0) { // channel before block
        dx = tsl_reshaped(g, dx, 5, (int64_t[]){x.dims[0], blocks, x.dims[1] / blocks, x.dims[2], x.dims[3]});
        dx = tsl_reshaped_like(g, tsl_transposed(g, dx, swap), &x);
    }
    tsl_give(g, 0, dx);
}
