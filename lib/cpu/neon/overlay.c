// SPDX-License-Identifier: Apache-2.0
// What NEON does better than portable C.
#include "cpu/neon/neon.h"

void tsl_cpu_overlay_neon(tsl_cpu_functions *functions) {
    functions->gemm_f32 = tsl_neon_gemm_f32;
    functions->gemm_s16 = tsl_neon_gemm_s16;
    functions->depthwise_f32 = tsl_neon_depthwise_f32;
    functions->depthwise_s8 = tsl_neon_depthwise_s8;
    tsl_cpu_overlay_neon_vector(functions);
}
