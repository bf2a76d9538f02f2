// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc that AVX2 does better than the levels below it: tsl_avx2_<name>.
#ifndef TSL_CPU_AVX2_H
#define TSL_CPU_AVX2_H

#include "cpu/kernels.h"

void tsl_avx2_gemm_f32(const tsl_gemm_f32_args *args);
void tsl_avx2_gemm_s8(const tsl_gemm_s8_args *args);
// Only with args->bundles.
void tsl_avx2_gemm_s8_bundles(const tsl_gemm_s8_args *args);
void tsl_avx2_depthwise_f32(const tsl_depthwise_f32_args *args);
void tsl_avx2_depthwise_s8(const tsl_depthwise_s8_args *args);
void tsl_avx2_gemm_s16(const tsl_gemm_s16_args *args);
void tsl_avx2_winograd_input_s8(const tsl_winograd_input_args *args);
void tsl_avx2_winograd_weights_s8(const tsl_winograd_weights_args *args);
void tsl_avx2_winograd_output_s8(const tsl_winograd_output_args *args);

#endif
