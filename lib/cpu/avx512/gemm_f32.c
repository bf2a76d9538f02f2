// SPDX-License-Identifier: Apache-2.0
// Float matrix product, AVX-512: tiles of 14 pixels by 32 channels, 28 of 32 registers for sums.
#include "cpu/avx512/avx512.h"

#define TSL_TILE_ROWS 14
#define TSL_TILE_PANELS 2
#define TSL_TILE_HEIGHTS(CASE)                                                                               \
    CASE(1)                                                                                                  \
    CASE(2)                                                                                                  \
    CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#include "cpu/x86/gemm_f32.h"

void tsl_avx512_gemm_f32(const tsl_gemm_f32_args *args) {
    gemm_f32(args);
}
