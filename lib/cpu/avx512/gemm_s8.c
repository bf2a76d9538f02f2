// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product, AVX-512 without VNNI: tiles of 12 pixels by 32 channels.
#include "cpu/avx512/avx512.h"
#include "cpu/x86/dot_maddubs.h"

#define TSL_TILE_ROWS 12
#define TSL_TILE_PANELS 2
#define TSL_TILE_HEIGHTS(CASE)                                                                               \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#define TSL_TILES(CASE) CASE(1) CASE(2) CASE(3) CASE(6) CASE(12)
#include "cpu/x86/gemm_s8.h"

void tsl_avx512_gemm_s8(const tsl_gemm_s8_args *args) {
    gemm_s8(args);
}
