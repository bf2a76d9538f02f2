// SPDX-License-Identifier: Apache-2.0
// Pooling. For each output pixel the taps of its window that lie inside the input are listed; the dispatch
// table's functions take all channels of the pixel at once where they lie side by side, else one channel
// after the other.
#include "cpu/pool.h"

#include <inttypes.h>

typedef struct pool_state {
    const tsl_cpu_functions *functions;
    tsl_window window;
    bool maximum, count_include_pad;
    bool bytes; // int8; else float,
    bool doubles; // or double
    bool side_by_side; // channels
    int64_t batch, channels;
    double multiplier; // of a sum; divided by the count of a window
    float x_zero, y_zero; // zero points
    float lo, hi;
    const uint8_t *table; // MaxPool between two scales
    size_t worker_bytes; // of taps
} pool_state;

typedef struct pool_task {
    const pool_state *s;
    const tsl_run *run;
    int64_t in[4], out[4]; // strides in bytes: N, C, H, W
} pool_task;

// The strides of a tensor seen as N, C, H, W.
static void plane_strides(const tsl_tensor *t, int64_t strides[4]) {
    const int64_t size = (int64_t)tslim_dtype_size(t->dtype);
    strides[0] = t->strides[0] * size;
    strides[1] = t->strides[1] * size;
    strides[2] = t->rank == 4 ? t->strides[2] * size : 0;
    strides[3] = t->rank > 2 ? t->strides[t->rank - 1] * size : size;
}

// Kernel positions first..last-1 along one axis that lie inside 0..limit-1.
static void inside(const tsl_window *w, int axis, int64_t out, int64_t limit, int64_t *first, int64_t *last) {
    int64_t start = out * w->stride[axis] - w->pad_begin[axis], d = w->dilation[axis];
    *first = start >= 0 ? 0 : (-start + d - 1) / d;
    *last = start >= limit ? 0 : (limit - 1 - start) / d + 1;
    if (*last > w->kernel[axis]) *last = w->kernel[axis];
}

// As inside, but within the padded plane.
static int64_t padded_count(const tsl_window *w, int axis, int64_t out) {
    int64_t limit = w->in[axis] + w->pad_end[axis] + w->pad_begin[axis];
    int64_t start = out * w->stride[axis], d = w->dilation[axis];
    int64_t count = start >= limit ? 0 : (limit - 1 - start) / d + 1;
    return count < w->kernel[axis] ? count : w->kernel[axis];
}

static void run_maximum(const pool_state *s, const uint8_t *x, uint8_t *y, const ptrdiff_t *taps,
    size_t n_taps, size_t channels) {
    tsl_window_max_args args = {.x = x, .y = y, .taps = taps, .n_taps = n_taps, .channels = channels};
    if (!s->bytes) {
        s->functions->window_max_f32(&args);
        return;
    }
    s->functions->window_max_s8(&args);
    for (size_t c = 0; s->table && c < channels; c++) y[c] = s->table[y[c]];
}

static void run_sum(const pool_state *s, const uint8_t *x, uint8_t *y, const ptrdiff_t *taps, size_t n_taps,
    size_t channels, int64_t count) {
    tsl_window_sum_args args = {.x = x,
        .taps = taps,
        .n_taps = n_taps,
        .channels = channels,
        .lo = s->lo,
        .hi = s->hi,
        .scale = (float)(s->multiplier / (double)count),
        .shift = s->x_zero * (float)n_taps,
        .offset = s->y_zero};
    if (s->bytes) {
        args.y_s8 = (int8_t *)y;
        s->functions->window_sum_s8(&args);
    } else {
        args.y = (float *)(void *)y;
        s->functions->window_sum_f32(&args);
    }
}

static void run_doubles(
    const pool_state *s, const uint8_t *x, uint8_t *y, const ptrdiff_t *taps, size_t n_taps, int64_t count) {
    double result = s->maximum && n_taps > 0 ? *(const double *)(const void *)(x + taps[0]) : 0;
    for (size_t i = 0; i < n_taps; i++) {
        const double value = *(const double *)(const void *)(x + taps[i]);
        result = !s->maximum                      ? result + value / (double)count
                 : value > result || isnan(value) ? value
                                                  : result;
    }
    *(double *)(void *)y = result;
}

static void run_pixel(const pool_task *t, int64_t n, int64_t h, int64_t w, ptrdiff_t *taps) {
    const pool_state *s = t->s;
    const tsl_window *win = &s->window;
    int64_t h0, h1, w0, w1;
    inside(win, 0, h, win->in[0], &h0, &h1);
    inside(win, 1, w, win->in[1], &w0, &w1);
    size_t n_taps = 0;
    for (int64_t i = h0; i < h1; i++) {
        int64_t row = h * win->stride[0] - win->pad_begin[0] + i * win->dilation[0];
        for (int64_t j = w0; j < w1; j++) {
            int64_t column = w * win->stride[1] - win->pad_begin[1] + j * win->dilation[1];
            taps[n_taps++] = (ptrdiff_t)(row * t->in[2] + column * t->in[3]);
        }
    }
    int64_t count = (int64_t)n_taps;
    if (s->count_include_pad) count = padded_count(win, 0, h) * padded_count(win, 1, w);
    const uint8_t *x = (const uint8_t *)t->run->inputs[0].data + n * t->in[0];
    uint8_t *y = (uint8_t *)t->run->outputs[0].data + n * t->out[0] + h * t->out[2] + w * t->out[3];
    int64_t calls = s->side_by_side ? 1 : s->channels;
    size_t channels = s->side_by_side ? (size_t)s->channels : 1;
    for (int64_t c = 0; c < calls; c++, x += t->in[1], y += t->out[1]) {
        if (s->doubles)
            run_doubles(s, x, y, taps, n_taps, count > 0 ? count : 1);
        else if (s->maximum && n_taps > 0)
            run_maximum(s, x, y, taps, n_taps, channels);
        else // a window that lies in the padding altogether sums to 0
            run_sum(s, x, y, taps, n_taps, channels, count > 0 ? count : 1);
    }
}

// An item is a row of output pixels.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    const pool_task *t = task_data;
    const tsl_window *w = &t->s->window;
    ptrdiff_t *taps = (ptrdiff_t *)(void *)(t->run->scratch + worker * t->s->worker_bytes);
    for (size_t item = begin; item < end; item++) {
        int64_t n = (int64_t)item / w->out[0], h = (int64_t)item % w->out[0];
        for (int64_t column = 0; column < w->out[1]; column++) run_pixel(t, n, h, column, taps);
    }
}

static tslim_status run_pool(const tsl_run *run) {
    const pool_state *s = run->kernel->state;
    pool_task task = {.s = s, .run = run};
    plane_strides(&run->inputs[0], task.in);
    plane_strides(&run->outputs[0], task.out);
    if (s->channels == 0) return TSLIM_OK;
    tsl_parallel_for(run->ctx, (size_t)(s->batch * s->window.out[0]), 1, run_rows, &task);
    return TSLIM_OK;
}

static bool channels_touch(const tsl_tensor *t) {
    return t->dims[1] == 1 || t->strides[1] == 1;
}

tslim_status tsl_pool_prepare(
    tsl_prepare *p, tsl_kernel *kernel, const tsl_window *window, bool maximum, bool count_include_pad) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(pool_state, s);
    s->functions = p->functions;
    s->window = *window;
    s->maximum = maximum;
    s->count_include_pad = count_include_pad;
    s->batch = x->dims[0];
    s->channels = x->dims[1];
    s->side_by_side = channels_touch(x) && channels_touch(y);
    s->bytes = tsl_is_plain_int8(x) && tsl_is_plain_int8(y);
    s->doubles = x->dtype == TSLIM_DTYPE_DOUBLE && y->dtype == TSLIM_DTYPE_DOUBLE && !p->step->epilogue.clamp;
    s->side_by_side = s->side_by_side && !s->doubles;
    s->multiplier = 1;
    kernel->run = run_pool;
    kernel->name = maximum ? "max pool" : "average pool";
    if (!s->bytes && !s->doubles && (x->dtype != TSLIM_DTYPE_FLOAT || y->dtype != TSLIM_DTYPE_FLOAT))
        return tsl_cpu_unsupported(p);
    if (maximum && p->step->epilogue.clamp) return tsl_cpu_unsupported(p);
    tsl_step_bounds(p->step, &s->lo, &s->hi);
    if (s->bytes) {
        s->multiplier = (double)tsl_scale(x) / (double)tsl_scale(y);
        s->x_zero = (float)x->quant.zero_point;
        s->y_zero = (float)y->quant.zero_point;
        tsl_step_quantized_bounds(p->step, y, &s->lo, &s->hi);
        if (maximum) TSL_TRY(tsl_move_prepare(p, x, y, &s->table));
    }
    uint64_t taps = (uint64_t)window->kernel[0] * (uint64_t)window->kernel[1];
    TSL_REQUIRE(window->kernel[0] <= INT32_MAX && window->kernel[1] <= INT32_MAX && taps <= INT32_MAX / 8,
        TSLIM_ERROR_LIMIT, "node '%s': a window of %" PRIu64 " elements", p->step->name, taps);
    // Sums of this many bytes are exact in float.
    TSL_REQUIRE(!s->bytes || taps <= (1u << 17), TSLIM_ERROR_UNSUPPORTED,
        "node '%s': an INT8 window of %" PRIu64 " elements", p->step->name, taps);
    s->worker_bytes = ((size_t)taps * sizeof(ptrdiff_t) + 63) / 64 * 64;
    kernel->scratch_bytes = s->worker_bytes * p->ctx->n_threads;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_pool(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    tsl_window window;
    const bool quick_type =
        (x->dtype == TSLIM_DTYPE_FLOAT || tsl_is_quantized(x)) && y->dtype != TSLIM_DTYPE_NONE;
    const bool indices = step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    if (x->rank < 3 || x->rank > 4 || !quick_type || indices) return tsl_cpu_prepare_pool_nd(p, kernel);
    TSL_TRY(tsl_window_read(step->attrs, step->op, x->rank - 2, x->dims + 2, NULL, &window));
    bool fits = x->rank == y->rank && x->dims[0] == y->dims[0] && x->dims[1] == y->dims[1] &&
                y->dims[x->rank - 1] == window.out[1] && (x->rank == 3 || y->dims[2] == window.out[0]);
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the result has other dims than pooling gives",
        step->name);
    bool maximum = step->op == TSL_OP_MAX_POOL;
    bool include = !maximum && tsl_attrs_int(step->attrs, TSL_ATTR_count_include_pad, 0) != 0;
    return tsl_pool_prepare(p, kernel, &window, maximum, include);
}
