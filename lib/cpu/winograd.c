// SPDX-License-Identifier: Apache-2.0
// Winograd convolution: when to use it, how it is divided, and its run.
//
// A block of tiles at a time: all its points are computed and kept (V). Then, for each group of 32 output
// channels and each range of the block's tiles, one thread transforms the group's weights (U), multiplies at
// each point into M, and transforms that to outputs. Where input channels are many they are divided into
// slices, over which M is accumulated, so that U stays in the second-level cache.
#include "cpu/winograd.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/finish.h"

#define POINTS ((size_t)TSL_WINOGRAD_POINTS)
#define TILE ((size_t)4) // outputs along each axis
#define WINDOW ((size_t)6) // inputs along each axis
#define LINE ((size_t)64) // bytes of a line of cache
#define GROUP_PANELS ((size_t)2)
#define GROUP (GROUP_PANELS * TSL_PANEL)
// Input channels of a slice: U of a group is 36 * 32 * this many numbers.
#define SLICE_F32 ((size_t)128)
#define SLICE_S8 ((size_t)128)
// Points of a thread's share of a block, in bytes, unless its tiles would be fewer than M holds.
#define SHARE_BYTES ((size_t)512 << 10)
// Tiles in M: 4.6 KB each. With several slices, all the weights are transformed again for each part.
#define PART_TILES ((size_t)56)
#define PART_TILES_SLICED ((size_t)112)
#define MAX_PART ((size_t)112)
// Less than this is not worth waking a thread.
#define GRAIN_MACS ((size_t)1 << 17)
#define ITEMS_PER_THREAD ((size_t)8)

struct tsl_winograd {
    size_t rows, columns, tiles; // tiles of one image's plane, and of all images
    size_t block_tiles, share_tiles, part_tiles; // of a block, of a thread in it, and in M
    size_t k, slice, n_slices; // input channels
    size_t v_row, v_point, v_slice, u_panel, u_point, m_point; // bytes
    size_t v_scratch, thread_scratch, thread_bytes; // U and M are a thread's own
    const char *zeros; // a pixel beyond the border
};

static size_t divide_up(size_t a, size_t b) {
    return a / b + (a % b != 0);
}
static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// ---- When ----

static bool has_its_shape(const tsl_conv *conv) {
    const tsl_window *w = &conv->window;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 3 || w->stride[i] != 1 || w->dilation[i] != 1) return false;
    const tsl_pack_geometry *g = &conv->weights.geometry;
    return g->groups == 1 && g->packing == TSL_PACKING_PANELS && g->k > 1 && g->n > 0 &&
           tsl_tensor_elements(&conv->output.view) > 0;
}

// Sums of the positive and of the negative weights of each channel of a panel. In 16 bits for a stretch at a
// time: the compiler then adds whole vectors.
static void sum_by_sign(const int8_t *w, size_t bytes, int64_t *positive, int64_t *negative) {
    enum { ROW = TSL_PANEL * TSL_K_GROUP, STRETCH = 128 * ROW };
    for (size_t first = 0; first < bytes; first += STRETCH) {
        int16_t up[ROW] = {0}, down[ROW] = {0};
        size_t end = smaller(bytes, first + STRETCH);
        for (size_t i = first; i < end; i += ROW)
            for (size_t j = 0; j < ROW; j++) {
                up[j] = (int16_t)(up[j] + (w[i + j] > 0 ? w[i + j] : 0));
                down[j] = (int16_t)(down[j] - (w[i + j] < 0 ? w[i + j] : 0));
            }
        for (size_t j = 0; j < ROW; j++) {
            positive[j / TSL_K_GROUP] += up[j];
            negative[j / TSL_K_GROUP] += down[j];
        }
    }
}

// An output's sum is found exactly when it is below 2^25: see portable/winograd_s8.c. Either all positive or
// all negative products make the largest.
static bool sums_are_small(const tsl_conv *conv) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const tsl_activation_kind kind = conv->coefficients.a_kind;
    const int64_t largest = kind == TSL_ACTIVATION_U8 ? 255 : kind == TSL_ACTIVATION_S8 ? 128 : 127;
    const int64_t limit = INT64_C(1) << 25;
    if ((int64_t)(g->k_padded * g->n_taps) * 127 * largest < limit) return true;
    for (size_t panel = 0; panel < g->panels; panel++) {
        int64_t up[TSL_PANEL] = {0}, down[TSL_PANEL] = {0};
        sum_by_sign(
            (const int8_t *)conv->weights.packed + panel * g->panel_stride, g->panel_stride, up, down);
        for (size_t j = 0; j < TSL_PANEL; j++) {
            int64_t sum = kind == TSL_ACTIVATION_S8 ? up[j] + down[j] : up[j] > down[j] ? up[j] : down[j];
            if (sum * largest >= limit) return false;
        }
    }
    return true;
}

static bool is_possible(const tsl_prepare *p, const tsl_conv *conv) {
    const tsl_coefficients *c = &conv->coefficients;
    if (p->step->winograd == TSL_WINOGRAD_NEVER || !has_its_shape(conv)) return false;
    if (!c->is_int8) return true;
    // Portable functions stand in where weights are out of the vector kernels' range.
    return conv->weights.packed && conv->weights.functions == p->functions && !c->residual_after &&
           !c->w_zero && !c->dynamic;
}

// Clocks of either way, as measured with AVX-512 (products and transforms of a vector of channels). The
// choice depends on the shape alone, so that float results are the same at each level.
static bool is_faster(const tsl_conv *conv, const tsl_winograd *w) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    bool is_int8 = conv->coefficients.is_int8;
    double tiles = (double)w->tiles, k = (double)w->k, n = (double)(g->panels * TSL_PANEL);
    double pixels = (double)tsl_tensor_elements(&conv->output.view) / (double)g->n;
    double lanes = is_int8 ? 32 : 16, peak = is_int8 ? 29 : 14;
    double shares = (double)divide_up(w->tiles, w->share_tiles),
           vectors = (double)divide_up(w->k, is_int8 ? 32 : 16);
    double direct = pixels * 9 * k * n / (is_int8 ? 60 : 14.5);
    double products = tiles * 36 * k * n / peak;
    double transforms = tiles * (vectors * 190 + n / 16 * 220) + shares * k * n / lanes * 110;
    return (products + transforms) * 1.05 < direct;
}

// ---- How it is divided ----

// An odd number of lines of cache, so that the 36 points of a tile do not fall on the same few sets.
static size_t odd_lines(size_t bytes) {
    size_t lines = divide_up(bytes, LINE);
    return (lines | 1) * LINE;
}

static void divide_channels(const tsl_conv *conv, tsl_winograd *w) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    bool is_int8 = conv->coefficients.is_int8;
    w->k = g->k_padded;
    w->n_slices = divide_up(w->k, is_int8 ? SLICE_S8 : SLICE_F32);
    w->slice = tsl_round_up(divide_up(w->k, w->n_slices), is_int8 ? 32 : 16);
    w->n_slices = divide_up(w->k, w->slice);
}

static void divide_tiles(const tsl_conv *conv, size_t n_threads, tsl_winograd *w) {
    const tsl_tensor *y = &conv->output.view;
    w->rows = divide_up((size_t)y->dims[2], TILE);
    w->columns = divide_up((size_t)y->dims[3], TILE);
    w->tiles = (size_t)y->dims[0] * w->rows * w->columns;
    size_t element = conv->coefficients.is_int8 ? sizeof(int16_t) : sizeof(float);
    w->part_tiles = w->n_slices > 1 ? PART_TILES_SLICED : PART_TILES;
    w->share_tiles = SHARE_BYTES / (POINTS * w->slice * w->n_slices * element);
    if (w->share_tiles < w->part_tiles) w->share_tiles = w->part_tiles;
    w->block_tiles = divide_up(w->tiles, divide_up(w->tiles, w->share_tiles * n_threads));
    w->part_tiles = smaller(w->part_tiles, w->block_tiles);
    w->v_row = w->slice * element;
    w->v_point = odd_lines(w->block_tiles * w->v_row);
    w->v_slice = POINTS * w->v_point;
    w->u_panel = w->slice * TSL_PANEL * element;
    w->u_point = odd_lines(GROUP_PANELS * w->u_panel);
    w->m_point = odd_lines(w->part_tiles * GROUP * sizeof(float));
    w->thread_bytes = POINTS * (w->u_point + w->m_point);
}

static tslim_status reserve(tsl_prepare *p, tsl_kernel *kernel, const tsl_conv *conv, tsl_winograd *w) {
    size_t v_bytes, thread_bytes, zeros = w->slice * w->n_slices * sizeof(float) + LINE;
    bool fits = tsl_mul_size(w->v_slice, w->n_slices, &v_bytes) &&
                tsl_mul_size(w->thread_bytes, p->ctx->n_threads, &thread_bytes);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "node '%s': points of %zu tiles", p->step->name, w->block_tiles);
    TSL_TRY(tsl_scratch_reserve(kernel, v_bytes, &w->v_scratch));
    TSL_TRY(tsl_scratch_reserve(kernel, thread_bytes, &w->thread_scratch));
    // Of quantized tensors any value would do: what lies beyond the border reaches no output that exists.
    (void)conv;
    w->zeros = tsl_arena_alloc_zeroed(p->arena, zeros);
    TSL_REQUIRE_MEMORY(w->zeros, zeros);
    return TSLIM_OK;
}

// ---- The run ----

typedef struct job {
    const tsl_conv *conv;
    const tsl_winograd *w;
    const tsl_cpu_functions *functions;
    const char *a, *z, *weights;
    char *c, *v, *threads;
    const float *bias;
    size_t first, tiles; // of the block
    size_t range_tiles, n_ranges;
} job;

typedef struct position {
    size_t image, y, x; // first output pixel
} position;

static position position_of(const tsl_winograd *w, size_t tile) {
    size_t row = tile / w->columns;
    return (position){row / w->rows, row % w->rows * TILE, tile % w->columns * TILE};
}

// Bytes from one element to the next along an axis.
static ptrdiff_t step_of(const tsl_tensor *t, int axis) {
    return (ptrdiff_t)t->strides[axis] * (ptrdiff_t)tslim_dtype_size(t->dtype);
}
static ptrdiff_t offset_of(const tsl_tensor *t, position at) {
    return (ptrdiff_t)at.image * step_of(t, 0) + (ptrdiff_t)at.y * step_of(t, 2) +
           (ptrdiff_t)at.x * step_of(t, 3);
}

static void find_pixels(const job *j, position at, const char *pixels[TSL_WINOGRAD_POINTS]) {
    const tsl_tensor *x = &j->conv->input.view, *y = &j->conv->output.view;
    size_t rows = smaller(WINDOW, (size_t)y->dims[2] + 2 - at.y);
    size_t columns = smaller(WINDOW, (size_t)y->dims[3] + 2 - at.x);
    const char *first = j->a + offset_of(x, at);
    ptrdiff_t down = step_of(x, 2), right = step_of(x, 3);
    for (size_t i = 0; i < WINDOW; i++, first += down)
        for (size_t k = 0; k < WINDOW; k++)
            pixels[i * WINDOW + k] = i < rows && k < columns ? first + (ptrdiff_t)k * right : j->w->zeros;
}

static void transform_inputs(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const job *j = data;
    const tsl_winograd *w = j->w;
    bool is_int8 = j->conv->coefficients.is_int8;
    const char *pixels[TSL_WINOGRAD_POINTS];
    tsl_winograd_input_args args = {
        .pixels = pixels, .kind = j->conv->coefficients.a_kind, .v_point = w->v_point};
    for (size_t tile = begin; tile < end; tile++) {
        find_pixels(j, position_of(w, j->first + tile), pixels);
        for (size_t s = 0; s < w->n_slices; s++) {
            size_t first = s * w->slice;
            args.offset = (ptrdiff_t)(first * (is_int8 ? 1 : sizeof(float)));
            args.channels = smaller(w->slice, w->k - first);
            args.v = j->v + s * w->v_slice + tile * w->v_row;
            (is_int8 ? j->functions->winograd_input_s8 : j->functions->winograd_input_f32)(&args);
        }
    }
}

// One thread's share: tiles first .. first + tiles - 1 of the block, output channels of `panels` panels.
typedef struct share {
    size_t panel, panels, first, tiles;
    char *u, *m;
} share;

static void transform_weights(const job *j, const share *q, size_t slice) {
    const tsl_winograd *w = j->w;
    const tsl_pack_geometry *g = &j->conv->weights.geometry;
    bool is_int8 = j->conv->coefficients.is_int8;
    size_t element = is_int8 ? 1 : sizeof(float), first = slice * w->slice;
    tsl_winograd_weights_args args = {.w_tap = g->k_padded * TSL_PANEL * element,
        .w_panel = g->panel_stride * element,
        .k = smaller(w->slice, w->k - first),
        .panels = q->panels,
        .u = q->u,
        .u_point = w->u_point,
        .u_panel = w->u_panel};
    args.w = j->weights + (q->panel * g->panel_stride + first * TSL_PANEL) * element;
    (is_int8 ? j->functions->winograd_weights_s8 : j->functions->winograd_weights_f32)(&args);
}

static void multiply_f32(const job *j, const share *q, size_t slice) {
    static const float zeros[GROUP] = {0};
    static const ptrdiff_t tap = 0;
    const tsl_winograd *w = j->w;
    ptrdiff_t a_row[MAX_PART], c_row[MAX_PART];
    for (size_t i = 0; i < q->tiles; i++) {
        a_row[i] = (ptrdiff_t)(i * w->v_row);
        c_row[i] = (ptrdiff_t)(i * GROUP * sizeof(float));
    }
    tsl_gemm_f32_args args = {.a_row = a_row,
        .tap = &tap,
        .m = q->tiles,
        .n = q->panels * TSL_PANEL,
        .n_taps = 1,
        .k = smaller(w->slice, w->k - slice * w->slice),
        .panel_stride = w->u_panel / sizeof(float),
        .c_row = c_row,
        .z_row = c_row,
        .bias = zeros,
        .lo = -INFINITY,
        .hi = INFINITY};
    const char *v = j->v + slice * w->v_slice + q->first * w->v_row;
    for (size_t point = 0; point < POINTS; point++) {
        args.a = (const float *)(const void *)(v + point * w->v_point);
        args.w = (const float *)(const void *)(q->u + point * w->u_point);
        args.c = (float *)(void *)(q->m + point * w->m_point);
        args.z = slice > 0 ? args.c : NULL;
        j->functions->gemm_f32(&args);
    }
}

static void multiply_s16(const job *j, const share *q, size_t slice) {
    const tsl_winograd *w = j->w;
    tsl_gemm_s16_args args = {.a_row = w->v_row,
        .m = q->tiles,
        .panels = q->panels,
        .k2 = smaller(w->slice, w->k - slice * w->slice) / 2,
        .w_panel = w->u_panel,
        .c_row = GROUP * sizeof(int32_t),
        .accumulate = slice > 0};
    const char *v = j->v + slice * w->v_slice + q->first * w->v_row;
    for (size_t point = 0; point < POINTS; point++) {
        args.a = (const int16_t *)(const void *)(v + point * w->v_point);
        args.w = (const int16_t *)(const void *)(q->u + point * w->u_point);
        args.c = (int32_t *)(void *)(q->m + point * w->m_point);
        j->functions->gemm_s16(&args);
    }
}

static void look_up(const job *j, const tsl_winograd_output_args *o) {
    ptrdiff_t pixels[TILE * TILE];
    tsl_table_s8_args args = {.x = o->c_s8,
        .y = o->c_s8,
        .n = o->channels,
        .row = pixels,
        .n_rows = o->rows * o->columns,
        .table = j->conv->coefficients.table};
    for (size_t i = 0; i < args.n_rows; i++)
        pixels[i] = (ptrdiff_t)(i / o->columns) * o->c_row + (ptrdiff_t)(i % o->columns) * o->c_column;
    j->functions->table_s8(&args);
}

static void transform_outputs(const job *j, const share *q) {
    const tsl_conv *conv = j->conv;
    const tsl_coefficients *k = &conv->coefficients;
    const tsl_tensor *y = &conv->output.view, *z = &conv->residual.view;
    const int32_t *start = conv->phases[0].product.start;
    size_t channel = q->panel * TSL_PANEL;
    tsl_winograd_output_args args = {.m_point = j->w->m_point,
        .channels = smaller(GROUP, conv->weights.geometry.n - channel),
        .acc_init = start ? start + channel : NULL,
        .scale = k->scale ? k->scale + channel : NULL,
        .bias = j->bias + channel,
        .z_scale = k->z_scale,
        .lo = k->lo,
        .hi = k->hi,
        .c_row = step_of(y, 2),
        .c_column = step_of(y, 3)};
    if (j->z) {
        args.z_row = step_of(z, 2);
        args.z_column = step_of(z, 3);
    }
    tsl_finish finish;
    if (k->finish) {
        finish = *k->finish;
        finish.factor += channel;
        finish.shift += channel;
        if (k->is_int8) args.finish = &finish;
    }
    for (size_t i = 0; i < q->tiles; i++) {
        position at = position_of(j->w, j->first + q->first + i);
        args.rows = smaller(TILE, (size_t)y->dims[2] - at.y);
        args.columns = smaller(TILE, (size_t)y->dims[3] - at.x);
        args.m = q->m + i * GROUP * sizeof(float);
        char *c = j->c + offset_of(y, at) + channel * tslim_dtype_size(y->dtype);
        if (j->z) args.z = j->z + offset_of(z, at) + channel * tslim_dtype_size(z->dtype);
        if (k->to_float)
            args.c_f32 = (float *)(void *)c;
        else
            args.c_s8 = (int8_t *)c;
        (k->is_int8 ? j->functions->winograd_output_s8 : j->functions->winograd_output_f32)(&args);
        if (k->table) look_up(j, &args);
        for (size_t row = 0; k->finish && !k->is_int8 && row < args.rows; row++)
            tsl_finish_rows(&finish, (float *)(void *)(c + (ptrdiff_t)row * args.c_row), args.c_column,
                args.columns, args.channels);
    }
}

static void run_shares(void *data, size_t begin, size_t end, uint32_t worker) {
    const job *j = data;
    const tsl_winograd *w = j->w;
    const tsl_conv *conv = j->conv;
    share q = {.u = j->threads + worker * w->thread_bytes};
    q.m = q.u + POINTS * w->u_point;
    for (size_t item = begin; item < end; item++) {
        q.panel = item / j->n_ranges * GROUP_PANELS;
        q.panels = smaller(GROUP_PANELS, conv->weights.geometry.panels - q.panel);
        size_t from = item % j->n_ranges * j->range_tiles, to = smaller(j->tiles, from + j->range_tiles);
        size_t part = divide_up(to - from, divide_up(to - from, w->part_tiles));
        for (q.first = from; q.first < to; q.first += part) {
            q.tiles = smaller(part, to - q.first);
            for (size_t s = 0; s < w->n_slices; s++) {
                if (q.first == from || w->n_slices > 1) transform_weights(j, &q, s);
                (conv->coefficients.is_int8 ? multiply_s16 : multiply_f32)(j, &q, s);
            }
            transform_outputs(j, &q);
        }
    }
}

static void run_block(tslim_context *ctx, job *j) {
    const tsl_winograd *w = j->w;
    size_t groups = divide_up(j->conv->weights.geometry.panels, GROUP_PANELS), wanted = 1;
    // Few output channels: tiles are divided too.
    if (ctx->n_threads > 1) wanted = divide_up(ctx->n_threads * ITEMS_PER_THREAD, groups);
    wanted = smaller(wanted, divide_up(j->tiles, PART_TILES));
    j->range_tiles = divide_up(j->tiles, wanted);
    j->n_ranges = divide_up(j->tiles, j->range_tiles);
    size_t tile_work = POINTS * w->k * 8, item_work = POINTS * w->k * GROUP * j->range_tiles;
    tsl_parallel_for(ctx, j->tiles, GRAIN_MACS / tile_work + 1, transform_inputs, j);
    tsl_parallel_for(ctx, groups * j->n_ranges, GRAIN_MACS / item_work + 1, run_shares, j);
}

static tslim_status run_winograd(const tsl_run *run) {
    const tsl_conv *conv = run->kernel->state;
    const tsl_winograd *w = conv->winograd;
    const tsl_coefficients *k = &conv->coefficients;
    job j = {.conv = conv, .w = w, .functions = conv->weights.functions};
    j.a = (const char *)tsl_stage_read(&conv->input, run, &run->inputs[0]) + conv->phases[0].a;
    if (k->residual) j.z = tsl_stage_read(&conv->residual, run, &run->inputs[conv->residual_index]);
    j.c = tsl_stage_write(&conv->output, run, &run->outputs[0]);
    j.weights = tsl_weights_at_run(&conv->weights, run, run->inputs[1].data);
    j.bias = tsl_coefficients_bias(k, run, k->bias_tensor ? run->inputs[2].data : NULL);
    j.v = (char *)run->scratch + w->v_scratch;
    j.threads = (char *)run->scratch + w->thread_scratch;
    for (j.first = 0; j.first < w->tiles; j.first += w->block_tiles) {
        j.tiles = smaller(w->block_tiles, w->tiles - j.first);
        run_block(run->ctx, &j);
    }
    tsl_stage_finish(&conv->output, run, &run->outputs[0]);
    return TSLIM_OK;
}

tslim_status tsl_winograd_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv *conv, bool *used) {
    *used = false;
    if (!is_possible(p, conv)) return TSLIM_OK;
    tsl_winograd plan = {0};
    divide_channels(conv, &plan);
    divide_tiles(conv, p->ctx->n_threads, &plan);
    if (p->step->winograd == TSL_WINOGRAD_BY_SHAPE && !is_faster(conv, &plan)) return TSLIM_OK;
    // Last, because it reads all the weights: a model's deep layers, which have most of them, never come
    // here.
    if (conv->coefficients.is_int8 && !sums_are_small(conv)) return TSLIM_OK;
    TSL_TRY(reserve(p, kernel, conv, &plan));
    conv->winograd = tsl_arena_copy(p->arena, &plan, sizeof(plan));
    TSL_REQUIRE_MEMORY(conv->winograd, sizeof(plan));
    kernel->run = run_winograd;
    *used = true;
    return tsl_kernel_name(p, kernel, "winograd");
}
