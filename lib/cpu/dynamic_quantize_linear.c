// SPDX-License-Identifier: Apache-2.0
// DynamicQuantizeLinear: UINT8, with a scale and a zero point by which the range of this run's elements, and
// 0, fit.
#include "cpu/dynamic.h"
#include "cpu/operator.h"

tsl_dynamic_range tsl_dynamic_range_between(float lo, float hi) {
    tsl_dynamic_range range = {.scale = (hi - lo) / 255.0f};
    if (!(range.scale >= 1e-37f) || isinf(range.scale))
        range.scale = 1.0f; // nothing but zeros, or not numbers
    float zero_point = nearbyintf(-lo / range.scale);
    range.zero_point = zero_point > 0 ? zero_point < 255 ? (int32_t)zero_point : 255 : 0;
    return range;
}

tsl_dynamic_range tsl_dynamic_range_of(const tsl_cpu_functions *functions, const float *x, size_t n) {
    tsl_range_f32_args args = {.x = x, .n = n};
    functions->range_f32(&args);
    return tsl_dynamic_range_between(args.lo, args.hi);
}

void tsl_dynamic_quantize(
    const tsl_cpu_functions *functions, const tsl_dynamic_range *range, const float *x, int8_t *y, size_t n) {
    float zero_point = (float)(range->zero_point - 128);
    tsl_quantize_s8_args args = {.x = x,
        .y = y,
        .n = n,
        .inverse_scale = 1.0f / range->scale,
        .zero_point = zero_point,
        .lo = -128 - zero_point,
        .hi = 127 - zero_point};
    functions->quantize_s8(&args);
}

const int32_t *tsl_dynamic_coefficients(const tsl_coefficients *c, const tsl_run *run,
    const tsl_dynamic_range *range, const int32_t *sums, size_t depth, tsl_coefficients *now) {
    size_t count = c->groups * c->padded;
    float *scale = (float *)(void *)(run->scratch + c->dynamic_scratch);
    int32_t *start = (int32_t *)(void *)(scale + count), zero_point = range->zero_point - 128;
    for (size_t i = 0; i < count; i++) {
        scale[i] = c->scale[i] * range->scale;
        start[i] = -zero_point * (sums[i] + (c->w_zero ? (int32_t)depth * c->w_zero[i] : 0));
    }
    *now = *c;
    now->scale = scale;
    return start;
}

static tslim_status run_dynamic(const tsl_run *run) {
    const tsl_cpu_functions *const *functions = run->kernel->state;
    const float *x = run->inputs[0].data;
    uint8_t *y = run->outputs[0].data;
    size_t n = (size_t)tsl_tensor_elements(&run->inputs[0]);
    tsl_dynamic_range range = tsl_dynamic_range_of(*functions, x, n);
    for (size_t i = 0; y && i < n; i++) {
        float q = nearbyintf(x[i] / range.scale) + (float)range.zero_point;
        y[i] = q > 0 ? q < 255 ? (uint8_t)q : 255 : 0;
    }
    if (run->outputs[1].data) *(float *)run->outputs[1].data = range.scale;
    if (run->outputs[2].data) *(uint8_t *)run->outputs[2].data = (uint8_t)range.zero_point;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_dynamic_quantize_linear(tsl_prepare *p, tsl_kernel *kernel) {
    if (p->step->inputs[0].dtype != TSLIM_DTYPE_FLOAT) return tsl_cpu_unsupported(p);
    TSL_NEW_STATE(const tsl_cpu_functions *, functions);
    *functions = p->functions;
    kernel->run = run_dynamic;
    kernel->name = "dynamic quantize";
    return TSLIM_OK;
}
