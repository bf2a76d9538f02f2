// SPDX-License-Identifier: Apache-2.0
// Shape inference by hand-checked cases: where opsets differ, where dims are symbolic, where inputs are
// hostile.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/shape_case.h"

// ---- Reshape and its kin ----

static void reshape(uint32_t rank, const int64_t *x, size_t count, const int64_t *target) {
    start(14);
    value(rank, x);
    ints(count, target);
    add(TSL_OP_RESHAPE, 1);
}

static void test_reshape(void **state) {
    (void)state;
    reshape(DIMS(2, 3, 4), DIMS(0, -1));
    expect("2x12");
    reshape(DIMS(-1, 64, 7, 7), DIMS(0, -1)); // the batch is left out on both sides
    expect("d0x3136");
    reshape(DIMS(-1, 64, 7, 7), DIMS(-1, 3136)); // the batch is what remains
    expect("d0x3136");
    reshape(DIMS(-1, -1, 4), DIMS(-1, 4));
    expect("?x4");
    reshape(DIMS(0, 3), DIMS(0, 5));
    attr_int(TSL_ATTR_allowzero, 1);
    expect("0x5");
    reshape(DIMS(2, 3), DIMS(4, 2));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "input 2x3 does not fit the target shape 4,2");
    reshape(DIMS(2, 3), DIMS(-1, -1));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "target dims 0 and 1 are both -1");
    reshape(DIMS(2, 3), DIMS(2, 3, 0));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "taken over from an input of rank 2");
    reshape(DIMS(2, 3), DIMS(-7, 3));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "target dim 0 is -7");
    reshape(DIMS(-1, 3), DIMS(INT64_MAX, INT64_MAX, -1));
    expect_failure(TSLIM_ERROR_LIMIT, "2^63");
    reshape(DIMS(1, 1), DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1));
    expect_failure(TSLIM_ERROR_LIMIT, "more than 8 dims");
    start(14); // a target that is computed
    value(DIMS(2, 3));
    node_builder_value(&b, TSLIM_DTYPE_INT64, DIMS(3));
    add(TSL_OP_RESHAPE, 1);
    expect("?x?x?");
}

static void test_axes(void **state) {
    (void)state;
    start(11); // an attribute before opset 13
    value(DIMS(1, -1, 1, 5));
    add(TSL_OP_SQUEEZE, 1);
    attr_ints(TSL_ATTR_axes, DIMS(0, -2));
    expect("d1x5");
    start(13); // an operand since
    value(DIMS(1, -1, 1, 5));
    ints(DIMS(2));
    add(TSL_OP_SQUEEZE, 1);
    expect("1xd1x5");
    start(13);
    value(DIMS(3, 1));
    ints(DIMS(0));
    add(TSL_OP_SQUEEZE, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "axis 0 to be removed has 3");
    start(13);
    value(DIMS(3, -1));
    ints(DIMS(0, -1));
    add(TSL_OP_UNSQUEEZE, 1);
    expect("1x3xd1x1");
    start(13);
    value(DIMS(3, -1));
    ints(DIMS(1, -3));
    add(TSL_OP_UNSQUEEZE, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "axis 1 is named twice");
    start(13);
    value(DIMS(2, 3, 4));
    add(TSL_OP_REDUCE_MEAN, 1);
    attr_ints(TSL_ATTR_axes, DIMS(-1));
    attr_int(TSL_ATTR_keepdims, 0);
    expect("2x3");
    start(18);
    value(DIMS(2, 3, 4));
    ints(DIMS(1, 2));
    add(TSL_OP_REDUCE_MEAN, 1);
    expect("2x1x1");
    start(18);
    value(DIMS(2, 3, 4));
    add(TSL_OP_REDUCE_SUM, 1);
    attr_int(TSL_ATTR_noop_with_empty_axes, 1);
    expect("2x3x4");
    start(13);
    value(DIMS(-1, 3, 4, 5));
    add(TSL_OP_FLATTEN, 1);
    expect("d0x60");
    start(13);
    value(DIMS(2, 3));
    add(TSL_OP_FLATTEN, 1);
    attr_int(TSL_ATTR_axis, 2);
    expect("6x1");
    start(13);
    value(DIMS(2, 3));
    add(TSL_OP_ARG_MAX, 1);
    attr_int(TSL_ATTR_axis, -3);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "axis -3 of a tensor of rank 2");
}

// ---- Movement ----

static void slice(const int64_t dim, int64_t from, int64_t to, int64_t step) {
    start(13);
    value(DIMS(2, dim));
    ints(DIMS(from));
    ints(DIMS(to));
    ints(DIMS(1));
    ints(DIMS(step));
    add(TSL_OP_SLICE, 1);
}

static void test_slice(void **state) {
    (void)state;
    const struct {
        int64_t dim, from, to, step;
        const char *wanted;
    } cases[] = {{10, 2, 8, 3, "2x2"}, {10, -3, INT64_MAX, 1, "2x3"}, {10, -1, INT64_MIN, -1, "2x10"},
        {10, 8, 2, -4, "2x2"}, {10, 5, 5, 1, "2x0"}, {10, 20, 30, 1, "2x0"}, {10, -20, 3, 1, "2x3"},
        {10, 100, -11, -1, "2x10"}, {10, 9, 0, INT64_MIN, "2x1"}, {10, 0, 10, INT64_MAX, "2x1"},
        {0, 0, 5, 1, "2x0"}, {-1, 0, INT64_MAX, 1, "2xd1"}, {-1, 1, 5, 1, "2x?"},
        {10, INT64_MIN, INT64_MAX, 2, "2x5"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        slice(cases[i].dim, cases[i].from, cases[i].to, cases[i].step);
        expect(cases[i].wanted);
    }
    slice(10, 0, 5, 0);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "the step along axis 1 is 0");
    start(9); // attributes before opset 10
    value(DIMS(4, 10));
    add(TSL_OP_SLICE, 1);
    attr_ints(TSL_ATTR_starts, DIMS(1, 0));
    attr_ints(TSL_ATTR_ends, DIMS(3, -1));
    expect("2x9");
}

static void test_concat_split(void **state) {
    (void)state;
    start(13);
    value(DIMS(-1, 3, 4));
    value(DIMS(2, 5, -1));
    add(TSL_OP_CONCAT, 1);
    attr_int(TSL_ATTR_axis, -2);
    expect("2x8x4");
    start(13);
    value(DIMS(1, 3));
    value(DIMS(2, 3));
    add(TSL_OP_CONCAT, 1);
    attr_int(TSL_ATTR_axis, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "'x' (1x3) and 'x_1' (2x3) do not fit along axis 1");
    start(11);
    value(DIMS(2, 7));
    add(TSL_OP_SPLIT, 2);
    attr_int(TSL_ATTR_axis, 1);
    attr_ints(TSL_ATTR_split, DIMS(3, 4));
    expect("2x3,2x4");
    start(13);
    value(DIMS(2, 7));
    ints(DIMS(3, 5));
    add(TSL_OP_SPLIT, 2);
    attr_int(TSL_ATTR_axis, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "parts of 8 together do not make up an axis of 7");
    start(18);
    value(DIMS(7));
    add(TSL_OP_SPLIT, 3);
    attr_int(TSL_ATTR_num_outputs, 3);
    expect("3,3,1");
    start(13);
    value(DIMS(7));
    add(TSL_OP_SPLIT, 3);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "an axis of 7 does not split into 3 equal parts");
}

static void test_pad_expand_tile(void **state) {
    (void)state;
    start(10);
    value(DIMS(2, 3));
    add(TSL_OP_PAD, 1);
    attr_ints(TSL_ATTR_pads, DIMS(0, 1, 2, -2));
    expect("4x2");
    start(18);
    value(DIMS(2, 3, -1));
    ints(DIMS(4, 5));
    node_builder_absent(&b);
    ints(DIMS(-2));
    add(TSL_OP_PAD, 1);
    expect("2x12xd2");
    start(13);
    value(DIMS(2));
    ints(DIMS(2, 0));
    add(TSL_OP_PAD, 1);
    attr_text(TSL_ATTR_mode, "reflect");
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "reflection of 2 elements of dim 0, which has 2");
    start(13);
    value(DIMS(2));
    ints(DIMS(INT64_MAX, INT64_MAX));
    add(TSL_OP_PAD, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "pads 9223372036854775807");
    start(13);
    value(DIMS(3, 1));
    ints(DIMS(2, 1, 6));
    add(TSL_OP_EXPAND, 1);
    expect("2x3x6");
    start(13);
    value(DIMS(1, 1));
    ints(DIMS(1 << 20, 1 << 20));
    add(TSL_OP_EXPAND, 1);
    expect_failure(TSLIM_ERROR_LIMIT, "1048576x1048576");
    start(13);
    value(DIMS(2, -1));
    ints(DIMS(3, 1));
    add(TSL_OP_TILE, 1);
    expect("6xd1");
    start(13);
    value(DIMS(5, 3, 4));
    node_builder_value(&b, TSLIM_DTYPE_INT64, DIMS(2, 6));
    add(TSL_OP_GATHER, 1);
    attr_int(TSL_ATTR_axis, 1);
    expect("5x2x6x4");
    start(13);
    value(DIMS(2, -1, 4));
    add(TSL_OP_TRANSPOSE, 1);
    attr_ints(TSL_ATTR_perm, DIMS(1, 2, 0));
    expect("d1x4x2");
    start(13);
    value(DIMS(2, 3, 4));
    add(TSL_OP_TRANSPOSE, 1);
    attr_ints(TSL_ATTR_perm, DIMS(1, 1, 0));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "perm holds 1");
}

static void test_resize(void **state) {
    (void)state;
    start(10);
    value(DIMS(1, 2, 5, 5));
    node_builder_floats(&b, 4, (float[]){1, 1, 2, 1.5f});
    add(TSL_OP_RESIZE, 1);
    expect("1x2x10x7");
    start(13);
    value(DIMS(-1, 2, 5, 5));
    node_builder_absent(&b);
    node_builder_floats(&b, 4, (float[]){1, 1, 2, 2});
    add(TSL_OP_RESIZE, 1);
    expect("d0x2x10x10");
    start(11); // lists that are there but empty
    value(DIMS(1, 2, 5, 5));
    node_builder_floats(&b, 0, NULL);
    node_builder_floats(&b, 0, NULL);
    ints(DIMS(1, 2, 9, 8));
    add(TSL_OP_RESIZE, 1);
    expect("1x2x9x8");
    start(18);
    value(DIMS(1, 2, 5, 5));
    node_builder_absent(&b);
    node_builder_absent(&b);
    ints(DIMS(9, 8));
    add(TSL_OP_RESIZE, 1);
    attr_ints(TSL_ATTR_axes, DIMS(3, 2));
    expect("1x2x8x9");
    start(13);
    value(DIMS(1, 2, 5, 5));
    node_builder_absent(&b);
    node_builder_floats(&b, 4, (float[]){1, 1, -2, 2});
    add(TSL_OP_RESIZE, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "the scale of dim 2 is -2");
    start(13);
    value(DIMS(1, 2, 5, 5));
    node_builder_absent(&b);
    node_builder_floats(&b, 4, (float[]){1, 1, 3e38f, 2});
    add(TSL_OP_RESIZE, 1);
    expect_failure(TSLIM_ERROR_LIMIT, "scaled by");
    start(13);
    value(DIMS(1, 8, 2, 3));
    add(TSL_OP_DEPTH_TO_SPACE, 1);
    attr_int(TSL_ATTR_blocksize, 2);
    expect("1x2x4x6");
}

static void range(int64_t from, int64_t to, int64_t step) {
    start(13);
    ints(DIMS(from));
    ints(DIMS(to));
    ints(DIMS(step));
    add(TSL_OP_RANGE, 1);
}

static void test_from_numbers(void **state) {
    (void)state;
    range(0, 10, 3);
    expect("4");
    range(10, 0, -3);
    expect("4");
    range(0, 10, -1);
    expect("0");
    range(INT64_MIN, INT64_MAX, INT64_MAX);
    expect("3");
    range(0, INT64_MIN, INT64_MIN);
    expect("1");
    range(INT64_MIN, INT64_MAX, 1);
    expect_failure(TSLIM_ERROR_LIMIT, "18446744073709551615 elements");
    range(0, 5, 0);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "the step is 0");
    start(9);
    ints(DIMS(2, 3));
    add(TSL_OP_CONSTANT_OF_SHAPE, 1);
    expect("2x3");
    start(15);
    value(DIMS(2, 3, 4, 5));
    add(TSL_OP_SHAPE, 1);
    attr_int(TSL_ATTR_start, 1);
    attr_int(TSL_ATTR_end, -1);
    expect("2");
}

// ---- Products, broadcasting, types ----

static void test_products(void **state) {
    (void)state;
    start(13);
    value(DIMS(5, 1, 2, 3));
    value(DIMS(4, 3, 7));
    add(TSL_OP_MATMUL, 1);
    expect("5x4x2x7");
    start(13);
    value(DIMS(3));
    value(DIMS(3));
    add(TSL_OP_MATMUL, 1);
    expect("scalar");
    start(13);
    value(DIMS(3));
    value(DIMS(4, 3, 7));
    add(TSL_OP_MATMUL, 1);
    expect("4x7");
    start(13);
    value(DIMS(2, 3));
    value(DIMS(4, 7));
    add(TSL_OP_MATMUL, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "matrices 2x3 and 4x7 do not fit");
    start(13);
    value(DIMS(8, -1));
    value(DIMS(10, 8));
    value(DIMS(10));
    add(TSL_OP_GEMM, 1);
    attr_int(TSL_ATTR_transA, 1);
    attr_int(TSL_ATTR_transB, 1);
    expect("d1x10");
    start(13);
    value(DIMS(2, 8));
    value(DIMS(8, 10));
    value(DIMS(3, 10));
    add(TSL_OP_GEMM, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "'x_2' is 3x10 and cannot be added to 2x10");
    start(13); // the residual comes behind an absent bias
    value(DIMS(2, 8));
    value(DIMS(8, 10));
    node_builder_absent(&b);
    value(DIMS(2, 11));
    add(TSL_OP_GEMM, 1);
    b.graph->nodes[b.node].epilogue.residual = 3;
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "to be added to the result, is 2x11, not 2x10");
}

static void test_broadcast(void **state) {
    (void)state;
    start(13);
    value(DIMS(-1, 1, 5));
    value(DIMS(4, 1));
    add(TSL_OP_ADD, 1);
    expect("d0x4x5");
    start(13);
    value(DIMS(-1, 5)); // must be 1 or 4
    value(DIMS(4, 5));
    add(TSL_OP_ADD, 1);
    expect("4x5");
    start(13);
    value(DIMS(3, 5));
    value(DIMS(4, 5));
    add(TSL_OP_ADD, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "shapes 3x5 and 4x5 do not broadcast");
    start(13);
    value(DIMS(3, 5));
    node_builder_value(&b, TSLIM_DTYPE_INT64, DIMS(3, 5));
    add(TSL_OP_ADD, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "'x' is float32, but 'x_1' is int64");
    start(13);
    value(DIMS(2, 3, 4));
    value(DIMS(3, 1));
    add(TSL_OP_PRELU, 1);
    expect("2x3x4");
    start(13);
    value(DIMS(2, 3, 4));
    value(DIMS(2, 1, 1, 1));
    add(TSL_OP_PRELU, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "slope 2x1x1x1 does not stretch");
}

// What the quantizer chose stays; what the operator decides does not.
static void test_types(void **state) {
    (void)state;
    static const float scale[1] = {0.5f};
    const tslim_dtype chosen[] = {TSLIM_DTYPE_INT8, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_NONE};
    for (size_t i = 0; i < 4; i++) {
        start(13);
        uint32_t x = node_builder_value(&b, TSLIM_DTYPE_INT8, DIMS(1, 2, 3, 3));
        uint32_t w = node_builder_value(&b, TSLIM_DTYPE_INT8, DIMS(4, 2, 3, 3));
        add(TSL_OP_CONV, 1);
        b.graph->values[x].quant = b.graph->values[w].quant = (tsl_quant){.scales = scale, .n_scales = 1};
        b.graph->values[b.graph->nodes[b.node].outputs[0]].dtype = chosen[i];
        assert_int_equal(tsl_infer_node(b.graph, b.node), TSLIM_OK);
        assert_int_equal(output(0)->dtype, chosen[i] == TSLIM_DTYPE_NONE ? TSLIM_DTYPE_INT8 : chosen[i]);
        node_builder_free(&b);
    }
    start(13); // 8 bits that nobody gave a scale
    node_builder_value(&b, TSLIM_DTYPE_INT8, DIMS(1, 2, 3, 3));
    node_builder_value(&b, TSLIM_DTYPE_INT8, DIMS(4, 2, 3, 3));
    add(TSL_OP_CONV, 1);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "'x' is int8");
    const struct {
        tsl_op op;
        tslim_dtype in, out;
    } fixed[] = {{TSL_OP_QUANTIZE, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_INT8},
        {TSL_OP_DEQUANTIZE, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT},
        {TSL_OP_SHAPE, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT64},
        {TSL_OP_ARG_MAX, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_INT64},
        {TSL_OP_IDENTITY, TSLIM_DTYPE_BOOL, TSLIM_DTYPE_BOOL}};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
        start(13);
        node_builder_value(&b, fixed[i].in, DIMS(2, 3));
        add(fixed[i].op, 1);
        if (tsl_infer_node(b.graph, b.node) != TSLIM_OK) fail_msg("%s", tsl_message());
        assert_int_equal(output(0)->dtype, fixed[i].out);
        node_builder_free(&b);
    }
}

// Whatever the operands: an error or a result, no crash. Every operator, from 0 to 6 operands of odd kinds.
static void test_every_operator(void **state) {
    (void)state;
    const int64_t odd[] = {-1, 0, 1, 3, INT32_MAX, INT64_MAX};
    uint64_t seed = 1;
    for (unsigned op = 1; op < TSL_OP_COUNT; op++) {
        assert_non_null(tsl_op_shape_function((tsl_op)op));
        for (uint32_t round = 0; round < 300; round++) {
            start(7 + round % 15);
            for (uint32_t i = 0; i < round % 7; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                uint32_t bits = (uint32_t)(seed >> 33), rank = bits % 9;
                int64_t dims[8];
                for (uint32_t d = 0; d < 8; d++) dims[d] = odd[(bits >> d) % 6];
                if (bits & 0x10000)
                    ints(rank, dims);
                else if (bits & 0x20000)
                    value(rank, dims);
                else if (bits & 0x40000)
                    node_builder_value(&b, (tslim_dtype)(bits >> 8 & 15), rank, dims);
                else {
                    uint32_t unknown = value(0, dims);
                    b.graph->values[unknown].shape = (tsl_shape){0};
                }
            }
            add((tsl_op)op, 1 + round % 3);
            if (round & 1) attr_int(TSL_ATTR_axis, odd[round % 6]);
            if (round & 2) attr_ints(TSL_ATTR_axes, 2, odd + round % 5);
            if (round & 4) attr_ints(TSL_ATTR_kernel_shape, 2, odd + 2);
            if (round & 8) attr_int(TSL_ATTR_blocksize, 3);
            tslim_status status = tsl_infer_node(b.graph, b.node);
            if (status != TSLIM_OK) assert_true(strlen(tsl_message()) > 10);
            for (uint32_t i = 0; status == TSLIM_OK && i <= round % 3; i++)
                for (uint32_t d = 0; d < output(i)->shape.rank; d++)
                    assert_true(output(i)->shape.dims[d] >= -1);
            node_builder_free(&b);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reshape), cmocka_unit_test(test_axes),
        cmocka_unit_test(test_slice), cmocka_unit_test(test_concat_split),
        cmocka_unit_test(test_pad_expand_tile), cmocka_unit_test(test_resize),
        cmocka_unit_test(test_from_numbers), cmocka_unit_test(test_products),
        cmocka_unit_test(test_broadcast), cmocka_unit_test(test_types),
        cmocka_unit_test(test_every_operator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
