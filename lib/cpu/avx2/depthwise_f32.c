// SPDX-License-Identifier: Apache-2.0
// Float depthwise convolution, AVX2 and FMA.
#include "cpu/avx2/avx2.h"

#include "cpu/x86/depthwise_f32.h"

void tsl_avx2_depthwise_f32(const tsl_depthwise_f32_args *args) {
    depthwise_f32(args);
}
