// SPDX-License-Identifier: Apache-2.0
// The functions of vector_bytes.inc, and windows of floats and bytes: the formulas of docs/numerics.md, to
// the bit, at every level.
#include "kernels/vector_test.h"

// ---- INT8 ----

static int8_t to_s8(float y, float lo, float hi) {
    if (isnan(y)) return 0;
    return (int8_t)nearbyintf(fminf(fmaxf(y, lo), hi));
}

static void test_quantize(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 2000; round++) {
        size_t n = 1 + below(60);
        tsl_quantize_s8_args args = {
            .x = floats(0, n), .n = n, .inverse_scale = 1 / 0.037f, .lo = -128, .hi = 127};
        if (round % 2) args.lo = 0, args.hi = 100;
        if (round % 3 == 0) // ties
            for (size_t i = 0; i < n; i++) ((float *)memory[0].data)[i] = (float)below(300) - 150.5f;
        if (round % 3 == 0) args.inverse_scale = 1;
        if (round % 4 == 0) { // a zero point is added to what was rounded
            args.zero_point = (float)below(256) - 128;
            args.lo = -128 - args.zero_point;
            args.hi = 127 - args.zero_point;
        }
        args.y = guarded_resize(&memory[1], n);
        int8_t wanted[64];
        for (size_t i = 0; i < n; i++) {
            float q = args.x[i] * args.inverse_scale;
            q = isnan(q) ? 0 : nearbyintf(q > args.lo ? q < args.hi ? q : args.hi : args.lo);
            wanted[i] = args.zero_point != 0 ? (int8_t)(q + args.zero_point)
                                             : to_s8(args.x[i] * args.inverse_scale, args.lo, args.hi);
        }
        portable()->quantize_s8(&args);
        assert_memory_equal(args.y, wanted, n);
        FOR_LEVELS(f->quantize_s8(&args); assert_memory_equal(args.y, wanted, n);)

        tsl_dequantize_s8_args back = {.x = bytes(2, n), .n = n, .scale = 0.0173f};
        float reals[64];
        back.zero_point = round % 4 ? 0 : (float)below(256) - 128;
        for (size_t i = 0; i < n; i++) reals[i] = ((float)back.x[i] - back.zero_point) * back.scale;
        back.y = guarded_resize(&memory[3], n * sizeof(float));
        portable()->dequantize_s8(&back);
        assert_same_floats(back.y, reals, n, "dequantize", TSLIM_ISA_PORTABLE);
        FOR_LEVELS(f->dequantize_s8(&back); assert_same_floats(back.y, reals, n, "dequantize", isas[level]);)
    }
}

static void test_binary_s8(void **unused) {
    (void)unused;
    static const tsl_op ops[] = {TSL_OP_ADD, TSL_OP_SUB, TSL_OP_MUL};
    for (size_t round = 0; round < 4000; round++) {
        size_t n = 1 + below(60);
        tsl_binary_s8_args args = {.op = ops[round % 3], .n = n, .lo = -128, .hi = 127};
        args.a_scalar = below(4) == 0;
        args.b_scalar = below(4) == 0;
        args.a = bytes(0, args.a_scalar ? 1 : n);
        args.b = bytes(1, args.b_scalar ? 1 : n);
        args.a_scale = round % 5 ? (float)tsl_rng_uniform(&rng) : 0.5f; // a half makes ties
        args.b_scale = round % 5 ? (float)tsl_rng_normal(&rng) : 0.5f;
        if (round % 2) args.lo = 0;
        if (round % 4 == 0) {
            args.a_zero = (float)below(256) - 128;
            args.b_zero = (float)below(256) - 128;
            args.offset = (float)below(256) - 128 + (float)tsl_rng_uniform(&rng);
        }
        int8_t wanted[64];
        for (size_t i = 0; i < n; i++) {
            int a = args.a[args.a_scalar ? 0 : i], b = args.b[args.b_scalar ? 0 : i];
            float product = fmaf((float)b, args.b_scale, args.offset);
            float y = fmaf((float)a, args.a_scale, product);
            int both = (a - (int)args.a_zero) * (b - (int)args.b_zero);
            wanted[i] = to_s8(
                args.op == TSL_OP_MUL ? fmaf((float)both, args.a_scale, args.offset) : y, args.lo, args.hi);
        }
        args.y = guarded_resize(&memory[2], n);
        portable()->binary_s8(&args);
        assert_memory_equal(args.y, wanted, n);
        FOR_LEVELS(f->binary_s8(&args); assert_memory_equal(args.y, wanted, n);)
    }
}

// Several rows with gaps behind each are what a call for each row makes; what lies in the gaps stays.
static void test_binary_rows(void **unused) {
    (void)unused;
    enum { ROWS = 7, MOST = 80, GAP = 5 };
    float x[2][ROWS * (MOST + GAP)], wanted[ROWS * (MOST + GAP)], y[ROWS * (MOST + GAP)];
    int8_t q[2][ROWS * (MOST + GAP)], wanted_s8[ROWS * (MOST + GAP)], y_s8[ROWS * (MOST + GAP)];
    for (size_t round = 0; round < 200; round++) {
        const size_t n = 1 + below(MOST), gap = below(GAP + 1), row = n + gap, count = 1 + below(ROWS);
        const bool same = below(2); // operand b is one row for all
        for (size_t i = 0; i < ROWS * (MOST + GAP); i++) {
            for (int k = 0; k < 2; k++) {
                x[k][i] = (float)tsl_rng_normal(&rng);
                q[k][i] = (int8_t)tsl_rng_next(&rng);
            }
            wanted[i] = 7;
            wanted_s8[i] = 7;
        }
        tsl_binary_f32_args one = {.op = TSL_OP_SUB, .n = n, .lo = -1, .hi = 2};
        tsl_binary_s8_args one_s8 = {
            .op = TSL_OP_ADD, .n = n, .a_scale = 0.37f, .b_scale = -0.41f, .lo = -128, .hi = 127};
        for (size_t r = 0; r < count; r++) {
            one.a = x[0] + r * row;
            one.b = x[1] + (same ? 0 : r * row);
            one.y = wanted + r * row;
            portable()->binary_f32(&one);
            one_s8.a = q[0] + r * row;
            one_s8.b = q[1] + (same ? 0 : r * row);
            one_s8.y = wanted_s8 + r * row;
            portable()->binary_s8(&one_s8);
        }
        const ptrdiff_t bytes_apart = (ptrdiff_t)row;
        tsl_binary_s8_args all_s8 = one_s8;
        all_s8.a = q[0];
        all_s8.b = q[1];
        all_s8.y = y_s8;
        all_s8.rows = (tsl_operand_rows){count, bytes_apart, same ? 0 : bytes_apart, bytes_apart};
        tsl_binary_f32_args all = one;
        all.a = x[0];
        all.b = x[1];
        all.y = y;
        all.rows = (tsl_operand_rows){count, 4 * bytes_apart, same ? 0 : 4 * bytes_apart, 4 * bytes_apart};
        FOR_LEVELS(for (size_t i = 0; i < ROWS * (MOST + GAP); i++) y[i] = y_s8[i] = 7; f->binary_f32(&all);
                   f->binary_s8(&all_s8); assert_memory_equal(y, wanted, sizeof(y));
                   assert_memory_equal(y_s8, wanted_s8, sizeof(y_s8));)
        // In place: over operand a.
        all_s8.y = y_s8;
        all_s8.a = y_s8;
        for (size_t i = 0; i < ROWS * (MOST + GAP); i++) wanted_s8[i] = q[0][i];
        for (size_t r = 0; r < count; r++) {
            one_s8.a = q[0] + r * row;
            one_s8.b = q[1] + (same ? 0 : r * row);
            one_s8.y = wanted_s8 + r * row;
            portable()->binary_s8(&one_s8);
        }
        FOR_LEVELS(memcpy(y_s8, q[0], sizeof(y_s8)); f->binary_s8(&all_s8);
                   assert_memory_equal(y_s8, wanted_s8, sizeof(y_s8));)
    }
}

static void test_table(void **unused) {
    (void)unused;
    int8_t table[256], wanted[600];
    for (size_t round = 0; round < 300; round++) {
        size_t n = 1 + below(600);
        for (size_t i = 0; i < 256; i++) table[i] = (int8_t)tsl_rng_next(&rng);
        tsl_table_s8_args args = {.x = bytes(0, n), .n = n, .table = table};
        for (size_t i = 0; i < n; i++) wanted[i] = table[(uint8_t)args.x[i]];
        args.y = guarded_resize(&memory[1], n);
        portable()->table_s8(&args);
        assert_memory_equal(args.y, wanted, n);
        FOR_LEVELS(f->table_s8(&args); assert_memory_equal(args.y, wanted, n);)
    }
}

// Rows with gaps between some of them, in place; what lies in the gaps stays.
static void test_table_rows(void **unused) {
    (void)unused;
    enum { MOST_ROWS = 8, MOST = 150 };
    int8_t table[256], before[MOST_ROWS * (MOST + 4)], wanted[MOST_ROWS * (MOST + 4)];
    ptrdiff_t row[MOST_ROWS];
    for (size_t i = 0; i < 256; i++) table[i] = (int8_t)tsl_rng_next(&rng);
    for (size_t round = 0; round < 300; round++) {
        size_t n = 1 + below(MOST), n_rows = 1 + below(MOST_ROWS), size = 0;
        for (size_t r = 0; r < n_rows; r++, size += n) {
            if (below(3) == 0) size += below(4);
            row[r] = (ptrdiff_t)size;
        }
        for (size_t i = 0; i < size; i++) wanted[i] = before[i] = (int8_t)tsl_rng_next(&rng);
        for (size_t r = 0; r < n_rows; r++)
            for (size_t i = 0; i < n; i++)
                wanted[row[r] + (ptrdiff_t)i] = table[(uint8_t)before[row[r] + (ptrdiff_t)i]];
        int8_t *data = guarded_resize(&memory[1], size);
        tsl_table_s8_args args = {.x = data, .y = data, .n = n, .row = row, .n_rows = n_rows, .table = table};
        memcpy(data, before, size);
        portable()->table_s8(&args);
        assert_memory_equal(data, wanted, size);
        FOR_LEVELS(memcpy(data, before, size); f->table_s8(&args); assert_memory_equal(data, wanted, size);)
    }
}

static void test_interleave(void **unused) {
    (void)unused;
    for (size_t n = 0; n < 300; n++) {
        const uint8_t *x = (const uint8_t *)bytes(0, 3 * n + 1);
        tsl_interleave_bytes_args args = {.x = {x + n, x, x + 2 * n + 1}, .n = n};
        args.y = guarded_resize(&memory[1], 3 * n);
        FOR_LEVELS(f->interleave_bytes(&args);
                   for (size_t i = 0; i < 3 * n; i++) assert_int_equal(args.y[i], args.x[i % 3][i / 3]);)
        portable()->interleave_bytes(&args);
        for (size_t i = 0; i < 3 * n; i++) assert_int_equal(args.y[i], args.x[i % 3][i / 3]);
    }
}

// ---- Windows ----

enum { MAX_TAPS = 100 };

static void choose_taps(ptrdiff_t *taps, size_t n_taps, size_t channels, size_t rows, size_t size) {
    for (size_t t = 0; t < n_taps; t++) taps[t] = (ptrdiff_t)(below(rows) * channels * size);
}

static void test_window_floats(void **unused) {
    (void)unused;
    ptrdiff_t taps[MAX_TAPS];
    float weights[MAX_TAPS];
    for (size_t round = 0; round < 600; round++) {
        size_t channels = 1 + below(50), n_taps = 1 + below(round % 4 ? 9 : MAX_TAPS);
        const float *x = floats(0, 20 * channels);
        for (size_t i = 0; round % 3 && i < 20 * channels; i++)
            ((float *)memory[0].data)[i] = (float)tsl_rng_normal(&rng);
        choose_taps(taps, n_taps, channels, 20, sizeof(float));
        for (size_t t = 0; t < n_taps; t++) weights[t] = (float)tsl_rng_uniform(&rng);
        tsl_window_sum_args sum = {
            .x = x, .taps = taps, .n_taps = n_taps, .channels = channels, .scale = 0.1f};
        sum.weights = round % 2 ? weights : NULL;
        sum.lo = -INFINITY;
        sum.hi = INFINITY;
        tsl_window_max_args max = {.x = x, .taps = taps, .n_taps = n_taps, .channels = channels};
        float *y = sum.y = guarded_resize(&memory[1], channels * sizeof(float));
        float *largest = max.y = guarded_resize(&memory[2], channels * sizeof(float));
        portable()->window_sum_f32(&sum);
        portable()->window_max_f32(&max);
        for (size_t c = 0; c < channels; c++) {
            double total = 0, magnitude = 0, m = -INFINITY;
            for (size_t t = 0; t < n_taps; t++) {
                double value = (double)x[taps[t] / (ptrdiff_t)sizeof(float) + (ptrdiff_t)c];
                m = value > m || isnan(value) ? value : m;
                value *= sum.weights ? (double)weights[t] : 1;
                total += value;
                magnitude += fabs(value);
            }
            assert_true((double)largest[c] == m || (isnan(m) && isnan(largest[c])));
            if (round % 3) assert_true(fabs((double)y[c] - total * 0.1) <= 2e-6 * magnitude * 0.1);
        }
        sum.y = guarded_resize(&memory[3], channels * sizeof(float));
        max.y = guarded_resize(&memory[4], channels * sizeof(float));
        FOR_LEVELS(f->window_sum_f32(&sum); assert_same_floats(sum.y, y, channels, "window sum", isas[level]);
                   f->window_max_f32(&max); assert_same_floats(max.y, largest, channels, "max", isas[level]);)
    }
}

static void test_window_s8(void **unused) {
    (void)unused;
    ptrdiff_t taps[MAX_TAPS];
    for (size_t round = 0; round < 600; round++) {
        size_t channels = 1 + below(70), n_taps = 1 + below(round % 4 ? 9 : MAX_TAPS);
        const int8_t *x = bytes(0, 20 * channels);
        choose_taps(taps, n_taps, channels, 20, 1);
        tsl_window_sum_args sum = {.x = x,
            .taps = taps,
            .n_taps = n_taps,
            .channels = channels,
            .lo = -128,
            .hi = 127,
            .scale = 1.0f / (float)(n_taps * (1 + round % 2))};
        tsl_window_max_args max = {.x = x, .taps = taps, .n_taps = n_taps, .channels = channels};
        int8_t mean[80], largest[80];
        float reals[80];
        for (size_t c = 0; c < channels; c++) {
            int32_t total = 0, m = -128;
            for (size_t t = 0; t < n_taps; t++) {
                int32_t value = x[taps[t] + (ptrdiff_t)c];
                total += value;
                m = value > m ? value : m;
            }
            largest[c] = (int8_t)m;
            reals[c] = fminf(fmaxf((float)total * sum.scale, -128), 127);
            mean[c] = to_s8(reals[c], -128, 127);
        }
        sum.y_s8 = guarded_resize(&memory[1], channels);
        max.y = guarded_resize(&memory[2], channels);
        portable()->window_sum_s8(&sum);
        portable()->window_max_s8(&max);
        assert_memory_equal(sum.y_s8, mean, channels);
        assert_memory_equal(max.y, largest, channels);
        FOR_LEVELS(f->window_sum_s8(&sum); assert_memory_equal(sum.y_s8, mean, channels);
                   f->window_max_s8(&max); assert_memory_equal(max.y, largest, channels);)
        sum.y_s8 = NULL;
        sum.y = guarded_resize(&memory[3], channels * sizeof(float));
        portable()->window_sum_s8(&sum);
        assert_same_floats(sum.y, reals, channels, "window sum to float", TSLIM_ISA_PORTABLE);
        FOR_LEVELS(f->window_sum_s8(&sum);
                   assert_same_floats(sum.y, reals, channels, "window sum", isas[level]);)
    }
}

// test_vector_s8 [TO_SKIP]: a pattern of tests that an emulator cannot run.
int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_skip_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_binary_s8),
        cmocka_unit_test(test_binary_rows),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_rows),
        cmocka_unit_test(test_interleave),
        cmocka_unit_test(test_window_floats),
        cmocka_unit_test(test_window_s8),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
