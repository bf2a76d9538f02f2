// SPDX-License-Identifier: Apache-2.0
// Template of the int16 matrix product of integer Winograd. The level's file defines TSL_TILE_ROWS,
// TSL_TILE_PANELS and TSL_TILE_HEIGHTS as for gemm_s8.h, and may define TSL_DOT_WORDS and tsl_dot_words,
// which words.h else makes of a multiplication and an addition.
#ifndef TSL_CPU_X86_GEMM_S16_H
#define TSL_CPU_X86_GEMM_S16_H

#include "cpu/x86/words.h"

#define TSL_TILE_VECTORS (TSL_TILE_PANELS * TSL_PANEL_VECTORS)
#define TSL_PAIR_BYTES (TSL_PANEL * 2 * sizeof(int16_t))

TSL_INLINE void start_row(const tsl_gemm_s16_args *g, const char *c, const int vectors, tsl_vi *sum) {
    TSL_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = g->accumulate ? tsl_vi_load(c + v * TSL_VECTOR_BYTES) : tsl_vi_zero();
}

TSL_INLINE void multiply_row(const char *a, const tsl_vi *w, const int vectors, tsl_vi *sum) {
    tsl_vi two = tsl_vi_broadcast(a);
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) sum[v] = tsl_dot_words(sum[v], two, w[v]);
}

TSL_INLINE void store_row(char *c, const int vectors, const tsl_vi *sum) {
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) tsl_vi_store(c + v * TSL_VECTOR_BYTES, sum[v]);
}

// `rows` by `panels`, constants after inlining; rows are written out by macro, as in gemm_s8.h.
TSL_INLINE void tile(const tsl_gemm_s16_args *g, size_t row, size_t panel, const int rows, const int panels) {
    const int vectors = panels * TSL_PANEL_VECTORS;
    const size_t a_row = g->a_row, c_row = g->c_row;
    const char *a = (const char *)g->a + row * a_row;
    char *c = (char *)(g->c + panel * TSL_PANEL) + row * c_row;
    const char *w = (const char *)g->w + panel * g->w_panel;
    tsl_vi sum[TSL_TILE_ROWS][TSL_TILE_VECTORS], weights[TSL_TILE_VECTORS];
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) start_row(g, c + (height - 1) * c_row, vectors, sum[height - 1]);
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    for (size_t i = 0; i < g->k2; i++, a += 2 * sizeof(int16_t), w += TSL_PAIR_BYTES) {
        TSL_UNROLL
        for (int v = 0; v < vectors; v++)
            weights[v] = tsl_vi_load(w + (size_t)(v / TSL_PANEL_VECTORS) * g->w_panel +
                                     (v % TSL_PANEL_VECTORS) * TSL_VECTOR_BYTES);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) multiply_row(a + (height - 1) * a_row, weights, vectors, sum[height - 1]);
        TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    }
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) store_row(c + (height - 1) * c_row, vectors, sum[height - 1]);
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
}

TSL_INLINE void all_rows(const tsl_gemm_s16_args *g, size_t panel, const int panels) {
    size_t height = tsl_tile_rows(g->m, TSL_TILE_ROWS);
    for (size_t row = 0; row < g->m; row += height) {
        switch (tsl_smaller(height, g->m - row)) {
#define TSL_CASE(rows)                                                                                       \
    case rows:                                                                                               \
        tile(g, row, panel, rows, panels);                                                                   \
        break;
            TSL_TILE_HEIGHTS(TSL_CASE)
#undef TSL_CASE
        }
    }
}

TSL_INLINE void gemm_s16(const tsl_gemm_s16_args *g) {
    for (size_t panel = 0; panel < g->panels; panel += TSL_TILE_PANELS) {
#if TSL_TILE_PANELS > 1
        if (g->panels - panel < TSL_TILE_PANELS) {
            for (; panel < g->panels; panel++) all_rows(g, panel, 1);
            return;
        }
#endif
        all_rows(g, panel, TSL_TILE_PANELS);
    }
}

#endif
