// SPDX-License-Identifier: Apache-2.0
// int16 matrix product, AVX-512 with VNNI: tiles of 14 rows by 32 channels.
#include "cpu/avx512vnni/avx512vnni.h"
#include "cpu/x86/dot_words_vnni.h"

#define TSL_TILE_ROWS 14
#define TSL_TILE_PANELS 2
#define TSL_TILE_HEIGHTS(CASE)                                                                               \
    CASE(1)                                                                                                  \
    CASE(2)                                                                                                  \
    CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#include "cpu/x86/gemm_s16.h"

void tsl_avx512vnni_gemm_s16(const tsl_gemm_s16_args *args) {
    gemm_s16(args);
}
