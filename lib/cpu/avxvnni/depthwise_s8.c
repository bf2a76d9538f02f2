// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution, AVX-VNNI.
#include "cpu/avxvnni/avxvnni.h"
#include "cpu/x86/dot_vnni.h"

#include "cpu/x86/depthwise_halves.h"

void tsl_avxvnni_depthwise_s8(const tsl_depthwise_s8_args *args) {
    if (!depthwise_halves(args)) depthwise_s8(args);
}
