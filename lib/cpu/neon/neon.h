// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc that NEON does better than portable C: tsl_neon_<name>. For AArch64, where
// every processor has NEON with fused multiply-adds.
#ifndef TSL_CPU_NEON_H
#define TSL_CPU_NEON_H

#include "cpu/kernels.h"

void tsl_neon_gemm_f32(const tsl_gemm_f32_args *args);
void tsl_neon_gemm_s16(const tsl_gemm_s16_args *args);
void tsl_neon_depthwise_f32(const tsl_depthwise_f32_args *args);
void tsl_neon_depthwise_s8(const tsl_depthwise_s8_args *args);

#endif
