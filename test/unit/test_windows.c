// SPDX-License-Identifier: Apache-2.0
// Convolution and pooling windows by hand-checked cases, hostile ones among them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/shape_case.h"

static void conv(const int64_t *x, const int64_t *w) {
    start(17);
    value(4, x);
    value(4, w);
    add(TSL_OP_CONV, 1);
}

static void test_conv(void **state) {
    (void)state;
    conv((int64_t[]){-1, 3, 224, 224}, (int64_t[]){64, 3, 7, 7});
    attr_ints(TSL_ATTR_pads, DIMS(3, 3, 3, 3));
    attr_ints(TSL_ATTR_strides, DIMS(2, 2));
    expect("d0x64x112x112");
    conv((int64_t[]){1, 8, 10, 11}, (int64_t[]){16, 4, 3, 3});
    attr_int(TSL_ATTR_group, 2);
    attr_ints(TSL_ATTR_dilations, DIMS(2, 3));
    expect("1x16x6x5"); // 10 - 5 + 1, 11 - 7 + 1
    conv((int64_t[]){1, 1, -1, 9}, (int64_t[]){1, 1, 3, 3});
    attr_text(TSL_ATTR_auto_pad, "SAME_UPPER");
    attr_ints(TSL_ATTR_strides, DIMS(2, 2));
    expect("1x1x?x5");
    start(17); // one spatial dim
    value(DIMS(2, 4, 30));
    value(DIMS(6, 4, 5));
    add(TSL_OP_CONV, 1);
    attr_ints(TSL_ATTR_pads, DIMS(1, 2));
    attr_ints(TSL_ATTR_strides, DIMS(3));
    expect("2x6x10"); // (33 - 5) / 3 + 1
}

static void test_conv_failures(void **state) {
    (void)state;
    const tslim_status invalid = TSLIM_ERROR_INVALID_ARGUMENT;
    conv((int64_t[]){1, 1, 3, 3}, (int64_t[]){1, 1, 7, 7});
    expect_failure(invalid, "kernel 7x7 with dilation 1x1 does not fit input 3x3 with pads 0x0 and 0x0");
    conv((int64_t[]){1, 1, 3, 3}, (int64_t[]){1, 1, 3, 3});
    attr_ints(TSL_ATTR_strides, DIMS(1, -1));
    expect_failure(invalid, "strides holds -1");
    conv((int64_t[]){1, 1, 3, 3}, (int64_t[]){1, 1, 3, 3});
    attr_ints(TSL_ATTR_dilations, DIMS(1, INT64_MAX));
    expect_failure(invalid, "dilations holds 9223372036854775807");
    conv((int64_t[]){1, 1, 3, 3}, (int64_t[]){1, 1, 3, 3});
    attr_ints(TSL_ATTR_pads, DIMS(0, 0, -1, 0));
    expect_failure(invalid, "pads holds -1");
    conv((int64_t[]){1, 1, 3, 3}, (int64_t[]){1, 1, 3, 3});
    attr_ints(TSL_ATTR_pads, DIMS(0, 0));
    expect_failure(invalid, "pads has 2 numbers, not 4");
    conv((int64_t[]){1, 6, 5, 5}, (int64_t[]){4, 2, 3, 3});
    expect_failure(invalid, "weights 4x2x3x3 in 1 groups do not fit input 1x6x5x5");
    conv((int64_t[]){1, 6, 5, 5}, (int64_t[]){4, 2, 3, 3}); // 4 features are not a multiple of 3 groups
    attr_int(TSL_ATTR_group, 3);
    expect_failure(invalid, "in 3 groups");
    conv((int64_t[]){1, 6, 5, 5}, (int64_t[]){4, 6, 3, 3});
    attr_int(TSL_ATTR_group, 0);
    expect_failure(invalid, "group is 0");
    conv((int64_t[]){1, 6, 5, 5}, (int64_t[]){4, 6, 3, 3});
    attr_ints(TSL_ATTR_kernel_shape, DIMS(3, 5));
    expect_failure(invalid, "kernel_shape holds 5, but the weights have 3");
    conv((int64_t[]){1, 6, INT64_MAX, 5}, (int64_t[]){4, 6, 3, 3});
    expect_failure(TSLIM_ERROR_LIMIT, "9223372036854775807x5");
    conv((int64_t[]){100000, 1, 200, 200}, (int64_t[]){100, 1, 1, 1});
    expect_failure(TSLIM_ERROR_LIMIT, "100000x100x200x200");
    start(17);
    node_builder_value(&b, TSLIM_DTYPE_INT64, DIMS(1, 1, 3, 3));
    value(DIMS(1, 1, 3, 3));
    add(TSL_OP_CONV, 1);
    expect_failure(invalid, "'x' is int64, not a float type");
    start(17);
    value(DIMS(1, 1, 3, 3));
    node_builder_absent(&b);
    add(TSL_OP_CONV, 1);
    expect_failure(invalid, "operand 1 is absent");
    start(17);
    value(DIMS(1, 1, 3, 4, 5));
    value(DIMS(1, 1, 3, 3, 3));
    add(TSL_OP_CONV, 1);
    expect("1x1x1x2x3");
}

static void transposed(void) {
    start(17);
    value(DIMS(1, 8, 5, 5));
    value(DIMS(8, 3, 3, 3));
    add(TSL_OP_CONV_TRANSPOSE, 1);
    attr_ints(TSL_ATTR_strides, DIMS(2, 2));
}

static void test_conv_transpose(void **state) {
    (void)state;
    transposed();
    attr_int(TSL_ATTR_group, 2);
    attr_ints(TSL_ATTR_pads, DIMS(1, 0, 1, 0));
    attr_ints(TSL_ATTR_output_padding, DIMS(1, 0));
    expect("1x6x10x11"); // 4 * 2 + 1 + 3 - 2, 4 * 2 + 3
    transposed();
    attr_ints(TSL_ATTR_output_shape, DIMS(10, 12)); // 12 is more than the 11 there are
    expect("1x3x10x12");
    transposed();
    attr_text(TSL_ATTR_auto_pad, "SAME_LOWER");
    expect("1x3x10x10");
    transposed();
    attr_ints(TSL_ATTR_pads, DIMS(6, 0, 6, 0));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "leaves nothing after pads 6,6");
}

static void test_window(void **state) {
    (void)state;
    tsl_window w;
    uint16_t border[4];
    conv((int64_t[]){1, 1, 1, 1}, (int64_t[]){1, 1, 1, 1});
    attr_text(TSL_ATTR_auto_pad, "SAME_UPPER");
    attr_ints(TSL_ATTR_strides, DIMS(2, 2));
    const tsl_attrs *attrs = &b.graph->nodes[b.node].attrs;
    assert_int_equal(
        tsl_window_read(attrs, TSL_OP_CONV, 2, (int64_t[]){8, 7}, (int64_t[]){3, 3}, &w), TSLIM_OK);
    // 8: 4 windows reach to 3 * 2 + 3 = 9, one more at the end; 7: to 9, one on each side.
    assert_int_equal(w.pad_begin[0], 0);
    assert_int_equal(w.pad_end[0], 1);
    assert_int_equal(w.pad_begin[1], 1);
    assert_int_equal(w.pad_end[1], 1);
    attr_text(TSL_ATTR_auto_pad, "SAME_LOWER");
    assert_int_equal(
        tsl_window_read(attrs, TSL_OP_CONV, 2, (int64_t[]){8, 7}, (int64_t[]){3, 3}, &w), TSLIM_OK);
    assert_int_equal(w.pad_begin[0], 1);
    assert_int_equal(w.pad_end[0], 0);
    node_builder_free(&b);

    conv((int64_t[]){1, 1, 1, 1}, (int64_t[]){1, 1, 1, 1});
    attr_ints(TSL_ATTR_pads, DIMS(1, 2, 1, 2));
    attr_ints(TSL_ATTR_strides, DIMS(2, 1));
    attrs = &b.graph->nodes[b.node].attrs;
    assert_int_equal(
        tsl_window_read(attrs, TSL_OP_CONV, 2, (int64_t[]){8, 8}, (int64_t[]){3, 5}, &w), TSLIM_OK);
    assert_int_equal(tsl_window_border(&w, TSL_OP_CONV, border), TSLIM_OK);
    // Rows -1..7 only: the last window of stride 2 does not come to the padding below.
    assert_memory_equal(border, ((uint16_t[]){1, 2, 0, 2}), sizeof(border));
    assert_int_equal(
        tsl_window_read(attrs, TSL_OP_CONV_TRANSPOSE, 2, (int64_t[]){8, 8}, (int64_t[]){3, 5}, &w), TSLIM_OK);
    assert_int_equal(tsl_window_border(&w, TSL_OP_CONV_TRANSPOSE, border), TSLIM_OK);
    assert_memory_equal(border, ((uint16_t[]){0, 2, 0, 2}), sizeof(border));
    node_builder_free(&b);

    conv((int64_t[]){1, 1, 1, 1}, (int64_t[]){1, 1, 1, 1});
    attr_ints(TSL_ATTR_pads, DIMS(70000, 0, 0, 0));
    attrs = &b.graph->nodes[b.node].attrs;
    assert_int_equal(
        tsl_window_read(attrs, TSL_OP_CONV, 2, (int64_t[]){8, 8}, (int64_t[]){3, 3}, &w), TSLIM_OK);
    assert_int_equal(tsl_window_border(&w, TSL_OP_CONV, border), TSLIM_ERROR_UNSUPPORTED);
    node_builder_free(&b);
}

static void pool(int64_t size) {
    start(17);
    value(DIMS(1, 2, size, size));
    add(TSL_OP_MAX_POOL, 1);
    attr_ints(TSL_ATTR_kernel_shape, DIMS(3, 3));
    attr_ints(TSL_ATTR_strides, DIMS(2, 2));
}

static void test_pool(void **state) {
    (void)state;
    pool(112);
    attr_ints(TSL_ATTR_pads, DIMS(1, 1, 1, 1));
    expect("1x2x56x56");
    pool(6);
    expect("1x2x2x2");
    pool(6);
    attr_int(TSL_ATTR_ceil_mode, 1);
    expect("1x2x3x3");
    pool(2); // 2 + 2 + 2 - 3 = 3, ceil(3 / 2) + 1 = 3; the third starts at 4 - 2 = 2, behind the input
    attr_ints(TSL_ATTR_pads, DIMS(2, 2, 2, 2));
    attr_int(TSL_ATTR_ceil_mode, 1);
    expect("1x2x2x2");
    pool(6);
    attr_ints(TSL_ATTR_pads, DIMS(3, 0, 0, 0));
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "pads 3,0 are not smaller than the kernel, 3");
    pool(2);
    expect_failure(TSLIM_ERROR_INVALID_ARGUMENT, "kernel 3x3 with dilation 1x1 does not fit input 2x2");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conv), cmocka_unit_test(test_conv_failures),
        cmocka_unit_test(test_conv_transpose), cmocka_unit_test(test_window), cmocka_unit_test(test_pool)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
