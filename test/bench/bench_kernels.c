// SPDX-License-Identifier: Apache-2.0
// How near the kernels of each level come to what the processor can do: multiply-adds a second and a clock on
// layers like ResNet-50's and MobileNetV2's, weights hot, one thread. A clock is measured as a dependent
// addition. Peaks to compare with, in multiply-adds a clock: two 32-byte FMAs 16, two 64-byte FMAs 32,
// vpdpbusd 64 (two of 32 bytes or one of 64) or 128.
//
// bench_kernels [seconds a measurement [level]]
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu_info.h"
#include "base/rng.h"
#include "cpu/bundle.h"

typedef struct layer {
    const char *name;
    size_t side, channels, outputs, window, stride; // outputs: 0 for depthwise
    bool residual;
} layer;

static const layer layers[] = {
    {"3x3 56x56 64>64", 56, 64, 64, 3, 1, false},
    {"3x3 28x28 128>128", 28, 128, 128, 3, 1, false},
    {"3x3 14x14 256>256", 14, 256, 256, 3, 1, false},
    {"3x3 7x7 512>512", 7, 512, 512, 3, 1, false},
    {"3x3/2 28x28 128>128", 28, 128, 128, 3, 2, false},
    {"1x1 56x56 64>64", 56, 64, 64, 1, 1, false},
    {"1x1 56x56 64>256 +z", 56, 64, 256, 1, 1, true},
    {"1x1 56x56 256>64", 56, 256, 64, 1, 1, false},
    {"1x1 28x28 128>512 +z", 28, 128, 512, 1, 1, true},
    {"1x1 28x28 512>128", 28, 512, 128, 1, 1, false},
    {"1x1 14x14 256>1024 +z", 14, 256, 1024, 1, 1, true},
    {"1x1 14x14 1024>256", 14, 1024, 256, 1, 1, false},
    {"1x1 7x7 512>2048 +z", 7, 512, 2048, 1, 1, true},
    {"1x1 7x7 2048>512", 7, 2048, 512, 1, 1, false},
    {"1x1 56x56 24>144", 56, 24, 144, 1, 1, false},
    {"1x1 56x56 144>24", 56, 144, 24, 1, 1, false},
    {"1x1 14x14 96>576", 14, 96, 576, 1, 1, false},
    {"1x1 112x112 16>96", 112, 16, 96, 1, 1, false},
    {"1x1 56x56 96>24", 56, 96, 24, 1, 1, false},
    {"1x1 112x112 32>16", 112, 32, 16, 1, 1, false},
    {"3x3 56x56 96>24", 56, 96, 24, 3, 1, false},
    {"3x3/2 112x112 3>32", 112, 3, 32, 3, 2, false},
    {"1x1 1x1 2048>1000", 1, 2048, 1000, 1, 1, false},
    {"dw 3x3 112x112 16", 112, 16, 0, 3, 1, false},
    {"dw 3x3 112x112 32", 112, 32, 0, 3, 1, false},
    {"dw 3x3 56x56 144", 56, 144, 0, 3, 1, false},
    {"dw 3x3 14x14 576", 14, 576, 0, 3, 1, false},
    {"dw 3x3/2 56x56 96", 56, 96, 0, 3, 2, false},
    {"dw 5x5 28x28 120", 28, 120, 0, 5, 1, false},
    {"dw 5x5 14x14 240", 14, 240, 0, 5, 1, false},
};

typedef enum precision { FLOAT, NON_NEGATIVE, SIGNED } precision;
static const char *const precision_names[] = {"f32", "s8 >= 0", "s8"};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Clocks a second, from additions that wait for each other.
static double clock_rate(void) {
    enum { ADDITIONS = 1000000 };
    double best = 1e30;
    for (int run = 0; run < 20; run++) {
        uint64_t sum = 1;
        double start = now();
        for (int i = 0; i < ADDITIONS / 16; i++)
            for (int j = 0; j < 16; j++) __asm__ volatile("add %0, %0" : "+r"(sum));
        double spent = now() - start;
        if (spent < best) best = spent;
    }
    return ADDITIONS / best;
}

static void *memory(size_t bytes) {
    size_t rounded = (bytes + 4096 + 63) / 64 * 64;
    char *data = aligned_alloc(64, rounded);
    if (!data) {
        fprintf(stderr, "bench_kernels: no memory for %zu bytes\n", rounded);
        exit(1);
    }
    for (size_t i = 0; i < rounded; i++) data[i] = (char)(i * 7 % 63); // as floats: small, but not denormal
    return data;
}

typedef struct operands {
    size_t m, n, n_taps, k;
    ptrdiff_t *a_row, *c_row, *tap;
    void *a, *w, *c, *z;
    int32_t *w_sum;
    float *scale, *bias;
    tsl_bundles *bundles; // or NULL
    tsl_arena arena; // of them
} operands;

// Like weights that were trained: normal, in the full range.
static void fill_weights(int8_t *w, size_t bytes) {
    tsl_rng rng;
    tsl_rng_seed(&rng, 1);
    for (size_t i = 0; i < bytes; i++) {
        double weight = tsl_rng_normal(&rng) * 127 / 3.5;
        w[i] = (int8_t)(weight < -127 ? -127 : weight > 127 ? 127 : weight);
    }
}

static void make_bundles(tslim_context *ctx, operands *o, tsl_activation_kind kind) {
    size_t panels = (o->n + TSL_PANEL - 1) / TSL_PANEL, panel_stride = o->n_taps * o->k * TSL_PANEL;
    tsl_bundler bundler;
    tsl_arena_init(&o->arena, ctx);
    o->bundles = tsl_arena_array(&o->arena, panels, sizeof(*o->bundles));
    if (!o->bundles || tsl_bundler_create(&o->arena, o->tap, o->n_taps, o->k / 4, &bundler) != TSLIM_OK)
        exit(1);
    for (size_t i = 0; i < panels; i++)
        if (tsl_bundler_run(&bundler, &o->arena, (int8_t *)o->w + i * panel_stride, kind, &o->bundles[i]) !=
            TSLIM_OK)
            exit(1);
}

static operands operands_create(const layer *l, precision p) {
    size_t unit = p == FLOAT ? sizeof(float) : 1, in_side = l->side * l->stride + l->window - 1;
    size_t outputs = l->outputs ? l->outputs : l->channels, padded = (outputs + 15) / 16 * 16;
    size_t depth = l->outputs ? (l->channels + 3) / 4 * 4 : 1;
    operands o = {.m = l->side * l->side, .n = outputs, .n_taps = l->window * l->window, .k = depth};
    o.a_row = memory(o.m * sizeof(ptrdiff_t));
    o.c_row = memory(o.m * sizeof(ptrdiff_t));
    o.tap = memory(o.n_taps * sizeof(ptrdiff_t));
    for (size_t r = 0; r < o.m; r++) {
        size_t y = r / l->side * l->stride, x = r % l->side * l->stride;
        o.a_row[r] = (ptrdiff_t)((y * in_side + x) * l->channels * unit);
        o.c_row[r] = (ptrdiff_t)(r * outputs * unit);
    }
    for (size_t t = 0; t < o.n_taps; t++)
        o.tap[t] = (ptrdiff_t)((t / l->window * in_side + t % l->window) * l->channels * unit);
    o.a = memory(in_side * in_side * l->channels * unit);
    o.w = memory(o.n_taps * depth * padded * unit);
    o.c = memory(o.m * outputs * unit);
    o.z = memory(o.m * outputs * unit);
    o.w_sum = memory(padded * sizeof(int32_t));
    o.scale = memory(padded * sizeof(float));
    o.bias = memory(padded * sizeof(float));
    return o;
}

static void operands_free(operands *o) {
    void *all[] = {o->a_row, o->c_row, o->tap, o->a, o->w, o->c, o->z, o->w_sum, o->scale, o->bias};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) free(all[i]);
    if (o->bundles) tsl_arena_clear(&o->arena);
}

static void run_gemm(const tsl_cpu_functions *f, const layer *l, precision p, const operands *o) {
    size_t panel_stride = o->n_taps * o->k * TSL_PANEL;
    if (p == FLOAT) {
        tsl_gemm_f32_args args = {.a = o->a,
            .a_row = o->a_row,
            .tap = o->tap,
            .m = o->m,
            .n = o->n,
            .n_taps = o->n_taps,
            .k = o->k,
            .w = o->w,
            .panel_stride = panel_stride,
            .c = o->c,
            .c_row = o->c_row,
            .z = l->residual ? o->z : NULL,
            .z_row = o->c_row,
            .bias = o->bias,
            .hi = 6.0f};
        f->gemm_f32(&args);
    } else {
        tsl_gemm_s8_args args = {.a = o->a,
            .a_kind = p == SIGNED ? TSL_ACTIVATION_S8 : TSL_ACTIVATION_NON_NEGATIVE,
            .a_row = o->a_row,
            .tap = o->tap,
            .m = o->m,
            .n = o->n,
            .n_taps = o->n_taps,
            .k4 = o->k / 4,
            .w = o->w,
            .panel_stride = panel_stride,
            .bundles = o->bundles,
            .w_sum = o->w_sum,
            .scale = o->scale,
            .bias = o->bias,
            .z = l->residual ? o->z : NULL,
            .z_row = o->c_row,
            .hi = 127.0f,
            .c_s8 = o->c,
            .c_row = o->c_row};
        f->gemm_s8(&args);
    }
}

static void run_depthwise(const tsl_cpu_functions *f, const layer *l, precision p, const operands *o) {
    for (size_t row = 0; row < (p == FLOAT ? l->side : 1); row++) {
        ptrdiff_t a = o->a_row[row * l->side], c = o->c_row[row * l->side];
        if (p == FLOAT) {
            tsl_depthwise_f32_args args = {.a = (float *)o->a + a / 4,
                .a_pixel = o->a_row[1],
                .tap = o->tap,
                .n_taps = o->n_taps,
                .pixels = l->side,
                .channels = o->n,
                .w = o->w,
                .c = (float *)o->c + c / 4,
                .c_pixel = o->c_row[1],
                .bias = o->bias,
                .hi = 6.0f};
            f->depthwise_f32(&args);
        } else {
            tsl_depthwise_s8_args args = {.a = (char *)o->a + a,
                .a_kind = p == SIGNED ? TSL_ACTIVATION_S8 : TSL_ACTIVATION_NON_NEGATIVE,
                .a_pixel = o->a_row[1],
                .tap = o->tap,
                .n_taps = o->n_taps,
                .tap_columns = l->window,
                .pixels = l->side,
                .lines = l->side,
                .a_line = o->a_row[l->side],
                .c_line = o->c_row[l->side],
                .channels = o->n,
                .w = o->w,
                .scale = o->scale,
                .bias = o->bias,
                .hi = 127.0f,
                .c_s8 = (int8_t *)o->c + c,
                .c_pixel = o->c_row[1]};
            f->depthwise_s8(&args);
        }
    }
}

// Seconds, the best of many runs.
static double measure(
    tslim_context *ctx, const tsl_cpu_functions *f, const layer *l, precision p, double seconds) {
    operands o = operands_create(l, p);
    if (p != FLOAT) fill_weights(o.w, o.n_taps * o.k * ((o.n + 15) / 16 * 16));
    if (p != FLOAT && l->outputs && f->bundles)
        make_bundles(ctx, &o, p == SIGNED ? TSL_ACTIVATION_S8 : TSL_ACTIVATION_NON_NEGATIVE);
    double best = 1e30, until = now() + seconds;
    do {
        double start = now();
        if (l->outputs)
            run_gemm(f, l, p, &o);
        else
            run_depthwise(f, l, p, &o);
        double spent = now() - start;
        if (spent < best) best = spent;
    } while (now() < until);
    operands_free(&o);
    return best;
}

int main(int argc, char **argv) {
    static const tslim_isa isas[] = {TSLIM_ISA_AVX2, TSLIM_ISA_AVXVNNI, TSLIM_ISA_AVX512,
        TSLIM_ISA_AVX512VNNI, TSLIM_ISA_NEON, TSLIM_ISA_NEONDOT};
    double seconds = argc > 1 ? atof(argv[1]) : 0.05, clocks = clock_rate();
    tslim_context *ctx;
    if (tslim_context_create(NULL, &ctx) != TSLIM_OK) return 1;
    printf("%s, %.2f GHz, one thread, weights hot\n", tslim_cpu_name(), clocks * 1e-9);
    printf("%-11s %-8s %-24s %10s %10s %10s\n", "level", "type", "layer", "us", "GMAC/s", "MAC/clock");
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        if (!tslim_isa_available(isas[i])) continue;
        if (argc > 2 && strcmp(argv[2], tslim_isa_name(isas[i])) != 0) continue;
        const tsl_cpu_functions *f = tsl_cpu_functions_get(isas[i]);
        for (precision p = FLOAT; p <= SIGNED; p++) {
            for (size_t j = 0; j < sizeof(layers) / sizeof(layers[0]); j++) {
                const layer *l = &layers[j];
                double spent = measure(ctx, f, l, p, seconds);
                double work = (double)(l->side * l->side * l->window * l->window) * (double)l->channels *
                              (double)(l->outputs ? l->outputs : 1);
                printf("%-11s %-8s %-24s %10.1f %10.1f %10.1f\n", tslim_isa_name(isas[i]), precision_names[p],
                    l->name, spent * 1e6, work / spent * 1e-9, work / spent / clocks);
            }
        }
    }
    tslim_context_destroy(ctx);
    return 0;
}
