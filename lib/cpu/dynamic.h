// SPDX-License-Identifier: Apache-2.0
// Quantization of activations in each run, by their own range.
#ifndef TSL_CPU_DYNAMIC_H
#define TSL_CPU_DYNAMIC_H

#include "cpu/product.h"

typedef struct tsl_dynamic_range {
    float scale;
    int32_t zero_point; // of UINT8
} tsl_dynamic_range;

// The range as ONNX has it for DynamicQuantizeLinear. NaNs are left out.
tsl_dynamic_range tsl_dynamic_range_of(const tsl_cpu_functions *functions, const float *x, size_t n);

// The same of two ranges' ends.
tsl_dynamic_range tsl_dynamic_range_between(float lo, float hi);

// x as INT8: rne(x / scale) + zero point - 128, the division being a product by 1/scale.
void tsl_dynamic_quantize(
    const tsl_cpu_functions *functions, const tsl_dynamic_range *range, const float *x, int8_t *y, size_t n);

// The numbers of this run's epilogue in *now, given the sums of the weights, `depth` of them each, in the
// same order as the scales; returns the start of the accumulators. Both use the scratch.
const int32_t *tsl_dynamic_coefficients(const tsl_coefficients *c, const tsl_run *run,
    const tsl_dynamic_range *range, const int32_t *sums, size_t depth, tsl_coefficients *now);

#endif
