// SPDX-License-Identifier: Apache-2.0
// From a real number in steps of the output to INT8, as docs/numerics.md defines it: round to nearest, ties
// to even, within lo..hi.
#ifndef TSL_CPU_PORTABLE_REQUANTIZE_H
#define TSL_CPU_PORTABLE_REQUANTIZE_H

#include <math.h>
#include <stdint.h>

// Not a number stays so, as in x86's min(hi, max(lo, y)), which return their second operand then.
static inline float tsl_clamp(float y, float lo, float hi) {
    y = lo > y ? lo : y;
    return hi < y ? hi : y;
}

// lo and hi are whole numbers within -128..127. Clamping comes first, so that no conversion overflows; for
// whole bounds the order changes nothing. Not a number becomes lo, as in x86's max(y, lo).
static inline int8_t tsl_requantize(float y, float lo, float hi) {
    y = y > lo ? y : lo;
    return (int8_t)nearbyintf(y < hi ? y : hi);
}

#endif
