// SPDX-License-Identifier: Apache-2.0
// BatchNormalization at inference: y = x * a + b for each channel, with a = scale / sqrt(variance + epsilon)
// and b = bias - mean * a computed in double and rounded once.
#include "cpu/normalization.h"

typedef struct batch_state {
    const tsl_cpu_functions *functions;
    double epsilon;
    float lo, hi;
    float *scale, *shift; // one a channel; NULL: computed in each run, into scratch
} batch_state;

static double element(const tsl_tensor *t, int64_t i) {
    ptrdiff_t offset = (ptrdiff_t)(i * t->strides[0]) * (ptrdiff_t)tslim_dtype_size(t->dtype);
    return tsl_load_double(t->dtype, (const uint8_t *)t->data + offset);
}

static void compute(const tsl_tensor *inputs, double epsilon, float *scale, float *shift) {
    for (int64_t c = 0; c < inputs[1].dims[0]; c++) {
        double a = element(&inputs[1], c) / sqrt(element(&inputs[4], c) + epsilon);
        scale[c] = (float)a;
        shift[c] = (float)(element(&inputs[2], c) - element(&inputs[3], c) * a);
    }
}

static void run_channels(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const batch_state *s = user;
    tsl_scale_shift_f32_args args = {.n = count,
        .lo = s->lo,
        .hi = s->hi,
        .x = (const float *)(const void *)data[1],
        .y = (float *)(void *)data[0],
        .scale = (const float *)(const void *)data[2],
        .shift = (const float *)(const void *)data[3],
        .scalar = strides[2] == 0};
    if (strides[0] == 4 && strides[1] == 4 && (strides[2] == 0 || strides[2] == 4)) {
        s->functions->scale_shift_f32(&args);
        return;
    }
    args.n = 1;
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t at = (ptrdiff_t)i;
        args.x = (const float *)(const void *)(data[1] + at * strides[1]);
        args.y = (float *)(void *)(data[0] + at * strides[0]);
        args.scale = (const float *)(const void *)(data[2] + at * strides[2]);
        args.shift = (const float *)(const void *)(data[3] + at * strides[3]);
        s->functions->scale_shift_f32(&args);
    }
}

static tslim_status run_batch(const tsl_run *run) {
    const batch_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0];
    const int64_t channels = x->dims[1];
    float *scale = s->scale, *shift = s->shift;
    if (!scale) {
        scale = (float *)(void *)run->scratch;
        shift = scale + channels;
        compute(run->inputs, s->epsilon, scale, shift);
    }
    // A float for each channel, as a tensor that broadcasts to x.
    tsl_tensor a = {.dtype = TSLIM_DTYPE_FLOAT, .rank = x->rank, .data = scale};
    for (uint32_t i = 0; i < x->rank; i++) a.dims[i] = i == 1 ? channels : 1;
    for (uint32_t i = 0; i < x->rank; i++) a.strides[i] = 1;
    tsl_tensor b = a;
    b.data = shift;
    tsl_iteration it;
    const tsl_tensor *operands[] = {&run->outputs[0], x, &a, &b};
    tsl_iteration_init(&it, operands, 4);
    tsl_iterate(run->ctx, &it, run_channels, s);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_batch_normalization(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    if (tsl_attrs_int(step->attrs, TSL_ATTR_training_mode, 0) != 0 || x->dtype == TSLIM_DTYPE_DOUBLE)
        return tsl_batch_training_prepare(p, kernel);
    TSL_NEW_STATE(batch_state, s);
    s->functions = p->functions;
    s->epsilon = (double)tsl_attrs_float(step->attrs, TSL_ATTR_epsilon, 1e-5f);
    tsl_step_bounds(step, &s->lo, &s->hi);
    kernel->run = run_batch;
    kernel->name = "batch normalization";
    if (x->dtype != TSLIM_DTYPE_FLOAT || step->outputs[0].dtype != TSLIM_DTYPE_FLOAT || x->rank < 2)
        return tsl_cpu_unsupported(p);
    bool constant = true;
    for (uint32_t i = 1; i < 5; i++) {
        const tsl_tensor *t = &step->inputs[i];
        if (!tsl_element_is_real(t->dtype)) return tsl_cpu_unsupported(p);
        TSL_REQUIRE(t->rank == 1 && t->dims[0] == x->dims[1], TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': operand %u is not one number a channel", step->name, i);
        constant = constant && t->constant;
    }
    const size_t channels = (size_t)x->dims[1];
    if (!constant) {
        kernel->scratch_bytes = 2 * channels * sizeof(float);
        return TSLIM_OK;
    }
    s->scale = tsl_arena_array(p->arena, channels, sizeof(float));
    s->shift = tsl_arena_array(p->arena, channels, sizeof(float));
    TSL_REQUIRE_MEMORY(s->scale && s->shift ? s : NULL, 2 * channels * sizeof(float));
    compute(step->inputs, s->epsilon, s->scale, s->shift);
    return TSLIM_OK;
}
