// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product by bundles, AVX2. Without VNNI three instructions make four products of each lane:
// vpmaddubsw, vpmaddwd by ones, vpaddd. Within a bundle (cpu/bundle.h) sums of 16 bits are exact, so that a
// group takes vpmaddubsw and vpaddw alone, and a bundle the other two.
//
// The sums of 16 bits are what registers hold: six pixels by 16 channels. Sums of 32 bits change once a
// bundle, so they may lie in memory. Weights then serve six pixels from a register, where as memory operands
// they would be one load a product.
#include "cpu/avx2/avx2.h"
#include "cpu/x86/dot_maddubs.h"

#define TSL_TILE_ROWS 6
#define TSL_TILE_PANELS 1
#define TSL_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "cpu/x86/gemm_s8.h"

typedef struct tile_place {
    const char *a[TSL_TILE_ROWS];
    const int8_t *w;
    ptrdiff_t prefetch; // from the weights to the next panel's, or 0
} tile_place;

// Products of one row and one group: pairs in 16 bits, for both halves of the panel.
TSL_INLINE void multiply_pairs(
    const char *a, const tsl_vi w[2], const tsl_activation_kind kind, const bool first, tsl_vi pairs[2]) {
    tsl_activation x = tsl_activation_of(tsl_vi_broadcast(a), kind);
    TSL_UNROLL
    for (int v = 0; v < 2; v++) {
        tsl_vi signed_w = kind == TSL_ACTIVATION_NON_NEGATIVE ? w[v] : _mm256_sign_epi8(w[v], x.value);
        tsl_vi products = _mm256_maddubs_epi16(x.magnitude, signed_w);
        if (first)
            pairs[v] = products;
        else
            __asm__("vpaddw %1, %0, %0" : "+x"(pairs[v]) : "x"(products));
    }
}

// In assembly, because gcc 12 otherwise keeps a second copy of the sums.
TSL_INLINE void widen(const tsl_vi pairs[2], tsl_vi sum[2]) {
    const tsl_vi ones = _mm256_set1_epi16(1);
    TSL_UNROLL
    for (int v = 0; v < 2; v++) {
        tsl_vi wide = _mm256_madd_epi16(pairs[v], ones);
        __asm__("vpaddd %1, %0, %0\n\tvmovdqa %0, %1" : "+x"(wide), "+m"(sum[v]));
    }
}

TSL_INLINE void multiply_group(const tile_place *t, const tsl_group_place *place, const int rows,
    const tsl_activation_kind kind, const bool first, tsl_vi pairs[TSL_TILE_ROWS][2]) {
    const int8_t *at = t->w + place->w;
    ptrdiff_t offset = place->a;
    tsl_vi w[2] = {tsl_vi_load(at), tsl_vi_load(at + TSL_VECTOR_BYTES)};
    _mm_prefetch((const char *)at + t->prefetch, _MM_HINT_T1);
    _mm_prefetch((const char *)t->w + place[TSL_BUNDLE_AHEAD].w, _MM_HINT_T0);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) multiply_pairs(t->a[height - 1] + offset, w, kind, first, pairs[height - 1]);
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
}

// Bundles of two groups and more; returns the place of the first group alone.
TSL_INLINE const tsl_group_place *multiply_bundles(const tile_place *t, const tsl_bundles *bundles,
    const int rows, const tsl_activation_kind kind, tsl_vi sum[TSL_TILE_ROWS][2]) {
    const tsl_group_place *place = bundles->places;
    for (ptrdiff_t size = TSL_BUNDLE_GROUPS; size > 1; size--) {
        for (uint32_t i = bundles->count[size - 1]; i > 0; i--) {
            tsl_vi pairs[TSL_TILE_ROWS][2];
            const tsl_group_place *end = place + size;
            multiply_group(t, place++, rows, kind, true, pairs);
            do multiply_group(t, place++, rows, kind, false, pairs);
            while (place != end);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) widen(pairs[height - 1], sum[height - 1]);
            TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
        }
    }
    return place;
}

// Groups alone, with sums of 32 bits in registers.
TSL_INLINE void multiply_singles(const tile_place *t, const tsl_group_place *place, uint32_t count,
    const int rows, const tsl_activation_kind kind, tsl_vi sum[TSL_TILE_ROWS][2]) {
    for (; count > 0; count--, place++) {
        const int8_t *w = t->w + place->w;
        ptrdiff_t offset = place->a;
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) multiply_row(t->a[height - 1] + offset, w, 0, 2, kind, sum[height - 1]);
        TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    }
}

TSL_INLINE void bundle_tile(const tsl_gemm_s8_args *g, size_t row, size_t panel, const int rows,
    const tsl_activation_kind kind, ptrdiff_t prefetch) {
    const size_t channel = panel * TSL_PANEL;
    tile_place t = {.w = g->w + panel * g->panel_stride, .prefetch = prefetch};
    tsl_vi first[2] = {first_sum(g, channel, kind), first_sum(g, channel + TSL_LANES, kind)};
    tsl_vi in_memory[TSL_TILE_ROWS][2], sum[TSL_TILE_ROWS][2];
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) {                                                                                    \
        t.a[height - 1] = (const char *)g->a + g->a_row[row + height - 1];                                   \
        copy_row(first, 2, in_memory[height - 1]);                                                           \
    }
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    const tsl_group_place *singles = multiply_bundles(&t, &g->bundles[panel], rows, kind, in_memory);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) copy_row(in_memory[height - 1], 2, sum[height - 1]);
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    multiply_singles(&t, singles, g->bundles[panel].count[0], rows, kind, sum);
    store_tile(g, row, channel, rows, 1, false, sum);
}

TSL_INLINE void bundle_rows(
    const tsl_gemm_s8_args *g, size_t panel, const tsl_activation_kind kind, ptrdiff_t prefetch) {
    size_t height = tsl_tile_rows(g->m, TSL_TILE_ROWS);
    for (size_t row = 0; row < g->m; row += height) {
        switch (tsl_smaller(height, g->m - row)) {
#define TSL_CASE(rows)                                                                                       \
    case rows:                                                                                               \
        bundle_tile(g, row, panel, rows, kind, prefetch);                                                    \
        break;
            TSL_TILE_HEIGHTS(TSL_CASE)
#undef TSL_CASE
        }
        prefetch = 0;
    }
}

TSL_INLINE void bundles_of_kind(const tsl_gemm_s8_args *g, const tsl_activation_kind kind) {
    for (size_t panel = 0; panel * TSL_PANEL < g->n; panel++) {
        bool last = (panel + 1) * TSL_PANEL >= g->n;
        bundle_rows(g, panel, kind, last ? 0 : (ptrdiff_t)g->panel_stride);
    }
}

void tsl_avx2_gemm_s8_bundles(const tsl_gemm_s8_args *g) {
    if (g->a_kind == TSL_ACTIVATION_NON_NEGATIVE)
        bundles_of_kind(g, TSL_ACTIVATION_NON_NEGATIVE);
    else if (g->a_kind == TSL_ACTIVATION_U8)
        bundles_of_kind(g, TSL_ACTIVATION_U8);
    else
        bundles_of_kind(g, TSL_ACTIVATION_S8);
}
