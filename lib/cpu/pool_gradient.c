// SPDX-License-Identifier: Apache-2.0
// Gradients of MaxPool and AveragePool: what a window's result gets goes to its first largest element, or in
// equal shares to all. A thread has some channels of one batch item for itself, so that sums have one order.
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

#define CHANNELS 64 // of an item

typedef struct pool_gradient {
    tsl_window_nd window;
    bool maximum, include_pad;
    int64_t pixels; // of a plane of results
    int64_t blocks; // of channels
} pool_gradient;

typedef struct pool_gradient_task {
    const pool_gradient *s;
    const tsl_tensor *dy, *x, *dx; // x is that of MaxPool
} pool_gradient_task;

// Channels of one pixel.
typedef struct channels {
    int64_t first, count;
} channels;

static uint8_t *address(const tsl_tensor *t, int64_t offset) {
    return (uint8_t *)t->data + offset * (int64_t)tslim_dtype_size(t->dtype);
}

static void load(const tsl_tensor *t, int64_t offset, channels c, double *values) {
    const ptrdiff_t step = (ptrdiff_t)(t->strides[1] * (int64_t)tslim_dtype_size(t->dtype));
    tsl_load_doubles(t->dtype, address(t, offset + c.first * t->strides[1]), step, (size_t)c.count, values);
}

static void add(const tsl_tensor *t, int64_t offset, channels c, const double *values) {
    double sum[CHANNELS];
    const ptrdiff_t step = (ptrdiff_t)(t->strides[1] * (int64_t)tslim_dtype_size(t->dtype));
    load(t, offset, c, sum);
    for (int64_t i = 0; i < c.count; i++) sum[i] += values[i];
    tsl_store_doubles(t->dtype, address(t, offset + c.first * t->strides[1]), step, (size_t)c.count, sum);
}

// The kernel positions of a window that lie inside the input, one after the other.
typedef struct taps {
    int64_t start[TSL_MOST_SPATIAL], count[TSL_MOST_SPATIAL], at[TSL_MOST_SPATIAL];
    int64_t total, padded; // inside, and inside or in the padding
} taps;

static taps find_taps(const tsl_window_nd *w, const int64_t *out) {
    taps t = {.total = 1, .padded = 1};
    for (uint32_t d = 0; d < w->rank; d++) {
        const int64_t step = w->dilation[d], start = out[d] * w->stride[d] - w->pad_begin[d];
        const int64_t skipped = start >= 0 ? 0 : (-start + step - 1) / step;
        const int64_t inside = start >= w->in[d] ? 0 : (w->in[d] - 1 - start) / step + 1;
        const int64_t room = w->in[d] + w->pad_end[d] - start;
        t.start[d] = start + skipped * step;
        t.count[d] = tsl_max_i64(tsl_min_i64(inside, w->kernel[d]) - skipped, 0);
        t.total *= t.count[d];
        t.padded *= tsl_min_i64(room <= 0 ? 0 : (room - 1) / step + 1, w->kernel[d]);
    }
    return t;
}

static int64_t offset_of(const tsl_window_nd *w, const taps *t, const tsl_tensor *tensor) {
    int64_t offset = 0;
    for (uint32_t d = 0; d < w->rank; d++)
        offset += (t->start[d] + t->at[d] * w->dilation[d]) * tensor->strides[d + 2];
    return offset;
}

static void next(const tsl_window_nd *w, taps *t) {
    for (uint32_t d = w->rank; d-- > 0;) {
        if (++t->at[d] < t->count[d]) return;
        t->at[d] = 0;
    }
}

static void spread_evenly(const pool_gradient_task *task, int64_t batch, channels c, taps *t, double *dy) {
    const pool_gradient *s = task->s;
    const int64_t count = tsl_max_i64(s->include_pad ? t->padded : t->total, 1);
    for (int64_t i = 0; i < c.count; i++) dy[i] /= (double)count;
    for (int64_t k = 0; k < t->total; k++, next(&s->window, t))
        add(task->dx, batch * task->dx->strides[0] + offset_of(&s->window, t, task->dx), c, dy);
}

// NaN counts as the largest, as in the forward pass.
static void give_to_largest(
    const pool_gradient_task *task, int64_t batch, channels c, taps *t, const double *dy) {
    const pool_gradient *s = task->s;
    double largest[CHANNELS], x[CHANNELS];
    int64_t place[CHANNELS];
    for (int64_t k = 0; k < t->total; k++, next(&s->window, t)) {
        const int64_t to = offset_of(&s->window, t, task->dx);
        load(task->x, batch * task->x->strides[0] + offset_of(&s->window, t, task->x), c, x);
        for (int64_t i = 0; i < c.count; i++) {
            const bool better = k == 0 || x[i] > largest[i] || (isnan(x[i]) && !isnan(largest[i]));
            largest[i] = better ? x[i] : largest[i];
            place[i] = better ? to : place[i];
        }
    }
    for (int64_t i = 0; t->total > 0 && i < c.count; i++)
        add(task->dx, batch * task->dx->strides[0] + place[i], (channels){c.first + i, 1}, &dy[i]);
}

static void clear(const tsl_tensor *dx, int64_t batch, channels c, const tsl_window_nd *w) {
    static const double zeros[CHANNELS];
    const ptrdiff_t step = (ptrdiff_t)(dx->strides[1] * (int64_t)tslim_dtype_size(dx->dtype));
    int64_t pixels = 1;
    for (uint32_t d = 0; d < w->rank; d++) pixels *= w->in[d];
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        int64_t rest = pixel, offset = batch * dx->strides[0] + c.first * dx->strides[1];
        for (uint32_t d = w->rank; d-- > 0; rest /= w->in[d]) offset += rest % w->in[d] * dx->strides[d + 2];
        tsl_store_doubles(dx->dtype, address(dx, offset), step, (size_t)c.count, zeros);
    }
}

// An item is a block of channels of a batch item.
static void run_items(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const pool_gradient_task *task = task_data;
    const pool_gradient *s = task->s;
    const tsl_window_nd *w = &s->window;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t batch = item / s->blocks, first = item % s->blocks * CHANNELS;
        const channels c = {first, tsl_min_i64(task->dy->dims[1] - first, CHANNELS)};
        clear(task->dx, batch, c, w);
        for (int64_t pixel = 0; pixel < s->pixels; pixel++) {
            int64_t rest = pixel, out[TSL_MOST_SPATIAL], offset = batch * task->dy->strides[0];
            for (uint32_t d = w->rank; d-- > 0; rest /= w->out[d]) {
                out[d] = rest % w->out[d];
                offset += out[d] * task->dy->strides[d + 2];
            }
            double dy[CHANNELS];
            taps t = find_taps(w, out);
            load(task->dy, offset, c, dy);
            if (s->maximum)
                give_to_largest(task, batch, c, &t, dy);
            else
                spread_evenly(task, batch, c, &t, dy);
        }
    }
}

static tslim_status run_pool_gradient(const tsl_run *run) {
    const pool_gradient *s = run->kernel->state;
    pool_gradient_task task = {.s = s, .dy = &run->inputs[0], .dx = &run->outputs[0]};
    if (s->maximum) task.x = &run->inputs[1];
    tsl_parallel_for(run->ctx, (size_t)(task.dy->dims[0] * s->blocks), 1, run_items, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_pool_gradient(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *dy = &step->inputs[0], *dx = &step->outputs[0];
    TSL_NEW_STATE(pool_gradient, s);
    s->maximum = step->op == TSL_OP_MAX_POOL_GRADIENT;
    s->include_pad = tsl_attrs_int(step->attrs, TSL_ATTR_count_include_pad, 0) != 0;
    TSL_REQUIRE(dx->rank >= 3 && dy->rank == dx->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': ranks %u and %u", step->name, dy->rank, dx->rank);
    TSL_TRY(tsl_window_nd_read(step->attrs, s->maximum ? TSL_OP_MAX_POOL : TSL_OP_AVERAGE_POOL, dx->rank - 2,
        dx->dims + 2, NULL, &s->window));
    s->pixels = 1;
    bool fits = true;
    for (uint32_t i = 0; i < dx->rank; i++) {
        fits = fits && dy->dims[i] == (i < 2 ? dx->dims[i] : s->window.out[i - 2]);
        if (s->maximum)
            fits = fits && step->inputs[1].rank == dx->rank && step->inputs[1].dims[i] == dx->dims[i];
        if (i >= 2) s->pixels *= dy->dims[i];
    }
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", step->name);
    s->blocks = (dx->dims[1] + CHANNELS - 1) / CHANNELS;
    kernel->run = run_pool_gradient;
    kernel->name = s->maximum ? "max pool gradient" : "average pool gradient";
    bool reals = (dy->dtype == TSLIM_DTYPE_FLOAT || dy->dtype == TSLIM_DTYPE_DOUBLE) &&
                 dx->dtype == dy->dtype && (!s->maximum || step->inputs[1].dtype == dy->dtype);
    return reals ? TSLIM_OK : tsl_cpu_unsupported(p);
}
