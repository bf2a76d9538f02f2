// SPDX-License-Identifier: Apache-2.0
// What AVX-VNNI does better than the levels below it.
#include "cpu/kernels.h"

void tsl_cpu_overlay_avxvnni(tsl_cpu_functions *functions) {
    (void)functions;
}
