// SPDX-License-Identifier: Apache-2.0
// vector_kernels.inc compiled for NEON.
#define TSL_SIMD_NEON
#define TSL_VECTOR_NAME(name) name
#define TSL_VECTOR_FUNCTION(name) static void name
#define TSL_VECTOR_OVERLAY tsl_cpu_overlay_neon_vector
#include "cpu/vector_kernels.inc"
