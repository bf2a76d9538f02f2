// SPDX-License-Identifier: Apache-2.0
// What AVX-512 does better than the levels below it.
#include "cpu/avx512/avx512.h"

void tsl_cpu_overlay_avx512(tsl_cpu_functions *functions) {
    functions->gemm_f32 = tsl_avx512_gemm_f32;
    functions->gemm_s8 = tsl_avx512_gemm_s8;
    functions->bundles = false;
    functions->depthwise_f32 = tsl_avx512_depthwise_f32;
    functions->depthwise_s8 = tsl_avx512_depthwise_s8;
    functions->gemm_s16 = tsl_avx512_gemm_s16;
    functions->winograd_input_s8 = tsl_avx512_winograd_input_s8;
    functions->winograd_weights_s8 = tsl_avx512_winograd_weights_s8;
    functions->winograd_output_s8 = tsl_avx512_winograd_output_s8;
    tsl_cpu_overlay_avx512_vector(functions);
    tsl_cpu_overlay_avx512_winograd_f32(functions);
}
