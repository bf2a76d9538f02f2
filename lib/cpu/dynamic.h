// SPDX-License-Identifier: Apache-2.0
// Quantization of activations in each run, by their own range.
#ifndef TSL_CPU_DYNAMIC_H
#define TSL_CPU_DYNAMIC_H

#include "cpu/cpu.h"

typedef struct tsl_dynamic_range {
    float scale;
    int32_t zero_point; // of UINT8
} tsl_dynamic_range;

// As ONNX has it for DynamicQuantizeLinear. NaNs are left out.
tsl_dynamic_range tsl_dynamic_range_of(const tsl_cpu_functions *functions, const float *x, size_t n);

#endif
