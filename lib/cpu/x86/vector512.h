// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 floats or int32, 64 bytes, in the names of vector256.h.
#ifndef TSL_CPU_X86_VECTOR512_H
#define TSL_CPU_X86_VECTOR512_H

#include <immintrin.h>

#include "cpu/x86/bytes.h"

#define TSL_LANES 16
#define TSL_VECTOR_BYTES 64
#define TSL_PANEL_VECTORS (TSL_PANEL / TSL_LANES)

typedef __m512 tsl_vf;
typedef __m512i tsl_vi;

TSL_INLINE tsl_vf tsl_vf_load(const float *from) {
    return _mm512_loadu_ps(from);
}
TSL_INLINE void tsl_vf_store(float *to, tsl_vf v) {
    _mm512_storeu_ps(to, v);
}
TSL_INLINE tsl_vf tsl_vf_set(float v) {
    return _mm512_set1_ps(v);
}
TSL_INLINE tsl_vf tsl_vf_add(tsl_vf a, tsl_vf b) {
    return _mm512_add_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_subtract(tsl_vf a, tsl_vf b) {
    return _mm512_sub_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_multiply(tsl_vf a, tsl_vf b) {
    return _mm512_mul_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_multiply_add(tsl_vf a, tsl_vf b, tsl_vf c) {
    return _mm512_fmadd_ps(a, b, c);
}

// Not a number stays so.
TSL_INLINE tsl_vf tsl_vf_clamp(tsl_vf y, tsl_vf lo, tsl_vf hi) {
    return _mm512_min_ps(hi, _mm512_max_ps(lo, y));
}

// Not a number becomes lo.
TSL_INLINE tsl_vi tsl_vf_requantize(tsl_vf y, tsl_vf lo, tsl_vf hi) {
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(y, lo), hi));
}

// Of |y| < 2^31.
TSL_INLINE tsl_vi tsl_vf_to_nearest(tsl_vf y) {
    return _mm512_cvtps_epi32(y);
}
TSL_INLINE tsl_vi tsl_vi_clamp_bytes(tsl_vi v, tsl_vi lo, tsl_vi hi) {
    return _mm512_min_epi8(_mm512_max_epi8(v, lo), hi);
}

TSL_INLINE __mmask16 tsl_lane_mask(size_t count) {
    return (__mmask16)((1u << count) - 1u);
}

// The first `count` lanes, fewer than TSL_LANES; nothing else in memory is touched.
TSL_INLINE tsl_vf tsl_vf_load_few(const float *from, size_t count) {
    return _mm512_maskz_loadu_ps(tsl_lane_mask(count), from);
}
TSL_INLINE void tsl_vf_store_few(float *to, tsl_vf v, size_t count) {
    _mm512_mask_storeu_ps(to, tsl_lane_mask(count), v);
}

TSL_INLINE tsl_vi tsl_vi_load(const void *from) {
    return _mm512_loadu_si512(from);
}
TSL_INLINE void tsl_vi_store(void *to, tsl_vi v) {
    _mm512_storeu_si512(to, v);
}
TSL_INLINE tsl_vi tsl_vi_zero(void) {
    return _mm512_setzero_si512();
}
TSL_INLINE tsl_vi tsl_vi_set_bytes(int byte) {
    return _mm512_set1_epi8((char)byte);
}
TSL_INLINE tsl_vi tsl_vi_add(tsl_vi a, tsl_vi b) {
    return _mm512_add_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_subtract(tsl_vi a, tsl_vi b) {
    return _mm512_sub_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_xor(tsl_vi a, tsl_vi b) {
    return _mm512_xor_si512(a, b);
}
TSL_INLINE tsl_vi tsl_vi_multiply_32(tsl_vi a, tsl_vi b) {
    return _mm512_mullo_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_times_128(tsl_vi a) {
    return _mm512_slli_epi32(a, 7);
}
TSL_INLINE tsl_vf tsl_vi_to_float(tsl_vi a) {
    return _mm512_cvtepi32_ps(a);
}

// The same four bytes in every int32.
TSL_INLINE tsl_vi tsl_vi_broadcast(const void *four_bytes) {
    int32_t word;
    memcpy(&word, four_bytes, 4);
    return _mm512_set1_epi32(word);
}

// The first `count` bytes, fewer than TSL_VECTOR_BYTES, and zeros.
TSL_INLINE tsl_vi tsl_vi_load_few(const void *from, size_t count) {
    return _mm512_maskz_loadu_epi8((UINT64_C(1) << count) - 1, from);
}
// In pieces: some processors are slow at storing under a mask of bytes.
TSL_INLINE void tsl_vi_store_few(void *to, tsl_vi v, size_t count) {
    char *bytes = to;
    __m256i half = _mm512_castsi512_si256(v);
    if (count & 32) {
        _mm256_storeu_si256((__m256i *)(void *)bytes, half);
        bytes += 32;
        half = _mm512_extracti64x4_epi64(v, 1);
    }
    __m128i quarter = _mm256_castsi256_si128(half);
    if (count & 16) {
        _mm_storeu_si128((__m128i *)(void *)bytes, quarter);
        bytes += 16;
        quarter = _mm256_extracti128_si256(half, 1);
    }
    tsl_store_few_of_16(bytes, quarter, count & 15);
}

// A panel's 16 channels as int8, from and to int32 within -128..127.
TSL_INLINE void tsl_panel_load_s8(const int8_t *from, tsl_vi v[TSL_PANEL_VECTORS]) {
    v[0] = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}
TSL_INLINE void tsl_panel_store_s8(int8_t *to, const tsl_vi v[TSL_PANEL_VECTORS]) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(v[0]));
}

// Within each 16 bytes: the lower or the upper halves of a and b, interleaved.
TSL_INLINE tsl_vi tsl_vi_interleave_low_8(tsl_vi a, tsl_vi b) {
    return _mm512_unpacklo_epi8(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_high_8(tsl_vi a, tsl_vi b) {
    return _mm512_unpackhi_epi8(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_low_16(tsl_vi a, tsl_vi b) {
    return _mm512_unpacklo_epi16(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_high_16(tsl_vi a, tsl_vi b) {
    return _mm512_unpackhi_epi16(a, b);
}
// The way back, saturating.
TSL_INLINE tsl_vi tsl_vi_pack_32(tsl_vi low, tsl_vi high) {
    return _mm512_packs_epi32(low, high);
}
TSL_INLINE tsl_vi tsl_vi_pack_16(tsl_vi low, tsl_vi high) {
    return _mm512_packs_epi16(low, high);
}
// The uppermost byte of each int32, sign-extended.
TSL_INLINE tsl_vi tsl_vi_top_bytes(tsl_vi v) {
    return _mm512_srai_epi32(v, 24);
}

#endif
