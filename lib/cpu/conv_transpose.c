// SPDX-License-Identifier: Apache-2.0
// ConvTranspose by phases. Output row o takes input row i through kernel row r where o + pad = i * stride + r
// * dilation. Kernel rows that are equal modulo the period (cpu/pack.h) make the same output rows, those with
// (o + pad) mod stride = residue: each such phase is an ordinary convolution that writes every stride-th row.
#include <string.h>

#include "base/checked.h"
#include "cpu/bundle.h"
#include "cpu/conv.h"
#include "cpu/product_plain.h"

// One axis of a phase.
typedef struct axis_phase {
    int64_t residue; // of o + pad, modulo the stride
    int64_t first_out; // the first output index
    int64_t first_in; // the input index from which tap offsets of this phase count, for first_out
    int64_t count; // of outputs
} axis_phase;

static axis_phase find_axis_phase(const tsl_window *w, int axis, size_t position) {
    int64_t stride = w->stride[axis], pad = w->pad_begin[axis];
    int64_t residue = (int64_t)position * w->dilation[axis] % stride;
    // o = residue - pad + stride * q for whole q, where 0 <= o < out.
    int64_t q = pad > residue ? (pad - residue + stride - 1) / stride : -((residue - pad) / stride);
    axis_phase phase = {.residue = residue, .first_in = q, .first_out = residue - pad + stride * q};
    if (phase.first_out < w->out[axis]) phase.count = (w->out[axis] - 1 - phase.first_out) / stride + 1;
    return phase;
}

// Byte offset of kernel position `at`; the divisions leave no rest.
static ptrdiff_t tap_offset(const tsl_conv *conv, const axis_phase axes[2], const size_t at[2]) {
    const tsl_tensor *x = &conv->input.view;
    const tsl_window *w = &conv->window;
    int64_t row = (axes[0].residue - (int64_t)at[0] * w->dilation[0]) / w->stride[0];
    int64_t column = (axes[1].residue - (int64_t)at[1] * w->dilation[1]) / w->stride[1];
    return (row * x->strides[2] + column * x->strides[3]) * (ptrdiff_t)tslim_dtype_size(x->dtype);
}

static void set_rows(const tsl_conv *conv, const axis_phase axes[2], int64_t step[2], tsl_conv_phase *phase) {
    const tsl_tensor *x = &conv->input.view, *y = &conv->output.view;
    ptrdiff_t x_size = (ptrdiff_t)tslim_dtype_size(x->dtype), y_size = (ptrdiff_t)tslim_dtype_size(y->dtype);
    tsl_rows *rows = &phase->product.rows;
    rows->count[0] = (size_t)y->dims[0];
    rows->a[0] = x->strides[0] * x_size;
    rows->c[0] = y->strides[0] * y_size;
    for (int i = 0; i < 2; i++) {
        rows->count[i + 1] = (size_t)axes[i].count;
        rows->a[i + 1] = x->strides[i + 2] * x_size;
        rows->c[i + 1] = step[i] * y->strides[i + 2] * y_size;
        phase->a += axes[i].first_in * x->strides[i + 2] * x_size;
        phase->c += axes[i].first_out * y->strides[i + 2] * y_size;
    }
}

static tsl_conv_phase *add_phase(tsl_conv *conv, size_t first_tap, size_t n_taps) {
    tsl_conv_phase *phase = &conv->phases[conv->n_phases++];
    phase->product = (tsl_product){.functions = conv->weights.functions,
        .geometry = &conv->weights.geometry,
        .coefficients = &conv->coefficients,
        .taps = conv->taps + first_tap,
        .first_tap = first_tap,
        .n_taps = n_taps};
    return phase;
}

// Sums over this phase's positions only, for the kernels and the zero point.
static tslim_status set_sums(const tsl_prepare *p, const tsl_conv *conv, tsl_product *product) {
    if (!conv->coefficients.is_int8) return TSLIM_OK;
    if (!conv->weights.packed) return tsl_cpu_unsupported(p);
    const tsl_pack_geometry *g = &conv->weights.geometry;
    size_t count = g->groups * g->panels * TSL_PANEL;
    int32_t *sums = tsl_arena_array(p->arena, count, sizeof(*sums));
    TSL_REQUIRE_MEMORY(sums, count * sizeof(*sums));
    tsl_pack_sums(g, conv->weights.packed, product->first_tap, product->n_taps, sums);
    product->w_sum = sums;
    return tsl_coefficients_start(p, &conv->coefficients, sums, g->k * product->n_taps, &product->start);
}

// A product without kernel positions over the whole output, which sets every pixel to what the bias makes.
static tslim_status add_background(const tsl_prepare *p, tsl_conv *conv) {
    const tsl_window *w = &conv->window;
    axis_phase axes[2] = {{.count = w->out[0]}, {.count = w->out[1]}};
    tsl_conv_phase *phase = add_phase(conv, 0, 0);
    set_rows(conv, axes, (int64_t[2]){1, 1}, phase);
    // No input is read, and these offsets would leave it.
    memset(phase->product.rows.a, 0, sizeof(phase->product.rows.a));
    return set_sums(p, conv, &phase->product);
}

static tslim_status add_phases(const tsl_prepare *p, tsl_conv *conv, const size_t n_phases[2]) {
    const tsl_taps *taps = &conv->weights.geometry.taps;
    size_t at[2] = {0, 0}, tap = 0;
    for (size_t i = 0; i < n_phases[0] * n_phases[1]; i++) {
        size_t first = tap;
        axis_phase axes[2] = {
            find_axis_phase(&conv->window, 0, at[0]), find_axis_phase(&conv->window, 1, at[1])};
        size_t n_taps = 1;
        for (int d = 0; d < 2; d++)
            n_taps *= (taps->kernel[d] - at[d] + taps->period[d] - 1) / taps->period[d];
        for (; tap < first + n_taps; tap++) {
            conv->taps[tap] = tap_offset(conv, axes, at);
            tsl_taps_next(taps, at);
        }
        tsl_conv_phase *phase = add_phase(conv, first, n_taps);
        set_rows(conv, axes, conv->window.stride, phase);
        TSL_TRY(set_sums(p, conv, &phase->product));
        TSL_TRY(tsl_product_bundle(p, conv->weights.packed, &phase->product));
    }
    return TSLIM_OK;
}

// ---- Each channel by itself, with weights that are computed: the gradient of a depthwise convolution ----

typedef struct depthwise_task {
    const tsl_conv *conv;
    const tsl_conv_phase *phase;
    const char *a;
    char *c;
    const float *w, *bias;
} depthwise_task;

static size_t padded_channels(const tsl_conv *conv) {
    return tsl_round_up(conv->weights.geometry.groups, TSL_PANEL);
}

// [kernel position, phase by phase][channel]
static float *pack_depthwise(const tsl_conv *conv, const tsl_run *run) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const float *weights = run->inputs[1].data;
    const size_t padded = padded_channels(conv);
    float *packed = (float *)(void *)(run->scratch + conv->weights.scratch);
    size_t at[2] = {0, 0};
    memset(packed, 0, g->n_taps * padded * sizeof(float));
    for (size_t tap = 0; tap < g->n_taps; tap++) {
        const size_t position = at[0] * g->taps.kernel[1] + at[1];
        for (size_t c = 0; c < g->groups; c++) packed[tap * padded + c] = weights[c * g->n_taps + position];
        tsl_taps_next(&g->taps, at);
    }
    return packed;
}

// An item is a row of one phase's outputs.
static void run_depthwise_rows(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const depthwise_task *t = data;
    const tsl_product *product = &t->phase->product;
    const tsl_rows *rows = &product->rows;
    tsl_depthwise_f32_args args = {.a_pixel = rows->a[2],
        .tap = product->taps,
        .n_taps = product->n_taps,
        .pixels = rows->count[2],
        .channels = t->conv->weights.geometry.groups,
        .w = t->w + product->first_tap * padded_channels(t->conv),
        .c_pixel = rows->c[2],
        .bias = t->bias,
        .lo = t->conv->coefficients.lo,
        .hi = t->conv->coefficients.hi};
    for (size_t item = begin; item < end; item++) {
        const ptrdiff_t n = (ptrdiff_t)(item / rows->count[1]), row = (ptrdiff_t)(item % rows->count[1]);
        args.a = (const float *)(const void *)(t->a + n * rows->a[0] + row * rows->a[1]);
        args.c = (float *)(void *)(t->c + n * rows->c[0] + row * rows->c[1]);
        t->conv->weights.functions->depthwise_f32(&args);
    }
}

static tslim_status run_depthwise(const tsl_run *run) {
    const tsl_conv *conv = run->kernel->state;
    const char *a = tsl_stage_read(&conv->input, run, &run->inputs[0]);
    char *c = tsl_stage_write(&conv->output, run, &run->outputs[0]);
    depthwise_task task = {.conv = conv,
        .w = pack_depthwise(conv, run),
        .bias = tsl_coefficients_bias(&conv->coefficients, run, NULL)};
    for (size_t i = 0; i < conv->n_phases; i++) {
        task.phase = &conv->phases[i];
        task.a = a + task.phase->a;
        task.c = c + task.phase->c;
        const size_t *count = task.phase->product.rows.count;
        tsl_parallel_for(run->ctx, count[0] * count[1], 8, run_depthwise_rows, &task);
    }
    tsl_stage_finish(&conv->output, run, &run->outputs[0]);
    return TSLIM_OK;
}

// Their packed form, as it is in files, is that of any convolution in groups: this is for weights that are
// not packed.
static bool is_depthwise(const tsl_conv *conv) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const tsl_coefficients *c = &conv->coefficients;
    return !conv->weights.packed && g->groups > 1 && g->n == 1 && g->k == 1 && !c->is_int8 &&
           !c->bias_tensor && !c->finish;
}

tslim_status tsl_cpu_prepare_conv_transpose(tsl_prepare *p, tsl_kernel *kernel) {
    if (p->step->inputs[0].dtype == TSLIM_DTYPE_DOUBLE) return tsl_conv_plain_prepare(p, kernel);
    if (p->step->inputs[0].rank > 4) return tsl_conv_nd_prepare(p, kernel);
    tsl_conv *conv;
    TSL_TRY(tsl_conv_prepare(p, kernel, &conv));
    if (conv->coefficients.residual || conv->coefficients.dynamic) return tsl_cpu_unsupported(p);
    const tsl_pack_geometry *g = &conv->weights.geometry;
    size_t n_phases[2];
    bool every_residue = true;
    for (int i = 0; i < 2; i++) {
        n_phases[i] = g->taps.period[i] < g->taps.kernel[i] ? g->taps.period[i] : g->taps.kernel[i];
        every_residue = every_residue && n_phases[i] == (size_t)conv->window.stride[i];
    }
    size_t count = n_phases[0] * n_phases[1] + 1;
    conv->phases = tsl_arena_array(p->arena, count, sizeof(*conv->phases));
    TSL_REQUIRE_MEMORY(conv->phases, count * sizeof(*conv->phases));
    if (!every_residue) TSL_TRY(add_background(p, conv));
    TSL_TRY(add_phases(p, conv, n_phases));
    kernel->macs = (uint64_t)tsl_tensor_elements(&conv->input.view) * g->n * g->n_taps;
    if (!is_depthwise(conv)) return tsl_kernel_name(p, kernel, "conv_transpose");
    kernel->run = run_depthwise;
    return tsl_kernel_name(p, kernel, "depthwise transpose");
}
