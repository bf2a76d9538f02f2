// SPDX-License-Identifier: Apache-2.0
// What the kernels of every x86 level need besides vectors: addresses, and copies of a few bytes.
#ifndef TSL_CPU_X86_BYTES_H
#define TSL_CPU_X86_BYTES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cpu/kernels.h"

// The templates are specialised by constant arguments: that works only when everything is inlined.
#define TSL_INLINE static inline __attribute__((always_inline, unused))

// Before a loop over an array of vectors: unrolled, or the array would live in memory.
#if defined(__clang__)
#define TSL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TSL_UNROLL _Pragma("GCC unroll 64")
#endif

TSL_INLINE const float *tsl_floats_at(const void *base, ptrdiff_t bytes) {
    return (const float *)(const void *)((const char *)base + bytes);
}

TSL_INLINE float *tsl_writable_floats_at(void *base, ptrdiff_t bytes) {
    return (float *)(void *)((char *)base + bytes);
}

// memcpy of fewer than 2 * largest bytes in moves of fixed sizes, largest (at most 32) and less: rows end in
// such pieces often enough that a call would show.
TSL_INLINE void tsl_copy_few_of(void *to, const void *from, size_t bytes, size_t largest) {
    char *t = to;
    const char *f = from;
    for (size_t size = largest; size > 0; size /= 2) {
        if (!(bytes & size)) continue;
        switch (size) {
        case 32:
            memcpy(t, f, 32);
            break;
        case 16:
            memcpy(t, f, 16);
            break;
        case 8:
            memcpy(t, f, 8);
            break;
        case 4:
            memcpy(t, f, 4);
            break;
        case 2:
            memcpy(t, f, 2);
            break;
        default:
            *t = *f;
        }
        t += size;
        f += size;
    }
}

TSL_INLINE void tsl_copy_few(void *to, const void *from, size_t bytes) {
    tsl_copy_few_of(to, from, bytes, 32);
}

// The lowest `count` bytes of word, fewer than 8.
TSL_INLINE void tsl_store_few_of_word(char *to, uint64_t word, size_t count) {
    if (count & 4) {
        memcpy(to, &word, 4);
        to += 4;
        word >>= 32;
    }
    if (count & 2) {
        memcpy(to, &word, 2);
        to += 2;
        word >>= 16;
    }
    if (count & 1) *to = (char)word;
}

// The first `count` bytes, at most 16.
TSL_INLINE void tsl_store_few_of_16(char *to, __m128i v, size_t count) {
    if (count & 16) {
        _mm_storeu_si128((__m128i *)(void *)to, v);
        return;
    }
    if (count & 8) {
        _mm_storel_epi64((__m128i *)(void *)to, v);
        to += 8;
        v = _mm_unpackhi_epi64(v, v);
    }
    tsl_store_few_of_word(to, (uint64_t)_mm_cvtsi128_si64(v), count & 7);
}

// The first `count` bytes, at most 16, and zeros.
TSL_INLINE __m128i tsl_load_few_to_16(const char *from, size_t count) {
    if (count & 16) return _mm_loadu_si128((const __m128i *)(const void *)from);
    if (count == 8) return _mm_loadl_epi64((const __m128i *)(const void *)from);
    char bytes[16] = {0};
    tsl_copy_few_of(bytes, from, count, 8);
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

TSL_INLINE size_t tsl_smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// Rows of each tile when m rows are shared out evenly over the fewest tiles of at most `most` rows: 49 rows
// by 14 are 13 + 13 + 13 + 10, where 14 + 14 + 14 + 7 would end in a tile too small to hide latencies.
TSL_INLINE size_t tsl_tile_rows(size_t m, size_t most) {
    size_t tiles = (m + most - 1) / most;
    return tiles ? (m + tiles - 1) / tiles : 1;
}

#endif
