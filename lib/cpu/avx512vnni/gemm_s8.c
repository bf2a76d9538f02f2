// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product, AVX-512 with VNNI: tiles of 7 pixels by 64 channels or 14 by
// 32: 28 of 32 registers for sums.
#include "cpu/avx512vnni/avx512vnni.h"
#include "cpu/x86/dot_vnni.h"

#define TSL_TILE_ROWS 14
#define TSL_TILE_PANELS 2
#define TSL_WIDE_PANELS 4
#define TSL_TILE_HEIGHTS(CASE)                                                                               \
    CASE(1)                                                                                                  \
    CASE(2)                                                                                                  \
    CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#define TSL_TILES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(7) CASE(14)
#define TSL_SHALLOW
#define TSL_SHALLOW_HALF tsl_avx512vnni_gemm_s8_half
#include "cpu/x86/gemm_s8.h"

void tsl_avx512vnni_gemm_s8(const tsl_gemm_s8_args *args) {
    gemm_s8(args);
}
