// SPDX-License-Identifier: Apache-2.0
// Two int16 products and their sum by VNNI's vpdpwssd (never saturating), in assembly as in dot_vnni.h.
#ifndef TSL_CPU_X86_DOT_WORDS_VNNI_H
#define TSL_CPU_X86_DOT_WORDS_VNNI_H

#include "cpu/x86/vector.h"

#define TSL_DOT_WORDS
TSL_INLINE tsl_vi tsl_dot_words(tsl_vi sum, tsl_vi a, tsl_vi b) {
#if TSL_LANES == 8 && !defined(TSL_VNNI_EVEX)
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#endif
    return sum;
}

#endif
