// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product, AVX2: tiles of 6 pixels by 16 channels.
#include "cpu/avx2/avx2.h"
#include "cpu/x86/dot_maddubs.h"

#define TSL_TILE_ROWS 6
#define TSL_TILE_PANELS 1
#define TSL_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "cpu/x86/gemm_s8.h"

void tsl_avx2_gemm_s8(const tsl_gemm_s8_args *args) {
    if (args->bundles)
        tsl_avx2_gemm_s8_bundles(args);
    else
        gemm_s8(args);
}
