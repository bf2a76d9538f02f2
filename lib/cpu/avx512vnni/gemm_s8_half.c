// SPDX-License-Identifier: Apache-2.0
// INT8 products of eight channels, AVX-512 with VNNI: of 32-byte vectors twice as many go through in a clock.
#ifndef TSL_VNNI_EVEX
#define TSL_VNNI_EVEX
#endif
#include "cpu/avx512vnni/avx512vnni.h"
#include "cpu/x86/dot_vnni.h"

#include "cpu/x86/gemm_s8_shallow.h"

size_t tsl_avx512vnni_gemm_s8_half(const tsl_gemm_s8_args *args, size_t channel) {
    shallow_panels p;
    if (!set_shallow(args, &p)) return 0;
    set_shallow_panels(&p, channel, 1);
    if (args->a_kind == TSL_ACTIVATION_S8) return shallow_rows(&p, 1, TSL_ACTIVATION_S8);
    return shallow_rows(&p, 1, TSL_ACTIVATION_NON_NEGATIVE);
}
