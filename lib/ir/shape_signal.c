// SPDX-License-Identifier: Apache-2.0
// Shapes of Fourier transforms and of the tables that belong to them.
#include "ir/shape_functions.h"

// A scalar integer operand: -1 when it is absent or not known yet. INVALID_ARGUMENT when it is less than
// `least`.
static tslim_status read_size(
    const tslim_graph *graph, const tsl_node *node, uint32_t index, int64_t least, int64_t *size) {
    tsl_numbers numbers;
    *size = -1;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, index, &numbers));
    TSL_REQUIRE(!numbers.present || tsl_dims_agree(numbers.count, 1), TSLIM_ERROR_INVALID_ARGUMENT,
        "operand %u has %" PRId64 " numbers, not one", index, numbers.count);
    if (!numbers.known) return TSLIM_OK;
    *size = tsl_numbers_int(&numbers, 0);
    TSL_REQUIRE(*size >= least, TSLIM_ERROR_INVALID_ARGUMENT, "operand %u is %" PRId64, index, *size);
    return TSLIM_OK;
}

static tslim_dtype output_type(const tsl_node *node) {
    return (tslim_dtype)tsl_attrs_int(&node->attrs, TSL_ATTR_output_datatype, TSLIM_DTYPE_FLOAT);
}

static tslim_status require_output_type(const tsl_node *node) {
    const int64_t type = tsl_attrs_int(&node->attrs, TSL_ATTR_output_datatype, TSLIM_DTYPE_FLOAT);
    TSL_REQUIRE(type >= 0 && type < 32 && (TSL_TYPES_NUMBER >> type & 1), TSLIM_ERROR_INVALID_ARGUMENT,
        "output_datatype is %" PRId64, type);
    return TSLIM_OK;
}

tslim_status tsl_shape_window_function(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out = {.known = true, .rank = 1};
    TSL_TRY(require_output_type(node));
    TSL_TRY(read_size(graph, node, 0, 0, &out.dims[0]));
    return tsl_set_output_exact(graph, node, 0, output_type(node), &out);
}

tslim_status tsl_shape_mel_weight_matrix(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out = {.known = true, .rank = 2};
    int64_t length;
    TSL_TRY(require_output_type(node));
    TSL_TRY(read_size(graph, node, 1, 0, &length));
    TSL_TRY(read_size(graph, node, 0, 0, &out.dims[1]));
    out.dims[0] = length < 0 ? -1 : length / 2 + 1;
    return tsl_set_output_exact(graph, node, 0, output_type(node), &out);
}

static tslim_status set_transform(
    tslim_graph *graph, const tsl_node *node, tsl_shape *out, uint32_t axis, int64_t length, bool one_sided) {
    tsl_shape_set_dim(out, axis, length < 0 ? -1 : one_sided ? length / 2 + 1 : length);
    tsl_shape_set_dim(out, out->rank - 1, 2);
    return tsl_set_output(graph, node, 0, tsl_node_input(graph, node, 0)->dtype, out);
}

tslim_status tsl_shape_dft(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    tsl_shape out = input->shape;
    int64_t length, axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    TSL_TRY(read_size(graph, node, 1, 1, &length));
    if (graph->opset >= 20) {
        axis = -2;
        TSL_REQUIRE(!tsl_node_input(graph, node, 2) || tsl_value_is_constant(tsl_node_input(graph, node, 2)),
            TSLIM_ERROR_UNSUPPORTED, "an axis that is computed");
        if (tsl_node_input(graph, node, 2)) TSL_TRY(read_size(graph, node, 2, -TSLIM_MAX_RANK, &axis));
    }
    const bool one_sided = tsl_attrs_int(&node->attrs, TSL_ATTR_onesided, 0) != 0;
    TSL_REQUIRE(!one_sided || tsl_attrs_int(&node->attrs, TSL_ATTR_inverse, 0) == 0, TSLIM_ERROR_UNSUPPORTED,
        "an inverse transform of one side");
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    uint32_t at;
    TSL_TRY(tsl_normalize_axis(axis, out.rank, &at));
    const int64_t parts = out.dims[out.rank - 1];
    TSL_REQUIRE(out.rank >= 2 && at + 1 < out.rank && (parts < 0 || parts == 1 || parts == 2),
        TSLIM_ERROR_INVALID_ARGUMENT, "axis %u of a tensor of rank %u, numbers of %" PRId64 " parts", at,
        out.rank, parts);
    if (!tsl_node_input(graph, node, 1)) length = out.dims[at];
    return set_transform(graph, node, &out, at, length, one_sided);
}

tslim_status tsl_shape_stft(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *window = tsl_node_input(graph, node, 2);
    const tsl_shape *x = &input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_FLOAT));
    int64_t step, length;
    TSL_TRY(read_size(graph, node, 1, 1, &step));
    TSL_TRY(read_size(graph, node, 3, 1, &length));
    if (!tsl_node_input(graph, node, 3) && window && window->shape.known && window->shape.rank == 1)
        length = window->shape.dims[0];
    TSL_REQUIRE(window || tsl_node_input(graph, node, 3), TSLIM_ERROR_INVALID_ARGUMENT,
        "neither a window nor a length of frames is given");
    TSL_REQUIRE(!x->known || x->rank == 2 || x->rank == 3, TSLIM_ERROR_INVALID_ARGUMENT,
        "a signal of rank %u", x->rank);
    tsl_shape out = {.known = true, .rank = 4, .dims = {-1, -1, -1, 2}};
    if (x->known) {
        tsl_shape_copy_dim(&out, 0, x, 0);
        if (x->dims[1] >= 0 && step > 0 && length > 0) {
            TSL_REQUIRE(x->dims[1] >= length, TSLIM_ERROR_INVALID_ARGUMENT,
                "frames of %" PRId64 " in a signal of %" PRId64, length, x->dims[1]);
            tsl_shape_set_dim(&out, 1, (x->dims[1] - length) / step + 1);
        }
    }
    const bool one_sided = tsl_attrs_int(&node->attrs, TSL_ATTR_onesided, 1) != 0;
    return set_transform(graph, node, &out, 2, length, one_sided);
}
