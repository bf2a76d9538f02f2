// SPDX-License-Identifier: Apache-2.0
// vector_kernels.inc compiled for AVX2 with FMA.
#define TSL_VECTOR_NAME(name) name
#define TSL_VECTOR_FUNCTION(name) static void name
#define TSL_VECTOR_OVERLAY tsl_cpu_overlay_avx2_vector
#include "cpu/vector_kernels.inc"
