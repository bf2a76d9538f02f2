// SPDX-License-Identifier: Apache-2.0
// Float depthwise convolution, AVX-512.
#include "cpu/avx512/avx512.h"

#include "cpu/x86/depthwise_f32.h"

void tsl_avx512_depthwise_f32(const tsl_depthwise_f32_args *args) {
    depthwise_f32(args);
}
