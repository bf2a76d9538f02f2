// SPDX-License-Identifier: Apache-2.0
// Vectors of int16 and wrapping int32, for integer Winograd: more of vector256.h and vector512.h.
#ifndef TSL_CPU_X86_WORDS_H
#define TSL_CPU_X86_WORDS_H

#include "cpu/x86/vector.h"

#if TSL_LANES == 16
#define TSL_OF(name) _mm512_##name
TSL_INLINE tsl_vi tsl_words_from_s8(const void *from) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)from));
}
TSL_INLINE tsl_vi tsl_words_from_u8(const void *from) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)from));
}
// Of int8 in fours, the first or the second two of each as int16.
TSL_INLINE tsl_vi tsl_words_of_fours(const void *from, int second) {
    __m512i fours = _mm512_loadu_si512(from);
    if (second) fours = _mm512_srli_epi32(fours, 16);
    return _mm512_cvtepi8_epi16(_mm512_cvtepi32_epi16(fours));
}
#else
#define TSL_OF(name) _mm256_##name
TSL_INLINE tsl_vi tsl_words_from_s8(const void *from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)from));
}
TSL_INLINE tsl_vi tsl_words_from_u8(const void *from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)from));
}
TSL_INLINE tsl_vi tsl_words_of_fours(const void *from, int second) {
    // Sign extension of the wanted two bytes of each four: to the top, then back down by 8.
    __m256i fours = _mm256_loadu_si256((const __m256i *)from);
    const __m256i pick = second ? _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15,
                                      -1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15)
                                : _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,
                                      -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(fours, pick), 8);
}
#endif

TSL_INLINE tsl_vi tsl_words_add(tsl_vi a, tsl_vi b) {
    return TSL_OF(add_epi16)(a, b);
}
TSL_INLINE tsl_vi tsl_words_subtract(tsl_vi a, tsl_vi b) {
    return TSL_OF(sub_epi16)(a, b);
}
TSL_INLINE tsl_vi tsl_words_times_2(tsl_vi a) {
    return TSL_OF(add_epi16)(a, a);
}
TSL_INLINE tsl_vi tsl_words_times_4(tsl_vi a) {
    return TSL_OF(slli_epi16)(a, 2);
}
TSL_INLINE tsl_vi tsl_vi_times_2(tsl_vi a) {
    return TSL_OF(add_epi32)(a, a);
}
TSL_INLINE tsl_vi tsl_vi_times_4(tsl_vi a) {
    return TSL_OF(slli_epi32)(a, 2);
}
TSL_INLINE tsl_vi tsl_vi_multiply(tsl_vi a, tsl_vi b) {
    return TSL_OF(mullo_epi32)(a, b);
}
#define tsl_vi_shift_right(a, count) TSL_OF(srai_epi32)(a, count)

// Products of int16, added in pairs and to `sum`, wrapping.
#ifndef TSL_DOT_WORDS
TSL_INLINE tsl_vi tsl_dot_words(tsl_vi sum, tsl_vi a, tsl_vi b) {
    return tsl_vi_add(sum, TSL_OF(madd_epi16)(a, b));
}
#endif

#endif
