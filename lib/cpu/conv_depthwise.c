// SPDX-License-Identifier: Apache-2.0
// Conv where each channel has a kernel of its own: rows of output pixels, shared among threads.
#include "cpu/conv.h"
#include "cpu/finish.h"

// Outputs times kernel positions: less is not worth waking a thread.
#define GRAIN ((size_t)1 << 15)

typedef struct rows_task {
    const tsl_conv *conv;
    const tsl_coefficients *coefficients; // conv's, or this run's
    const int32_t *start;
    const void *w;
    const float *bias;
    const char *a, *z;
    char *c;
} rows_task;

static ptrdiff_t size_of(const tsl_tensor *t) {
    return (ptrdiff_t)tslim_dtype_size(t->dtype);
}

// Bytes from element (0,0,0,0) to row y of image n.
static ptrdiff_t row_offset(const tsl_tensor *t, int64_t n, int64_t y) {
    return (n * t->strides[0] + y * t->strides[2]) * size_of(t);
}

// Results of a piece stay in the nearest cache between the product and its chain.
#define PIECE_BYTES ((size_t)64 * 1024)

static void run_finished_f32(const tsl_conv *conv, tsl_depthwise_f32_args args) {
    const size_t pixels = args.pixels, most = PIECE_BYTES / (args.channels * sizeof(float) + 1) + 1;
    for (size_t first = 0; first < pixels; first += args.pixels) {
        args.pixels = pixels - first < most ? pixels - first : most;
        conv->weights.functions->depthwise_f32(&args);
        tsl_finish_rows(conv->coefficients.finish, args.c, args.c_pixel, args.pixels, args.channels);
        const ptrdiff_t done = (ptrdiff_t)args.pixels;
        args.a = (const float *)(const void *)((const char *)args.a + done * args.a_pixel);
        args.c = (float *)(void *)((char *)args.c + done * args.c_pixel);
        if (args.z) args.z = (const float *)(const void *)((const char *)args.z + done * args.z_pixel);
    }
}

static void run_row_f32(const rows_task *t, const char *a, const char *z, char *c) {
    const tsl_conv *conv = t->conv;
    tsl_depthwise_f32_args args = {.a = (const float *)(const void *)a,
        .tap = conv->taps,
        .n_taps = conv->weights.geometry.n_taps,
        .w = t->w,
        .c = (float *)(void *)c,
        .z = (const float *)(const void *)z,
        .bias = t->bias,
        .lo = conv->coefficients.lo,
        .hi = conv->coefficients.hi};
    args.a_pixel = conv->window.stride[1] * conv->input.view.strides[3] * size_of(&conv->input.view);
    args.c_pixel = conv->output.view.strides[3] * size_of(&conv->output.view);
    args.z_pixel = z ? conv->residual.view.strides[3] * size_of(&conv->residual.view) : 0;
    args.pixels = (size_t)conv->output.view.dims[3];
    args.channels = (size_t)conv->output.view.dims[1];
    if (conv->coefficients.finish)
        run_finished_f32(conv, args);
    else
        conv->weights.functions->depthwise_f32(&args);
}

static void look_up(const tsl_cpu_functions *functions, const tsl_depthwise_s8_args *d, const int8_t *table) {
    tsl_table_s8_args args = {.n = d->channels, .table = table};
    size_t runs = d->pixels;
    if (d->c_pixel == (ptrdiff_t)d->channels) { // all pixels of a line at once
        args.n *= d->pixels;
        runs = 1;
    }
    for (size_t line = 0; line < d->lines; line++)
        for (size_t i = 0; i < runs; i++) {
            args.x = args.y = d->c_s8 + (ptrdiff_t)line * d->c_line + (ptrdiff_t)i * d->c_pixel;
            functions->table_s8(&args);
        }
}

static void run_lines_s8(const rows_task *t, const char *a, const char *z, char *c, size_t lines) {
    const tsl_conv *conv = t->conv;
    const tsl_coefficients *k = t->coefficients;
    const tsl_tensor *x = &conv->input.view, *y = &conv->output.view, *residual = &conv->residual.view;
    tsl_depthwise_s8_args args = {.a = a,
        .a_kind = k->a_kind,
        .tap = conv->taps,
        .n_taps = conv->weights.geometry.n_taps,
        .tap_columns = (size_t)conv->window.kernel[1],
        .lines = lines,
        .w = t->w,
        .acc_init = t->start,
        .scale = k->scale,
        .bias = t->bias,
        .z = (const int8_t *)z,
        .z_scale = k->z_scale,
        .lo = k->lo,
        .hi = k->hi,
        .finish = k->finish};
    args.a_pixel = conv->window.stride[1] * x->strides[3] * size_of(x);
    args.a_line = conv->window.stride[0] * x->strides[2] * size_of(x);
    args.c_pixel = y->strides[3] * size_of(y);
    args.c_line = y->strides[2] * size_of(y);
    args.z_pixel = z ? residual->strides[3] * size_of(residual) : 0;
    args.z_line = z ? residual->strides[2] * size_of(residual) : 0;
    args.pixels = (size_t)y->dims[3];
    args.channels = (size_t)y->dims[1];
    if (k->to_float)
        args.c_f32 = (float *)(void *)c;
    else
        args.c_s8 = (int8_t *)c;
    conv->weights.functions->depthwise_s8(&args);
    if (k->table) look_up(conv->weights.functions, &args, k->table);
}

// Lines of a piece stay in the nearest cache between the product and the table, or in the second while blocks
// of channels pass over their input one after the other. Each piece has its weights prepared anew.
#define MOST_BYTES ((size_t)16 * 1024)
#define MOST_BYTES_ALONE ((size_t)64 * 1024)

static void run_rows(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const rows_task *t = data;
    const tsl_conv *conv = t->conv;
    const tsl_tensor *y = &conv->output.view;
    const size_t height = (size_t)y->dims[2], bytes = t->coefficients->table ? MOST_BYTES : MOST_BYTES_ALONE,
                 most = bytes / (size_t)(y->dims[1] * y->dims[3] + 1) + 1;
    for (size_t i = begin, lines; i < end; i += lines) {
        int64_t n = (int64_t)(i / height), row = (int64_t)(i % height);
        const char *a = t->a + row_offset(&conv->input.view, n, row * conv->window.stride[0]);
        const char *z = t->z ? t->z + row_offset(&conv->residual.view, n, row) : NULL;
        char *c = t->c + row_offset(y, n, row);
        lines = 1;
        if (!conv->coefficients.is_int8) {
            run_row_f32(t, a, z, c);
            continue;
        }
        lines = end - i < height - (size_t)row ? end - i : height - (size_t)row;
        if (lines > most) lines = most;
        run_lines_s8(t, a, z, c, lines);
    }
}

static tslim_status run_depthwise(const tsl_run *run) {
    const tsl_conv *conv = run->kernel->state;
    const tsl_coefficients *k = &conv->coefficients;
    const tsl_tensor *x = &conv->input.view, *y = &conv->output.view;
    rows_task task = {.conv = conv, .coefficients = k, .start = conv->start};
    tsl_coefficients now;
    if (k->dynamic) {
        tsl_dynamic_range range;
        task.a = tsl_stage_quantize(&conv->input, run, conv->weights.functions, &run->inputs[0], &range);
        task.start = tsl_dynamic_coefficients(k, run, &range, conv->w_sums, 0, &now);
        task.coefficients = &now;
    } else {
        task.a = tsl_stage_read(&conv->input, run, &run->inputs[0]);
    }
    task.a -=
        (conv->window.pad_begin[0] * x->strides[2] + conv->window.pad_begin[1] * x->strides[3]) * size_of(x);
    if (k->residual) task.z = tsl_stage_read(&conv->residual, run, &run->inputs[conv->residual_index]);
    task.c = tsl_stage_write(&conv->output, run, &run->outputs[0]);
    task.w = tsl_weights_at_run(&conv->weights, run, run->inputs[1].data);
    task.bias = tsl_coefficients_bias(k, run, k->bias_tensor ? run->inputs[2].data : NULL);
    size_t row = (size_t)(y->dims[1] * y->dims[3]) * conv->weights.geometry.n_taps;
    tsl_parallel_for(run->ctx, (size_t)(y->dims[0] * y->dims[2]), GRAIN / (row + 1) + 1, run_rows, &task);
    tsl_stage_finish(&conv->output, run, &run->outputs[0]);
    return TSLIM_OK;
}

// Sums of each channel's weights, for the zero point of the activations.
static tslim_status set_start(tsl_prepare *p, tsl_conv *conv) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const int8_t *w = conv->weights.packed;
    if (!w) return tsl_cpu_unsupported(p);
    int32_t *sums = tsl_arena_array(p->arena, g->panel_stride, sizeof(*sums));
    TSL_REQUIRE_MEMORY(sums, g->panel_stride * sizeof(*sums));
    for (size_t tap = 0; tap < g->n_taps; tap++)
        for (size_t j = 0; j < g->groups; j++) sums[j] += w[tap * g->panel_stride + j];
    conv->w_sums = sums;
    return tsl_coefficients_start(p, &conv->coefficients, sums, g->n_taps, &conv->start);
}

// Weights less their zero point have nine bits: they become sums of INT8 weights, and each kernel position is
// there as often as there are addends.
static tslim_status split_weights(tsl_prepare *p, tsl_conv *conv) {
    const tsl_coefficients *k = &conv->coefficients;
    tsl_pack_geometry *g = &conv->weights.geometry;
    const size_t n_taps = g->n_taps, row = g->panel_stride, addends = 3; // 3 * 127 > 255
    if (!conv->weights.packed || n_taps > SIZE_MAX / addends) return tsl_cpu_unsupported(p);
    const int8_t *w = conv->weights.packed;
    int8_t *split = tsl_arena_array(p->arena, n_taps * addends, row);
    ptrdiff_t *taps = tsl_arena_array(p->arena, n_taps * addends, sizeof(*taps));
    TSL_REQUIRE_MEMORY(split && taps ? conv : NULL, n_taps * addends * row);
    size_t used = n_taps;
    for (size_t tap = 0; tap < n_taps; tap++) {
        for (size_t j = 0; j < k->n; j++) {
            int rest = w[tap * row + j] + k->w_zero[j];
            for (size_t i = tap; rest != 0; i += n_taps) {
                int part = rest > 127 ? 127 : rest < -127 ? -127 : rest;
                split[i * row + j] = (int8_t)part;
                rest -= part;
                if (used < (i / n_taps + 1) * n_taps) used = (i / n_taps + 1) * n_taps;
            }
        }
    }
    for (size_t i = 0; i < used; i++) taps[i] = conv->taps[i % n_taps];
    conv->taps = taps;
    conv->weights.packed = split;
    conv->weights.functions = p->functions;
    g->n_taps = used;
    conv->coefficients.w_zero = NULL;
    return TSLIM_OK;
}

tslim_status tsl_conv_depthwise_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv *conv) {
    const tsl_coefficients *k = &conv->coefficients;
    // The kernel knows INT8 residuals only; no graph that is fused here has another.
    if (k->residual_after) return tsl_cpu_unsupported(p);
    if (k->w_zero) TSL_TRY(split_weights(p, conv));
    if (k->is_int8 && (k->zero_point != 0 || k->dynamic)) TSL_TRY(set_start(p, conv));
    kernel->run = run_depthwise;
    return tsl_kernel_name(p, kernel, "depthwise");
}
