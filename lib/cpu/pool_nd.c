// SPDX-License-Identifier: Apache-2.0
// Pooling in its general form, one result at a time: any number of spatial axes, types other than float and
// INT8, the indices of maxima, and LpPool. What is common takes the quicker way of pool.c.
#include <inttypes.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct pool_nd {
    tsl_window_nd window;
    tsl_op op;
    bool include_pad, column_major, has_indices;
    double power; // of LpPool
    int64_t pixels; // of a plane of the result
} pool_nd;

typedef struct pool_nd_task {
    const pool_nd *s;
    const tsl_tensor *x, *y, *indices; // the last may be NULL
} pool_nd_task;

// The part of a window that lies inside the input, along each axis.
typedef struct pool_range {
    int64_t start[TSL_MOST_SPATIAL]; // the input index of the first tap inside
    int64_t count[TSL_MOST_SPATIAL]; // of taps inside
    int64_t taps, padded_taps; // inside, and inside or in the padding
} pool_range;

static void find_range(const tsl_window_nd *w, const int64_t *at, pool_range *r) {
    r->taps = r->padded_taps = 1;
    for (uint32_t d = 0; d < w->rank; d++) {
        const int64_t dilation = w->dilation[d], start = at[d] * w->stride[d] - w->pad_begin[d];
        const int64_t skipped = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
        const int64_t inside = start >= w->in[d] ? 0 : (w->in[d] - 1 - start) / dilation + 1;
        const int64_t room = w->in[d] + w->pad_end[d] - start;
        const int64_t padded = room <= 0 ? 0 : (room - 1) / dilation + 1;
        r->start[d] = start + skipped * dilation;
        r->count[d] = tsl_max_i64(tsl_min_i64(inside, w->kernel[d]) - skipped, 0);
        r->taps *= r->count[d];
        r->padded_taps *= tsl_min_i64(padded, w->kernel[d]);
    }
}

static double load(const tsl_tensor *t, int64_t offset) {
    if (t->dtype == TSLIM_DTYPE_FLOAT) return (double)((const float *)t->data)[offset];
    return tsl_load_double(t->dtype, (const uint8_t *)t->data + offset * (int64_t)tslim_dtype_size(t->dtype));
}

typedef struct pool_result {
    double value;
    int64_t index; // within the plane
} pool_result;

static void accumulate(const pool_nd *s, double x, int64_t index, pool_result *r) {
    switch (s->op) {
    case TSL_OP_MAX_POOL:
        if (r->index >= 0 && !(x > r->value) && !(isnan(x) && !isnan(r->value))) return;
        r->value = x;
        r->index = index;
        return;
    case TSL_OP_AVERAGE_POOL:
        r->value += x;
        return;
    default: // LpPool
        r->value += s->power == 1 ? fabs(x) : s->power == 2 ? x * x : pow(fabs(x), s->power);
        return;
    }
}

// All taps of one window; `base` is the offset of the plane.
static pool_result reduce(const pool_nd_task *t, int64_t base, const pool_range *range) {
    const pool_nd *s = t->s;
    const tsl_window_nd *w = &s->window;
    int64_t at[TSL_MOST_SPATIAL] = {0};
    pool_result result = {0, -1};
    for (int64_t tap = 0; tap < range->taps; tap++) {
        int64_t offset = base, index = 0, step = 1;
        for (uint32_t d = 0; d < w->rank; d++) {
            const int64_t i = range->start[d] + at[d] * w->dilation[d];
            offset += i * t->x->strides[d + 2];
            index = s->column_major ? index + i * step : index * w->in[d] + i;
            step *= w->in[d];
        }
        accumulate(s, load(t->x, offset), index, &result);
        for (uint32_t d = w->rank; d-- > 0;) {
            if (++at[d] < range->count[d]) break;
            at[d] = 0;
        }
    }
    if (s->op == TSL_OP_AVERAGE_POOL)
        result.value /= (double)tsl_max_i64(s->include_pad ? range->padded_taps : range->taps, 1);
    if (s->op != TSL_OP_MAX_POOL && s->op != TSL_OP_AVERAGE_POOL && s->power != 1)
        result.value = s->power == 2 ? sqrt(result.value) : pow(result.value, 1 / s->power);
    return result;
}

// An item is a plane.
static void run_planes(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const pool_nd_task *t = task_data;
    const pool_nd *s = t->s;
    const tsl_window_nd *w = &s->window;
    int64_t plane = 1;
    for (uint32_t d = 0; d < w->rank; d++) plane *= w->in[d];
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t n = item / t->x->dims[1], c = item % t->x->dims[1];
        const int64_t from = n * t->x->strides[0] + c * t->x->strides[1];
        for (int64_t pixel = 0; pixel < s->pixels; pixel++) {
            int64_t at[TSL_MOST_SPATIAL], rest = pixel, to = n * t->y->strides[0] + c * t->y->strides[1];
            int64_t to_index = t->indices ? n * t->indices->strides[0] + c * t->indices->strides[1] : 0;
            for (uint32_t d = w->rank; d-- > 0; rest /= w->out[d]) {
                at[d] = rest % w->out[d];
                to += at[d] * t->y->strides[d + 2];
                if (t->indices) to_index += at[d] * t->indices->strides[d + 2];
            }
            pool_range range;
            find_range(w, at, &range);
            const pool_result result = reduce(t, from, &range);
            tsl_store_doubles(t->y->dtype,
                (uint8_t *)t->y->data + to * (int64_t)tslim_dtype_size(t->y->dtype), 0, 1, &result.value);
            if (t->indices)
                ((int64_t *)t->indices->data)[to_index] = item * plane + tsl_max_i64(result.index, 0);
        }
    }
}

static tslim_status run_pool_nd(const tsl_run *run) {
    const pool_nd *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0];
    pool_nd_task t = {.s = s, .x = x, .y = &run->outputs[0]};
    if (s->has_indices) t.indices = &run->outputs[1];
    tsl_parallel_for(run->ctx, (size_t)(x->dims[0] * x->dims[1]), 1, run_planes, &t);
    return TSLIM_OK;
}

static tslim_status read_window(const tsl_prepare *p, pool_nd *s) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    tsl_window_nd *w = &s->window;
    if (step->op != TSL_OP_GLOBAL_LP_POOL)
        return tsl_window_nd_read(step->attrs, step->op, x->rank - 2, x->dims + 2, NULL, w);
    w->rank = x->rank - 2;
    for (uint32_t d = 0; d < w->rank; d++) {
        w->kernel[d] = w->in[d] = x->dims[d + 2];
        w->stride[d] = w->dilation[d] = w->out[d] = 1;
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_pool_nd(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(pool_nd, s);
    kernel->run = run_pool_nd;
    kernel->name = "pool";
    s->op = step->op;
    s->has_indices = step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    s->column_major = tsl_attrs_int(step->attrs, TSL_ATTR_storage_order, 0) != 0;
    s->include_pad = tsl_attrs_int(step->attrs, TSL_ATTR_count_include_pad, 0) != 0;
    s->power = (double)tsl_attrs_int(step->attrs, TSL_ATTR_p, 2);
    TSL_REQUIRE(s->power >= 1, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': p is %g", step->name, s->power);
    TSL_REQUIRE(x->rank >= 3 && x->rank == y->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': pooling of rank %u", step->name, x->rank);
    bool integer = tsl_element_is_integer(x->dtype) && step->op == TSL_OP_MAX_POOL &&
                   x->dtype != TSLIM_DTYPE_INT64 &&
                   x->dtype != TSLIM_DTYPE_UINT64; // those are not exact in double
    if ((!integer && !tsl_element_is_real(x->dtype)) || x->dtype != y->dtype || tsl_is_quantized(x) ||
        step->epilogue.clamp || (s->has_indices && step->outputs[1].dtype != TSLIM_DTYPE_INT64))
        return tsl_cpu_unsupported(p);
    TSL_TRY(read_window(p, s));
    bool fits = x->dims[0] == y->dims[0] && x->dims[1] == y->dims[1];
    s->pixels = 1;
    for (uint32_t d = 0; d < s->window.rank; d++) {
        fits = fits && y->dims[d + 2] == s->window.out[d] && s->window.in[d] > 0;
        s->pixels *= s->window.out[d];
    }
    for (uint32_t i = 0; s->has_indices && i < y->rank; i++)
        fits = fits && step->outputs[1].dims[i] == y->dims[i];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the result has other dims than pooling gives",
        step->name);
    return TSLIM_OK;
}
