// SPDX-License-Identifier: Apache-2.0
// Float matrix product, NEON: tiles of 6 pixels by 16 channels, 24 of 32 registers for sums. Panels are outer
// and pixels inner, with all of K in registers.
#include "cpu/neon/finish.h"
#include "cpu/neon/neon.h"

#define ROWS 6

// One row's 16 outputs, or the last ones of a row.
TSL_INLINE void store_row(const tsl_gemm_f32_args *g, size_t row, size_t channel, const float32x4_t sum[4]) {
    float *c = tsl_writable_floats_at(g->c, g->c_row[row]) + channel;
    const float *z = g->z ? tsl_floats_at(g->z, g->z_row[row]) + channel : NULL;
    float32x4_t lo = vdupq_n_f32(g->lo), hi = vdupq_n_f32(g->hi);
    size_t width = tsl_smaller(g->n - channel, TSL_PANEL);
    if (width == TSL_PANEL) {
        TSL_UNROLL
        for (int v = 0; v < 4; v++) {
            float32x4_t y = z ? vaddq_f32(sum[v], vld1q_f32(z + 4 * v)) : sum[v];
            vst1q_f32(c + 4 * v, tsl_neon_clamp(y, lo, hi));
        }
        return;
    }
    float few[TSL_PANEL] = {0};
    if (z) memcpy(few, z, width * sizeof(float));
    TSL_UNROLL
    for (int v = 0; v < 4; v++) {
        float32x4_t y = z ? vaddq_f32(sum[v], vld1q_f32(few + 4 * v)) : sum[v];
        vst1q_f32(few + 4 * v, tsl_neon_clamp(y, lo, hi));
    }
    memcpy(c, few, width * sizeof(float));
}

TSL_INLINE void tile(const tsl_gemm_f32_args *g, size_t row, size_t panel, const int rows) {
    const char *a[ROWS];
    float32x4_t sum[ROWS][4];
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        a[r] = (const char *)g->a + g->a_row[row + (size_t)r];
        TSL_UNROLL
        for (int v = 0; v < 4; v++) sum[r][v] = vld1q_f32(g->bias + panel * TSL_PANEL + 4 * v);
    }
    const float *w = g->w + panel * g->panel_stride;
    for (size_t t = 0; t < g->n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < g->k; i++, offset += (ptrdiff_t)sizeof(float), w += TSL_PANEL) {
            float32x4_t weights[4];
            TSL_UNROLL
            for (int v = 0; v < 4; v++) weights[v] = vld1q_f32(w + 4 * v);
            TSL_UNROLL
            for (int r = 0; r < rows; r++) {
                float activation = *tsl_floats_at(a[r], offset);
                TSL_UNROLL
                for (int v = 0; v < 4; v++) sum[r][v] = vfmaq_n_f32(sum[r][v], weights[v], activation);
            }
        }
    }
    if (g->finish) {
        float sums[ROWS][TSL_PANEL];
        for (int r = 0; r < rows; r++) {
            TSL_UNROLL
            for (int v = 0; v < 4; v++) vst1q_f32(sums[r] + 4 * v, sum[r][v]);
        }
        tsl_gemm_f32_finish(g, row, (size_t)rows, panel * TSL_PANEL, TSL_PANEL, sums[0]);
        return;
    }
    TSL_UNROLL
    for (int r = 0; r < rows; r++) store_row(g, row + (size_t)r, panel * TSL_PANEL, sum[r]);
}

void tsl_neon_gemm_f32(const tsl_gemm_f32_args *g) {
    for (size_t panel = 0; panel * TSL_PANEL < g->n; panel++) {
        size_t row = 0;
        for (; row + ROWS <= g->m; row += ROWS) tile(g, row, panel, ROWS);
        for (; row + 2 <= g->m; row += 2) tile(g, row, panel, 2);
        if (row < g->m) tile(g, row, panel, 1);
    }
}
