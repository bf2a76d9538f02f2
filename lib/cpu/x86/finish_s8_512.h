// SPDX-License-Identifier: Apache-2.0
// The end of an INT8 product's tile with 64-byte vectors: four vectors of sums, of one row or of several,
// become 64 bytes at once. Sums are packed with saturation and clamped as bytes; that is right where
// |y| < 2^31, which a look at the coefficients proves (tsl_is_bounded). What is not so, and floats, go row by
// row.
//
// Sums of the highest tiles are finished in registers. Those of others come through memory: a tile has many
// shapes, and this is compiled once for each width only.
#ifndef TSL_CPU_X86_FINISH_S8_512_H
#define TSL_CPU_X86_FINISH_S8_512_H

#include "cpu/x86/vector512.h"

// |acc| <= 2^31, so |acc * scale + bias + z * z_scale| stays below 2^30 + 2^29 + 2^28. False for anything
// that is not a number.
static inline bool tsl_is_bounded(const float *scale, const float *bias, size_t n, float z_scale) {
    const __m512 most_scale = _mm512_set1_ps(0.5f), most_bias = _mm512_set1_ps(0x1p29f);
    if (!(z_scale <= 0x1p21f && z_scale >= -0x1p21f)) return false;
    for (size_t j = 0; j < n; j += TSL_PANEL) { // both are padded
        __mmask16 fits = _mm512_cmp_ps_mask(_mm512_abs_ps(tsl_vf_load(scale + j)), most_scale, _CMP_LE_OQ);
        fits &= _mm512_cmp_ps_mask(_mm512_abs_ps(tsl_vf_load(bias + j)), most_bias, _CMP_LE_OQ);
        if (fits != 0xffff) return false;
    }
    return true;
}

// The residual of one panel, of which `count` channels are there.
TSL_INLINE tsl_vf tsl_load_residual(const int8_t *z, size_t count) {
    __m128i bytes = count >= TSL_PANEL ? _mm_loadu_si128((const __m128i *)(const void *)z)
                                       : tsl_load_few_to_16((const char *)z, count);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

// The results of four panels as bytes, panel after panel.
TSL_INLINE tsl_vi tsl_pack_panels(const tsl_vf y[4], tsl_vi lo, tsl_vi hi) {
    const tsl_vi order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    tsl_vi low = tsl_vi_pack_32(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1]));
    tsl_vi high = tsl_vi_pack_32(_mm512_cvtps_epi32(y[2]), _mm512_cvtps_epi32(y[3]));
    tsl_vi bytes = _mm512_permutexvar_epi32(order, tsl_vi_pack_16(low, high));
    return _mm512_min_epi8(_mm512_max_epi8(bytes, lo), hi);
}

// `rows` rows of `panels` panels, together at most four. All but `absent` channels of the last panel are
// there.
TSL_INLINE void tsl_store_panels(const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel,
    const int panels, size_t absent, tsl_vi bytes) {
    int8_t *c = g->c_s8 + channel;
    if (absent) {
        char pieces[64];
        tsl_vi_store(pieces, bytes);
        const size_t width = (size_t)panels * TSL_PANEL;
        for (size_t r = 0; r < rows && r < 64 / width; r++)
            tsl_copy_few(c + g->c_row[row + r], pieces + r * width, width - absent);
    } else if (panels == 4) {
        tsl_vi_store(c + g->c_row[row], bytes);
    } else if (panels == 2) {
        _mm256_storeu_si256((__m256i *)(void *)(c + g->c_row[row]), _mm512_castsi512_si256(bytes));
        if (rows > 1)
            _mm256_storeu_si256(
                (__m256i *)(void *)(c + g->c_row[row + 1]), _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        __m128i piece[4] = {_mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1),
            _mm512_extracti32x4_epi32(bytes, 2), _mm512_extracti32x4_epi32(bytes, 3)};
        TSL_UNROLL
        for (size_t r = 0; r < 4; r++)
            if (r < rows) _mm_storeu_si128((__m128i *)(void *)(c + g->c_row[row + r]), piece[r]);
    }
}

// Bounded sums from memory.
TSL_INLINE void tsl_finish_memory(const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel,
    const int panels, size_t absent, const int32_t *sums, const bool residual) {
    const size_t step = 4 / (size_t)panels; // rows of four vectors
    const tsl_vi lo = tsl_vi_set_bytes((int)g->lo), hi = tsl_vi_set_bytes((int)g->hi);
    const tsl_vf z_scale = tsl_vf_set(g->z_scale);
    tsl_vf scale[4], bias[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++) {
        scale[i] = tsl_vf_load(g->scale + channel + i % panels * TSL_PANEL);
        bias[i] = tsl_vf_load(g->bias + channel + i % panels * TSL_PANEL);
    }
    for (size_t r = 0; r < rows; r += step, sums += 4 * TSL_LANES) {
        tsl_vf y[4];
        TSL_UNROLL
        for (int i = 0; i < 4; i++) { // past the last row: any
            y[i] = tsl_vf_multiply_add(tsl_vi_to_float(tsl_vi_load(sums + i * TSL_LANES)), scale[i], bias[i]);
            if (!residual) continue;
            size_t at = tsl_smaller(r + (size_t)(i / panels), rows - 1);
            const int8_t *z = g->z + g->z_row[row + at] + channel + i % panels * TSL_PANEL;
            size_t count = i % panels == panels - 1 ? TSL_PANEL - absent : TSL_PANEL;
            y[i] = tsl_vf_multiply_add(tsl_load_residual(z, count), z_scale, y[i]);
        }
        tsl_store_panels(g, row + r, rows - r, channel, panels, absent, tsl_pack_panels(y, lo, hi));
    }
}

// Bounded sums of one group of four vectors, while they are in registers.
TSL_INLINE void tsl_finish_group(const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel,
    const int panels, const tsl_vf scale[4], const tsl_vf bias[4], tsl_vi lo, tsl_vi hi, const bool residual,
    const tsl_vi sum[4]) {
    tsl_vf y[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++) {
        y[i] = tsl_vf_multiply_add(tsl_vi_to_float(sum[i]), scale[i % panels], bias[i % panels]);
        if (!residual) continue;
        const size_t at = row + tsl_smaller((size_t)(i / panels), rows - 1);
        const int8_t *z = g->z + g->z_row[at] + channel + i % panels * TSL_PANEL;
        y[i] = tsl_vf_multiply_add(tsl_load_residual(z, TSL_PANEL), tsl_vf_set(g->z_scale), y[i]);
    }
    tsl_store_panels(g, row, rows, channel, panels, 0, tsl_pack_panels(y, lo, hi));
}

// Any panel of one row: `count` channels, at most TSL_PANEL.
TSL_INLINE void tsl_finish_panel(
    const tsl_gemm_s8_args *g, size_t row, size_t channel, size_t count, const int32_t *sums) {
    tsl_vf lo = tsl_vf_set(g->lo), hi = tsl_vf_set(g->hi);
    tsl_vf y = tsl_vf_multiply_add(
        tsl_vi_to_float(tsl_vi_load(sums)), tsl_vf_load(g->scale + channel), tsl_vf_load(g->bias + channel));
    if (g->z) {
        const char *z = (const char *)g->z + g->z_row[row] + channel;
        tsl_vi bytes = _mm512_cvtepi8_epi32(tsl_load_few_to_16(z, count));
        y = tsl_vf_multiply_add(tsl_vi_to_float(bytes), tsl_vf_set(g->z_scale), y);
    }
    if (g->c_s8) {
        __m128i bytes = _mm512_cvtepi32_epi8(tsl_vf_requantize(y, lo, hi));
        tsl_store_few_of_16((char *)g->c_s8 + g->c_row[row] + channel, bytes, count);
        return;
    }
    float *c = tsl_writable_floats_at(g->c_f32, g->c_row[row]) + channel;
    if (count == TSL_PANEL)
        tsl_vf_store(c, tsl_vf_clamp(y, lo, hi));
    else
        tsl_vf_store_few(c, tsl_vf_clamp(y, lo, hi), count);
}

static __attribute__((noinline)) void tsl_finish_by_row(
    const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel, size_t panels, const int32_t *sums) {
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < panels; p++, sums += TSL_PANEL) {
            size_t at = channel + p * TSL_PANEL;
            tsl_finish_panel(g, row + r, at, tsl_smaller(g->n - at, TSL_PANEL), sums);
        }
}

#define TSL_FINISH(panels)                                                                                   \
    static __attribute__((noinline, unused)) void tsl_finish_##panels(const tsl_gemm_s8_args *g, size_t row, \
        size_t rows, size_t channel, size_t absent, const int32_t *sums) {                                   \
        if (g->z && absent)                                                                                  \
            tsl_finish_memory(g, row, rows, channel, panels, absent, sums, true);                            \
        else if (g->z)                                                                                       \
            tsl_finish_memory(g, row, rows, channel, panels, 0, sums, true);                                 \
        else if (absent)                                                                                     \
            tsl_finish_memory(g, row, rows, channel, panels, absent, sums, false);                           \
        else                                                                                                 \
            tsl_finish_memory(g, row, rows, channel, panels, 0, sums, false);                                \
    }
TSL_FINISH(1)
TSL_FINISH(2)
TSL_FINISH(4)
#undef TSL_FINISH

// `rows` rows by `panels` panels of sums.
TSL_INLINE void tsl_finish_s8(const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel,
    const int panels, bool bounded, const int32_t *sums) {
    const size_t end = channel + (size_t)panels * TSL_PANEL, absent = end > g->n ? end - g->n : 0;
    if (!g->c_s8 || !bounded)
        tsl_finish_by_row(g, row, rows, channel, (size_t)panels, sums);
    else if (panels == 4)
        tsl_finish_4(g, row, rows, channel, absent, sums);
    else if (panels == 2)
        tsl_finish_2(g, row, rows, channel, absent, sums);
    else
        tsl_finish_1(g, row, rows, channel, absent, sums);
}

#endif
