// SPDX-License-Identifier: Apache-2.0
// Template of INT8 depthwise convolution with 3x3 windows, stride 1 or 2, for levels whose registers do not
// hold what depthwise_columns_512.h keeps there. Half of a vector's channels pass over a line by themselves:
// the three rows of an input column are interleaved once, so that each int32 holds three taps of one channel,
// and wait in registers for the three pixels that they belong to. Sums of both halves meet in memory. Needs a
// dot_*.h.
#ifndef TSL_CPU_X86_DEPTHWISE_HALVES_H
#define TSL_CPU_X86_DEPTHWISE_HALVES_H

#include <math.h>

#include "cpu/x86/depthwise_s8.h"

#define TSL_HALVES_PIXELS 64 // whose sums wait

typedef struct halves_block {
    _Alignas(64) int8_t w[3][4][TSL_VECTOR_BYTES]; // of each column
    _Alignas(64) int32_t first[4][TSL_LANES];
    _Alignas(64) float scale[4][TSL_LANES], bias[4][TSL_LANES];
    ptrdiff_t row[3], column;
} halves_block;

static inline void set_halves_block(const tsl_depthwise_s8_args *d, size_t channel, halves_block *b) {
    const size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    const tsl_activation ones = tsl_activation_of(tsl_vi_set_bytes(1), TSL_ACTIVATION_NON_NEGATIVE);
    tsl_vi sum[4] = {tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero()};
    memset(b->first, 0, sizeof(b->first));
    if (d->acc_init) reorder(b->first, d->acc_init + channel, TSL_VECTOR_BYTES);
    reorder(b->scale, d->scale + channel, TSL_VECTOR_BYTES);
    reorder(b->bias, d->bias + channel, TSL_VECTOR_BYTES);
    b->column = d->tap[1] - d->tap[0];
    for (size_t k = 0; k < 3; k++) {
        const int8_t *w = d->w + k * w_tap + channel;
        const tsl_vi tap[4] = {
            tsl_vi_load(w), tsl_vi_load(w + 3 * w_tap), tsl_vi_load(w + 6 * w_tap), tsl_vi_zero()};
        tsl_vi bytes[4];
        b->row[k] = d->tap[3 * k];
        interleave(tap, bytes);
        for (int q = 0; q < 4; q++) {
            tsl_vi_store(b->w[k][q], bytes[q]);
            sum[q] = tsl_dot(sum[q], ones, b->w[k][q], TSL_ACTIVATION_NON_NEGATIVE);
        }
    }
    for (int q = 0; q < 4 && tsl_shift(d->a_kind) != 0; q++) {
        const tsl_vi first = tsl_vi_load(b->first[q]), shifted = tsl_vi_times_128(sum[q]);
        tsl_vi_store(b->first[q],
            tsl_shift(d->a_kind) > 0 ? tsl_vi_add(first, shifted) : tsl_vi_subtract(first, shifted));
    }
}

// Two quarters of a column.
TSL_INLINE void load_half(const halves_block *b, const char *a, const int half, tsl_vi v[2]) {
    const tsl_vi tap[3] = {
        tsl_vi_load(a + b->row[0]), tsl_vi_load(a + b->row[1]), tsl_vi_load(a + b->row[2])};
    const tsl_vi first =
        half ? tsl_vi_interleave_high_8(tap[0], tap[1]) : tsl_vi_interleave_low_8(tap[0], tap[1]);
    const tsl_vi last =
        half ? tsl_vi_interleave_high_8(tap[2], tap[2]) : tsl_vi_interleave_low_8(tap[2], tap[2]);
    v[0] = tsl_vi_interleave_low_16(first, last);
    v[1] = tsl_vi_interleave_high_16(first, last);
}

TSL_INLINE void half_line(const halves_block *b, const char *a, size_t pixels, const int stride,
    const int half, const tsl_activation_kind kind, int32_t (*sums)[4][TSL_LANES]) {
    tsl_vi v[3][2];
    load_half(b, a, half, v[0]);
    if (stride == 1) load_half(b, a + b->column, half, v[1]);
    for (size_t i = 0; i < pixels; i++, a += stride * b->column) {
        if (stride == 2) load_half(b, a + b->column, half, v[1]);
        load_half(b, a + 2 * b->column, half, v[2]);
        TSL_UNROLL
        for (int j = 0; j < 2; j++) {
            const int q = 2 * half + j;
            tsl_vi sum = tsl_vi_load(b->first[q]);
            TSL_UNROLL
            for (int k = 0; k < 3; k++)
                sum = tsl_dot(sum, tsl_activation_of(v[k][j], kind), b->w[k][q], kind);
            tsl_vi_store(sums[i][q], sum);
            v[0][j] = v[stride][j];
            if (stride == 1) v[1][j] = v[2][j];
        }
    }
}

// Sums are bounded: saturation while they are packed clamps what is past a byte.
TSL_INLINE void finish_halves(const tsl_depthwise_s8_args *d, const halves_block *b, size_t pixels, int8_t *c,
    int32_t (*sums)[4][TSL_LANES]) {
    const tsl_vi lo = tsl_vi_set_bytes((int)d->lo), hi = tsl_vi_set_bytes((int)d->hi);
    for (size_t i = 0; i < pixels; i++, c += d->c_pixel) {
        tsl_vi q[4];
        TSL_UNROLL
        for (int k = 0; k < 4; k++)
            q[k] = tsl_vf_to_nearest(tsl_vf_multiply_add(
                tsl_vi_to_float(tsl_vi_load(sums[i][k])), tsl_vf_load(b->scale[k]), tsl_vf_load(b->bias[k])));
        tsl_vi_store(c, tsl_vi_clamp_bytes(
                            tsl_vi_pack_16(tsl_vi_pack_32(q[0], q[1]), tsl_vi_pack_32(q[2], q[3])), lo, hi));
    }
}

TSL_INLINE void halves_line(const tsl_depthwise_s8_args *d, const halves_block *b, const char *a, int8_t *c,
    const int stride, const tsl_activation_kind kind) {
    _Alignas(64) int32_t sums[TSL_HALVES_PIXELS][4][TSL_LANES];
    for (size_t done = 0, pixels; done < d->pixels; done += pixels) {
        pixels = tsl_smaller(d->pixels - done, TSL_HALVES_PIXELS);
        half_line(b, a, pixels, stride, 0, kind, sums);
        half_line(b, a, pixels, stride, 1, kind, sums);
        finish_halves(d, b, pixels, c, sums);
        a += (ptrdiff_t)pixels * stride * b->column;
        c += (ptrdiff_t)pixels * d->c_pixel;
    }
}

#define TSL_HALVES(stride)                                                                                   \
    static __attribute__((noinline)) void halves_##stride(                                                   \
        const tsl_depthwise_s8_args *d, const halves_block *b, const char *a, int8_t *c) {                   \
        if (d->a_kind == TSL_ACTIVATION_S8)                                                                  \
            halves_line(d, b, a, c, stride, TSL_ACTIVATION_S8);                                              \
        else if (d->a_kind == TSL_ACTIVATION_U8 && tsl_shift(TSL_ACTIVATION_U8) != 0)                        \
            halves_line(d, b, a, c, stride, TSL_ACTIVATION_U8);                                              \
        else                                                                                                 \
            halves_line(d, b, a, c, stride, TSL_ACTIVATION_NON_NEGATIVE);                                    \
    }
TSL_HALVES(1)
TSL_HALVES(2)
#undef TSL_HALVES

// As tsl_is_bounded (finish_s8_512.h), without residual.
static inline bool sums_are_bounded(const tsl_depthwise_s8_args *d) {
    bool bounded = true;
    for (size_t j = 0; j < d->channels; j++)
        bounded = bounded && fabsf(d->scale[j]) <= 0.5f && fabsf(d->bias[j]) <= 0x1p29f;
    return bounded;
}

// False for other windows, and for what is rare: float outputs, residuals, chains, few channels.
static bool depthwise_halves(const tsl_depthwise_s8_args *d) {
    if (!d->c_s8 || d->z || d->finish || d->tap_columns != 3 || d->n_taps != 9 || d->pixels == 0)
        return false;
    const ptrdiff_t column = d->tap[1] - d->tap[0];
    const int stride = d->a_pixel == column ? 1 : d->a_pixel == 2 * column ? 2 : 0;
    if (stride == 0 || d->channels < TSL_VECTOR_BYTES || !sums_are_bounded(d)) return false;
    halves_block b;
    for (size_t channel = 0; channel < d->channels; channel += TSL_VECTOR_BYTES) {
        // The last block ends with the channels; what two blocks share is computed twice.
        const size_t at = tsl_smaller(channel, d->channels - TSL_VECTOR_BYTES);
        set_halves_block(d, at, &b);
        for (size_t i = 0; i < d->lines; i++) {
            const char *a = (const char *)d->a + (ptrdiff_t)i * d->a_line + at;
            int8_t *c = d->c_s8 + (ptrdiff_t)i * d->c_line + at;
            if (stride == 1)
                halves_1(d, &b, a, c);
            else
                halves_2(d, &b, a, c);
        }
    }
    return true;
}

#endif
