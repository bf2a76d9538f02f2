// SPDX-License-Identifier: Apache-2.0
// Every function of kernels.inc at every level that this machine has, against portable C, for equality of
// every bit: random and extreme operands, all small tails, rows and kernel positions anywhere. Outputs are
// compared with the bytes between their rows, and operands end where reading faults.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/cpu_info.h"
#include "cpu/bundle.h"
#include "cpu/kernels.h"
#include "kernels/guarded.h"

#ifdef TEST_AVXVNNI_BY_EVEX
void tsl_cpu_overlay_avxvnni_by_evex(tsl_cpu_functions *functions);
#endif

enum { CAPACITY = 1 << 20, MAX_ROWS = 64, MAX_TAPS = 140 };

static guarded a_memory, w_memory, z_memory, c_memory, expected_memory;
static guarded scale_memory, bias_memory, init_memory, sum_memory, zero_memory, row_sum_memory;
static guarded factor_memory, shift_memory;
static ptrdiff_t a_row[MAX_ROWS], z_row[MAX_ROWS], c_row[MAX_ROWS], tap[MAX_TAPS];

static tslim_context *ctx;
static uint64_t state = 1;

static uint32_t random_32(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}
static size_t below(size_t n) {
    return random_32() % n;
}
static size_t between(size_t low, size_t high) {
    return low + below(high - low + 1);
}
static float real(void) {
    return (float)((int32_t)random_32() - (1 << 30)) * 0x1p-30f;
}

static size_t padded(size_t n) {
    return (n + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
}

// ---- Levels ----
typedef struct level {
    const char *name;
    tsl_cpu_functions functions;
} level;
static level levels[8];
static size_t n_levels;

static int find_levels(void **unused) {
    (void)unused;
    static const tslim_isa isas[] = {TSLIM_ISA_AVX2, TSLIM_ISA_AVXVNNI, TSLIM_ISA_AVX512,
        TSLIM_ISA_AVX512VNNI, TSLIM_ISA_NEON, TSLIM_ISA_NEONDOT};
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        if (!tslim_isa_available(isas[i])) {
            print_message("no %s here\n", tslim_isa_name(isas[i]));
            continue;
        }
        levels[n_levels].name = tslim_isa_name(isas[i]);
        levels[n_levels++].functions = *tsl_cpu_functions_get(isas[i]);
    }
#ifdef TEST_AVXVNNI_BY_EVEX
    if (tslim_isa_available(TSLIM_ISA_AVX512VNNI)) {
        levels[n_levels].name = "avxvnni, encoded as AVX-512";
        levels[n_levels].functions = *tsl_cpu_functions_get(TSLIM_ISA_AVX2);
        tsl_cpu_overlay_avxvnni_by_evex(&levels[n_levels++].functions);
    }
#endif
    guarded *all[] = {&a_memory, &w_memory, &z_memory, &c_memory, &expected_memory, &scale_memory,
        &bias_memory, &init_memory, &sum_memory, &zero_memory, &row_sum_memory, &factor_memory,
        &shift_memory};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) *all[i] = guarded_create(CAPACITY);
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : -1;
}

static int free_context(void **unused) {
    (void)unused;
    tslim_context_destroy(ctx);
    return 0;
}

// ---- Operands ----
static void fill_floats(guarded *memory, size_t n) {
    float *values = guarded_resize(memory, n * sizeof(float));
    for (size_t i = 0; i < n; i++) values[i] = real();
}

// Rows of `bytes` each, in any order and distance, in memory that ends with the last one; values follow by
// the caller.
static void place_rows(guarded *memory, ptrdiff_t *rows, size_t n, size_t bytes, size_t unit) {
    size_t stride = bytes + below(5) * unit, at = 0;
    for (size_t i = 0; i < n; i++, at += stride) rows[i] = (ptrdiff_t)at;
    for (size_t i = n; i-- > 1;) {
        size_t other = below(i + 1);
        ptrdiff_t swap = rows[i];
        rows[i] = rows[other];
        rows[other] = swap;
    }
    guarded_resize(memory, at - stride + bytes);
}

// Kernel positions, and as many bytes more in `a`.
static void place_taps(size_t n_taps, size_t bytes, size_t unit) {
    size_t end = 0;
    for (size_t t = 0; t < n_taps; t++) {
        tap[t] = (ptrdiff_t)(below(4) * bytes + below(3) * unit);
        if ((size_t)tap[t] > end) end = (size_t)tap[t];
    }
    guarded_resize(&a_memory, a_memory.bytes + end);
}

static void fill_activations(tsl_activation_kind kind, bool extreme) {
    static const uint8_t ends[3][2] = {{0x80, 0x7f}, {0, 0x7f}, {0, 0xff}};
    size_t share = below(3);
    for (size_t i = 0; i < a_memory.bytes; i++) {
        uint8_t any = (uint8_t)random_32();
        if (kind == TSL_ACTIVATION_NON_NEGATIVE) any &= 0x7f;
        a_memory.data[i] = (char)(extreme ? ends[kind][below(3) >= share] : any);
    }
}

static void fill_weights(size_t bytes, bool extreme) {
    int8_t *w = guarded_resize(&w_memory, bytes);
    size_t share = below(3);
    // Smaller ones make larger bundles, whose sums come as near to their bound.
    int magnitude = below(2) ? 127 : (int)between(1, 127);
    for (size_t i = 0; i < bytes; i++)
        w[i] = (int8_t)(extreme ? (below(3) >= share ? magnitude : -magnitude)
                                : (int)below((size_t)(2 * magnitude + 1)) - magnitude);
}

static void fill_int8(guarded *memory) {
    for (size_t i = 0; i < memory->bytes; i++) memory->data[i] = (char)random_32();
}

// Scales of results that mostly fit, or that are far outside every bound.
static void fill_requantization(size_t n, size_t depth, const float **scale, const float **bias) {
    fill_floats(&scale_memory, padded(n));
    fill_floats(&bias_memory, padded(n));
    float *scales = (float *)(void *)scale_memory.data, *biases = (float *)(void *)bias_memory.data;
    bool huge = below(8) == 0;
    for (size_t j = 0; j < padded(n); j++) {
        scales[j] *= huge ? 1e30f : 0.05f / (float)depth;
        biases[j] *= 20.0f;
        if (below(4) == 0) scales[j] = 0.5f / (float)(1 << below(6)), biases[j] = 0.0f; // ties
    }
    *scale = scales;
    *bias = biases;
}

static void choose_bounds(float *lo, float *hi) {
    static const float pairs[][2] = {{-128, 127}, {0, 127}, {-127, 127}, {0, 47}, {-5, -5}};
    size_t which = below(sizeof(pairs) / sizeof(pairs[0]));
    *lo = pairs[which][0];
    *hi = pairs[which][1];
}

// A chain for one product in two, or NULL; its bounds are whole for int8. Its sums are mostly within -6..6.
static const tsl_finish *choose_finish(size_t n, float lo, float hi, bool to_float) {
    static const tsl_op functions[] = {TSL_OP_CLIP, TSL_OP_HARD_SWISH, TSL_OP_HARD_SIGMOID, TSL_OP_LEAKY_RELU,
        TSL_OP_SILU, TSL_OP_TANH, TSL_OP_GELU};
    static tsl_finish finish;
    if (below(2)) return NULL;
    fill_floats(&factor_memory, padded(n));
    fill_floats(&shift_memory, padded(n));
    float *factor = (float *)(void *)factor_memory.data, *shift = (float *)(void *)shift_memory.data;
    const bool huge = below(8) == 0;
    for (size_t j = 0; j < padded(n); j++) {
        factor[j] *= huge ? 1e30f : to_float ? 1 : 40;
        if (below(3) == 0) factor[j] = 0.5f, shift[j] = -0.0f; // ties
    }
    const bool open = below(2), plain = to_float && below(3) == 0, uniform = plain || below(3) == 0;
    for (size_t j = 0; uniform && j < padded(n); j++) {
        factor[j] = plain ? 1.0f : factor[0];
        shift[j] = plain ? -0.0f : shift[0];
    }
    finish = (tsl_finish){.op = functions[below(sizeof(functions) / sizeof(functions[0]))],
        .alpha = 0.2f,
        .beta = 0.5f,
        .least = -INFINITY,
        .most = INFINITY,
        .factor = factor,
        .shift = shift,
        .uniform = uniform,
        .plain = plain,
        .lo = plain ? -INFINITY : lo,
        .hi = plain ? INFINITY : hi};
    if (finish.op == TSL_OP_CLIP && !open) {
        finish.least = -0.5f;
        finish.most = 0.5f;
    }
    return &finish;
}

// The chain as a level runs it: by its own function.
static const tsl_finish *finish_at(const tsl_finish *finish, const tsl_cpu_functions *functions) {
    static tsl_finish copy;
    if (!finish) return NULL;
    copy = *finish;
    copy.run = functions->finish_sums;
    return &copy;
}

static void expect_equal(
    const char *level_name, const char *what, size_t m, size_t n, size_t n_taps, size_t k) {
    if (memcmp(c_memory.data, expected_memory.data, c_memory.bytes) == 0) return;
    size_t at = 0;
    while (c_memory.data[at] == expected_memory.data[at]) at++;
    fail_msg("%s: %s of %zu pixels, %zu channels, %zu positions, depth %zu: byte %zu of %zu is %d, not %d",
        level_name, what, m, n, n_taps, k, at, c_memory.bytes, c_memory.data[at], expected_memory.data[at]);
}

static void clear_outputs(void) {
    guarded_resize(&expected_memory, c_memory.bytes);
    memset(c_memory.data, 0x55, c_memory.bytes);
    memset(expected_memory.data, 0x55, c_memory.bytes);
}

// ---- Matrix products ----
static void check_gemm_f32(size_t m, size_t n, size_t n_taps, size_t k) {
    place_rows(&a_memory, a_row, m, k * sizeof(float), sizeof(float));
    place_taps(n_taps, k * sizeof(float), sizeof(float));
    fill_floats(&a_memory, a_memory.bytes / sizeof(float));
    size_t panel_stride = n_taps * k * TSL_PANEL + below(2) * TSL_PANEL;
    fill_floats(&w_memory, padded(n) / TSL_PANEL * panel_stride);
    fill_floats(&bias_memory, padded(n));
    place_rows(&c_memory, c_row, m, n * sizeof(float), sizeof(float));
    place_rows(&z_memory, z_row, m, n * sizeof(float), sizeof(float));
    fill_floats(&z_memory, z_memory.bytes / sizeof(float));
    clear_outputs();
    tsl_gemm_f32_args args = {.a = (float *)(void *)a_memory.data,
        .a_row = a_row,
        .tap = tap,
        .m = m,
        .n = n,
        .n_taps = n_taps,
        .k = k,
        .w = (float *)(void *)w_memory.data,
        .panel_stride = panel_stride,
        .c = (float *)(void *)expected_memory.data,
        .c_row = c_row,
        .z = below(2) ? (float *)(void *)z_memory.data : NULL,
        .z_row = z_row,
        .bias = (float *)(void *)bias_memory.data,
        .lo = below(2) ? 0.0f : -1e30f,
        .hi = below(2) ? 0.5f : 1e30f};
    const tsl_finish *finish = choose_finish(n, args.lo, args.hi, true);
    args.finish = finish_at(finish, tsl_cpu_functions_get(TSLIM_ISA_PORTABLE));
    tsl_cpu_functions_get(TSLIM_ISA_PORTABLE)->gemm_f32(&args);
    args.c = (float *)(void *)c_memory.data;
    for (size_t i = 0; i < n_levels; i++) {
        memset(c_memory.data, 0x55, c_memory.bytes);
        args.finish = finish_at(finish, &levels[i].functions);
        levels[i].functions.gemm_f32(&args);
        expect_equal(levels[i].name, "gemm_f32", m, n, n_taps, k);
    }
}

static void sum_weights(const int8_t *w, size_t n, size_t groups, size_t panel_stride) {
    int32_t *sums = guarded_resize(&sum_memory, padded(n) * sizeof(int32_t));
    for (size_t j = 0; j < padded(n); j++) {
        sums[j] = 0;
        for (size_t i = 0; i < groups; i++)
            for (size_t b = 0; b < 4; b++)
                sums[j] += w[j / TSL_PANEL * panel_stride + (i * TSL_PANEL + j % TSL_PANEL) * 4 + b];
    }
}

// Bundles of all panels of args->w, from `arena`.
static const tsl_bundles *bundle(tsl_arena *arena, const tsl_gemm_s8_args *args) {
    size_t panels = padded(args->n) / TSL_PANEL;
    tsl_bundler bundler;
    assert_int_equal(tsl_bundler_create(arena, tap, args->n_taps, args->k4, &bundler), TSLIM_OK);
    tsl_bundles *bundles = tsl_arena_array(arena, panels, sizeof(*bundles));
    assert_non_null(bundles);
    for (size_t i = 0; i < panels; i++)
        assert_int_equal(
            tsl_bundler_run(&bundler, arena, args->w + i * args->panel_stride, args->a_kind, &bundles[i]),
            TSLIM_OK);
    return bundles;
}

// Zero points of weights: the rows' sums of activations, at every level against their definition.
static void add_zero_points(tsl_gemm_s8_args *args) {
    int32_t *zero = guarded_resize(&zero_memory, padded(args->n) * sizeof(int32_t));
    int32_t *sums = guarded_resize(&row_sum_memory, args->m * sizeof(int32_t));
    for (size_t j = 0; j < padded(args->n); j++) zero[j] = (int32_t)below(256) - 128;
    tsl_row_sums_args rows = {.a = args->a,
        .a_kind = args->a_kind,
        .a_row = args->a_row,
        .tap = args->tap,
        .m = args->m,
        .n_taps = args->n_taps,
        .k = args->k4 > 0 ? args->k4 * 4 - below(4) : 0,
        .sum = sums};
    for (size_t i = 0; i < n_levels; i++) {
        levels[i].functions.row_sums_s8(&rows);
        for (size_t r = 0; r < rows.m; r++) {
            int32_t sum = 0;
            for (size_t t = 0; t < rows.n_taps; t++)
                for (size_t k = 0; k < rows.k; k++) {
                    const char *a = (const char *)rows.a + rows.a_row[r] + rows.tap[t] + k;
                    sum += rows.a_kind == TSL_ACTIVATION_U8 ? *(const uint8_t *)a : *(const int8_t *)a;
                }
            assert_int_equal(sums[r], sum);
        }
    }
    args->a_sum = sums;
    args->w_zero = zero;
}

static void check_gemm_s8(size_t m, size_t n, size_t n_taps, size_t k4) {
    tsl_activation_kind kind = (tsl_activation_kind)below(3);
    bool extreme = below(3) == 0, to_float = below(4) == 0;
    size_t unit = to_float ? sizeof(float) : 1;
    place_rows(&a_memory, a_row, m, k4 * 4, 1);
    place_taps(n_taps, k4 * 4, 1);
    fill_activations(kind, extreme);
    size_t panel_stride = n_taps * k4 * 64 + below(2) * 64;
    fill_weights(padded(n) / TSL_PANEL * panel_stride, extreme);
    sum_weights((int8_t *)w_memory.data, n, n_taps * k4, panel_stride);
    int32_t *init = guarded_resize(&init_memory, padded(n) * sizeof(int32_t));
    for (size_t j = 0; j < padded(n); j++) init[j] = (int32_t)random_32() >> 12;
    place_rows(&c_memory, c_row, m, n * unit, unit);
    place_rows(&z_memory, z_row, m, n, 1);
    fill_int8(&z_memory);
    clear_outputs();
    tsl_gemm_s8_args args = {.a = a_memory.data,
        .a_kind = kind,
        .a_row = a_row,
        .tap = tap,
        .m = m,
        .n = n,
        .n_taps = n_taps,
        .k4 = k4,
        .w = (int8_t *)w_memory.data,
        .panel_stride = panel_stride,
        .w_sum = (int32_t *)(void *)sum_memory.data,
        .acc_init = below(2) ? init : NULL,
        .z = below(2) ? (int8_t *)z_memory.data : NULL,
        .z_row = z_row,
        .z_scale = real(),
        .c_row = c_row};
    if (below(3) == 0) add_zero_points(&args);
    fill_requantization(n, n_taps * k4, &args.scale, &args.bias);
    choose_bounds(&args.lo, &args.hi);
    args.c_s8 = to_float ? NULL : (int8_t *)expected_memory.data;
    args.c_f32 = to_float ? (float *)(void *)expected_memory.data : NULL;
    const tsl_finish *finish = choose_finish(n, args.lo, args.hi, to_float);
    args.finish = finish_at(finish, tsl_cpu_functions_get(TSLIM_ISA_PORTABLE));
    tsl_cpu_functions_get(TSLIM_ISA_PORTABLE)->gemm_s8(&args);
    args.c_s8 = to_float ? NULL : (int8_t *)c_memory.data;
    args.c_f32 = to_float ? (float *)(void *)c_memory.data : NULL;
    for (size_t i = 0; i < n_levels; i++) {
        memset(c_memory.data, 0x55, c_memory.bytes);
        args.finish = finish_at(finish, &levels[i].functions);
        levels[i].functions.gemm_s8(&args);
        expect_equal(levels[i].name, "gemm_s8", m, n, n_taps, k4);
        if (!levels[i].functions.bundles || args.a_sum) continue; // products with zero points have none
        tsl_arena arena;
        tsl_arena_init(&arena, ctx);
        args.bundles = bundle(&arena, &args);
        memset(c_memory.data, 0x55, c_memory.bytes);
        levels[i].functions.gemm_s8(&args);
        expect_equal(levels[i].name, "gemm_s8 in bundles", m, n, n_taps, k4);
        args.bundles = NULL;
        tsl_arena_clear(&arena);
    }
}

// Every group is in one place, and no sum within a bundle can leave 16 bits.
static void check_bundles(size_t groups, tsl_activation_kind kind) {
    tsl_arena arena;
    tsl_bundler bundler;
    tsl_bundles bundles;
    uint64_t seen = 0;
    tsl_arena_init(&arena, ctx);
    tap[0] = 4;
    assert_int_equal(tsl_bundler_create(&arena, tap, 1, groups, &bundler), TSLIM_OK);
    fill_weights(groups * 64, below(2));
    const int8_t *w = (int8_t *)w_memory.data;
    assert_int_equal(tsl_bundler_run(&bundler, &arena, w, kind, &bundles), TSLIM_OK);
    const tsl_group_place *at = bundles.places;
    for (size_t size = TSL_BUNDLE_GROUPS; size > 0; size--) {
        for (size_t i = 0; i < bundles.count[size - 1]; i++, at += size) {
            for (size_t lane = 0; lane < 32; lane++) {
                int reach[2] = {0, 0}; // upwards and downwards, with the worst activations
                for (size_t k = 0; k < 2 * size; k++) {
                    int weight = w[(size_t)at[k / 2].w + lane * 2 + k % 2];
                    int low = kind == TSL_ACTIVATION_NON_NEGATIVE ? 0 : -128;
                    reach[0] += weight > 0 ? weight * 127 : weight * low;
                    reach[1] += weight > 0 ? weight * low : weight * 127;
                }
                assert_in_range(reach[0], 0, INT16_MAX);
                assert_in_range(-reach[1], 0, INT16_MAX);
            }
        }
    }
    assert_int_equal(at - bundles.places, groups);
    for (at = bundles.places; at < bundles.places + groups; at++) {
        assert_int_equal(at->a, 4 + at->w / 16);
        seen |= UINT64_C(1) << (at->w / 64);
    }
    assert_true(seen == UINT64_MAX >> (64 - groups));
    tsl_arena_clear(&arena);
}

static void test_bundles(void **unused) {
    (void)unused;
    for (size_t repetition = 0; repetition < 20; repetition++)
        for (size_t groups = 1; groups <= 64; groups++) check_bundles(groups, (tsl_activation_kind)below(3));
}

static void for_all_tails(void (*check)(size_t m, size_t n, size_t n_taps, size_t k), size_t repetitions) {
    for (size_t repetition = 0; repetition < repetitions; repetition++)
        for (size_t m = 1; m <= 17; m++)
            for (size_t n = 1; n <= 70; n++) check(m, n, between(1, 9), between(1, 9));
    for (size_t i = 0; i < 150; i++)
        check(between(1, MAX_ROWS), between(1, 130), between(1, 9), between(1, 64));
}

static void test_gemm_f32(void **unused) {
    (void)unused;
    for_all_tails(check_gemm_f32, 2);
}

static void test_gemm_s8(void **unused) {
    (void)unused;
    for_all_tails(check_gemm_s8, 6);
}

// ---- Depthwise ----
static void check_depthwise_f32(size_t pixels, size_t channels, size_t n_taps) {
    size_t a_pixel = (channels + below(3)) * sizeof(float), gap = below(3);
    guarded_resize(&a_memory, (pixels - 1) * a_pixel + channels * sizeof(float));
    place_taps(n_taps, a_pixel, sizeof(float));
    fill_floats(&a_memory, a_memory.bytes / sizeof(float));
    fill_floats(&w_memory, n_taps * padded(channels));
    fill_floats(&bias_memory, padded(channels));
    guarded_resize(&c_memory, ((pixels - 1) * (channels + gap) + channels) * sizeof(float));
    fill_floats(&z_memory, ((pixels - 1) * (channels + 1) + channels));
    clear_outputs();
    tsl_depthwise_f32_args args = {.a = (float *)(void *)a_memory.data,
        .a_pixel = (ptrdiff_t)a_pixel,
        .tap = tap,
        .n_taps = n_taps,
        .pixels = pixels,
        .channels = channels,
        .w = (float *)(void *)w_memory.data,
        .c = (float *)(void *)expected_memory.data,
        .c_pixel = (ptrdiff_t)((channels + gap) * sizeof(float)),
        .z = below(2) ? (float *)(void *)z_memory.data : NULL,
        .z_pixel = (ptrdiff_t)((channels + 1) * sizeof(float)),
        .bias = (float *)(void *)bias_memory.data,
        .lo = below(2) ? 0.0f : -1e30f,
        .hi = below(2) ? 0.5f : 1e30f};
    tsl_cpu_functions_get(TSLIM_ISA_PORTABLE)->depthwise_f32(&args);
    args.c = (float *)(void *)c_memory.data;
    for (size_t i = 0; i < n_levels; i++) {
        memset(c_memory.data, 0x55, c_memory.bytes);
        levels[i].functions.depthwise_f32(&args);
        expect_equal(levels[i].name, "depthwise_f32", pixels, channels, n_taps, 1);
    }
}

// A square window; its side.
static size_t place_window(size_t side, size_t column) {
    size_t row = column * side + below(9);
    for (size_t t = 0; t < side * side; t++) tap[t] = (ptrdiff_t)(t / side * row + t % side * column);
    guarded_resize(&a_memory, a_memory.bytes + (side - 1) * (row + column));
    return side;
}

static void check_depthwise_s8(size_t pixels, size_t channels, size_t n_taps) {
    tsl_activation_kind kind = (tsl_activation_kind)below(3);
    bool extreme = below(3) == 0, to_float = below(4) == 0;
    size_t gap = below(3), unit = to_float ? sizeof(float) : 1, lines = between(1, 3);
    size_t column = channels + below(3), a_pixel = column * between(1, 3), tap_columns = 0;
    size_t a_line = (pixels - 1) * a_pixel + below(9), c_line = pixels * (channels + gap) + below(3);
    size_t z_line = pixels * (channels + 1);
    guarded_resize(&a_memory, (lines - 1) * a_line + (pixels - 1) * a_pixel + channels);
    if (n_taps == 9 || n_taps == 25)
        tap_columns = place_window(n_taps == 9 ? 3 : 5, column);
    else
        place_taps(n_taps, a_pixel, 1);
    guarded_resize(&a_memory, a_memory.bytes + 63);
    fill_activations(kind, extreme);
    fill_weights(n_taps * padded(channels), extreme);
    int32_t *init = guarded_resize(&init_memory, padded(channels) * sizeof(int32_t));
    for (size_t j = 0; j < padded(channels); j++) init[j] = (int32_t)random_32() >> 16;
    guarded_resize(&c_memory, ((lines - 1) * c_line + (pixels - 1) * (channels + gap) + channels) * unit);
    guarded_resize(&z_memory, (lines - 1) * z_line + (pixels - 1) * (channels + 1) + channels);
    fill_int8(&z_memory);
    clear_outputs();
    tsl_depthwise_s8_args args = {.a = a_memory.data,
        .tap_columns = tap_columns,
        .lines = lines,
        .a_line = (ptrdiff_t)a_line,
        .c_line = (ptrdiff_t)(c_line * unit),
        .z_line = (ptrdiff_t)z_line,
        .a_kind = kind,
        .a_pixel = (ptrdiff_t)a_pixel,
        .tap = tap,
        .n_taps = n_taps,
        .pixels = pixels,
        .channels = channels,
        .w = (int8_t *)w_memory.data,
        .acc_init = below(2) ? init : NULL,
        .z = below(2) ? (int8_t *)z_memory.data : NULL,
        .z_pixel = (ptrdiff_t)(channels + 1),
        .z_scale = real(),
        .c_pixel = (ptrdiff_t)((channels + gap) * unit)};
    fill_requantization(channels, n_taps, &args.scale, &args.bias);
    choose_bounds(&args.lo, &args.hi);
    args.c_s8 = to_float ? NULL : (int8_t *)expected_memory.data;
    args.c_f32 = to_float ? (float *)(void *)expected_memory.data : NULL;
    const tsl_finish *finish = choose_finish(channels, args.lo, args.hi, to_float);
    args.finish = finish_at(finish, tsl_cpu_functions_get(TSLIM_ISA_PORTABLE));
    tsl_cpu_functions_get(TSLIM_ISA_PORTABLE)->depthwise_s8(&args);
    args.c_s8 = to_float ? NULL : (int8_t *)c_memory.data;
    args.c_f32 = to_float ? (float *)(void *)c_memory.data : NULL;
    for (size_t i = 0; i < n_levels; i++) {
        memset(c_memory.data, 0x55, c_memory.bytes);
        args.finish = finish_at(finish, &levels[i].functions);
        levels[i].functions.depthwise_s8(&args);
        expect_equal(levels[i].name, "depthwise_s8", pixels, channels, n_taps, 1);
    }
}

static void for_all_depthwise_tails(void (*check)(size_t pixels, size_t channels, size_t n_taps)) {
    for (size_t repetition = 0; repetition < 4; repetition++)
        for (size_t pixels = 1; pixels <= 9; pixels++)
            for (size_t channels = 1; channels <= 140; channels++)
                check(pixels, channels, below(3) ? between(1, 9) : 9);
    static const size_t windows[] = {9, 25, 25, 49, 121, 128, 129, MAX_TAPS};
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
        for (size_t j = 0; j < 20; j++) check(between(1, 20), between(1, 200), windows[i]);
    for (size_t j = 0; j < 10; j++) check(between(90, 260), between(1, 70), j % 2 ? 9 : 25); // long lines
}

static void test_depthwise_f32(void **unused) {
    (void)unused;
    for_all_depthwise_tails(check_depthwise_f32);
}

static void test_depthwise_s8(void **unused) {
    (void)unused;
    for_all_depthwise_tails(check_depthwise_s8);
}

// test_gemm [PATTERN]: tests by name
int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_f32),
        cmocka_unit_test(test_bundles),
        cmocka_unit_test(test_gemm_s8),
        cmocka_unit_test(test_depthwise_f32),
        cmocka_unit_test(test_depthwise_s8),
    };
    return cmocka_run_group_tests(tests, find_levels, free_context);
}
