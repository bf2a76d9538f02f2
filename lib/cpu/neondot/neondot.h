// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc that NEON does better with dot products: tsl_neondot_<name>.
#ifndef TSL_CPU_NEONDOT_H
#define TSL_CPU_NEONDOT_H

#include "cpu/kernels.h"

void tsl_neondot_gemm_s8(const tsl_gemm_s8_args *args);

#endif
