// SPDX-License-Identifier: Apache-2.0
// INT8 products over few groups of channels, by VNNI. The end of a tile, from sums to bytes, takes about as
// long there as its products, and by other units of the processor: so the end of each tile stands among the
// products of the next. Twelve vectors of sums are being made while twelve are being finished.
//
// A vector is a panel of 16 channels with 64-byte vectors, or the first half of one with 32-byte vectors.
// Needs dot_vnni.h.
#ifndef TSL_CPU_X86_GEMM_S8_SHALLOW_H
#define TSL_CPU_X86_GEMM_S8_SHALLOW_H

#include "cpu/x86/vector.h"

#define TSL_SHALLOW_GROUPS 256 // at most
// Of more weights than this, which come from further away, the next panels' are better fetched ahead: up to
// so many groups only.
#define TSL_SHALLOW_BYTES ((size_t)32 * 1024)
#define TSL_SHALLOW_FEW_GROUPS 64
#define TSL_SHALLOW_SUMS 12
#define TSL_SHALLOW_PARTS (TSL_SHALLOW_SUMS / 4) // that are finished at once

typedef struct shallow_panels {
    const tsl_gemm_s8_args *g;
    size_t depth;
    ptrdiff_t group[TSL_SHALLOW_GROUPS]; // bytes from a row's start
    // At the first of the panels:
    const int8_t *w;
    const float *scale, *bias;
    const int8_t *z; // or NULL
    int8_t *c;
    _Alignas(64) int32_t first[4][TSL_LANES]; // sums' starts
} shallow_panels;

// Whether the product is one for this file; what does not depend on the panels is set.
static inline bool set_shallow(const tsl_gemm_s8_args *g, shallow_panels *p) {
    p->g = g;
    p->depth = g->n_taps * g->k4;
    const size_t bytes = (g->n + TSL_PANEL - 1) / TSL_PANEL * g->panel_stride;
    const size_t most = bytes <= TSL_SHALLOW_BYTES ? TSL_SHALLOW_GROUPS : TSL_SHALLOW_FEW_GROUPS;
    if (!g->c_s8 || g->finish || g->a_sum || p->depth < TSL_SHALLOW_PARTS || p->depth > most) return false;
    size_t i = 0;
    for (size_t t = 0; t < g->n_taps; t++)
        for (size_t k = 0; k < g->k4; k++) p->group[i++] = g->tap[t] + (ptrdiff_t)(TSL_K_GROUP * k);
    return true;
}

static inline void set_shallow_panels(shallow_panels *p, size_t channel, size_t vectors) {
    const tsl_gemm_s8_args *g = p->g;
    p->w = g->w + channel / TSL_PANEL * g->panel_stride;
    p->scale = g->scale + channel;
    p->bias = g->bias + channel;
    p->z = g->z ? g->z + channel : NULL;
    p->c = g->c_s8 + channel;
    for (size_t v = 0; v < vectors; v++) {
        const size_t at = channel + v * TSL_LANES;
        tsl_vi first = g->acc_init ? tsl_vi_load(g->acc_init + at) : tsl_vi_zero();
        if (tsl_shift(g->a_kind) < 0)
            first = tsl_vi_subtract(first, tsl_vi_times_128(tsl_vi_load(g->w_sum + at)));
        tsl_vi_store(p->first[v], first);
    }
}

// Group i of all rows. Sums lie row by row, as everywhere here. The compiler must not see that weights are in
// memory: it would load them for each row.
TSL_INLINE void multiply_group(const shallow_panels *p, const char *const *a, size_t i, const int vectors,
    const tsl_activation_kind kind, tsl_vi sum[TSL_SHALLOW_SUMS]) {
    const int8_t *w = p->w + i * TSL_PANEL * TSL_K_GROUP;
    const ptrdiff_t offset = p->group[i];
    tsl_vi weights[4];
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) {
        weights[v] = tsl_vi_load(w + (size_t)v * p->g->panel_stride);
        __asm__("" : "+v"(weights[v]));
    }
    TSL_UNROLL
    for (int r = 0; r < TSL_SHALLOW_SUMS / vectors; r++) {
        const tsl_activation x = tsl_activation_of(tsl_vi_broadcast(a[r] + offset), kind);
        TSL_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r * vectors + v] = tsl_dot_vectors(sum[r * vectors + v], x, weights[v]);
    }
}

// Four vectors as bytes, row after row.
TSL_INLINE tsl_vi pack_vectors(const tsl_vi q[4]) {
    const tsl_vi bytes = tsl_vi_pack_16(tsl_vi_pack_32(q[0], q[1]), tsl_vi_pack_32(q[2], q[3]));
#if TSL_LANES == 16
    const tsl_vi order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, bytes);
#else
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
}

// What pack_vectors made, to the rows at c.
TSL_INLINE void store_vectors(int8_t *c, const ptrdiff_t *c_row, const int vectors, tsl_vi bytes) {
#if TSL_LANES == 16
    if (vectors == 4) {
        tsl_vi_store(c + c_row[0], bytes);
    } else if (vectors == 2) {
        _mm256_storeu_si256((__m256i *)(void *)(c + c_row[0]), _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256((__m256i *)(void *)(c + c_row[1]), _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        _mm_storeu_si128((__m128i *)(void *)(c + c_row[0]), _mm512_castsi512_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(c + c_row[1]), _mm512_extracti32x4_epi32(bytes, 1));
        _mm_storeu_si128((__m128i *)(void *)(c + c_row[2]), _mm512_extracti32x4_epi32(bytes, 2));
        _mm_storeu_si128((__m128i *)(void *)(c + c_row[3]), _mm512_extracti32x4_epi32(bytes, 3));
    }
#else
    (void)vectors;
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    _mm_storel_epi64((__m128i *)(void *)(c + c_row[0]), low);
    _mm_storeh_pi((__m64 *)(void *)(c + c_row[1]), _mm_castsi128_ps(low));
    _mm_storel_epi64((__m128i *)(void *)(c + c_row[2]), high);
    _mm_storeh_pi((__m64 *)(void *)(c + c_row[3]), _mm_castsi128_ps(high));
#endif
}

TSL_INLINE tsl_vf load_residual(const int8_t *z) {
#if TSL_LANES == 16
    return tsl_vi_to_float(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)z)));
#else
    return tsl_vi_to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)z)));
#endif
}

// Four of the tile's vectors; the tile starts at `row`.
TSL_INLINE void finish_part(const shallow_panels *p, size_t row, const int part, const int vectors, tsl_vi lo,
    tsl_vi hi, const tsl_vi sum[TSL_SHALLOW_SUMS]) {
    const int first = 4 * part;
    const tsl_gemm_s8_args *g = p->g;
    tsl_vf y[4];
    tsl_vi q[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++) {
        const int v = (first + i) % vectors;
        y[i] = tsl_vf_multiply_add(tsl_vi_to_float(sum[first + i]), tsl_vf_load(p->scale + v * TSL_LANES),
            tsl_vf_load(p->bias + v * TSL_LANES));
    }
    if (p->z) {
        const tsl_vf z_scale = tsl_vf_set(g->z_scale);
        TSL_UNROLL
        for (int i = 0; i < 4; i++) {
            const ptrdiff_t z_row = g->z_row[row + (size_t)((first + i) / vectors)];
            y[i] = tsl_vf_multiply_add(
                load_residual(p->z + z_row + (first + i) % vectors * TSL_LANES), z_scale, y[i]);
        }
    }
    TSL_UNROLL
    for (int i = 0; i < 4; i++) q[i] = tsl_vf_to_nearest(y[i]);
    const tsl_vi bytes = tsl_vi_clamp_bytes(pack_vectors(q), lo, hi);
    store_vectors(p->c, g->c_row + row + (size_t)(first / vectors), vectors, bytes);
}

// The sums of the tile at `row`, and the end of the one before, if there is any.
TSL_INLINE void next_tile(const shallow_panels *p, size_t row, const int vectors,
    const tsl_activation_kind kind, const bool is_first, tsl_vi lo, tsl_vi hi, tsl_vi sum[TSL_SHALLOW_SUMS],
    const tsl_vi before[TSL_SHALLOW_SUMS]) {
    const int rows = TSL_SHALLOW_SUMS / vectors;
    const char *a[TSL_SHALLOW_SUMS];
    TSL_UNROLL
    for (int r = 0; r < rows; r++) a[r] = (const char *)p->g->a + p->g->a_row[row + (size_t)r];
    TSL_UNROLL
    for (int i = 0; i < TSL_SHALLOW_SUMS; i++) sum[i] = tsl_vi_load(p->first[i % vectors]);
    TSL_UNROLL
    for (int part = 0; part < TSL_SHALLOW_PARTS; part++) {
        multiply_group(p, a, (size_t)part, vectors, kind, sum);
        if (!is_first) finish_part(p, row - (size_t)rows, part, vectors, lo, hi, before);
    }
    for (size_t i = TSL_SHALLOW_PARTS; i < p->depth; i++) multiply_group(p, a, i, vectors, kind, sum);
}

// All whole tiles; returns how many rows they are.
TSL_INLINE size_t shallow_rows(const shallow_panels *p, const int vectors, const tsl_activation_kind kind) {
    const size_t rows = TSL_SHALLOW_SUMS / (size_t)vectors, tiles = p->g->m / rows;
    const tsl_vi lo = tsl_vi_set_bytes((int)p->g->lo), hi = tsl_vi_set_bytes((int)p->g->hi);
    tsl_vi sum[TSL_SHALLOW_SUMS], before[TSL_SHALLOW_SUMS];
    if (tiles == 0) return 0;
    next_tile(p, 0, vectors, kind, true, lo, hi, before, NULL);
    for (size_t i = 1; i < tiles; i++) {
        next_tile(p, i * rows, vectors, kind, false, lo, hi, sum, before);
        TSL_UNROLL
        for (int v = 0; v < TSL_SHALLOW_SUMS; v++) before[v] = sum[v];
    }
    TSL_UNROLL
    for (int part = 0; part < TSL_SHALLOW_PARTS; part++)
        finish_part(p, (tiles - 1) * rows, part, vectors, lo, hi, before);
    return tiles * rows;
}

#endif
