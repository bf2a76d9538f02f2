// SPDX-License-Identifier: Apache-2.0
// What NEON kernels share: addresses, clamping, and the end of INT8 kernels as kernels.h defines it.
#ifndef TSL_CPU_NEON_FINISH_H
#define TSL_CPU_NEON_FINISH_H

#include <arm_neon.h>
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

TSL_INLINE size_t tsl_smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// Not a number stays so; NEON's own minimum and maximum would change its bits, and the sign of zeros.
TSL_INLINE float32x4_t tsl_neon_clamp(float32x4_t y, float32x4_t lo, float32x4_t hi) {
    y = vbslq_f32(vcgtq_f32(lo, y), lo, y);
    return vbslq_f32(vcltq_f32(hi, y), hi, y);
}

// Not a number becomes lo.
TSL_INLINE int32x4_t tsl_neon_requantize(float32x4_t y, float32x4_t lo, float32x4_t hi) {
    y = vbslq_f32(vcgtq_f32(y, lo), y, lo);
    return vcvtnq_s32_f32(vbslq_f32(vcltq_f32(y, hi), y, hi));
}

TSL_INLINE void tsl_neon_spill(const int32x4_t sums[4], int32_t *to) {
    TSL_UNROLL
    for (int v = 0; v < 4; v++) vst1q_s32(to + 4 * v, sums[v]);
}

// Sixteen sums of one row, or the first `count` of them, become outputs. Pointers stand at the first channel.
typedef struct tsl_neon_output {
    const float *scale, *bias;
    const int8_t *z; // or NULL
    float z_scale, lo, hi;
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
} tsl_neon_output;

TSL_INLINE void tsl_neon_finish(const tsl_neon_output *o, const int32x4_t sums[4], size_t count) {
    float32x4_t y[4], lo = vdupq_n_f32(o->lo), hi = vdupq_n_f32(o->hi);
    TSL_UNROLL
    for (int v = 0; v < 4; v++)
        y[v] = vfmaq_f32(vld1q_f32(o->bias + 4 * v), vcvtq_f32_s32(sums[v]), vld1q_f32(o->scale + 4 * v));
    if (o->z) {
        int8_t bytes[TSL_PANEL] = {0};
        memcpy(bytes, o->z, count);
        int8x16_t z = vld1q_s8(bytes);
        int16x8_t words[2] = {vmovl_s8(vget_low_s8(z)), vmovl_high_s8(z)};
        TSL_UNROLL
        for (int v = 0; v < 4; v++) {
            int32x4_t wide = v % 2 ? vmovl_high_s16(words[v / 2]) : vmovl_s16(vget_low_s16(words[v / 2]));
            y[v] = vfmaq_n_f32(y[v], vcvtq_f32_s32(wide), o->z_scale);
        }
    }
    if (o->c_s8) {
        int32x4_t q[4];
        TSL_UNROLL
        for (int v = 0; v < 4; v++) q[v] = tsl_neon_requantize(y[v], lo, hi);
        int16x8_t low = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]));
        int16x8_t high = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));
        int8x16_t bytes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
        if (count >= TSL_PANEL) {
            vst1q_s8(o->c_s8, bytes);
        } else {
            int8_t few[TSL_PANEL];
            vst1q_s8(few, bytes);
            memcpy(o->c_s8, few, count);
        }
    } else {
        float few[TSL_PANEL];
        TSL_UNROLL
        for (int v = 0; v < 4; v++) vst1q_f32(few + 4 * v, tsl_neon_clamp(y[v], lo, hi));
        memcpy(o->c_f32, few, count * sizeof(float));
    }
}

#endif
