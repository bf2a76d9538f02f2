// SPDX-License-Identifier: Apache-2.0
// int16 matrix product, AVX2: tiles of 6 rows by 16 channels.
#include "cpu/avx2/avx2.h"

#define TSL_TILE_ROWS 6
#define TSL_TILE_PANELS 1
#define TSL_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "cpu/x86/gemm_s16.h"

void tsl_avx2_gemm_s16(const tsl_gemm_s16_args *args) {
    gemm_s16(args);
}
