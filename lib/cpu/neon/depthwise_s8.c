// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution, NEON: sixteen channels of a pixel at a time, as 16-bit numbers multiplied and
// added in 32 bits. Activations may be read past the last channel.
#include "cpu/neon/finish.h"
#include "cpu/neon/neon.h"

typedef struct word_pair {
    int16x8_t half[2];
} word_pair;

TSL_INLINE word_pair load_activations(const char *from, const bool is_unsigned) {
    if (is_unsigned) {
        uint8x16_t bytes = vld1q_u8((const uint8_t *)from);
        return (word_pair){{vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))),
            vreinterpretq_s16_u16(vmovl_high_u8(bytes))}};
    }
    int8x16_t bytes = vld1q_s8((const int8_t *)from);
    return (word_pair){{vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)}};
}

TSL_INLINE void one_pixel(
    const tsl_depthwise_s8_args *d, const char *a, size_t channel, const bool is_unsigned, int32x4_t sum[4]) {
    size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    const int8_t *w = d->w + channel;
    TSL_UNROLL
    for (int v = 0; v < 4; v++)
        sum[v] = d->acc_init ? vld1q_s32(d->acc_init + channel + 4 * v) : vdupq_n_s32(0);
    for (size_t t = 0; t < d->n_taps; t++, w += w_tap) {
        word_pair x = load_activations(a + d->tap[t], is_unsigned);
        word_pair y = load_activations((const char *)w, false);
        TSL_UNROLL
        for (int h = 0; h < 2; h++) {
            sum[2 * h] = vmlal_s16(sum[2 * h], vget_low_s16(x.half[h]), vget_low_s16(y.half[h]));
            sum[2 * h + 1] = vmlal_high_s16(sum[2 * h + 1], x.half[h], y.half[h]);
        }
    }
}

static __attribute__((noinline)) void finish_pixel(
    const tsl_depthwise_s8_args *d, size_t channel, ptrdiff_t c, ptrdiff_t z, const int32x4_t sum[4]) {
    int32_t sums[TSL_PANEL];
    tsl_neon_spill(sum, sums);
    tsl_depthwise_finish(d, 1, channel, TSL_PANEL, sums, &c, &z);
}

TSL_INLINE void one_line(const tsl_depthwise_s8_args *d, ptrdiff_t line, const bool is_unsigned) {
    for (size_t channel = 0; channel < d->channels; channel += TSL_PANEL) {
        size_t count = tsl_smaller(d->channels - channel, TSL_PANEL);
        tsl_neon_output o = {.scale = d->scale + channel,
            .bias = d->bias + channel,
            .z_scale = d->z_scale,
            .lo = d->lo,
            .hi = d->hi};
        for (size_t p = 0; p < d->pixels; p++) {
            ptrdiff_t pixel = (ptrdiff_t)p, c = line * d->c_line + pixel * d->c_pixel;
            const char *a = (const char *)d->a + line * d->a_line + pixel * d->a_pixel + channel;
            int32x4_t sum[4];
            one_pixel(d, a, channel, is_unsigned, sum);
            if (d->finish) {
                finish_pixel(d, channel, c, line * d->z_line + pixel * d->z_pixel, sum);
                continue;
            }
            if (d->z) o.z = d->z + line * d->z_line + pixel * d->z_pixel + channel;
            if (d->c_s8)
                o.c_s8 = d->c_s8 + c + channel;
            else
                o.c_f32 = tsl_writable_floats_at(d->c_f32, c) + channel;
            tsl_neon_finish(&o, sum, count);
        }
    }
}

void tsl_neon_depthwise_s8(const tsl_depthwise_s8_args *d) {
    for (size_t line = 0; line < d->lines; line++) {
        if (d->a_kind == TSL_ACTIVATION_U8)
            one_line(d, (ptrdiff_t)line, true);
        else
            one_line(d, (ptrdiff_t)line, false);
    }
}
