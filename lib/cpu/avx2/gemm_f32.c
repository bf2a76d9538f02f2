// SPDX-License-Identifier: Apache-2.0
// Float matrix product, AVX2 and FMA: tiles of 6 pixels by 16 channels, 12 of 16 registers for sums.
#include "cpu/avx2/avx2.h"

#define TSL_TILE_ROWS 6
#define TSL_TILE_PANELS 1
#define TSL_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "cpu/x86/gemm_f32.h"

void tsl_avx2_gemm_f32(const tsl_gemm_f32_args *args) {
    gemm_f32(args);
}
