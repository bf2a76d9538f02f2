// SPDX-License-Identifier: Apache-2.0
// DFT along an axis, and STFT: the transform of each frame of a signal, times a window. Numbers whose last
// dim is 2 are complex.
#include <inttypes.h>

#include "base/checked.h"
#include "cpu/fft.h"
#include "cpu/operator.h"
#include "cpu/product.h"

// A transform takes `count` numbers from `from` on, a step apart, fills up with zeros, and gives the first
// `bins`.
typedef struct dft_state {
    tsl_fft fft;
    int64_t outer, middle, inner; // transforms: DFT has outer x inner, STFT batch x frames
    int64_t count, bins;
    int64_t in_outer, in_middle, in_inner, in_step; // in numbers
    int64_t out_outer, out_middle, out_inner, out_step;
    bool in_complex, window;
    size_t worker_bytes;
} dft_state;

typedef struct dft_task {
    const dft_state *s;
    const tsl_run *run;
} dft_task;

static tsl_complex load(const tsl_tensor *t, int64_t index, bool is_complex) {
    const int64_t size = (int64_t)tslim_dtype_size(t->dtype), at = index * (is_complex ? 2 : 1);
    const uint8_t *data = (const uint8_t *)t->data + at * size;
    return (tsl_complex){
        tsl_load_double(t->dtype, data), is_complex ? tsl_load_double(t->dtype, data + size) : 0};
}

static void run_transforms(void *task_data, size_t begin, size_t end, uint32_t worker) {
    const dft_task *t = task_data;
    const dft_state *s = t->s;
    const tsl_tensor *x = &t->run->inputs[0], *y = &t->run->outputs[0];
    const tsl_tensor *window = s->window ? &t->run->inputs[2] : NULL;
    tsl_complex *data = (tsl_complex *)(void *)(t->run->scratch + worker * s->worker_bytes);
    const int64_t size = (int64_t)tslim_dtype_size(y->dtype);
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t inner = item % s->inner, middle = item / s->inner % s->middle,
                      outer = item / s->inner / s->middle;
        const int64_t from = outer * s->in_outer + middle * s->in_middle + inner * s->in_inner;
        const int64_t to = outer * s->out_outer + middle * s->out_middle + inner * s->out_inner;
        for (int64_t i = 0; i < (int64_t)s->fft.length; i++) {
            data[i] = (tsl_complex){0, 0};
            if (i >= s->count) continue;
            data[i] = load(x, from + i * s->in_step, s->in_complex);
            if (!window) continue;
            const double factor = load(window, i, false).re;
            data[i] = (tsl_complex){data[i].re * factor, data[i].im * factor};
        }
        tsl_fft_run(&s->fft, data);
        for (int64_t i = 0; i < s->bins; i++) {
            uint8_t *place = (uint8_t *)y->data + (to + i * s->out_step) * 2 * size;
            const double parts[2] = {data[i].re, data[i].im};
            tsl_store_doubles(y->dtype, place, (ptrdiff_t)size, 2, parts);
        }
    }
}

static tslim_status run_dft(const tsl_run *run) {
    const dft_state *s = run->kernel->state;
    dft_task t = {s, run};
    tsl_parallel_for(
        run->ctx, (size_t)(s->outer * s->middle * s->inner), 4096 / s->fft.length + 1, run_transforms, &t);
    return TSLIM_OK;
}

static bool is_float_or_double(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_FLOAT || dtype == TSLIM_DTYPE_DOUBLE;
}

static tslim_status reserve(tsl_prepare *p, tsl_kernel *kernel, dft_state *s) {
    size_t offset;
    s->worker_bytes = tsl_round_up(tsl_fft_work(&s->fft) * sizeof(tsl_complex), 64);
    kernel->run = run_dft;
    return tsl_scratch_reserve(kernel, s->worker_bytes * p->ctx->n_threads, &offset);
}

tslim_status tsl_cpu_prepare_dft(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0], *length = tsl_step_input(step, 1);
    TSL_NEW_STATE(dft_state, s);
    kernel->name = "dft";
    if (!is_float_or_double(x->dtype) || y->dtype != x->dtype || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    int64_t axis = tsl_attrs_int(step->attrs, TSL_ATTR_axis, 1);
    if (step->opset >= 20) {
        axis = -2;
        const tsl_tensor *operand = tsl_step_input(step, 2);
        TSL_REQUIRE(!operand || operand->constant, TSLIM_ERROR_UNSUPPORTED,
            "node '%s': an axis that is computed", step->name);
        if (operand) axis = tsl_load_int(operand->dtype, operand->data);
    }
    if (axis < 0) axis += x->rank;
    TSL_REQUIRE(x->rank >= 2 && axis >= 0 && axis + 1 < (int64_t)x->rank && y->rank == x->rank,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': axis %" PRId64 " of a tensor of rank %u", step->name, axis,
        x->rank);
    TSL_REQUIRE(!length || length->constant, TSLIM_ERROR_UNSUPPORTED, "node '%s': a length that is computed",
        step->name);
    const int64_t dim = x->dims[axis], n = length ? tsl_load_int(length->dtype, length->data) : dim;
    TSL_TRY(tsl_fft_prepare(p, n, tsl_attrs_int(step->attrs, TSL_ATTR_inverse, 0) != 0, &s->fft));
    s->in_complex = x->dims[x->rank - 1] == 2;
    s->outer = s->middle = s->inner = 1;
    for (uint32_t i = 0; i + 1 < x->rank; i++)
        if (i != axis) *(i < axis ? &s->outer : &s->inner) *= x->dims[i];
    s->count = tsl_min_i64(dim, n);
    s->bins = y->dims[axis];
    TSL_REQUIRE(s->bins <= n && y->dims[y->rank - 1] == 2, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the result has other dims than a transform of length %" PRId64, step->name, n);
    s->in_step = s->out_step = s->inner;
    s->in_outer = dim * s->inner;
    s->out_outer = s->bins * s->inner;
    s->in_inner = s->out_inner = 1;
    return reserve(p, kernel, s);
}

tslim_status tsl_cpu_prepare_stft(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0], *hop = &step->inputs[1];
    const tsl_tensor *window = tsl_step_input(step, 2), *length = tsl_step_input(step, 3);
    TSL_NEW_STATE(dft_state, s);
    kernel->name = "stft";
    if (!is_float_or_double(x->dtype) || y->dtype != x->dtype ||
        (window && !is_float_or_double(window->dtype)) || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    TSL_REQUIRE(hop->constant && (!length || length->constant), TSLIM_ERROR_UNSUPPORTED,
        "node '%s': a frame's step or length that is computed", step->name);
    const int64_t apart = tsl_load_int(hop->dtype, hop->data);
    const int64_t n = length   ? tsl_load_int(length->dtype, length->data)
                      : window ? tsl_tensor_elements(window)
                               : 0;
    bool fits = (x->rank == 2 || x->rank == 3) && y->rank == 4 && y->dims[0] == x->dims[0] &&
                y->dims[3] == 2 && apart >= 1 && n >= 1 && (!window || tsl_tensor_elements(window) == n) &&
                (y->dims[1] == 0 || (y->dims[1] - 1) <= (x->dims[1] - n) / apart) && x->dims[1] >= n &&
                y->dims[2] <= n;
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': frames of %" PRId64 " a step of %" PRId64 " apart do not fit its operands", step->name, n,
        apart);
    TSL_TRY(tsl_fft_prepare(p, n, false, &s->fft));
    s->window = window != NULL;
    s->in_complex = x->rank == 3 && x->dims[2] == 2;
    s->outer = y->dims[0];
    s->middle = y->dims[1];
    s->inner = s->in_step = s->out_step = 1;
    s->count = n;
    s->bins = y->dims[2];
    s->in_outer = x->dims[1];
    s->in_middle = apart;
    s->out_middle = s->bins;
    s->out_outer = s->middle * s->bins;
    return reserve(p, kernel, s);
}
