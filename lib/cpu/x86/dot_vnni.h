// SPDX-License-Identifier: Apache-2.0
// Four products and their sum by VNNI's vpdpbusd (u8 x s8, never saturating). Signed activations become
// unsigned by adding 128, which the caller makes good: tsl_shift.
//
// In assembly, because gcc 12 otherwise copies sums about. With 32-byte vectors there are two encodings, of
// AVX-VNNI and of AVX-512: tests of the one on a machine that only has the other define TSL_VNNI_EVEX.
#ifndef TSL_CPU_X86_DOT_VNNI_H
#define TSL_CPU_X86_DOT_VNNI_H

#include "cpu/x86/vector.h"

#if TSL_LANES == 8 && !defined(TSL_VNNI_EVEX)
#define TSL_VPDPBUSD "%{vex%} vpdpbusd %2, %1, %0"
#else
#define TSL_VPDPBUSD "vpdpbusd %2, %1, %0"
#endif

// What kernels subtract from activations of this kind: 128, -128 or nothing.
TSL_INLINE int tsl_shift(tsl_activation_kind kind) {
    return kind == TSL_ACTIVATION_S8 ? -128 : 0;
}

typedef tsl_vi tsl_activation;

TSL_INLINE tsl_activation tsl_activation_of(tsl_vi bytes, tsl_activation_kind kind) {
    return kind == TSL_ACTIVATION_S8 ? tsl_vi_xor(bytes, tsl_vi_set_bytes(-128)) : bytes;
}

// sum + four products in every int32.
TSL_INLINE tsl_vi tsl_dot_vectors(tsl_vi sum, tsl_activation a, tsl_vi w) {
#if TSL_LANES == 8 && !defined(TSL_VNNI_EVEX)
    __asm__(TSL_VPDPBUSD : "+x"(sum) : "x"(a), "x"(w));
#else
    __asm__(TSL_VPDPBUSD : "+v"(sum) : "v"(a), "v"(w));
#endif
    return sum;
}

TSL_INLINE tsl_vi tsl_dot(tsl_vi sum, tsl_activation a, const void *weights, tsl_activation_kind kind) {
    (void)kind;
    return tsl_dot_vectors(sum, a, tsl_vi_load(weights));
}

#endif
