// SPDX-License-Identifier: Apache-2.0
// What dot products do better than plain NEON.
#include "cpu/neondot/neondot.h"

void tsl_cpu_overlay_neondot(tsl_cpu_functions *functions) {
    functions->gemm_s8 = tsl_neondot_gemm_s8;
}
