// SPDX-License-Identifier: Apache-2.0
// Shapes of ONNX's operators between integers: what they compute differs from Conv and MatMul, their dims do
// not.
#include "ir/shape_functions.h"

tslim_status tsl_shape_dynamic_quantize_linear(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape shape = input->shape, scalar = {.known = true};
    TSL_TRY(tsl_require_type(input, TSL_TYPE(FLOAT)));
    TSL_TRY(tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_UINT8, &shape));
    TSL_TRY(tsl_set_output_exact(graph, node, 1, TSLIM_DTYPE_FLOAT, &scalar));
    return tsl_set_output_exact(graph, node, 2, TSLIM_DTYPE_UINT8, &scalar);
}

// The zero points come third and fourth, and have the types of the operands.
static tslim_status check_operands(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < 2; i++) {
        TSL_TRY(tsl_require_type(tsl_node_input(graph, node, i), TSL_TYPE(INT8) | TSL_TYPE(UINT8)));
        if (tsl_node_input(graph, node, i + 2)) TSL_TRY(tsl_require_same_type(graph, node, i, i + 2));
    }
    return TSLIM_OK;
}

tslim_status tsl_shape_matmul_integer(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    TSL_TRY(check_operands(graph, node));
    TSL_TRY(tsl_shape_of_matmul(graph, node, &out));
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT32, &out);
}

tslim_status tsl_shape_conv_integer(tslim_graph *graph, const tsl_node *node) {
    tsl_shape out;
    TSL_TRY(check_operands(graph, node));
    TSL_TRY(tsl_shape_of_conv(graph, node, &out));
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT32, &out);
}
