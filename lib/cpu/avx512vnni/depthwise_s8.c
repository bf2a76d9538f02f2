// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution, AVX-512 with VNNI.
#include "cpu/avx512vnni/avx512vnni.h"
#include "cpu/x86/dot_vnni.h"

#include "cpu/x86/depthwise_columns_512.h"

void tsl_avx512vnni_depthwise_s8(const tsl_depthwise_s8_args *args) {
    if (!depthwise_columns(args)) depthwise_s8(args);
}
