// SPDX-License-Identifier: Apache-2.0
// Vectors of 8 floats or int32, 32 bytes: the templates of this folder are written in these names, which
// vector512.h gives to vectors twice as long.
#ifndef TSL_CPU_X86_VECTOR256_H
#define TSL_CPU_X86_VECTOR256_H

#include <immintrin.h>

#include "cpu/x86/bytes.h"

#define TSL_LANES 8
#define TSL_VECTOR_BYTES 32
#define TSL_PANEL_VECTORS (TSL_PANEL / TSL_LANES)

typedef __m256 tsl_vf;
typedef __m256i tsl_vi;

TSL_INLINE tsl_vf tsl_vf_load(const float *from) {
    return _mm256_loadu_ps(from);
}
TSL_INLINE void tsl_vf_store(float *to, tsl_vf v) {
    _mm256_storeu_ps(to, v);
}
TSL_INLINE tsl_vf tsl_vf_set(float v) {
    return _mm256_set1_ps(v);
}
TSL_INLINE tsl_vf tsl_vf_add(tsl_vf a, tsl_vf b) {
    return _mm256_add_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_subtract(tsl_vf a, tsl_vf b) {
    return _mm256_sub_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_multiply(tsl_vf a, tsl_vf b) {
    return _mm256_mul_ps(a, b);
}
TSL_INLINE tsl_vf tsl_vf_multiply_add(tsl_vf a, tsl_vf b, tsl_vf c) {
    return _mm256_fmadd_ps(a, b, c);
}

// Not a number stays so.
TSL_INLINE tsl_vf tsl_vf_clamp(tsl_vf y, tsl_vf lo, tsl_vf hi) {
    return _mm256_min_ps(hi, _mm256_max_ps(lo, y));
}

// Not a number becomes lo.
TSL_INLINE tsl_vi tsl_vf_requantize(tsl_vf y, tsl_vf lo, tsl_vf hi) {
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(y, lo), hi));
}

// Of |y| < 2^31.
TSL_INLINE tsl_vi tsl_vf_to_nearest(tsl_vf y) {
    return _mm256_cvtps_epi32(y);
}
TSL_INLINE tsl_vi tsl_vi_clamp_bytes(tsl_vi v, tsl_vi lo, tsl_vi hi) {
    return _mm256_min_epi8(_mm256_max_epi8(v, lo), hi);
}

TSL_INLINE __m256i tsl_lane_mask(size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// The first `count` lanes, fewer than TSL_LANES; nothing else in memory is touched.
TSL_INLINE tsl_vf tsl_vf_load_few(const float *from, size_t count) {
    return _mm256_maskload_ps(from, tsl_lane_mask(count));
}
TSL_INLINE void tsl_vf_store_few(float *to, tsl_vf v, size_t count) {
    _mm256_maskstore_ps(to, tsl_lane_mask(count), v);
}

TSL_INLINE tsl_vi tsl_vi_load(const void *from) {
    return _mm256_loadu_si256((const __m256i *)from);
}
TSL_INLINE void tsl_vi_store(void *to, tsl_vi v) {
    _mm256_storeu_si256((__m256i *)to, v);
}
TSL_INLINE tsl_vi tsl_vi_zero(void) {
    return _mm256_setzero_si256();
}
TSL_INLINE tsl_vi tsl_vi_set_bytes(int byte) {
    return _mm256_set1_epi8((char)byte);
}
TSL_INLINE tsl_vi tsl_vi_add(tsl_vi a, tsl_vi b) {
    return _mm256_add_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_subtract(tsl_vi a, tsl_vi b) {
    return _mm256_sub_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_xor(tsl_vi a, tsl_vi b) {
    return _mm256_xor_si256(a, b);
}
TSL_INLINE tsl_vi tsl_vi_multiply_32(tsl_vi a, tsl_vi b) {
    return _mm256_mullo_epi32(a, b);
}
TSL_INLINE tsl_vi tsl_vi_times_128(tsl_vi a) {
    return _mm256_slli_epi32(a, 7);
}
TSL_INLINE tsl_vf tsl_vi_to_float(tsl_vi a) {
    return _mm256_cvtepi32_ps(a);
}

// The same four bytes in every int32.
TSL_INLINE tsl_vi tsl_vi_broadcast(const void *four_bytes) {
    int32_t word;
    memcpy(&word, four_bytes, 4);
    return _mm256_set1_epi32(word);
}

// The first `count` bytes, fewer than TSL_VECTOR_BYTES, and zeros.
TSL_INLINE tsl_vi tsl_vi_load_few(const void *from, size_t count) {
    const char *bytes = from;
    if (count < 16) return _mm256_zextsi128_si256(tsl_load_few_to_16(bytes, count));
    __m128i low = tsl_load_few_to_16(bytes, 16);
    if (count == 16) return _mm256_zextsi128_si256(low);
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(low), tsl_load_few_to_16(bytes + 16, count - 16), 1);
}
// In pieces: some processors are slow at storing under a mask of bytes.
TSL_INLINE void tsl_vi_store_few(void *to, tsl_vi v, size_t count) {
    char *bytes = to;
    __m256i half = v;
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
    v[0] = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
    v[1] = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(from + 8)));
}
TSL_INLINE void tsl_panel_store_s8(int8_t *to, const tsl_vi v[TSL_PANEL_VECTORS]) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v[0], v[1]), 0xD8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)to, bytes);
}

// Within each 16 bytes: the lower or the upper halves of a and b, interleaved.
TSL_INLINE tsl_vi tsl_vi_interleave_low_8(tsl_vi a, tsl_vi b) {
    return _mm256_unpacklo_epi8(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_high_8(tsl_vi a, tsl_vi b) {
    return _mm256_unpackhi_epi8(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_low_16(tsl_vi a, tsl_vi b) {
    return _mm256_unpacklo_epi16(a, b);
}
TSL_INLINE tsl_vi tsl_vi_interleave_high_16(tsl_vi a, tsl_vi b) {
    return _mm256_unpackhi_epi16(a, b);
}
// The way back, saturating.
TSL_INLINE tsl_vi tsl_vi_pack_32(tsl_vi low, tsl_vi high) {
    return _mm256_packs_epi32(low, high);
}
TSL_INLINE tsl_vi tsl_vi_pack_16(tsl_vi low, tsl_vi high) {
    return _mm256_packs_epi16(low, high);
}
// The uppermost byte of each int32, sign-extended.
TSL_INLINE tsl_vi tsl_vi_top_bytes(tsl_vi v) {
    return _mm256_srai_epi32(v, 24);
}

#endif
