// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights: for each kernel position and pair of channels a sum over the
// pixels of the batch. It is a product of two matrices whose rows are pixels: dy, and what the window sees.
// Sums are made by parts of the batch, whose number follows from the sizes alone, and added up in their
// order: the same bits for any number of threads.
#include <string.h>

#include "base/checked.h"
#include "cpu/product_plain.h"
#include "cpu/stage.h"

#define MOST_PARTS ((size_t)32)
#define PARTS_BYTES ((size_t)8 << 20) // of all sums
// Activations of some rows of pixels stay in the first-level cache while the kernel positions pass over them.
#define PIECE_BYTES ((size_t)32 << 10)
#define PIECE_ROWS ((size_t)64)
// Channels of dy that a thread takes at once.
#define RANGE_CHANNELS ((size_t)64)

typedef struct weight_gradient {
    const tsl_cpu_functions *functions;
    tsl_window window;
    tsl_stage x, dy;
    bool by_channel; // depthwise: one group of all channels
    size_t groups, in, out; // channels of a group
    ptrdiff_t *offsets; // of [kernel position][channel of x]
    size_t n_offsets, panels;
    size_t rows, piece_rows, parts; // rows of pixels of dy, in the whole batch
    size_t ranges; // of a group's panels
    size_t sums; // in the scratch: [part][group][panel][offset][16]
} weight_gradient;

typedef struct weight_task {
    const weight_gradient *s;
    const float *x, *dy;
    float *sums;
    const tsl_tensor *y; // the result
} weight_task;

static size_t group_sums(const weight_gradient *s) {
    return s->panels * s->n_offsets * 16;
}

// Pieces of one part, for some panels of a group.
static void sum_part(const weight_task *t, size_t part, size_t group, size_t range) {
    const weight_gradient *s = t->s;
    const tsl_tensor *x = &s->x.view, *dy = &s->dy.view;
    const size_t first = range * RANGE_CHANNELS, height = (size_t)dy->dims[2];
    ptrdiff_t x_row[PIECE_ROWS], dy_row[PIECE_ROWS];
    tsl_weight_gradient_f32_args args = {.x = t->x + group * s->in + (s->by_channel ? first : 0),
        .dy = t->dy + group * s->out + first,
        .x_row = x_row,
        .dy_row = dy_row,
        .x_pixel = (ptrdiff_t)(s->window.stride[1] * x->strides[3] * (int64_t)sizeof(float)),
        .dy_pixel = (ptrdiff_t)(dy->strides[3] * (int64_t)sizeof(float)),
        .pixels = (size_t)dy->dims[3],
        .offset = s->offsets,
        .n_offsets = s->n_offsets,
        .channels = s->out - first < RANGE_CHANNELS ? s->out - first : RANGE_CHANNELS,
        .by_channel = s->by_channel,
        .sum_panel = s->n_offsets * 16};
    args.sum = t->sums + (part * s->groups + group) * group_sums(s) + first / 16 * args.sum_panel;
    memset(args.sum, 0, (args.channels + 15) / 16 * args.sum_panel * sizeof(float));
    const size_t end = (part + 1) * s->rows / s->parts;
    for (size_t row = part * s->rows / s->parts; row < end; row += args.n_rows) {
        args.n_rows = end - row < s->piece_rows ? end - row : s->piece_rows;
        for (size_t i = 0; i < args.n_rows; i++) {
            const int64_t n = (int64_t)((row + i) / height), h = (int64_t)((row + i) % height);
            const int64_t x_at = n * x->strides[0] + h * s->window.stride[0] * x->strides[2];
            x_row[i] = (ptrdiff_t)(x_at * (int64_t)sizeof(float));
            dy_row[i] = (ptrdiff_t)((n * dy->strides[0] + h * dy->strides[2]) * (int64_t)sizeof(float));
        }
        s->functions->weight_gradient_f32(&args);
    }
}

static void run_parts(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const weight_task *t = task_data;
    const weight_gradient *s = t->s;
    for (size_t item = begin; item < end; item++)
        sum_part(t, item / s->ranges / s->groups, item / s->ranges % s->groups, item % s->ranges);
}

// An item is a panel: its sums of all parts, to where the result wants them.
static void add_up(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const weight_task *t = task_data;
    const weight_gradient *s = t->s;
    const tsl_tensor *y = t->y;
    const int64_t width = s->window.kernel[1];
    for (size_t item = begin; item < end; item++) {
        const size_t group = item / s->panels, panel = item % s->panels;
        float *sums = t->sums + group * group_sums(s) + panel * s->n_offsets * 16;
        const size_t channels = s->out - panel * 16 < 16 ? s->out - panel * 16 : 16;
        for (size_t part = 1; part < s->parts; part++) {
            const float *more = sums + part * s->groups * group_sums(s);
            for (size_t i = 0; i < s->n_offsets * 16; i++) sums[i] += more[i];
        }
        for (size_t i = 0; i < s->n_offsets; i++) {
            const int64_t tap = (int64_t)(i / s->in), row = tap / width, column = tap % width;
            int64_t to = (int64_t)(i % s->in) * y->strides[1] + column * y->strides[y->rank - 1];
            if (y->rank == 4) to += row * y->strides[2];
            to += (int64_t)(group * s->out + panel * 16) * y->strides[0];
            for (size_t c = 0; c < channels; c++)
                ((float *)y->data)[to + (int64_t)c * y->strides[0]] = sums[i * 16 + c];
        }
    }
}

static tslim_status run_weight_gradient(const tsl_run *run) {
    const weight_gradient *s = run->kernel->state;
    const tsl_window *w = &s->window;
    const tsl_tensor *view = &s->x.view;
    weight_task t = {.s = s, .y = &run->outputs[0], .sums = (float *)(void *)(run->scratch + s->sums)};
    t.dy = tsl_stage_read(&s->dy, run, &run->inputs[1]);
    t.x = (const float *)tsl_stage_read(&s->x, run, &run->inputs[0]) -
          (w->pad_begin[0] * view->strides[2] + w->pad_begin[1] * view->strides[3]);
    tsl_parallel_for(run->ctx, s->parts * s->groups * s->ranges, 1, run_parts, &t);
    tsl_parallel_for(run->ctx, s->groups * s->panels, 4, add_up, &t);
    return TSLIM_OK;
}

static tslim_status set_offsets(tsl_prepare *p, weight_gradient *s) {
    const tsl_window *w = &s->window;
    s->n_offsets = (size_t)(w->kernel[0] * w->kernel[1]) * s->in;
    s->offsets = tsl_arena_array(p->arena, s->n_offsets, sizeof(*s->offsets));
    TSL_REQUIRE_MEMORY(s->offsets, s->n_offsets * sizeof(*s->offsets));
    for (size_t i = 0; i < s->n_offsets; i++) {
        const int64_t tap = (int64_t)(i / s->in);
        const int64_t at = tap / w->kernel[1] * w->dilation[0] * s->x.view.strides[2] +
                           tap % w->kernel[1] * w->dilation[1] * s->x.view.strides[3] + (int64_t)(i % s->in);
        s->offsets[i] = (ptrdiff_t)(at * (int64_t)sizeof(float));
    }
    return TSLIM_OK;
}

static tslim_status set_parts(tsl_kernel *kernel, weight_gradient *s) {
    const tsl_tensor *dy = &s->dy.view;
    size_t bytes, total;
    TSL_REQUIRE(tsl_mul_size(s->groups * s->panels * 16 * sizeof(float), s->n_offsets, &bytes) && bytes > 0,
        TSLIM_ERROR_LIMIT, "weights of %zu groups of %zu by %zu channels", s->groups, s->out, s->in);
    s->rows = (size_t)(dy->dims[0] * dy->dims[2]);
    s->parts = PARTS_BYTES / bytes;
    s->parts = s->parts < 1 ? 1 : s->parts > MOST_PARTS ? MOST_PARTS : s->parts;
    if (s->parts > s->rows) s->parts = s->rows > 0 ? s->rows : 1;
    const size_t row_bytes = (size_t)dy->dims[3] * (s->in + s->out) * sizeof(float);
    s->piece_rows = PIECE_BYTES / (row_bytes + 1);
    s->piece_rows = s->piece_rows < 1 ? 1 : s->piece_rows > PIECE_ROWS ? PIECE_ROWS : s->piece_rows;
    s->ranges = (s->out + RANGE_CHANNELS - 1) / RANGE_CHANNELS;
    TSL_REQUIRE(tsl_mul_size(bytes, s->parts, &total), TSLIM_ERROR_LIMIT, "sums of %zu parts", s->parts);
    return tsl_scratch_reserve(kernel, total, &s->sums);
}

tslim_status tsl_cpu_prepare_conv_weight_gradient(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *dy = &step->inputs[1], *y = &step->outputs[0];
    static const uint16_t none[4] = {0};
    uint16_t border[4];
    // Checks what there is to check.
    TSL_TRY(tsl_conv_plain_prepare(p, kernel));
    if (x->dtype != TSLIM_DTYPE_FLOAT || x->rank > 4 || tsl_tensor_elements(y) == 0) return TSLIM_OK;
    kernel->run = run_weight_gradient;
    TSL_NEW_STATE(weight_gradient, s);
    s->functions = p->functions;
    TSL_TRY(tsl_window_read(step->attrs, TSL_OP_CONV, x->rank - 2, x->dims + 2, NULL, &s->window));
    TSL_TRY(tsl_window_border(&s->window, TSL_OP_CONV, border));
    TSL_TRY(tsl_stage_prepare(kernel, x, border, &s->x));
    TSL_TRY(tsl_stage_prepare(kernel, dy, none, &s->dy));
    s->groups = (size_t)s->window.group;
    s->in = (size_t)x->dims[1] / s->groups;
    s->out = (size_t)dy->dims[1] / s->groups;
    s->by_channel = s->groups > 1 && s->in == 1 && s->out == 1;
    if (s->by_channel) {
        s->out = s->groups;
        s->groups = 1;
    }
    s->panels = (s->out + 15) / 16;
    TSL_TRY(set_offsets(p, s));
    TSL_TRY(set_parts(kernel, s));
    return tsl_kernel_name(p, kernel, "conv weight gradient");
}
