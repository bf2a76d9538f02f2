// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc that AVX-512 with VNNI does better than the levels below it:
// tsl_avx512vnni_<name>.
#ifndef TSL_CPU_AVX512VNNI_H
#define TSL_CPU_AVX512VNNI_H

#include "cpu/kernels.h"

void tsl_avx512vnni_gemm_s8(const tsl_gemm_s8_args *args);
// The first half of the panel at `channel`, of a bounded product (cpu/x86/gemm_s8_shallow.h); returns how
// many rows are done.
size_t tsl_avx512vnni_gemm_s8_half(const tsl_gemm_s8_args *args, size_t channel);
void tsl_avx512vnni_depthwise_s8(const tsl_depthwise_s8_args *args);
// Only where tsl_cpu_has_vbmi().
void tsl_avx512vbmi_table_s8(const tsl_table_s8_args *args);
void tsl_avx512vnni_gemm_s16(const tsl_gemm_s16_args *args);

#endif
