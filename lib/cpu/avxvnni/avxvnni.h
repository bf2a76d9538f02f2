// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc that AVX-VNNI does better than the levels below it: tsl_avxvnni_<name>.
#ifndef TSL_CPU_AVXVNNI_H
#define TSL_CPU_AVXVNNI_H

#include "cpu/kernels.h"

void tsl_avxvnni_gemm_s8(const tsl_gemm_s8_args *args);
void tsl_avxvnni_depthwise_s8(const tsl_depthwise_s8_args *args);
void tsl_avxvnni_gemm_s16(const tsl_gemm_s16_args *args);

#endif
