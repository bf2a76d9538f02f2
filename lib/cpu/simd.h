// SPDX-License-Identifier: Apache-2.0
// Sixteen floats at a time, at whatever level the including file is compiled for: one AVX-512 register, two
// AVX2 registers, four of NEON, or an array in plain C. Kernels written on these few functions give the same
// bits at every level, sums over lanes included, because each is an exact IEEE operation and the lanes are
// always sixteen.
#ifndef TSL_CPU_SIMD_H
#define TSL_CPU_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TSL_LANES 16

// Inlining some hundred loops with a sanitizer's checks in each takes a compiler a minute and a gigabyte.
#if defined(__SANITIZE_ADDRESS__)
#define V_FUNCTION static __attribute__((noinline, unused))
#else
#define V_FUNCTION static inline
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

typedef __m512 vf;
typedef __mmask16 vm;

V_FUNCTION vf v_set(float x) {
    return _mm512_set1_ps(x);
}
V_FUNCTION vf v_load_all(const float *p) {
    return _mm512_loadu_ps(p);
}
V_FUNCTION void v_store_all(float *p, vf v) {
    _mm512_storeu_ps(p, v);
}
V_FUNCTION vf v_load_some(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
V_FUNCTION void v_store_some(float *p, vf v, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), v);
}
V_FUNCTION vf v_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
V_FUNCTION vf v_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
V_FUNCTION vf v_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
V_FUNCTION vf v_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
V_FUNCTION vf v_sqrt(vf a) {
    return _mm512_sqrt_ps(a);
}
V_FUNCTION vf v_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
V_FUNCTION vf v_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
V_FUNCTION vf v_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
V_FUNCTION vf v_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V_FUNCTION vf v_floor(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
V_FUNCTION vf v_ceil(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
V_FUNCTION vf v_abs(vf a) {
    return _mm512_abs_ps(a);
}
V_FUNCTION vf v_neg(vf a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
V_FUNCTION vm v_less(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
V_FUNCTION vm v_equal(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
V_FUNCTION vm v_is_nan(vf a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
V_FUNCTION vf v_select(vm m, vf yes, vf no) {
    return _mm512_mask_blend_ps(m, no, yes);
}
V_FUNCTION vf v_copy_sign(vf magnitude, vf sign) {
    __m512 bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
V_FUNCTION vf v_power_of_2(vf biased, uint32_t bias, int halves, int half) {
    __m512i n = _mm512_sub_epi32(_mm512_castps_si512(biased), _mm512_set1_epi32((int)bias));
    if (halves == 2) {
        __m512i first = _mm512_srai_epi32(n, 1);
        n = half == 0 ? first : _mm512_sub_epi32(n, first);
    }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}
V_FUNCTION vf v_load_s32_all(const int32_t *p) {
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}
V_FUNCTION void v_store_s8_within(int8_t *p, vf v) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
V_FUNCTION vf v_load_s8_all(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
V_FUNCTION void v_store_s8_all(int8_t *p, vf v) {
    v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
    v = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

// Four vectors at once: packed, they take fewer instructions.
#define V_STORES_FOUR
V_FUNCTION void v_store_s8_four(int8_t *p, const vf v[4]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i q[4];
    for (int i = 0; i < 4; i++) {
        vf y = _mm512_min_ps(_mm512_max_ps(v[i], _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
        q[i] = _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(v[i], v[i], _CMP_ORD_Q), y);
    }
    __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, bytes));
}

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

typedef struct vf {
    __m256 r[2];
} vf;
typedef vf vm; // lanes of all ones or all zeros

#define V_UNARY(expression)                                                                                  \
    vf y;                                                                                                    \
    for (int i = 0; i < 2; i++) y.r[i] = expression;                                                         \
    return y

V_FUNCTION vf v_set(float x) {
    V_UNARY(_mm256_set1_ps(x));
}
V_FUNCTION vf v_load_all(const float *p) {
    V_UNARY(_mm256_loadu_ps(p + 8 * i));
}
V_FUNCTION void v_store_all(float *p, vf v) {
    _mm256_storeu_ps(p, v.r[0]);
    _mm256_storeu_ps(p + 8, v.r[1]);
}
V_FUNCTION vf v_load_some(const float *p, size_t n) {
    float buffer[TSL_LANES] = {0};
    memcpy(buffer, p, n * sizeof(float));
    return v_load_all(buffer);
}
V_FUNCTION void v_store_some(float *p, vf v, size_t n) {
    float buffer[TSL_LANES];
    v_store_all(buffer, v);
    memcpy(p, buffer, n * sizeof(float));
}
V_FUNCTION vf v_add(vf a, vf b) {
    V_UNARY(_mm256_add_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_sub(vf a, vf b) {
    V_UNARY(_mm256_sub_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_mul(vf a, vf b) {
    V_UNARY(_mm256_mul_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_div(vf a, vf b) {
    V_UNARY(_mm256_div_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_sqrt(vf a) {
    V_UNARY(_mm256_sqrt_ps(a.r[i]));
}
V_FUNCTION vf v_fma(vf a, vf b, vf c) {
    V_UNARY(_mm256_fmadd_ps(a.r[i], b.r[i], c.r[i]));
}
V_FUNCTION vf v_max(vf a, vf b) {
    V_UNARY(_mm256_max_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_min(vf a, vf b) {
    V_UNARY(_mm256_min_ps(a.r[i], b.r[i]));
}
V_FUNCTION vf v_round(vf a) {
    V_UNARY(_mm256_round_ps(a.r[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_FUNCTION vf v_floor(vf a) {
    V_UNARY(_mm256_round_ps(a.r[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
V_FUNCTION vf v_ceil(vf a) {
    V_UNARY(_mm256_round_ps(a.r[i], _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
}
V_FUNCTION vf v_abs(vf a) {
    V_UNARY(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.r[i]));
}
V_FUNCTION vf v_neg(vf a) {
    V_UNARY(_mm256_xor_ps(_mm256_set1_ps(-0.0f), a.r[i]));
}
V_FUNCTION vm v_less(vf a, vf b) {
    V_UNARY(_mm256_cmp_ps(a.r[i], b.r[i], _CMP_LT_OQ));
}
V_FUNCTION vm v_equal(vf a, vf b) {
    V_UNARY(_mm256_cmp_ps(a.r[i], b.r[i], _CMP_EQ_OQ));
}
V_FUNCTION vm v_is_nan(vf a) {
    V_UNARY(_mm256_cmp_ps(a.r[i], a.r[i], _CMP_UNORD_Q));
}
V_FUNCTION vf v_select(vm m, vf yes, vf no) {
    V_UNARY(_mm256_blendv_ps(no.r[i], yes.r[i], m.r[i]));
}
V_FUNCTION vf v_copy_sign(vf magnitude, vf sign) {
    __m256 bit = _mm256_set1_ps(-0.0f);
    V_UNARY(_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.r[i]), _mm256_and_ps(bit, sign.r[i])));
}
V_FUNCTION vf v_power_of_2(vf biased, uint32_t bias, int halves, int half) {
    vf y;
    for (int i = 0; i < 2; i++) {
        __m256i n = _mm256_sub_epi32(_mm256_castps_si256(biased.r[i]), _mm256_set1_epi32((int)bias));
        if (halves == 2) {
            __m256i first = _mm256_srai_epi32(n, 1);
            n = half == 0 ? first : _mm256_sub_epi32(n, first);
        }
        n = _mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23);
        y.r[i] = _mm256_castsi256_ps(n);
    }
    return y;
}
V_FUNCTION vf v_load_s32_all(const int32_t *p) {
    V_UNARY(_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p + 8 * i))));
}
V_FUNCTION void v_store_s8_within(int8_t *p, vf v) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.r[0]), _mm256_cvtps_epi32(v.r[1]));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128((__m128i *)(void *)p,
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
V_FUNCTION vf v_load_s8_all(const int8_t *p) {
    V_UNARY(_mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * i)))));
}
V_FUNCTION void v_store_s8_all(int8_t *p, vf v) {
    __m256i whole[2];
    for (int i = 0; i < 2; i++) {
        __m256 x = _mm256_and_ps(v.r[i], _mm256_cmp_ps(v.r[i], v.r[i], _CMP_ORD_Q));
        x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-128.0f)), _mm256_set1_ps(127.0f));
        whole[i] = _mm256_cvtps_epi32(x);
    }
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(whole[0], whole[1]), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)p,
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
#undef V_UNARY

// AArch64 always has NEON, so the file says by this definition that it means it: portable C stays plain.
#elif defined(TSL_SIMD_NEON)

#include <arm_neon.h>

typedef struct vf {
    float32x4_t r[4];
} vf;
typedef struct vm {
    uint32x4_t r[4];
} vm;

#define V_QUARTERS(type, expression)                                                                         \
    type y;                                                                                                  \
    for (int i = 0; i < 4; i++) y.r[i] = expression;                                                         \
    return y

V_FUNCTION vf v_set(float x) {
    V_QUARTERS(vf, vdupq_n_f32(x));
}
V_FUNCTION vf v_load_all(const float *p) {
    V_QUARTERS(vf, vld1q_f32(p + 4 * i));
}
V_FUNCTION void v_store_all(float *p, vf v) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, v.r[i]);
}
V_FUNCTION vf v_load_some(const float *p, size_t n) {
    float buffer[TSL_LANES] = {0};
    memcpy(buffer, p, n * sizeof(float));
    return v_load_all(buffer);
}
V_FUNCTION void v_store_some(float *p, vf v, size_t n) {
    float buffer[TSL_LANES];
    v_store_all(buffer, v);
    memcpy(p, buffer, n * sizeof(float));
}
V_FUNCTION vf v_add(vf a, vf b) {
    V_QUARTERS(vf, vaddq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vf v_sub(vf a, vf b) {
    V_QUARTERS(vf, vsubq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vf v_mul(vf a, vf b) {
    V_QUARTERS(vf, vmulq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vf v_div(vf a, vf b) {
    V_QUARTERS(vf, vdivq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vf v_sqrt(vf a) {
    V_QUARTERS(vf, vsqrtq_f32(a.r[i]));
}
V_FUNCTION vf v_fma(vf a, vf b, vf c) {
    V_QUARTERS(vf, vfmaq_f32(c.r[i], a.r[i], b.r[i]));
}
// NEON's own minimum and maximum order zeros by sign and prefer NaN.
V_FUNCTION vf v_max(vf a, vf b) {
    V_QUARTERS(vf, vbslq_f32(vcgtq_f32(a.r[i], b.r[i]), a.r[i], b.r[i]));
}
V_FUNCTION vf v_min(vf a, vf b) {
    V_QUARTERS(vf, vbslq_f32(vcltq_f32(a.r[i], b.r[i]), a.r[i], b.r[i]));
}
V_FUNCTION vf v_round(vf a) {
    V_QUARTERS(vf, vrndnq_f32(a.r[i]));
}
V_FUNCTION vf v_floor(vf a) {
    V_QUARTERS(vf, vrndmq_f32(a.r[i]));
}
V_FUNCTION vf v_ceil(vf a) {
    V_QUARTERS(vf, vrndpq_f32(a.r[i]));
}
V_FUNCTION vf v_abs(vf a) {
    V_QUARTERS(vf, vabsq_f32(a.r[i]));
}
V_FUNCTION vf v_neg(vf a) {
    V_QUARTERS(vf, vnegq_f32(a.r[i]));
}
V_FUNCTION vm v_less(vf a, vf b) {
    V_QUARTERS(vm, vcltq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vm v_equal(vf a, vf b) {
    V_QUARTERS(vm, vceqq_f32(a.r[i], b.r[i]));
}
V_FUNCTION vm v_is_nan(vf a) {
    V_QUARTERS(vm, vmvnq_u32(vceqq_f32(a.r[i], a.r[i])));
}
V_FUNCTION vf v_select(vm m, vf yes, vf no) {
    V_QUARTERS(vf, vbslq_f32(m.r[i], yes.r[i], no.r[i]));
}
V_FUNCTION vf v_copy_sign(vf magnitude, vf sign) {
    V_QUARTERS(vf, vbslq_f32(vdupq_n_u32(0x80000000u), sign.r[i], magnitude.r[i]));
}
V_FUNCTION vf v_power_of_2(vf biased, uint32_t bias, int halves, int half) {
    vf y;
    for (int i = 0; i < 4; i++) {
        int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(biased.r[i]), vdupq_n_s32((int32_t)bias));
        if (halves == 2) {
            int32x4_t first = vshrq_n_s32(n, 1);
            n = half == 0 ? first : vsubq_s32(n, first);
        }
        y.r[i] = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
    }
    return y;
}
V_FUNCTION vf v_load_s32_all(const int32_t *p) {
    V_QUARTERS(vf, vcvtq_f32_s32(vld1q_s32(p + 4 * i)));
}
V_FUNCTION vf v_load_s8_all(const int8_t *p) {
    int16x8_t low = vmovl_s8(vld1_s8(p)), high = vmovl_s8(vld1_s8(p + 8));
    return (vf){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}
// Converting makes NaN 0; narrowing saturates.
V_FUNCTION void v_store_s8_all(int8_t *p, vf v) {
    int16x4_t words[4];
    for (int i = 0; i < 4; i++) words[i] = vqmovn_s32(vcvtnq_s32_f32(v.r[i]));
    vst1_s8(p, vqmovn_s16(vcombine_s16(words[0], words[1])));
    vst1_s8(p + 8, vqmovn_s16(vcombine_s16(words[2], words[3])));
}
V_FUNCTION void v_store_s8_within(int8_t *p, vf v) {
    v_store_s8_all(p, v);
}
#undef V_QUARTERS

#else

typedef struct vf {
    float lane[TSL_LANES];
} vf;
typedef struct vm {
    uint8_t lane[TSL_LANES];
} vm;

#define V_LANES(type, expression)                                                                            \
    type y;                                                                                                  \
    for (int i = 0; i < TSL_LANES; i++) y.lane[i] = expression;                                              \
    return y

V_FUNCTION vf v_set(float x) {
    V_LANES(vf, x);
}
V_FUNCTION vf v_load_all(const float *p) {
    V_LANES(vf, p[i]);
}
V_FUNCTION void v_store_all(float *p, vf v) {
    memcpy(p, v.lane, sizeof v.lane);
}
V_FUNCTION vf v_load_some(const float *p, size_t n) {
    vf y = {{0}};
    memcpy(y.lane, p, n * sizeof(float));
    return y;
}
V_FUNCTION void v_store_some(float *p, vf v, size_t n) {
    memcpy(p, v.lane, n * sizeof(float));
}
V_FUNCTION vf v_add(vf a, vf b) {
    V_LANES(vf, a.lane[i] + b.lane[i]);
}
V_FUNCTION vf v_sub(vf a, vf b) {
    V_LANES(vf, a.lane[i] - b.lane[i]);
}
V_FUNCTION vf v_mul(vf a, vf b) {
    V_LANES(vf, a.lane[i] * b.lane[i]);
}
V_FUNCTION vf v_div(vf a, vf b) {
    V_LANES(vf, a.lane[i] / b.lane[i]);
}
V_FUNCTION vf v_sqrt(vf a) {
    V_LANES(vf, sqrtf(a.lane[i]));
}
V_FUNCTION vf v_fma(vf a, vf b, vf c) {
    V_LANES(vf, fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
// As the instructions do: the second operand when either is NaN or both are zeros.
V_FUNCTION vf v_max(vf a, vf b) {
    V_LANES(vf, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
V_FUNCTION vf v_min(vf a, vf b) {
    V_LANES(vf, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
V_FUNCTION vf v_round(vf a) {
    V_LANES(vf, rintf(a.lane[i]));
}
V_FUNCTION vf v_floor(vf a) {
    V_LANES(vf, floorf(a.lane[i]));
}
V_FUNCTION vf v_ceil(vf a) {
    V_LANES(vf, ceilf(a.lane[i]));
}
V_FUNCTION vf v_abs(vf a) {
    V_LANES(vf, fabsf(a.lane[i]));
}
V_FUNCTION vf v_neg(vf a) {
    V_LANES(vf, -a.lane[i]);
}
V_FUNCTION vm v_less(vf a, vf b) {
    V_LANES(vm, a.lane[i] < b.lane[i]);
}
V_FUNCTION vm v_equal(vf a, vf b) {
    V_LANES(vm, a.lane[i] == b.lane[i]);
}
V_FUNCTION vm v_is_nan(vf a) {
    V_LANES(vm, a.lane[i] != a.lane[i]);
}
V_FUNCTION vf v_select(vm m, vf yes, vf no) {
    V_LANES(vf, m.lane[i] ? yes.lane[i] : no.lane[i]);
}
V_FUNCTION vf v_copy_sign(vf magnitude, vf sign) {
    V_LANES(vf, copysignf(magnitude.lane[i], sign.lane[i]));
}
V_FUNCTION vf v_power_of_2(vf biased, uint32_t bias, int halves, int half) {
    vf y;
    for (int i = 0; i < TSL_LANES; i++) {
        uint32_t n;
        memcpy(&n, &biased.lane[i], sizeof n);
        n -= bias;
        if (halves == 2) {
            uint32_t first = (n >> 1) | (n & 0x80000000u); // n / 2, rounded down
            n = half == 0 ? first : n - first;
        }
        n = (n + 127) << 23;
        memcpy(&y.lane[i], &n, sizeof n);
    }
    return y;
}
V_FUNCTION vf v_load_s32_all(const int32_t *p) {
    V_LANES(vf, (float)p[i]);
}
V_FUNCTION void v_store_s8_within(int8_t *p, vf v) {
    for (int i = 0; i < TSL_LANES; i++) p[i] = (int8_t)rintf(v.lane[i]);
}
V_FUNCTION vf v_load_s8_all(const int8_t *p) {
    V_LANES(vf, (float)p[i]);
}
V_FUNCTION void v_store_s8_all(int8_t *p, vf v) {
    for (int i = 0; i < TSL_LANES; i++) {
        float x = v.lane[i];
        p[i] = (int8_t)(x != x ? 0.0f : rintf(x < -128.0f ? -128.0f : x > 127.0f ? 127.0f : x));
    }
}
#undef V_LANES

#endif

// The same at every level.
V_FUNCTION vf v_clamp(vf v, vf lo, vf hi) {
    return v_min(hi, v_max(lo, v));
} // NaN stays NaN
V_FUNCTION vf v_load_s8_some(const int8_t *p, size_t n) {
    int8_t buffer[TSL_LANES] = {0};
    memcpy(buffer, p, n);
    return v_load_s8_all(buffer);
}
// Rounded to nearest even and clamped to -128..127; NaN as 0.
V_FUNCTION void v_store_s8_some(int8_t *p, vf v, size_t n) {
    int8_t buffer[TSL_LANES];
    v_store_s8_all(buffer, v);
    memcpy(p, buffer, n);
}
// The first `n` lanes (1 to 16); the others are loaded as zeros.
V_FUNCTION vf v_load(const float *p, size_t n) {
    return n == TSL_LANES ? v_load_all(p) : v_load_some(p, n);
}
V_FUNCTION void v_store(float *p, vf v, size_t n) {
    if (n == TSL_LANES)
        v_store_all(p, v);
    else
        v_store_some(p, v, n);
}
V_FUNCTION vf v_load_s8(const int8_t *p, size_t n) {
    return n == TSL_LANES ? v_load_s8_all(p) : v_load_s8_some(p, n);
}
V_FUNCTION void v_store_s8(int8_t *p, vf v, size_t n) {
    if (n == TSL_LANES)
        v_store_s8_all(p, v);
    else
        v_store_s8_some(p, v, n);
}

// Lanes added in halves: (l0+l8)+(l4+l12)...
V_FUNCTION float v_sum_lanes(vf v) {
#if defined(__AVX2__) && defined(__FMA__)
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
    __m256 eight = _mm256_add_ps(v.r[0], v.r[1]);
#endif
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
    float lane[TSL_LANES];
    v_store_all(lane, v);
    for (int half = TSL_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
#endif
}
V_FUNCTION float v_max_lanes(vf v) {
    float lane[TSL_LANES];
    v_store_all(lane, v);
    for (int half = TSL_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    return lane[0];
}

#endif
