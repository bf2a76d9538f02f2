// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution, AVX2.
#include "cpu/avx2/avx2.h"
#include "cpu/x86/dot_maddubs.h"

#include "cpu/x86/depthwise_halves.h"

void tsl_avx2_depthwise_s8(const tsl_depthwise_s8_args *args) {
    if (!depthwise_halves(args)) depthwise_s8(args);
}
