// SPDX-License-Identifier: Apache-2.0
// What AVX-512 with VNNI does better than the levels below it.
#include "base/cpu_info.h"
#include "cpu/avx512vnni/avx512vnni.h"

void tsl_cpu_overlay_avx512vnni(tsl_cpu_functions *functions) {
    functions->gemm_s16 = tsl_avx512vnni_gemm_s16;
    functions->gemm_s8 = tsl_avx512vnni_gemm_s8;
    functions->depthwise_s8 = tsl_avx512vnni_depthwise_s8;
    if (tsl_cpu_has_vbmi()) functions->table_s8 = tsl_avx512vbmi_table_s8;
}
