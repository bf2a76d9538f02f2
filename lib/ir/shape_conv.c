// SPDX-License-Identifier: Apache-2.0
// Shapes of convolution, matrix products, pooling and normalization.
#include "ir/shape_functions.h"

static tslim_status require_rank(const tsl_value *value, uint32_t least, uint32_t most) {
    char text[TSL_SHAPE_TEXT];
    const tsl_shape *shape = &value->shape;
    TSL_REQUIRE(!shape->known || (shape->rank >= least && shape->rank <= most), TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s, not of rank %u to %u", value->name, tsl_shape_format(shape, text, sizeof(text)), least,
        most);
    return TSLIM_OK;
}

// A list of one number for each channel; -1 channels: not known.
static tslim_status require_vector(const tsl_value *value, int64_t length) {
    char text[TSL_SHAPE_TEXT];
    TSL_TRY(require_rank(value, 1, 1));
    TSL_REQUIRE(!value->shape.known || tsl_dims_agree(value->shape.dims[0], length),
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, but there are %" PRId64 " channels", value->name,
        tsl_shape_format(&value->shape, text, sizeof(text)), length);
    return TSLIM_OK;
}

// Weights have the input's type; 8-bit inputs take 8-bit weights, and floats do, which are quantized in each
// run.
static tslim_status require_product_types(const tslim_graph *graph, const tsl_node *node, tsl_types types) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *weights = tsl_node_input(graph, node, 1);
    TSL_TRY(tsl_require_type(input, types));
    TSL_TRY(tsl_require_type(weights, types));
    bool known = input->dtype != TSLIM_DTYPE_NONE && weights->dtype != TSLIM_DTYPE_NONE;
    bool fits = tsl_value_is_quantized(weights)
                    ? tsl_value_is_quantized(input) || input->dtype == TSLIM_DTYPE_FLOAT
                    : input->dtype == weights->dtype && !tsl_value_is_quantized(input);
    TSL_REQUIRE(!known || fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, but '%s' is %s", input->name,
        tslim_dtype_name(input->dtype), weights->name, tslim_dtype_name(weights->dtype));
    return TSLIM_OK;
}

// The residual of the epilogue has the result's shape.
static tslim_status set_product(tslim_graph *graph, const tsl_node *node, const tsl_shape *shape) {
    if (node->epilogue.residual >= 0) {
        const tsl_value *residual = tsl_node_input(graph, node, (uint32_t)node->epilogue.residual);
        bool fits = !residual->shape.known || !shape->known || residual->shape.rank == shape->rank;
        for (uint32_t i = 0; fits && residual->shape.known && i < shape->rank; i++)
            fits = tsl_dims_agree(residual->shape.dims[i], shape->dims[i]);
        char given[TSL_SHAPE_TEXT], wanted[TSL_SHAPE_TEXT];
        TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s', to be added to the result, is %s, not %s",
            residual->name, tsl_shape_format(&residual->shape, given, sizeof(given)),
            tsl_shape_format(shape, wanted, sizeof(wanted)));
    }
    return tsl_set_output(graph, node, 0, tsl_node_input(graph, node, 0)->dtype, shape);
}

// Operand `index`, where it is there and is not the residual.
static const tsl_value *optional_operand(const tslim_graph *graph, const tsl_node *node, uint32_t index) {
    return node->epilogue.residual == (int32_t)index ? NULL : tsl_node_input(graph, node, index);
}

static tslim_status check_channels(
    const tsl_node *node, const tsl_shape *x, const tsl_shape *w, int64_t group) {
    bool transposed = node->op == TSL_OP_CONV_TRANSPOSE;
    int64_t channels = x->dims[1], first = w->dims[0], second = w->dims[1];
    // Conv: M x C/group, in `group` groups of M. ConvTranspose: C x M/group.
    int64_t needed = second < 0 ? -1 : second * group;
    char x_text[TSL_SHAPE_TEXT], w_text[TSL_SHAPE_TEXT];
    bool fits = tsl_dims_agree(channels, transposed ? first : needed) && (first < 0 || first % group == 0);
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "weights %s in %" PRId64 " groups do not fit input %s",
        tsl_shape_format(w, w_text, sizeof(w_text)), group, tsl_shape_format(x, x_text, sizeof(x_text)));
    return TSLIM_OK;
}

tslim_status tsl_shape_of_conv(const tslim_graph *graph, const tsl_node *node, tsl_shape *out) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *weights = tsl_node_input(graph, node, 1);
    const tsl_shape *x = &input->shape, *w = &weights->shape;
    *out = (tsl_shape){0};
    if (!x->known || !w->known) return TSLIM_OK;
    TSL_TRY(require_rank(input, 3, TSLIM_MAX_RANK));
    TSL_TRY(require_rank(weights, x->rank, x->rank));
    tsl_window_nd window;
    TSL_TRY(tsl_window_nd_read(&node->attrs, node->op, x->rank - 2, x->dims + 2, w->dims + 2, &window));
    TSL_REQUIRE(w->dims[1] <= INT32_MAX, TSLIM_ERROR_LIMIT, "weights of %" PRId64 " channels", w->dims[1]);
    TSL_TRY(check_channels(node, x, w, window.group));
    int64_t features = w->dims[0];
    if (node->op == TSL_OP_CONV_TRANSPOSE) features = w->dims[1] < 0 ? -1 : w->dims[1] * window.group;
    *out = (tsl_shape){.known = true, .rank = x->rank};
    tsl_shape_copy_dim(out, 0, x, 0);
    tsl_shape_set_dim(out, 1, features);
    for (uint32_t i = 2; i < x->rank; i++) tsl_shape_set_dim(out, i, window.out[i - 2]);
    return TSLIM_OK;
}

static tslim_status convolve(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    TSL_TRY(require_product_types(graph, node, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_shape_of_conv(graph, node, &out));
    const tsl_value *bias = optional_operand(graph, node, 2);
    if (bias && out.known) TSL_TRY(require_vector(bias, out.dims[1]));
    return set_product(graph, node, &out);
}

tslim_status tsl_shape_conv(tslim_graph *graph, const tsl_node *node) {
    return convolve(graph, node);
}

tslim_status tsl_shape_conv_transpose(tslim_graph *graph, const tsl_node *node) {
    return convolve(graph, node);
}

static tslim_status inner_dims_differ(const tsl_shape *a, const tsl_shape *b) {
    char a_text[TSL_SHAPE_TEXT], b_text[TSL_SHAPE_TEXT];
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "matrices %s and %s do not fit each other",
        tsl_shape_format(a, a_text, sizeof(a_text)), tsl_shape_format(b, b_text, sizeof(b_text)));
}

tslim_status tsl_shape_gemm(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *a = tsl_node_input(graph, node, 0), *b = tsl_node_input(graph, node, 1);
    TSL_TRY(require_product_types(graph, node, TSL_TYPES_NUMBER));
    TSL_TRY(require_rank(a, 2, 2));
    TSL_TRY(require_rank(b, 2, 2));
    if (!a->shape.known || !b->shape.known) return set_product(graph, node, &(tsl_shape){0});
    uint32_t trans_a = tsl_attrs_int(&node->attrs, TSL_ATTR_transA, 0) != 0;
    uint32_t trans_b = tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0;
    if (!tsl_dims_agree(a->shape.dims[1 - trans_a], b->shape.dims[trans_b]))
        return inner_dims_differ(&a->shape, &b->shape);
    tsl_shape out = {.known = true, .rank = 2};
    tsl_shape_copy_dim(&out, 0, &a->shape, trans_a);
    tsl_shape_copy_dim(&out, 1, &b->shape, 1 - trans_b);
    const tsl_value *c = optional_operand(graph, node, 2);
    char text[TSL_SHAPE_TEXT], out_text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(!c || tsl_shape_stretches_to(&c->shape, &out), TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s and cannot be added to %s", c->name, tsl_shape_format(&c->shape, text, sizeof(text)),
        tsl_shape_format(&out, out_text, sizeof(out_text)));
    return set_product(graph, node, &out);
}

// The dims before the last two, for broadcasting.
static tsl_shape batch_dims(const tsl_shape *shape) {
    tsl_shape batch = *shape;
    batch.rank = shape->rank > 2 ? shape->rank - 2 : 0;
    return batch;
}

tslim_status tsl_shape_of_matmul(const tslim_graph *graph, const tsl_node *node, tsl_shape *out) {
    const tsl_value *left = tsl_node_input(graph, node, 0), *right = tsl_node_input(graph, node, 1);
    TSL_TRY(require_rank(left, 1, TSLIM_MAX_RANK));
    TSL_TRY(require_rank(right, 1, TSLIM_MAX_RANK));
    const tsl_shape *a = &left->shape, *b = &right->shape;
    *out = (tsl_shape){0};
    if (!a->known || !b->known) return TSLIM_OK;
    if (!tsl_dims_agree(a->dims[a->rank - 1], b->dims[b->rank > 1 ? b->rank - 2 : 0]))
        return inner_dims_differ(a, b);
    tsl_shape a_batch = batch_dims(a), b_batch = batch_dims(b);
    TSL_TRY(tsl_shape_broadcast(&a_batch, &b_batch, out));
    if (a->rank > 1) TSL_TRY(tsl_shape_append(out, a->dims[a->rank - 2], a->symbols[a->rank - 2]));
    return b->rank > 1 ? tsl_shape_append(out, b->dims[b->rank - 1], b->symbols[b->rank - 1]) : TSLIM_OK;
}

tslim_status tsl_shape_matmul(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    TSL_TRY(require_product_types(graph, node, TSL_TYPES_NUMBER));
    TSL_TRY(tsl_shape_of_matmul(graph, node, &out));
    const tsl_shape *b = &tsl_node_input(graph, node, 1)->shape;
    const tsl_value *bias = optional_operand(graph, node, 2);
    if (bias && out.known) TSL_TRY(require_vector(bias, b->rank > 1 ? b->dims[b->rank - 1] : 1));
    return set_product(graph, node, &out);
}

tslim_status tsl_shape_batch_normalization(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    // Before opset 9 a tensor without channels is allowed: one of rank 1 counts as one channel.
    int64_t channels = !x.known ? -1 : x.rank >= 2 ? x.dims[1] : 1;
    for (uint32_t i = 1; i < 5; i++) {
        TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), TSL_TYPES_FLOAT));
        TSL_TRY(require_vector(tsl_node_input(graph, node, i), channels));
    }
    TSL_TRY(tsl_set_output(graph, node, 0, input->dtype, &x));
    for (uint32_t i = 1; i < node->n_outputs; i++) {
        const tsl_value *mean = tsl_node_input(graph, node, 3);
        TSL_TRY(tsl_set_output_exact(graph, node, i, mean->dtype, &mean->shape));
    }
    return TSLIM_OK;
}

tslim_status tsl_shape_group_normalization(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(require_rank(input, 2, TSLIM_MAX_RANK));
    const int64_t groups = tsl_attrs_int(&node->attrs, TSL_ATTR_num_groups, 0);
    TSL_REQUIRE(groups >= 1 && (!x.known || x.dims[1] < 0 || x.dims[1] % groups == 0),
        TSLIM_ERROR_INVALID_ARGUMENT, "%" PRId64 " channels in %" PRId64 " groups", x.known ? x.dims[1] : -1,
        groups);
    const int64_t length = graph->opset < 21 ? groups : x.known ? x.dims[1] : -1;
    for (uint32_t i = 1; i < 3; i++) TSL_TRY(require_vector(tsl_node_input(graph, node, i), length));
    return tsl_set_output(graph, node, 0, input->dtype, &x);
}

tslim_status tsl_shape_layer_normalization(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    tsl_shape mean = x;
    if (x.known) {
        uint32_t axis;
        TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, -1), x.rank, &axis));
        for (uint32_t i = 1; i < node->n_inputs; i++) {
            const tsl_value *scale = tsl_node_input(graph, node, i);
            char text[TSL_SHAPE_TEXT], x_text[TSL_SHAPE_TEXT];
            TSL_REQUIRE(!scale || tsl_shape_stretches_to(&scale->shape, &x), TSLIM_ERROR_INVALID_ARGUMENT,
                "'%s' is %s and does not fit input %s", scale->name,
                tsl_shape_format(&scale->shape, text, sizeof(text)),
                tsl_shape_format(&x, x_text, sizeof(x_text)));
        }
        for (uint32_t i = axis; i < x.rank; i++) tsl_shape_set_dim(&mean, i, 1);
    }
    TSL_TRY(tsl_set_output(graph, node, 0, input->dtype, &x));
    for (uint32_t i = 1; i < node->n_outputs; i++)
        TSL_TRY(tsl_set_output_exact(graph, node, i, TSLIM_DTYPE_FLOAT, &mean));
    return TSLIM_OK;
}

tslim_status tsl_shape_pool(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_types types = TSL_TYPES_FLOAT;
    if (node->op == TSL_OP_MAX_POOL) types |= TSL_TYPE(INT8) | TSL_TYPE(UINT8);
    TSL_TRY(tsl_require_type(input, types));
    TSL_TRY(require_rank(input, 3, TSLIM_MAX_RANK));
    tsl_shape out = input->shape;
    if (out.known) {
        tsl_window_nd window;
        TSL_TRY(tsl_window_nd_read(&node->attrs, node->op, out.rank - 2, out.dims + 2, NULL, &window));
        for (uint32_t i = 2; i < out.rank; i++) tsl_shape_set_dim(&out, i, window.out[i - 2]);
    }
    TSL_TRY(tsl_set_output_exact(graph, node, 1, TSLIM_DTYPE_INT64, &out)); // Indices
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_global_pool(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(require_rank(input, 3, TSLIM_MAX_RANK));
    tsl_shape out = input->shape;
    for (uint32_t i = 2; i < out.rank; i++) {
        TSL_REQUIRE(out.dims[i] != 0, TSLIM_ERROR_INVALID_ARGUMENT, "dim %u of '%s' is 0", i, input->name);
        tsl_shape_set_dim(&out, i, 1);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_max_unpool(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    TSL_TRY(tsl_require_type(indices, TSL_TYPE(INT64)));
    TSL_TRY(require_rank(input, 3, TSLIM_MAX_RANK));
    tsl_shape out = input->shape;
    tsl_numbers sizes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 2, &sizes));
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    TSL_REQUIRE(!sizes.present || tsl_dims_agree(sizes.count, out.rank), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " sizes for a tensor of rank %u", sizes.count, out.rank);
    int64_t inferred[TSLIM_MAX_RANK];
    TSL_TRY(tsl_unpool_dims(&node->attrs, out.rank, out.dims, inferred));
    for (uint32_t i = 0; i < out.rank; i++) {
        const int64_t dim = sizes.known ? tsl_numbers_int(&sizes, i) : sizes.present ? -1 : inferred[i];
        TSL_REQUIRE(!sizes.known || dim >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "size %u is %" PRId64, i, dim);
        if (i >= 2 || dim != out.dims[i]) tsl_shape_set_dim(&out, i, dim);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}
