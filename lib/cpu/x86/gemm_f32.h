// SPDX-License-Identifier: Apache-2.0
// Template of the float matrix product. The level's file includes vector256.h or vector512.h first and
// defines
//   TSL_TILE_ROWS, TSL_TILE_PANELS   pixels and panels of a tile whose sums stay in registers
//   TSL_TILE_HEIGHTS(CASE)           CASE(1) ... CASE(TSL_TILE_ROWS)
//
// Panels are outer and pixels inner, with all of K in registers: a tile's weights stay in the nearest cache
// while all pixels pass, and no sum is stored before it is complete.
#ifndef TSL_CPU_X86_GEMM_F32_H
#define TSL_CPU_X86_GEMM_F32_H

#include "cpu/x86/vector.h"

#define TSL_TILE_VECTORS (TSL_TILE_PANELS * TSL_PANEL_VECTORS)

// Channels from `channel` on that exist, within `vectors` vectors: the last ones of a row may be fewer.
TSL_INLINE void store_row_few(const tsl_gemm_f32_args *g, size_t row, size_t channel, const float *sums) {
    float *c = tsl_writable_floats_at(g->c, g->c_row[row]) + channel;
    const float *z = g->z ? tsl_floats_at(g->z, g->z_row[row]) + channel : NULL;
    tsl_vf lo = tsl_vf_set(g->lo), hi = tsl_vf_set(g->hi);
    size_t count = g->n - channel;
    for (; count >= TSL_LANES; count -= TSL_LANES, c += TSL_LANES, sums += TSL_LANES) {
        tsl_vf y = tsl_vf_load(sums);
        if (z) y = tsl_vf_add(y, tsl_vf_load(z)), z += TSL_LANES;
        tsl_vf_store(c, tsl_vf_clamp(y, lo, hi));
    }
    if (count == 0) return;
    tsl_vf y = tsl_vf_load(sums);
    if (z) y = tsl_vf_add(y, tsl_vf_load_few(z, count));
    tsl_vf_store_few(c, tsl_vf_clamp(y, lo, hi), count);
}

static __attribute__((noinline)) void store_few(
    const tsl_gemm_f32_args *g, size_t row, size_t rows, size_t channel, const float *sums, size_t width) {
    for (size_t r = 0; r < rows; r++) store_row_few(g, row + r, channel, sums + r * width);
}

static __attribute__((noinline)) void finish_rows(
    const tsl_gemm_f32_args *g, size_t row, size_t rows, size_t channel, const float *sums, size_t width) {
    tsl_gemm_f32_finish(g, row, rows, channel, width, sums);
}

// Rows of whole panels.
TSL_INLINE void store_rows(const tsl_gemm_f32_args *g, size_t row, size_t channel, const int rows,
    const int vectors, tsl_vf sum[TSL_TILE_ROWS][TSL_TILE_VECTORS]) {
    tsl_vf lo = tsl_vf_set(g->lo), hi = tsl_vf_set(g->hi);
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        float *c = tsl_writable_floats_at(g->c, g->c_row[row + (size_t)r]) + channel;
        const float *z = g->z ? tsl_floats_at(g->z, g->z_row[row + (size_t)r]) + channel : NULL;
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) {
            if (z) sum[r][v] = tsl_vf_add(sum[r][v], tsl_vf_load(z + v * TSL_LANES));
            tsl_vf_store(c + v * TSL_LANES, tsl_vf_clamp(sum[r][v], lo, hi));
        }
    }
}

// `rows` pixels by `panels` panels; both are constants after inlining.
TSL_INLINE void tile(const tsl_gemm_f32_args *g, size_t row, size_t panel, const int rows, const int panels,
    ptrdiff_t prefetch) {
    const int vectors = panels * TSL_PANEL_VECTORS;
    const size_t channel = panel * TSL_PANEL;
    const char *a[TSL_TILE_ROWS];
    tsl_vf sum[TSL_TILE_ROWS][TSL_TILE_VECTORS];
    TSL_UNROLL
    for (int r = 0; r < rows; r++) {
        a[r] = (const char *)g->a + g->a_row[row + (size_t)r];
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) sum[r][v] = tsl_vf_load(g->bias + channel + (size_t)v * TSL_LANES);
    }
    const float *w = g->w + panel * g->panel_stride;
    for (size_t t = 0; t < g->n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < g->k; i++, offset += (ptrdiff_t)sizeof(float), w += TSL_PANEL) {
            tsl_vf weights[TSL_TILE_VECTORS];
            TSL_UNROLL
            for (int v = 0; v < vectors; v++)
                weights[v] = tsl_vf_load(w + (size_t)(v / TSL_PANEL_VECTORS) * g->panel_stride +
                                         (size_t)(v % TSL_PANEL_VECTORS) * TSL_LANES);
            TSL_UNROLL
            for (int p = 0; p < panels; p++)
                _mm_prefetch((const char *)(w + (size_t)p * g->panel_stride) + prefetch, _MM_HINT_T1);
            TSL_UNROLL
            for (int r = 0; r < rows; r++) {
                tsl_vf activation = tsl_vf_set(*tsl_floats_at(a[r], offset));
                TSL_UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = tsl_vf_multiply_add(activation, weights[v], sum[r][v]);
            }
        }
    }
    if (g->finish || channel + (size_t)panels * TSL_PANEL > g->n) {
        float sums[TSL_TILE_ROWS * TSL_TILE_VECTORS * TSL_LANES];
        TSL_UNROLL
        for (int r = 0; r < rows; r++) TSL_UNROLL
        for (int v = 0; v < vectors; v++) tsl_vf_store(sums + (r * vectors + v) * TSL_LANES, sum[r][v]);
        (g->finish ? finish_rows : store_few)(
            g, row, (size_t)rows, channel, sums, (size_t)vectors * TSL_LANES);
        return;
    }
    store_rows(g, row, channel, rows, vectors, sum);
}

// All pixels. The first tile fetches the next panels' weights into the second-level cache.
TSL_INLINE void all_rows(const tsl_gemm_f32_args *g, size_t panel, const int panels, ptrdiff_t prefetch) {
    size_t height = tsl_tile_rows(g->m, TSL_TILE_ROWS);
    for (size_t row = 0; row < g->m; row += height) {
        switch (tsl_smaller(height, g->m - row)) {
#define TSL_CASE(rows)                                                                                       \
    case rows:                                                                                               \
        tile(g, row, panel, rows, panels, prefetch);                                                         \
        break;
            TSL_TILE_HEIGHTS(TSL_CASE)
#undef TSL_CASE
        }
        prefetch = 0;
    }
}

// One pixel: a tile of it has too few sums to hide the time that each takes, so more panels go together, and
// weights come from as many places at once.
#define TSL_SINGLE_PANELS 4

TSL_INLINE void single_row(const tsl_gemm_f32_args *g, size_t panel) {
    enum { VECTORS = TSL_SINGLE_PANELS * TSL_PANEL_VECTORS };
    const size_t channel = panel * TSL_PANEL;
    const char *a = (const char *)g->a + g->a_row[0];
    const float *w = g->w + panel * g->panel_stride;
    tsl_vf sum[VECTORS];
    TSL_UNROLL
    for (int v = 0; v < VECTORS; v++) sum[v] = tsl_vf_load(g->bias + channel + (size_t)v * TSL_LANES);
    for (size_t t = 0; t < g->n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < g->k; i++, offset += (ptrdiff_t)sizeof(float), w += TSL_PANEL) {
            tsl_vf activation = tsl_vf_set(*tsl_floats_at(a, offset));
            TSL_UNROLL
            for (int v = 0; v < VECTORS; v++)
                sum[v] = tsl_vf_multiply_add(activation,
                    tsl_vf_load(w + (size_t)(v / TSL_PANEL_VECTORS) * g->panel_stride +
                                (size_t)(v % TSL_PANEL_VECTORS) * TSL_LANES),
                    sum[v]);
        }
    }
    float sums[VECTORS * TSL_LANES];
    TSL_UNROLL
    for (int v = 0; v < VECTORS; v++) tsl_vf_store(sums + v * TSL_LANES, sum[v]);
    tsl_gemm_f32_args part = *g;
    part.n = tsl_smaller(g->n, channel + TSL_SINGLE_PANELS * TSL_PANEL);
    if (g->finish)
        finish_rows(&part, 0, 1, channel, sums, TSL_SINGLE_PANELS * TSL_PANEL);
    else
        store_row_few(&part, 0, channel, sums);
}

TSL_INLINE void gemm_f32(const tsl_gemm_f32_args *g) {
    size_t panels = (g->n + TSL_PANEL - 1) / TSL_PANEL, first = 0;
    if (g->m == 1)
        for (; panels - first >= TSL_SINGLE_PANELS; first += TSL_SINGLE_PANELS) single_row(g, first);
    for (size_t panel = first; panel < panels; panel += TSL_TILE_PANELS) {
        ptrdiff_t next = (ptrdiff_t)(TSL_TILE_PANELS * g->panel_stride * sizeof(float));
        if (panel + 2 * TSL_TILE_PANELS > panels) next = 0;
#if TSL_TILE_PANELS > 1
        if (panels - panel < TSL_TILE_PANELS) {
            for (; panel < panels; panel++) all_rows(g, panel, 1, 0);
            return;
        }
#endif
        all_rows(g, panel, TSL_TILE_PANELS, next);
    }
}

#endif
