// SPDX-License-Identifier: Apache-2.0
// What AVX-VNNI does better than the levels below it.
#include "cpu/avxvnni/avxvnni.h"

void tsl_cpu_overlay_avxvnni(tsl_cpu_functions *functions) {
    functions->gemm_s16 = tsl_avxvnni_gemm_s16;
    functions->gemm_s8 = tsl_avxvnni_gemm_s8;
    functions->bundles = false;
    functions->depthwise_s8 = tsl_avxvnni_depthwise_s8;
}
