// SPDX-License-Identifier: Apache-2.0
// DynamicQuantizeLinear: UINT8, with a scale and a zero point by which the range of this run's elements, and
// 0, fit.
#include "cpu/dynamic.h"
#include "cpu/operator.h"

tsl_dynamic_range tsl_dynamic_range_of(const tsl_cpu_functions *functions, const float *x, size_t n) {
    tsl_range_f32_args args = {.x = x, .n = n};
    functions->range_f32(&args);
    tsl_dynamic_range range = {.scale = (args.hi - args.lo) / 255.0f};
    if (!(range.scale >= 1e-37f) || isinf(range.scale))
        range.scale = 1.0f; // nothing but zeros, or not numbers
    float zero_point = nearbyintf(-args.lo / range.scale);
    range.zero_point = zero_point > 0 ? zero_point < 255 ? (int32_t)zero_point : 255 : 0;
    return range;
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
