// SPDX-License-Identifier: Apache-2.0
// winograd_f32.inc compiled for AVX-512.
#include "cpu/x86/vector.h"

#define TSL_VECTOR_FUNCTION(name) static void name
#define TSL_VECTOR_OVERLAY tsl_cpu_overlay_avx512_winograd_f32
#include "cpu/winograd_f32.inc"
