// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product, NEON with dot products: sdot multiplies four signed bytes by four and adds them to an
// int32, which is the order of packed weights. Tiles of 6 pixels by 16 channels, 24 of 32 registers for sums.
// Unsigned activations become signed by subtracting 128, which the first sums make good.
#include "cpu/neon/finish.h"
#include "cpu/neondot/neondot.h"

#define ROWS 6

TSL_INLINE void first_sums(
    const tsl_gemm_s8_args *g, size_t channel, const bool is_unsigned, int32x4_t first[4]) {
    TSL_UNROLL
    for (int v = 0; v < 4; v++) {
        size_t at = channel + (size_t)(4 * v);
        first[v] = g->acc_init ? vld1q_s32(g->acc_init + at) : vdupq_n_s32(0);
        if (is_unsigned) first[v] = vaddq_s32(first[v], vshlq_n_s32(vld1q_s32(g->w_sum + at), 7));
    }
}

TSL_INLINE int8x16_t four_activations(const char *a, const bool is_unsigned) {
    int32_t word;
    memcpy(&word, a, 4);
    int8x16_t bytes = vreinterpretq_s8_s32(vdupq_n_s32(word));
    return is_unsigned ? veorq_s8(bytes, vdupq_n_s8(-128)) : bytes;
}

TSL_INLINE void store_row(const tsl_gemm_s8_args *g, size_t row, size_t channel, const int32x4_t sum[4]) {
    tsl_neon_output o = {.scale = g->scale + channel,
        .bias = g->bias + channel,
        .z_scale = g->z_scale,
        .lo = g->lo,
        .hi = g->hi};
    if (g->z) o.z = g->z + g->z_row[row] + channel;
    if (g->c_s8)
        o.c_s8 = g->c_s8 + g->c_row[row] + channel;
    else
        o.c_f32 = tsl_writable_floats_at(g->c_f32, g->c_row[row]) + channel;
    tsl_neon_finish(&o, sum, tsl_smaller(g->n - channel, TSL_PANEL));
}

TSL_INLINE void tile(
    const tsl_gemm_s8_args *g, size_t row, size_t panel, const int rows, const bool is_unsigned) {
    const size_t channel = panel * TSL_PANEL;
    const char *a[ROWS];
    int32x4_t first[4], sum[ROWS][4];
    first_sums(g, channel, is_unsigned, first);
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        a[r] = (const char *)g->a + g->a_row[row + (size_t)r];
        TSL_UNROLL
        for (int v = 0; v < 4; v++) {
            sum[r][v] = first[v];
            if (g->a_sum)
                sum[r][v] = vmlaq_n_s32(
                    sum[r][v], vld1q_s32(g->w_zero + channel + (size_t)(4 * v)), g->a_sum[row + (size_t)r]);
        }
    }
    const int8_t *w = g->w + panel * g->panel_stride;
    for (size_t t = 0; t < g->n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < g->k4; i++, offset += TSL_K_GROUP, w += TSL_PANEL * TSL_K_GROUP) {
            int8x16_t weights[4];
            TSL_UNROLL
            for (int v = 0; v < 4; v++) weights[v] = vld1q_s8(w + 16 * v);
            TSL_UNROLL
            for (int r = 0; r < rows; r++) {
                int8x16_t activations = four_activations(a[r] + offset, is_unsigned);
                TSL_UNROLL
                for (int v = 0; v < 4; v++) sum[r][v] = vdotq_s32(sum[r][v], weights[v], activations);
            }
        }
    }
    if (g->finish) {
        int32_t sums[ROWS][TSL_PANEL];
        TSL_UNROLL
        for (int r = 0; r < rows; r++) tsl_neon_spill(sum[r], sums[r]);
        tsl_gemm_s8_finish(g, row, (size_t)rows, channel, TSL_PANEL, sums[0]);
        return;
    }
    TSL_UNROLL
    for (int r = 0; r < rows; r++) store_row(g, row + (size_t)r, channel, sum[r]);
}

TSL_INLINE void gemm(const tsl_gemm_s8_args *g, const bool is_unsigned) {
    for (size_t panel = 0; panel * TSL_PANEL < g->n; panel++) {
        size_t row = 0;
        for (; row + ROWS <= g->m; row += ROWS) tile(g, row, panel, ROWS, is_unsigned);
        for (; row + 2 <= g->m; row += 2) tile(g, row, panel, 2, is_unsigned);
        if (row < g->m) tile(g, row, panel, 1, is_unsigned);
    }
}

void tsl_neondot_gemm_s8(const tsl_gemm_s8_args *args) {
    if (args->a_kind == TSL_ACTIVATION_U8)
        gemm(args, true);
    else
        gemm(args, false);
}
