// SPDX-License-Identifier: Apache-2.0
// The gradient of Resize and Upsample along the last one or two axes: each row of pixels of the source
// collects what was read from it, in the order of the results.
#include <string.h>

#include "cpu/resize.h"

typedef struct resize_gradient {
    tsl_resize_axis axes[2]; // rows and columns
    const int64_t *first, *last; // of each source row: the results that may read it
} resize_gradient;

typedef struct resize_gradient_task {
    const resize_gradient *s;
    const tsl_tensor *dy, *dx;
} resize_gradient_task;

#define CHANNELS 256

static ptrdiff_t bytes(const tsl_tensor *t, int64_t elements) {
    return (ptrdiff_t)(elements * (int64_t)tslim_dtype_size(t->dtype));
}

static uint8_t *pixel(const tsl_tensor *t, int64_t n, int64_t h, int64_t w, int64_t c) {
    int64_t offset = n * t->strides[0] + c * t->strides[1] + w * t->strides[t->rank - 1];
    if (t->rank == 4) offset += h * t->strides[2];
    return (uint8_t *)t->data + bytes(t, offset);
}

// dx += weight * dy, for the channels of one pixel
static void add(const resize_gradient_task *t, const uint8_t *dy, uint8_t *dx, size_t count, double weight) {
    double from[CHANNELS], to[CHANNELS];
    tsl_load_doubles(t->dy->dtype, dy, bytes(t->dy, t->dy->strides[1]), count, from);
    tsl_load_doubles(t->dx->dtype, dx, bytes(t->dx, t->dx->strides[1]), count, to);
    for (size_t i = 0; i < count; i++) to[i] += weight * from[i];
    tsl_store_doubles(t->dx->dtype, dx, bytes(t->dx, t->dx->strides[1]), count, to);
}

static void collect(const resize_gradient_task *t, int64_t n, int64_t row, int64_t channel, size_t count) {
    static const double zeros[CHANNELS];
    const tsl_resize_axis *rows = &t->s->axes[0], *columns = &t->s->axes[1];
    for (int64_t w = 0; w < columns->in; w++)
        tsl_store_doubles(
            t->dx->dtype, pixel(t->dx, n, row, w, channel), bytes(t->dx, t->dx->strides[1]), count, zeros);
    for (int64_t h = t->s->first[row]; h <= t->s->last[row]; h++) {
        double row_weight = 0; // taps beyond an edge fall on one row
        for (uint32_t k = 0; k < rows->taps; k++)
            if (rows->index[h * rows->taps + k] == row)
                row_weight += (double)rows->weight[h * rows->taps + k];
        if (row_weight == 0) continue;
        for (int64_t w = 0; w < columns->out; w++) {
            const uint8_t *dy = pixel(t->dy, n, h, w, channel);
            for (uint32_t k = 0; k < columns->taps; k++) {
                const int64_t at = w * columns->taps + k;
                const double weight = row_weight * (double)columns->weight[at];
                if (weight != 0) add(t, dy, pixel(t->dx, n, row, columns->index[at], channel), count, weight);
            }
        }
    }
}

// An item is a row of the source.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const resize_gradient_task *t = task_data;
    const int64_t height = t->s->axes[0].in, channels = t->dx->dims[1];
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++)
        for (int64_t c = 0; c < channels; c += CHANNELS)
            collect(t, item / height, item % height, c,
                (size_t)(channels - c < CHANNELS ? channels - c : CHANNELS));
}

static tslim_status run_resize_gradient(const tsl_run *run) {
    const resize_gradient *s = run->kernel->state;
    resize_gradient_task task = {s, &run->inputs[0], &run->outputs[0]};
    if (tsl_tensor_elements(task.dx) == 0) return TSLIM_OK;
    tsl_parallel_for(run->ctx, (size_t)(task.dx->dims[0] * s->axes[0].in), 1, run_rows, &task);
    return TSLIM_OK;
}

static tslim_status find_readers(tsl_prepare *p, resize_gradient *s) {
    const tsl_resize_axis *rows = &s->axes[0];
    int64_t *first = tsl_arena_array(p->arena, (size_t)rows->in, sizeof(*first)),
            *last = tsl_arena_array(p->arena, (size_t)rows->in, sizeof(*last));
    TSL_REQUIRE_MEMORY(first && last ? s : NULL, 2 * (size_t)rows->in * sizeof(*first));
    for (int64_t i = 0; i < rows->in; i++) {
        first[i] = rows->out;
        last[i] = -1;
    }
    for (int64_t h = 0; h < rows->out; h++) {
        for (uint32_t k = 0; k < rows->taps; k++) {
            const int64_t i = rows->index[h * rows->taps + k];
            if (h < first[i]) first[i] = h;
            if (h > last[i]) last[i] = h;
        }
    }
    s->first = first;
    s->last = last;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_resize_gradient(tsl_prepare *p, tsl_kernel *kernel) {
    static const int64_t first_index = 0;
    static const float whole = 1.0f;
    const tsl_tensor *dy = &p->step->inputs[0], *dx = &p->step->outputs[0];
    TSL_NEW_STATE(resize_gradient, s);
    kernel->run = run_resize_gradient;
    kernel->name = "resize gradient";
    bool reals =
        (dy->dtype == TSLIM_DTYPE_FLOAT || dy->dtype == TSLIM_DTYPE_DOUBLE) && dx->dtype == dy->dtype;
    if (!reals) return tsl_cpu_unsupported(p);
    TSL_REQUIRE((dx->rank == 3 || dx->rank == 4) && dy->rank == dx->rank && dy->dims[0] == dx->dims[0] &&
                    dy->dims[1] == dx->dims[1],
        TSLIM_ERROR_UNSUPPORTED, "node '%s': resampling of rank %u, or of the first two dims", p->step->name,
        dx->rank);
    for (uint32_t i = 2; i < dx->rank; i++)
        TSL_REQUIRE(
            dx->dims[i] > 0, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': dim %u is empty", p->step->name, i);
    tsl_resize_rule rule;
    TSL_TRY(tsl_resize_read(p, dx, dy, &rule));
    const uint32_t last = dx->rank - 1;
    s->axes[0] = (tsl_resize_axis){.taps = 1, .in = 1, .out = 1, .index = &first_index, .weight = &whole};
    if (dx->rank == 4) TSL_TRY(tsl_resize_axis_prepare(p, &rule, 2, dx->dims[2], dy->dims[2], &s->axes[0]));
    TSL_TRY(tsl_resize_axis_prepare(p, &rule, last, dx->dims[last], dy->dims[last], &s->axes[1]));
    return find_readers(p, s);
}
