// SPDX-License-Identifier: Apache-2.0
// Gemm, MatMul and convolutions as they are defined: of doubles, and of what no quick kernel takes.
#ifndef TSL_CPU_PRODUCT_PLAIN_H
#define TSL_CPU_PRODUCT_PLAIN_H

#include "cpu/operator.h"

tslim_status tsl_gemm_plain_prepare(tsl_prepare *p, tsl_kernel *kernel);
tslim_status tsl_matmul_plain_prepare(tsl_prepare *p, tsl_kernel *kernel);
// Conv, ConvTranspose and ConvWeightGradient.
tslim_status tsl_conv_plain_prepare(tsl_prepare *p, tsl_kernel *kernel);

#endif
