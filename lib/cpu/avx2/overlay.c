// SPDX-License-Identifier: Apache-2.0
// What AVX2 does better than the levels below it.
#include "cpu/avx2/avx2.h"

void tsl_cpu_overlay_avx2(tsl_cpu_functions *functions) {
    functions->gemm_f32 = tsl_avx2_gemm_f32;
    functions->gemm_s8 = tsl_avx2_gemm_s8;
    functions->bundles = true;
    functions->depthwise_f32 = tsl_avx2_depthwise_f32;
    functions->depthwise_s8 = tsl_avx2_depthwise_s8;
    functions->gemm_s16 = tsl_avx2_gemm_s16;
    functions->winograd_input_s8 = tsl_avx2_winograd_input_s8;
    functions->winograd_weights_s8 = tsl_avx2_winograd_weights_s8;
    functions->winograd_output_s8 = tsl_avx2_winograd_output_s8;
    tsl_cpu_overlay_avx2_vector(functions);
    tsl_cpu_overlay_avx2_winograd_f32(functions);
}
