// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution, AVX-512 without VNNI.
#include "cpu/avx512/avx512.h"
#include "cpu/x86/dot_maddubs.h"

#include "cpu/x86/depthwise_halves.h"

void tsl_avx512_depthwise_s8(const tsl_depthwise_s8_args *args) {
    if (!depthwise_halves(args)) depthwise_s8(args);
}
