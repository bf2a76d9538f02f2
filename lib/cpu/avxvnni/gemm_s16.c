// SPDX-License-Identifier: Apache-2.0
// int16 matrix product, AVX-VNNI: tiles of 6 rows by 16 channels.
#include "cpu/avxvnni/avxvnni.h"
#include "cpu/x86/dot_words_vnni.h"

#define TSL_TILE_ROWS 6
#define TSL_TILE_PANELS 1
#define TSL_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "cpu/x86/gemm_s16.h"

void tsl_avxvnni_gemm_s16(const tsl_gemm_s16_args *args) {
    gemm_s16(args);
}
