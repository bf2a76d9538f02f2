// SPDX-License-Identifier: Apache-2.0
// Matrix product of 16-bit integers modulo 2^32, for integer Winograd, NEON: tiles of 4 pixels by 16
// channels.
#include "cpu/neon/finish.h"
#include "cpu/neon/neon.h"

#define ROWS 4

TSL_INLINE void tile(const tsl_gemm_s16_args *g, size_t row, size_t panel, const int rows) {
    const char *a = (const char *)g->a + row * g->a_row;
    const int16_t *w = (const int16_t *)(const void *)((const char *)g->w + panel * g->w_panel);
    int32_t *c[ROWS];
    int32x4_t sum[ROWS][4];
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        c[r] = (int32_t *)(void *)((char *)g->c + (row + (size_t)r) * g->c_row) + panel * TSL_PANEL;
        TSL_UNROLL
        for (int v = 0; v < 4; v++) sum[r][v] = g->accumulate ? vld1q_s32(c[r] + 4 * v) : vdupq_n_s32(0);
    }
    for (size_t i = 0; i < g->k2; i++, a += 4, w += 2 * TSL_PANEL) {
        int16x8x2_t half[2] = {vld2q_s16(w), vld2q_s16(w + TSL_PANEL)}; // [channels][element of the pair]
        TSL_UNROLL
        for (int r = 0; r < rows; r++) {
            int16_t pair[2];
            memcpy(pair, a + (size_t)r * g->a_row, 4);
            TSL_UNROLL
            for (int v = 0; v < 2; v++) {
                TSL_UNROLL
                for (int e = 0; e < 2; e++) {
                    int16x8_t weights = half[v].val[e];
                    sum[r][2 * v] = vmlal_n_s16(sum[r][2 * v], vget_low_s16(weights), pair[e]);
                    sum[r][2 * v + 1] = vmlal_high_n_s16(sum[r][2 * v + 1], weights, pair[e]);
                }
            }
        }
    }
    TSL_UNROLL
    for (int r = 0; r < rows; r++) TSL_UNROLL
    for (int v = 0; v < 4; v++) vst1q_s32(c[r] + 4 * v, sum[r][v]);
}

void tsl_neon_gemm_s16(const tsl_gemm_s16_args *g) {
    for (size_t panel = 0; panel < g->panels; panel++) {
        size_t row = 0;
        for (; row + ROWS <= g->m; row += ROWS) tile(g, row, panel, ROWS);
        for (; row < g->m; row++) tile(g, row, panel, 1);
    }
}
