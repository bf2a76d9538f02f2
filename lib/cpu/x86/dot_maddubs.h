// SPDX-License-Identifier: Apache-2.0
// Four products and their sum without VNNI: vpmaddubsw (u8 x s8 -> s16, pairs), vpmaddwd by ones, vpaddd.
// Exact: activations 0..127 give pairs of at most 2*127*127 < 32768; signed ones go in as magnitude, with
// their sign moved to the weight, and give at most 2*128*127. Unsigned ones become signed by subtracting 128,
// which the caller makes good: tsl_shift.
//
// In assembly, because gcc 12 otherwise moves weights and sums to the stack: weights stay memory operands.
#ifndef TSL_CPU_X86_DOT_MADDUBS_H
#define TSL_CPU_X86_DOT_MADDUBS_H

#include "cpu/x86/vector.h"

// What kernels subtract from activations of this kind: 128, -128 or nothing.
TSL_INLINE int tsl_shift(tsl_activation_kind kind) {
    return kind == TSL_ACTIVATION_U8 ? 128 : 0;
}

typedef struct tsl_activation {
    tsl_vi value; // signed
    tsl_vi magnitude; // unsigned
} tsl_activation;

TSL_INLINE tsl_activation tsl_activation_of(tsl_vi bytes, tsl_activation_kind kind) {
    tsl_activation a;
    a.value = kind == TSL_ACTIVATION_U8 ? tsl_vi_xor(bytes, tsl_vi_set_bytes(-128)) : bytes;
#if TSL_LANES == 8
    a.magnitude = kind == TSL_ACTIVATION_NON_NEGATIVE ? a.value : _mm256_abs_epi8(a.value);
#else
    a.magnitude = kind == TSL_ACTIVATION_NON_NEGATIVE ? a.value : _mm512_abs_epi8(a.value);
#endif
    return a;
}

// sum + four products in every int32.
TSL_INLINE tsl_vi tsl_dot(tsl_vi sum, tsl_activation a, const void *weights, tsl_activation_kind kind) {
#if TSL_LANES == 8
    typedef struct {
        char bytes[TSL_VECTOR_BYTES];
    } memory;
    const tsl_vi ones = _mm256_set1_epi16(1);
    tsl_vi products;
    if (kind == TSL_ACTIVATION_NON_NEGATIVE) {
        __asm__("vpmaddubsw %2, %1, %0" : "=x"(products) : "x"(a.magnitude), "m"(*(const memory *)weights));
    } else {
        __asm__("vmovdqu %1, %0" : "=x"(products) : "m"(*(const memory *)weights));
        products = _mm256_maddubs_epi16(a.magnitude, _mm256_sign_epi8(products, a.value));
    }
    products = _mm256_madd_epi16(products, ones);
    __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(products));
    return sum;
#else
    const tsl_vi ones = _mm512_set1_epi16(1);
    tsl_vi w = tsl_vi_load(weights);
    if (kind != TSL_ACTIVATION_NON_NEGATIVE)
        w = _mm512_mask_sub_epi8(w, _mm512_movepi8_mask(a.value), _mm512_setzero_si512(), w);
    tsl_vi products = _mm512_madd_epi16(_mm512_maddubs_epi16(a.magnitude, w), ones);
    __asm__("vpaddd %1, %0, %0" : "+v"(sum) : "v"(products));
    return sum;
#endif
}

#endif
