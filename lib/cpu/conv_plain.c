// SPDX-License-Identifier: Apache-2.0
// Convolution as it is defined, one product after the other, along any number of axes: of doubles, and of
// what no quick kernel takes. Result p, kernel position t and input q = p * stride - pad + t * dilation
// belong together: a convolution sums for each p, a transposed one (whose result is q) for each q, the
// weights' gradient for each t.
#include <inttypes.h>

#include "cpu/product_plain.h"

typedef struct conv_plain {
    tsl_window_nd window; // as of the convolution that goes from q to p
    int64_t q_dims[TSL_MOST_SPATIAL], p_dims[TSL_MOST_SPATIAL];
    int64_t batch, p_channels, q_channels; // channels of one group
    int32_t residual;
    bool bias;
    double lo, hi;
} conv_plain;

typedef struct conv_plain_task {
    const conv_plain *s;
    const tsl_tensor *p, *q, *w, *y; // one of the first three is also the result, y
    const tsl_tensor *bias, *residual;
} conv_plain_task;

static double load(const tsl_tensor *t, int64_t offset) {
    return tsl_load_double(t->dtype, (const uint8_t *)t->data + offset * (int64_t)tslim_dtype_size(t->dtype));
}

static int64_t volume(const int64_t *dims, uint32_t rank) {
    int64_t product = 1;
    for (uint32_t i = 0; i < rank; i++) product *= dims[i];
    return product;
}

// Index `i` as one along each axis; their offset in a tensor's spatial axes.
static int64_t unfold(
    int64_t i, const int64_t *dims, uint32_t rank, const tsl_tensor *t, int64_t at[TSL_MOST_SPATIAL]) {
    int64_t offset = 0;
    for (uint32_t d = rank; d-- > 0; i /= dims[d]) {
        at[d] = i % dims[d];
        offset += at[d] * t->strides[d + 2];
    }
    return offset;
}

// The offset of input q of result p and kernel position t; false when it lies in the padding.
static bool find_q(
    const conv_plain *s, const tsl_tensor *q, const int64_t *p, const int64_t *t, int64_t *offset) {
    *offset = 0;
    for (uint32_t d = 0; d < s->window.rank; d++) {
        const int64_t i = p[d] * s->window.stride[d] - s->window.pad_begin[d] + t[d] * s->window.dilation[d];
        if (i < 0 || i >= s->q_dims[d]) return false;
        *offset += i * q->strides[d + 2];
    }
    return true;
}

// The offset of result p of input q and kernel position t; false when there is none.
static bool find_p(
    const conv_plain *s, const tsl_tensor *p, const int64_t *q, const int64_t *t, int64_t *offset) {
    *offset = 0;
    for (uint32_t d = 0; d < s->window.rank; d++) {
        const int64_t i = q[d] + s->window.pad_begin[d] - t[d] * s->window.dilation[d];
        if (i < 0 || i % s->window.stride[d] != 0 || i / s->window.stride[d] >= s->p_dims[d]) return false;
        *offset += i / s->window.stride[d] * p->strides[d + 2];
    }
    return true;
}

static void store(const conv_plain_task *task, int64_t batch, int64_t channel, int64_t offset,
    const int64_t *at, double sum) {
    const conv_plain *s = task->s;
    if (task->bias) sum += load(task->bias, channel * task->bias->strides[0]);
    if (task->residual) {
        int64_t from = batch * task->residual->strides[0] + channel * task->residual->strides[1];
        for (uint32_t d = 0; d < s->window.rank; d++) from += at[d] * task->residual->strides[d + 2];
        sum += load(task->residual, from);
    }
    sum = sum < s->lo ? s->lo : sum > s->hi ? s->hi : sum;
    const tsl_tensor *y = task->y;
    tsl_store_doubles(
        y->dtype, (uint8_t *)y->data + offset * (int64_t)tslim_dtype_size(y->dtype), 0, 1, &sum);
}

// An item is a plane of the result.
static void run_planes(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const conv_plain_task *task = task_data;
    const conv_plain *s = task->s;
    const uint32_t rank = s->window.rank;
    const bool transposed = task->y == task->q;
    const tsl_tensor *y = task->y, *x = transposed ? task->p : task->q, *w = task->w;
    const int64_t *dims = transposed ? s->q_dims : s->p_dims;
    const int64_t each = transposed ? s->q_channels : s->p_channels,
                  from = transposed ? s->p_channels : s->q_channels;
    const int64_t pixels = volume(dims, rank), taps = volume(s->window.kernel, rank);
    int64_t at[TSL_MOST_SPATIAL], tap[TSL_MOST_SPATIAL], x_offset;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t channels = each * s->window.group, n = item / channels, c = item % channels;
        const int64_t group = c / each;
        for (int64_t i = 0; i < pixels; i++) {
            const int64_t y_offset = n * y->strides[0] + c * y->strides[1] + unfold(i, dims, rank, y, at);
            double sum = 0;
            for (int64_t k = 0; k < taps; k++) {
                const int64_t w_offset = unfold(k, s->window.kernel, rank, w, tap);
                if (!(transposed ? find_p(s, x, at, tap, &x_offset) : find_q(s, x, at, tap, &x_offset)))
                    continue;
                for (int64_t other = 0; other < from; other++) {
                    const int64_t o = transposed ? group * from + other : c,
                                  in = transposed ? c % each : other;
                    sum += load(w, w_offset + o * w->strides[0] + in * w->strides[1]) *
                           load(x, x_offset + n * x->strides[0] + (group * from + other) * x->strides[1]);
                }
            }
            store(task, n, c, y_offset, at, sum);
        }
    }
}

// An item is the weights between two channels.
static void run_weights(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const conv_plain_task *task = task_data;
    const conv_plain *s = task->s;
    const uint32_t rank = s->window.rank;
    const tsl_tensor *dy = task->p, *x = task->q, *w = task->w;
    const int64_t pixels = volume(s->p_dims, rank), taps = volume(s->window.kernel, rank);
    int64_t at[TSL_MOST_SPATIAL], tap[TSL_MOST_SPATIAL], x_offset;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t o = item / s->q_channels, i = item % s->q_channels;
        const int64_t in = o / s->p_channels * s->q_channels + i;
        for (int64_t k = 0; k < taps; k++) {
            const int64_t w_offset = unfold(k, s->window.kernel, rank, w, tap);
            double sum = 0;
            for (int64_t pixel = 0; pixel < pixels; pixel++) {
                const int64_t dy_offset = unfold(pixel, s->p_dims, rank, dy, at) + o * dy->strides[1];
                if (!find_q(s, x, at, tap, &x_offset)) continue;
                for (int64_t n = 0; n < s->batch; n++)
                    sum += load(dy, dy_offset + n * dy->strides[0]) *
                           load(x, x_offset + n * x->strides[0] + in * x->strides[1]);
            }
            store(task, 0, 0, w_offset + o * w->strides[0] + i * w->strides[1], tap, sum);
        }
    }
}

static tslim_status run_conv(const tsl_run *run) {
    const conv_plain *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0];
    conv_plain_task task = {.s = s, .p = y, .q = &run->inputs[0], .w = &run->inputs[1], .y = y};
    if (s->bias) task.bias = &run->inputs[2];
    if (s->residual >= 0) task.residual = &run->inputs[s->residual];
    tsl_parallel_for(run->ctx, (size_t)(y->dims[0] * y->dims[1]), 1, run_planes, &task);
    return TSLIM_OK;
}

static tslim_status run_conv_transpose(const tsl_run *run) {
    const conv_plain *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0];
    conv_plain_task task = {.s = s, .p = &run->inputs[0], .q = y, .w = &run->inputs[1], .y = y};
    if (s->bias) task.bias = &run->inputs[2];
    if (s->residual >= 0) task.residual = &run->inputs[s->residual];
    tsl_parallel_for(run->ctx, (size_t)(y->dims[0] * y->dims[1]), 1, run_planes, &task);
    return TSLIM_OK;
}

static tslim_status run_weight_gradient(const tsl_run *run) {
    const conv_plain *s = run->kernel->state;
    const tsl_tensor *w = &run->outputs[0];
    conv_plain_task task = {.s = s, .p = &run->inputs[1], .q = &run->inputs[0], .w = w, .y = w};
    tsl_parallel_for(run->ctx, (size_t)(w->dims[0] * w->dims[1]), 1, run_weights, &task);
    return TSLIM_OK;
}

static tslim_status check(const tsl_prepare *p, const conv_plain *s, const tsl_tensor *big,
    const tsl_tensor *small, const tsl_tensor *w) {
    const tsl_window_nd *window = &s->window;
    bool fits = big->rank == window->rank + 2 && small->rank == big->rank && w->rank == big->rank &&
                big->dims[0] == small->dims[0] && big->dims[1] == s->q_channels * window->group &&
                small->dims[1] == s->p_channels * window->group && w->dims[0] == small->dims[1] &&
                w->dims[1] == s->q_channels;
    for (uint32_t d = 0; fits && d < window->rank; d++)
        fits = window->kernel[d] == w->dims[d + 2] && s->p_dims[d] == small->dims[d + 2] &&
               s->q_dims[d] == big->dims[d + 2];
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", p->step->name);
    return TSLIM_OK;
}

tslim_status tsl_conv_plain_prepare(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const bool transposed = step->op == TSL_OP_CONV_TRANSPOSE,
               of_weights = step->op == TSL_OP_CONV_WEIGHT_GRADIENT;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    const tsl_tensor *w = of_weights ? y : &step->inputs[1],
                     *small = of_weights   ? &step->inputs[1]
                              : transposed ? x
                                           : y,
                     *big = transposed ? y : x;
    TSL_NEW_STATE(conv_plain, s);
    if (x->dtype != y->dtype || step->inputs[1].dtype != x->dtype || !tsl_element_is_real(x->dtype))
        return tsl_cpu_unsupported(p);
    TSL_REQUIRE(x->rank >= 3 && w->rank == x->rank && w->packing == TSL_PACKING_NONE, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': convolution of rank %u by rank %u", step->name, x->rank, w->rank);
    TSL_TRY(tsl_window_nd_read(
        step->attrs, transposed ? step->op : TSL_OP_CONV, x->rank - 2, x->dims + 2, w->dims + 2, &s->window));
    for (uint32_t d = 0; d < s->window.rank; d++) {
        s->q_dims[d] = transposed ? s->window.out[d] : s->window.in[d];
        s->p_dims[d] = transposed ? s->window.in[d] : s->window.out[d];
    }
    s->batch = x->dims[0];
    s->q_channels = big->dims[1] / s->window.group;
    s->p_channels = small->dims[1] / s->window.group;
    TSL_TRY(check(p, s, big, small, w));
    s->residual = step->epilogue.residual;
    const tsl_tensor *bias = of_weights || s->residual == 2 ? NULL : tsl_step_input(step, 2);
    TSL_REQUIRE(!bias || tsl_tensor_elements(bias) == y->dims[1], TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a bias that does not fit", step->name);
    s->bias = bias != NULL;
    float lo, hi;
    tsl_step_bounds(step, &lo, &hi);
    s->lo = (double)lo;
    s->hi = (double)hi;
    kernel->run = of_weights ? run_weight_gradient : transposed ? run_conv_transpose : run_conv;
    kernel->name = of_weights ? "conv weight gradient" : transposed ? "conv transpose" : "conv";
    kernel->macs = (uint64_t)tsl_tensor_elements(small) *
                   (uint64_t)(s->q_channels * volume(s->window.kernel, s->window.rank));
    return TSLIM_OK;
}
