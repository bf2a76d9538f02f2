// SPDX-License-Identifier: Apache-2.0
// Shapes of the operators that gradients are made of.
#include "ir/shape_functions.h"

static tslim_status require_same_shape(const tsl_value *a, const tsl_value *b) {
    bool same = !a->shape.known || !b->shape.known || a->shape.rank == b->shape.rank;
    for (uint32_t i = 0; same && a->shape.known && b->shape.known && i < a->shape.rank; i++)
        same = tsl_dims_agree(a->shape.dims[i], b->shape.dims[i]);
    char a_text[TSL_SHAPE_TEXT], b_text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(same, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, but '%s' is %s", a->name,
        tsl_shape_format(&a->shape, a_text, sizeof(a_text)), b->name,
        tsl_shape_format(&b->shape, b_text, sizeof(b_text)));
    return TSLIM_OK;
}

static tslim_status require_reals(const tslim_graph *graph, const tsl_node *node, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), TSL_TYPE(FLOAT) | TSL_TYPE(DOUBLE)));
        TSL_TRY(tsl_require_same_type(graph, node, 0, i));
    }
    return TSLIM_OK;
}

tslim_status tsl_shape_function_gradient(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *dy = tsl_node_input(graph, node, 0);
    TSL_TRY(require_reals(graph, node, 2));
    TSL_TRY(require_same_shape(dy, tsl_node_input(graph, node, 1)));
    const tsl_shape shape = dy->shape;
    return tsl_set_output(graph, node, 0, dy->dtype, &shape);
}

tslim_status tsl_shape_conv_weight_gradient(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0), *dy = tsl_node_input(graph, node, 1);
    TSL_TRY(require_reals(graph, node, 2));
    tsl_shape out = {0};
    if (!x->shape.known || !dy->shape.known) return tsl_set_output(graph, node, 0, x->dtype, &out);
    const uint32_t rank = x->shape.rank;
    TSL_REQUIRE(rank >= 3 && dy->shape.rank == rank, TSLIM_ERROR_INVALID_ARGUMENT, "ranks %u and %u", rank,
        dy->shape.rank);
    tsl_window_nd w;
    TSL_TRY(tsl_window_nd_read(&node->attrs, TSL_OP_CONV, rank - 2, x->shape.dims + 2, NULL, &w));
    bool fits = tsl_dims_agree(x->shape.dims[0], dy->shape.dims[0]);
    for (uint32_t i = 0; i < w.rank; i++) fits = fits && tsl_dims_agree(w.out[i], dy->shape.dims[i + 2]);
    const int64_t in = x->shape.dims[1], features = dy->shape.dims[1];
    fits = fits && (in < 0 || in % w.group == 0) && (features < 0 || features % w.group == 0);
    char x_text[TSL_SHAPE_TEXT], dy_text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "the gradient of a result of %s for an input of %s",
        tsl_shape_format(&dy->shape, dy_text, sizeof(dy_text)),
        tsl_shape_format(&x->shape, x_text, sizeof(x_text)));
    TSL_TRY(tsl_shape_unknown_dims(&out, rank));
    tsl_shape_copy_dim(&out, 0, &dy->shape, 1);
    tsl_shape_set_dim(&out, 1, in < 0 ? -1 : in / w.group);
    for (uint32_t i = 0; i < w.rank; i++) tsl_shape_set_dim(&out, i + 2, w.kernel[i]);
    return tsl_set_output(graph, node, 0, x->dtype, &out);
}

tslim_status tsl_shape_batch_normalization_gradient(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *dy = tsl_node_input(graph, node, 0), *scale = tsl_node_input(graph, node, 2);
    TSL_TRY(require_reals(graph, node, 5));
    TSL_TRY(require_same_shape(dy, tsl_node_input(graph, node, 1)));
    for (uint32_t i = 3; i < 5; i++) TSL_TRY(require_same_shape(scale, tsl_node_input(graph, node, i)));
    const tslim_dtype dtype = dy->dtype;
    const tsl_shape x = dy->shape, vector = scale->shape;
    TSL_REQUIRE(!x.known || !vector.known ||
                    (x.rank >= 2 && vector.rank == 1 && tsl_dims_agree(x.dims[1], vector.dims[0])),
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' does not have a number for each channel", scale->name);
    for (uint32_t i = 0; i < 3; i++) TSL_TRY(tsl_set_output(graph, node, i, dtype, i == 0 ? &x : &vector));
    return TSLIM_OK;
}

tslim_status tsl_shape_max_pool_gradient(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *dy = tsl_node_input(graph, node, 0), *x = tsl_node_input(graph, node, 1);
    TSL_TRY(require_reals(graph, node, 2));
    const tsl_shape shape = x->shape;
    if (shape.known && dy->shape.known) {
        tsl_window_nd w;
        TSL_TRY(tsl_window_nd_read(
            &node->attrs, TSL_OP_MAX_POOL, shape.rank < 2 ? 0 : shape.rank - 2, shape.dims + 2, NULL, &w));
        bool fits = dy->shape.rank == shape.rank;
        for (uint32_t i = 0; fits && i < shape.rank; i++)
            fits = tsl_dims_agree(i < 2 ? shape.dims[i] : w.out[i - 2], dy->shape.dims[i]);
        TSL_REQUIRE(
            fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is not what pooling '%s' gives", dy->name, x->name);
    }
    return tsl_set_output(graph, node, 0, dy->dtype, &shape);
}

// What resampling or pooling started from: attribute `shape`, with the batch and channels of what is here.
tslim_status tsl_shape_shape_of_attribute(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *dy = tsl_node_input(graph, node, 0);
    TSL_TRY(require_reals(graph, node, 1));
    size_t count;
    const int64_t *dims = tsl_attrs_ints(&node->attrs, TSL_ATTR_shape, &count);
    TSL_REQUIRE(dims && count >= 3 && count <= TSLIM_MAX_RANK, TSLIM_ERROR_INVALID_ARGUMENT,
        "attribute shape has %zu dims", count);
    tsl_shape shape;
    TSL_TRY(tsl_shape_unknown_dims(&shape, (int64_t)count));
    for (uint32_t i = 0; i < shape.rank; i++) {
        TSL_REQUIRE(dims[i] >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "dim %u is %" PRId64, i, dims[i]);
        shape.dims[i] = dims[i];
    }
    bool fits = !dy->shape.known || dy->shape.rank == shape.rank;
    for (uint32_t i = 0; fits && dy->shape.known && i < 2; i++)
        fits = tsl_dims_agree(dy->shape.dims[i], shape.dims[i]);
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' does not fit attribute shape", dy->name);
    return tsl_set_output(graph, node, 0, dy->dtype, &shape);
}

tslim_status tsl_shape_ctc_loss(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *scores = tsl_node_input(graph, node, 0), *targets = tsl_node_input(graph, node, 1);
    TSL_TRY(require_reals(graph, node, 1));
    TSL_TRY(tsl_require_type(targets, TSL_TYPE(INT64)));
    const tslim_dtype dtype = scores->dtype;
    const tsl_shape x = scores->shape, t = targets->shape;
    TSL_REQUIRE(
        (!x.known || x.rank == 3) && (!t.known || t.rank == 2) &&
            (!x.known || !t.known || tsl_dims_agree(x.dims[0], t.dims[0])),
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' and '%s' are not N x steps x classes and N x length",
        scores->name, targets->name);
    tsl_shape losses = {0};
    if (x.known) {
        TSL_TRY(tsl_shape_unknown_dims(&losses, 1));
        tsl_shape_copy_dim(&losses, 0, &x, 0);
    }
    TSL_TRY(tsl_set_output(graph, node, 0, dtype, &losses));
    return tsl_set_output(graph, node, 1, dtype, &x);
}
