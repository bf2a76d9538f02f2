// SPDX-License-Identifier: Apache-2.0
// Template of the INT8 matrix product. The level's file includes a dot_*.h first and
// defines
//   TSL_TILE_ROWS, TSL_TILE_PANELS   pixels and panels of a tile whose sums stay in registers
//   TSL_TILE_HEIGHTS(CASE)           CASE(1) ... CASE(TSL_TILE_ROWS)
//
// Panels are outer and pixels inner, with all of K in registers: a tile's weights stay in the nearest cache
// while all pixels pass, and no sum is stored before it is complete.
#ifndef TSL_CPU_X86_GEMM_S8_H
#define TSL_CPU_X86_GEMM_S8_H

#include "cpu/x86/requantize.h"

#define TSL_TILE_VECTORS (TSL_TILE_PANELS * TSL_PANEL_VECTORS)
#define TSL_GROUP_BYTES (TSL_PANEL * TSL_K_GROUP)

static __attribute__((noinline)) void store_few(
    const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel, const int32_t *sums, size_t width) {
    tsl_row_output output = {.scale = g->scale + channel,
        .bias = g->bias + channel,
        .z_scale = g->z_scale,
        .lo = g->lo,
        .hi = g->hi};
    for (size_t r = 0; r < rows; r++) {
        output.sums = sums + r * width;
        if (g->z) output.z = g->z + g->z_row[row + r] + channel;
        if (g->c_s8)
            output.c_s8 = g->c_s8 + g->c_row[row + r] + channel;
        else
            output.c_f32 = tsl_writable_floats_at(g->c_f32, g->c_row[row + r]) + channel;
        tsl_requantize_row(&output, tsl_smaller(g->n - channel, width));
    }
}

// Where a vector of sums starts: what is shifted away from the activations comes back as that times the
// weights.
TSL_INLINE tsl_vi first_sum(const tsl_gemm_s8_args *g, size_t channel, tsl_activation_kind kind) {
    tsl_vi sum = g->acc_init ? tsl_vi_load(g->acc_init + channel) : tsl_vi_zero();
    if (tsl_shift(kind) == 0) return sum;
    tsl_vi shifted = tsl_vi_times_128(tsl_vi_load(g->w_sum + channel));
    return tsl_shift(kind) > 0 ? tsl_vi_add(sum, shifted) : tsl_vi_subtract(sum, shifted);
}

// Int8 outputs of whole panels.
TSL_INLINE void store(const tsl_gemm_s8_args *g, size_t row, size_t channel, const int rows, const int panels,
    tsl_vi sum[][TSL_TILE_VECTORS]) {
    tsl_vf lo = tsl_vf_set(g->lo), hi = tsl_vf_set(g->hi), z_scale = tsl_vf_set(g->z_scale);
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        int8_t *c = g->c_s8 + g->c_row[row + (size_t)r] + channel;
        const int8_t *z_row = g->z ? g->z + g->z_row[row + (size_t)r] + channel : NULL;
        TSL_UNROLL
        for (int p = 0; p < panels; p++) {
            tsl_vi z[TSL_PANEL_VECTORS], q[TSL_PANEL_VECTORS];
            tsl_vf y[TSL_PANEL_VECTORS];
            TSL_UNROLL
            for (int v = 0; v < TSL_PANEL_VECTORS; v++) {
                size_t at = channel + (size_t)(p * TSL_PANEL + v * TSL_LANES);
                y[v] = tsl_vf_multiply_add(tsl_vi_to_float(sum[r][p * TSL_PANEL_VECTORS + v]),
                    tsl_vf_load(g->scale + at), tsl_vf_load(g->bias + at));
            }
            if (z_row) {
                tsl_panel_load_s8(z_row + p * TSL_PANEL, z);
                TSL_UNROLL
                for (int v = 0; v < TSL_PANEL_VECTORS; v++)
                    y[v] = tsl_vf_multiply_add(tsl_vi_to_float(z[v]), z_scale, y[v]);
            }
            TSL_UNROLL
            for (int v = 0; v < TSL_PANEL_VECTORS; v++) q[v] = tsl_vf_requantize(y[v], lo, hi);
            tsl_panel_store_s8(c + p * TSL_PANEL, q);
        }
    }
}

// `rows` pixels by `panels` panels; these and kind are constants after inlining.
TSL_INLINE void tile(const tsl_gemm_s8_args *g, size_t row, size_t panel, const int rows, const int panels,
    const tsl_activation_kind kind, ptrdiff_t prefetch) {
    const int vectors = panels * TSL_PANEL_VECTORS;
    const size_t channel = panel * TSL_PANEL;
    const char *a[TSL_TILE_ROWS];
    tsl_vi sum[TSL_TILE_ROWS][TSL_TILE_VECTORS];
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) sum[0][v] = first_sum(g, channel + (size_t)v * TSL_LANES, kind);
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        a[r] = (const char *)g->a + g->a_row[row + (size_t)r];
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) sum[r][v] = sum[0][v];
    }
    const int8_t *w = g->w + panel * g->panel_stride;
    for (size_t t = 0; t < g->n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < g->k4; i++, offset += TSL_K_GROUP, w += TSL_GROUP_BYTES) {
            TSL_UNROLL
            for (int p = 0; p < panels; p++)
                _mm_prefetch((const char *)w + (size_t)p * g->panel_stride + prefetch, _MM_HINT_T1);
            TSL_UNROLL
            for (int r = 0; r < rows; r++) {
                tsl_activation activation = tsl_activation_of(tsl_vi_broadcast(a[r] + offset), kind);
                TSL_UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = tsl_dot(sum[r][v], activation,
                        w + (size_t)(v / TSL_PANEL_VECTORS) * g->panel_stride +
                            (v % TSL_PANEL_VECTORS) * TSL_VECTOR_BYTES,
                        kind);
            }
        }
    }
    if (g->c_s8 && channel + (size_t)panels * TSL_PANEL <= g->n) {
        store(g, row, channel, rows, panels, sum);
        return;
    }
    int32_t sums[TSL_TILE_ROWS * TSL_TILE_VECTORS * TSL_LANES];
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) tsl_vi_store(sums + (r * vectors + v) * TSL_LANES, sum[r][v]);
    }
    store_few(g, row, (size_t)rows, channel, sums, (size_t)vectors * TSL_LANES);
}

// All pixels. The first tile fetches the next panels' weights into the second-level cache.
TSL_INLINE void all_rows(const tsl_gemm_s8_args *g, size_t panel, const int panels,
    const tsl_activation_kind kind, ptrdiff_t prefetch) {
    size_t height = tsl_tile_rows(g->m, TSL_TILE_ROWS);
    for (size_t row = 0; row < g->m; row += height) {
        switch (tsl_smaller(height, g->m - row)) {
#define TSL_CASE(rows)                                                                                       \
    case rows:                                                                                               \
        tile(g, row, panel, rows, panels, kind, prefetch);                                                   \
        break;
            TSL_TILE_HEIGHTS(TSL_CASE)
#undef TSL_CASE
        }
        prefetch = 0;
    }
}

TSL_INLINE void gemm_of_kind(const tsl_gemm_s8_args *g, const tsl_activation_kind kind) {
    size_t panels = (g->n + TSL_PANEL - 1) / TSL_PANEL;
    for (size_t panel = 0; panel < panels; panel += TSL_TILE_PANELS) {
        ptrdiff_t next = (ptrdiff_t)(TSL_TILE_PANELS * g->panel_stride);
        if (panel + 2 * TSL_TILE_PANELS > panels) next = 0;
#if TSL_TILE_PANELS > 1
        if (panels - panel < TSL_TILE_PANELS) {
            for (; panel < panels; panel++) all_rows(g, panel, 1, kind, 0);
            return;
        }
#endif
        all_rows(g, panel, TSL_TILE_PANELS, kind, next);
    }
}

// Kinds that the level's tsl_dot treats alike share their code.
TSL_INLINE void gemm_s8(const tsl_gemm_s8_args *g) {
    if (g->a_kind == TSL_ACTIVATION_S8)
        gemm_of_kind(g, TSL_ACTIVATION_S8);
    else if (g->a_kind == TSL_ACTIVATION_U8 && tsl_shift(TSL_ACTIVATION_U8) != 0)
        gemm_of_kind(g, TSL_ACTIVATION_U8);
    else
        gemm_of_kind(g, TSL_ACTIVATION_NON_NEGATIVE);
}

#endif
