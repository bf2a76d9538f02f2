// SPDX-License-Identifier: Apache-2.0
// Shapes of resampling, and of operators that make tensors from shapes and numbers.
#include <math.h>

#include "ir/shape_functions.h"

// ---- Resize and Upsample ----

typedef struct resize_operands {
    tsl_numbers scales, sizes;
} resize_operands;

// Where scales and sizes are: an attribute of Upsample until opset 8, operand 1 until opset 10, operands 2
// and 3 since. An empty list is an absent one.
static tslim_status find_resize_operands(const tslim_graph *graph, const tsl_node *node, resize_operands *r) {
    bool old = node->op == TSL_OP_UPSAMPLE || graph->opset < 11;
    tsl_attr_id attr = node->op == TSL_OP_UPSAMPLE ? TSL_ATTR_scales : TSL_ATTR_UNKNOWN;
    TSL_TRY(tsl_numbers_find(graph, node, attr, old ? 1 : 2, TSL_TYPES_FLOAT, &r->scales));
    r->sizes = (tsl_numbers){.count = -1};
    if (!old) TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 3, &r->sizes));
    if (r->scales.count == 0) r->scales.present = false;
    if (r->sizes.count == 0) r->sizes.present = false;
    TSL_REQUIRE(r->scales.present || r->sizes.present, TSLIM_ERROR_INVALID_ARGUMENT,
        "neither scales nor sizes are given");
    TSL_REQUIRE(!r->scales.known || r->scales.dtype == TSLIM_DTYPE_FLOAT, TSLIM_ERROR_INVALID_ARGUMENT,
        "scales are %s, not float32", tslim_dtype_name(r->scales.dtype));
    return TSLIM_OK;
}

static tslim_status resize_dim(const resize_operands *r, int64_t i, uint32_t axis, tsl_shape *out) {
    int64_t dim = out->dims[axis];
    if (r->sizes.present) {
        int64_t size = tsl_numbers_int(&r->sizes, i);
        TSL_REQUIRE(size >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "the size of dim %u is %" PRId64, axis, size);
        tsl_shape_set_dim(out, axis, size);
        return TSLIM_OK;
    }
    // In single precision, as ONNX writes it: floor(float(dim) * scale).
    float scale = (float)tsl_numbers_real(&r->scales, i);
    TSL_REQUIRE(scale > 0 && isfinite(scale), TSLIM_ERROR_INVALID_ARGUMENT, "the scale of dim %u is %g", axis,
        (double)scale);
    if (scale == 1.0f) return TSLIM_OK;
    float size = floorf((float)dim * scale);
    TSL_REQUIRE(dim < 0 || size < 0x1p62f, TSLIM_ERROR_LIMIT, "dim %u of %" PRId64 " is scaled by %g", axis,
        dim, (double)scale);
    tsl_shape_set_dim(out, axis, dim < 0 ? -1 : (int64_t)size);
    return TSLIM_OK;
}

tslim_status tsl_shape_resize(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_NUMBER));
    const char *policy = tsl_attrs_string(&node->attrs, TSL_ATTR_keep_aspect_ratio_policy, "stretch");
    TSL_REQUIRE(
        strcmp(policy, "stretch") == 0, TSLIM_ERROR_UNSUPPORTED, "keep_aspect_ratio_policy '%.40s'", policy);
    const char *mode = tsl_attrs_string(&node->attrs, TSL_ATTR_coordinate_transformation_mode, "half_pixel");
    TSL_REQUIRE(
        strcmp(mode, "tf_crop_and_resize") != 0, TSLIM_ERROR_UNSUPPORTED, "coordinates of '%s'", mode);
    resize_operands r;
    TSL_TRY(find_resize_operands(graph, node, &r));
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    const tsl_numbers *numbers = r.sizes.present ? &r.sizes : &r.scales;
    tsl_numbers axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, UINT32_MAX, &axes));
    int64_t count = axes.present ? axes.count : (int64_t)out.rank;
    uint32_t mask;
    if (axes.present) TSL_TRY(tsl_axes_mask(&axes, out.rank, &mask));
    TSL_REQUIRE(tsl_dims_agree(numbers->count, count), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " %s for %" PRId64 " dims", numbers->count, r.sizes.present ? "sizes" : "scales", count);
    for (int64_t i = 0; i < count; i++) {
        uint32_t axis = (uint32_t)i;
        if (axes.present) TSL_TRY(tsl_normalize_axis(tsl_numbers_int(&axes, i), out.rank, &axis));
        if (numbers->known)
            TSL_TRY(resize_dim(&r, i, axis, &out));
        else
            tsl_shape_set_dim(&out, axis, -1);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Samples of grids and regions ----

tslim_status tsl_shape_grid_sample(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *grid = tsl_node_input(graph, node, 1);
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_require_type(grid, TSL_TYPES_FLOAT));
    tsl_shape out = input->shape;
    const tsl_shape *g = &grid->shape;
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    TSL_REQUIRE(out.rank >= 3 && (!g->known || g->rank == out.rank), TSLIM_ERROR_INVALID_ARGUMENT,
        "a grid of rank %u for a tensor of rank %u", g->rank, out.rank);
    for (uint32_t i = 2; i < out.rank; i++) {
        if (g->known)
            tsl_shape_copy_dim(&out, i, g, i - 1);
        else
            tsl_shape_set_dim(&out, i, -1);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_roi_align(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *rois = tsl_node_input(graph, node, 1);
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_require_type(rois, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_require_type(tsl_node_input(graph, node, 2), TSL_TYPE(INT64)));
    TSL_REQUIRE(
        (!input->shape.known || input->shape.rank == 4) && (!rois->shape.known || rois->shape.rank == 2),
        TSLIM_ERROR_INVALID_ARGUMENT, "regions of rank %u of a tensor of rank %u", rois->shape.rank,
        input->shape.rank);
    tsl_shape out = {.known = true, .rank = 4, .dims = {-1, -1, -1, -1}};
    if (rois->shape.known) tsl_shape_copy_dim(&out, 0, &rois->shape, 0);
    if (input->shape.known) tsl_shape_copy_dim(&out, 1, &input->shape, 1);
    out.dims[2] = tsl_attrs_int(&node->attrs, TSL_ATTR_output_height, 1);
    out.dims[3] = tsl_attrs_int(&node->attrs, TSL_ATTR_output_width, 1);
    TSL_REQUIRE(out.dims[2] >= 1 && out.dims[3] >= 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "bins of %" PRId64 " x %" PRId64, out.dims[2], out.dims[3]);
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Blocks ----

static tslim_status read_block(const tsl_node *node, const tsl_value *input, int64_t *block) {
    char text[TSL_SHAPE_TEXT];
    *block = tsl_attrs_int(&node->attrs, TSL_ATTR_blocksize, 0);
    TSL_REQUIRE(
        *block >= 1 && *block <= 32768, TSLIM_ERROR_INVALID_ARGUMENT, "blocksize is %" PRId64, *block);
    TSL_REQUIRE(!input->shape.known || input->shape.rank == 4, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s, not of rank 4", input->name, tsl_shape_format(&input->shape, text, sizeof(text)));
    return TSLIM_OK;
}

static tslim_status divide_dim(tsl_shape *shape, uint32_t axis, int64_t by) {
    int64_t dim = shape->dims[axis];
    TSL_REQUIRE(dim < 0 || dim % by == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "dim %u of %" PRId64 " is not a multiple of %" PRId64, axis, dim, by);
    if (by != 1) tsl_shape_set_dim(shape, axis, dim < 0 ? -1 : dim / by);
    return TSLIM_OK;
}

static tslim_status multiply_dim(tsl_shape *shape, uint32_t axis, int64_t by) {
    int64_t dim = -1;
    TSL_REQUIRE(shape->dims[axis] < 0 || tsl_mul_i64(shape->dims[axis], by, &dim), TSLIM_ERROR_LIMIT,
        "dim %u of %" PRId64 " times %" PRId64, axis, shape->dims[axis], by);
    if (by != 1) tsl_shape_set_dim(shape, axis, dim);
    return TSLIM_OK;
}

tslim_status tsl_shape_depth_to_space(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    int64_t block;
    TSL_TRY(read_block(node, input, &block));
    if (out.known) {
        TSL_TRY(divide_dim(&out, 1, block * block));
        for (uint32_t i = 2; i < 4; i++) TSL_TRY(multiply_dim(&out, i, block));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_space_to_depth(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    int64_t block;
    TSL_TRY(read_block(node, input, &block));
    if (out.known) {
        TSL_TRY(multiply_dim(&out, 1, block * block));
        for (uint32_t i = 2; i < 4; i++) TSL_TRY(divide_dim(&out, i, block));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- From shapes and numbers ----

tslim_status tsl_shape_shape(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape *x = &tsl_node_input(graph, node, 0)->shape;
    tsl_shape out = {.known = true, .rank = 1, .dims = {-1}};
    if (x->known) {
        int64_t rank = x->rank, start = tsl_attrs_int(&node->attrs, TSL_ATTR_start, 0);
        int64_t end = tsl_attrs_int(&node->attrs, TSL_ATTR_end, rank);
        if (start < 0) start = tsl_max_i64(start, -rank) + rank;
        if (end < 0) end = tsl_max_i64(end, -rank) + rank;
        out.dims[0] = tsl_max_i64(tsl_min_i64(end, rank) - tsl_min_i64(start, rank), 0);
    }
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &out);
}

tslim_status tsl_shape_size(tslim_graph *graph, const tsl_node *node) {
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &(tsl_shape){.known = true});
}

tslim_status tsl_shape_constant_of_shape(tslim_graph *graph, const tsl_node *node) {
    tsl_numbers dims;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 0, &dims));
    const tsl_attr *value = tsl_attrs_find(&node->attrs, TSL_ATTR_value);
    tslim_dtype dtype = TSLIM_DTYPE_FLOAT;
    if (value && value->type == TSL_ATTR_TYPE_TENSOR && value->i >= 0 && value->i < (int64_t)graph->n_values)
        dtype = graph->values[value->i].dtype;
    tsl_shape out;
    TSL_TRY(tsl_shape_unknown_dims(&out, dims.count));
    for (uint32_t i = 0; dims.known && i < out.rank; i++) {
        out.dims[i] = tsl_numbers_int(&dims, i);
        TSL_REQUIRE(out.dims[i] >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "dim %u is %" PRId64, i, out.dims[i]);
    }
    return tsl_set_output_exact(graph, node, 0, dtype, &out);
}

// The number of steps from start up to, and not including, the limit.
static tslim_status count_integers(int64_t start, int64_t limit, int64_t delta, int64_t *count) {
    bool up = delta > 0;
    uint64_t span = up ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t by = up ? (uint64_t)delta : 0 - (uint64_t)delta;
    if (up ? limit <= start : limit >= start) span = 0;
    uint64_t steps = span / by + (span % by != 0);
    TSL_REQUIRE(steps <= INT64_MAX, TSLIM_ERROR_LIMIT, "%" PRIu64 " elements", steps);
    *count = (int64_t)steps;
    return TSLIM_OK;
}

static tslim_status count_reals(double start, double limit, double delta, int64_t *count) {
    double steps = ceil((limit - start) / delta);
    TSL_REQUIRE(steps < 0x1p62, TSLIM_ERROR_LIMIT, "from %g to %g by %g", start, limit, delta); // also NaN
    *count = steps > 0 ? (int64_t)steps : 0;
    return TSLIM_OK;
}

tslim_status tsl_shape_range(tslim_graph *graph, const tsl_node *node) {
    const tsl_types types = TSL_TYPE(FLOAT) | TSL_TYPE(DOUBLE) | TSL_TYPES_INDEX;
    tsl_numbers n[3];
    bool known = true;
    for (uint32_t i = 0; i < 3; i++) {
        TSL_TRY(tsl_require_same_type(graph, node, 0, i));
        tslim_dtype type = tsl_node_input(graph, node, i)->dtype;
        TSL_REQUIRE(type == TSLIM_DTYPE_NONE || ((unsigned)type < 32 && (types >> type & 1)),
            TSLIM_ERROR_UNSUPPORTED, "a range of %s numbers", tslim_dtype_name(type));
        TSL_TRY(tsl_numbers_find(graph, node, TSL_ATTR_UNKNOWN, i, types, &n[i]));
        TSL_REQUIRE(tsl_dims_agree(n[i].count, 1), TSLIM_ERROR_INVALID_ARGUMENT,
            "operand %u has %" PRId64 " numbers", i, n[i].count);
        known = known && n[i].known;
    }
    tsl_shape out = {.known = true, .rank = 1, .dims = {-1}};
    tslim_dtype dtype = tsl_node_input(graph, node, 0)->dtype;
    if (!known) return tsl_set_output_exact(graph, node, 0, dtype, &out);
    if (n[0].dtype == TSLIM_DTYPE_INT64 || n[0].dtype == TSLIM_DTYPE_INT32) {
        int64_t delta = tsl_numbers_int(&n[2], 0);
        TSL_REQUIRE(delta != 0, TSLIM_ERROR_INVALID_ARGUMENT, "the step is 0");
        TSL_TRY(count_integers(tsl_numbers_int(&n[0], 0), tsl_numbers_int(&n[1], 0), delta, &out.dims[0]));
    } else {
        double delta = tsl_numbers_real(&n[2], 0);
        TSL_REQUIRE(delta != 0, TSLIM_ERROR_INVALID_ARGUMENT, "the step is 0");
        TSL_TRY(count_reals(tsl_numbers_real(&n[0], 0), tsl_numbers_real(&n[1], 0), delta, &out.dims[0]));
    }
    return tsl_set_output_exact(graph, node, 0, dtype, &out);
}
