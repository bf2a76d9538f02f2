// SPDX-License-Identifier: Apache-2.0
// Shapes of operators that make tensors: random numbers, unit matrices, grids; and of those that bring one to
// a wanted size.
#include "ir/shape_functions.h"

// The type of an attribute `dtype`, or the given one without it.
static tslim_status read_dtype(
    const tsl_node *node, tslim_dtype otherwise, tsl_types types, tslim_dtype *dtype) {
    int64_t given = tsl_attrs_int(&node->attrs, TSL_ATTR_dtype, (int64_t)otherwise);
    bool known = given >= 0 && given < 32 && (given == TSLIM_DTYPE_NONE || (types >> given & 1));
    TSL_REQUIRE(known, TSLIM_ERROR_UNSUPPORTED, "a result of type %" PRId64, given);
    *dtype = (tslim_dtype)given;
    return TSLIM_OK;
}

// ---- Random numbers ----

tslim_status tsl_shape_random(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    bool bernoulli = node->op == TSL_OP_BERNOULLI, multinomial = node->op == TSL_OP_MULTINOMIAL;
    tsl_types types = TSL_TYPES_FLOAT;
    if (bernoulli) types |= TSL_TYPES_SIGNED | TSL_TYPES_UNSIGNED | TSL_TYPE(BOOL);
    if (multinomial) types = TSL_TYPES_INDEX;
    tslim_dtype otherwise = multinomial ? TSLIM_DTYPE_INT32 : input ? input->dtype : TSLIM_DTYPE_FLOAT, dtype;
    TSL_TRY(read_dtype(node, otherwise, types, &dtype));
    if (!input) {
        tsl_numbers dims;
        TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_shape, 0, &dims));
        TSL_REQUIRE(dims.present, TSLIM_ERROR_INVALID_ARGUMENT, "shape is missing");
        tsl_shape out = {.known = true};
        for (int64_t i = 0; i < dims.count; i++) {
            int64_t dim = tsl_numbers_int(&dims, i);
            TSL_REQUIRE(dim >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "dim %" PRId64 " is %" PRId64, i, dim);
            TSL_TRY(tsl_shape_append(&out, dim, NULL));
        }
        return tsl_set_output_exact(graph, node, 0, dtype, &out);
    }
    tsl_shape out = input->shape;
    if (bernoulli || multinomial) TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    if (multinomial && out.known) {
        int64_t count = tsl_attrs_int(&node->attrs, TSL_ATTR_sample_size, 1);
        TSL_REQUIRE(out.rank == 2 && count >= 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "%" PRId64 " samples of a tensor of rank %u", count, out.rank);
        tsl_shape_set_dim(&out, 1, count);
    }
    return tsl_set_output_exact(graph, node, 0, dtype, &out);
}

// ---- Matrices ----

tslim_status tsl_shape_eye_like(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape out = input->shape;
    tslim_dtype dtype;
    TSL_REQUIRE(!out.known || out.rank == 2, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, not 2",
        input->name, out.rank);
    TSL_TRY(read_dtype(node, input->dtype, TSL_TYPES_NUMBER | TSL_TYPE(BOOL), &dtype));
    return tsl_set_output_exact(graph, node, 0, dtype, &out);
}

tslim_status tsl_shape_trilu(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape out = input->shape;
    TSL_REQUIRE(!out.known || out.rank >= 2, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, not 2 or more",
        input->name, out.rank);
    tsl_numbers k;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &k));
    TSL_REQUIRE(
        !k.present || tsl_dims_agree(k.count, 1), TSLIM_ERROR_INVALID_ARGUMENT, "k is not one number");
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_det(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    if (out.known) {
        char text[TSL_SHAPE_TEXT];
        TSL_REQUIRE(out.rank >= 2 && tsl_dims_agree(out.dims[out.rank - 1], out.dims[out.rank - 2]),
            TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, not square matrices", input->name,
            tsl_shape_format(&out, text, sizeof(text)));
        out.rank -= 2;
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Wanted sizes ----

tslim_status tsl_shape_center_crop_pad(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    tsl_numbers sizes, axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &sizes));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, UINT32_MAX, &axes));
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    int64_t count = axes.present ? axes.count : (int64_t)out.rank;
    uint32_t mask;
    if (axes.present) TSL_TRY(tsl_axes_mask(&axes, out.rank, &mask));
    TSL_REQUIRE(tsl_dims_agree(sizes.count, count), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " sizes for %" PRId64 " axes", sizes.count, count);
    for (int64_t i = 0; i < count; i++) {
        uint32_t axis = (uint32_t)i;
        if (axes.present) TSL_TRY(tsl_normalize_axis(tsl_numbers_int(&axes, i), out.rank, &axis));
        int64_t size = sizes.known ? tsl_numbers_int(&sizes, i) : -1;
        TSL_REQUIRE(!sizes.known || size >= 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "the size of axis %u is %" PRId64, axis, size);
        tsl_shape_set_dim(&out, axis, size);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// Blocks, as columns, become an image: N x (C * block) x L to N x C x image.
tslim_status tsl_shape_col2im(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape *x = &input->shape;
    tsl_numbers image, block;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &image));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 2, &block));
    TSL_REQUIRE(tsl_dims_agree(image.count, block.count), TSLIM_ERROR_INVALID_ARGUMENT,
        "an image of %" PRId64 " dims and blocks of %" PRId64, image.count, block.count);
    TSL_REQUIRE(!x->known || x->rank == 3, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, not 3",
        input->name, x->rank);
    tsl_shape out = {0};
    if (!image.known || !block.known || !x->known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    out.known = true;
    TSL_TRY(tsl_shape_append(&out, x->dims[0], x->symbols[0]));
    int64_t elements = 1;
    for (int64_t i = 0; i < block.count; i++) {
        int64_t size = tsl_numbers_int(&block, i);
        TSL_REQUIRE(size >= 1 && tsl_mul_i64(elements, size, &elements), TSLIM_ERROR_INVALID_ARGUMENT,
            "dim %" PRId64 " of the block is %" PRId64, i, size);
    }
    TSL_REQUIRE(x->dims[1] < 0 || x->dims[1] % elements == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " rows do not divide into blocks of %" PRId64, x->dims[1], elements);
    TSL_TRY(tsl_shape_append(&out, x->dims[1] < 0 ? -1 : x->dims[1] / elements, NULL));
    for (int64_t i = 0; i < image.count; i++) {
        int64_t size = tsl_numbers_int(&image, i);
        TSL_REQUIRE(
            size >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "dim %" PRId64 " of the image is %" PRId64, i, size);
        TSL_TRY(tsl_shape_append(&out, size, NULL));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// theta N x 2 x 3 and a size N,C,H,W give N x H x W x 2; theta N x 3 x 4 and N,C,D,H,W give N x D x H x W
// x 3.
tslim_status tsl_shape_affine_grid(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *theta = tsl_node_input(graph, node, 0);
    const tsl_shape *t = &theta->shape;
    TSL_TRY(tsl_require_type(theta, TSL_TYPES_FLOAT));
    tsl_numbers size;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &size));
    tsl_shape out = {0};
    if (size.count < 0) return tsl_set_output(graph, node, 0, theta->dtype, &out);
    TSL_REQUIRE(size.count == 4 || size.count == 5, TSLIM_ERROR_INVALID_ARGUMENT,
        "a size of %" PRId64 " numbers, not 4 or 5", size.count);
    int64_t dims = size.count - 2;
    bool fits = !t->known ||
                (t->rank == 3 && tsl_dims_agree(t->dims[1], dims) && tsl_dims_agree(t->dims[2], dims + 1));
    char text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s for %" PRId64 " spatial dims", theta->name,
        tsl_shape_format(t, text, sizeof(text)), dims);
    TSL_TRY(tsl_shape_unknown_dims(&out, size.count));
    tsl_shape_set_dim(&out, out.rank - 1, dims);
    for (uint32_t i = 0; size.known && i + 1 < out.rank; i++) {
        int64_t dim = tsl_numbers_int(&size, i == 0 ? 0 : i + 1);
        TSL_REQUIRE(dim >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "the size holds %" PRId64, dim);
        TSL_REQUIRE(i > 0 || !t->known || tsl_dims_agree(t->dims[0], dim), TSLIM_ERROR_INVALID_ARGUMENT,
            "%" PRId64 " grids of %" PRId64 " matrices", dim, t->dims[0]);
        tsl_shape_set_dim(&out, i, dim);
    }
    return tsl_set_output(graph, node, 0, theta->dtype, &out);
}

// ---- Losses ----

tslim_status tsl_shape_loss(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *target = tsl_node_input(graph, node, 1);
    const tsl_value *weights = tsl_node_input(graph, node, 2);
    const tsl_shape x = input->shape, *t = &target->shape;
    const tslim_dtype dtype = input->dtype;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_require_type(target, TSL_TYPES_INDEX));
    if (weights) TSL_TRY(tsl_require_same_type(graph, node, 0, 2));
    bool fits = !x.known || !t->known || (x.rank >= 2 && t->rank == x.rank - 1);
    for (uint32_t i = 0; x.known && t->known && fits && i < t->rank; i++)
        fits = tsl_dims_agree(t->dims[i], x.dims[i == 0 ? 0 : i + 1]);
    char a[TSL_SHAPE_TEXT], b[TSL_SHAPE_TEXT];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "targets of %s for scores of %s",
        tsl_shape_format(t, a, sizeof(a)), tsl_shape_format(&x, b, sizeof(b)));
    const tsl_shape *w = weights ? &weights->shape : NULL;
    TSL_REQUIRE(!w || !w->known || !x.known || (w->rank == 1 && tsl_dims_agree(w->dims[0], x.dims[1])),
        TSLIM_ERROR_INVALID_ARGUMENT, "weights that are not one for each of the %" PRId64 " classes",
        x.dims[1]);
    const char *reduction = tsl_attrs_string(&node->attrs, TSL_ATTR_reduction, "mean");
    bool none = strcmp(reduction, "none") == 0;
    TSL_REQUIRE(none || strcmp(reduction, "mean") == 0 || strcmp(reduction, "sum") == 0,
        TSLIM_ERROR_INVALID_ARGUMENT, "reduction '%.40s'", reduction);
    const tsl_shape scalar = {.known = true}, each = *t;
    TSL_TRY(tsl_set_output(graph, node, 0, dtype, none ? &each : &scalar));
    return tsl_set_output(graph, node, 1, dtype, &x);
}
