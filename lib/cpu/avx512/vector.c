// SPDX-License-Identifier: Apache-2.0
// vector_kernels.inc compiled for AVX-512 F, BW, DQ, VL.
#define TSL_VECTOR_NAME(name) name
#define TSL_VECTOR_FUNCTION(name) static void name
#define TSL_VECTOR_OVERLAY tsl_cpu_overlay_avx512_vector
#include "cpu/vector_kernels.inc"
