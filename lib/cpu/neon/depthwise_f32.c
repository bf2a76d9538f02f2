// SPDX-License-Identifier: Apache-2.0
// Float depthwise convolution, NEON: four vectors of channels by two pixels at once, so that eight chains of
// multiply-adds hide each other's latency.
#include <math.h>

#include "cpu/neon/finish.h"
#include "cpu/neon/neon.h"
#include "cpu/portable/requantize.h"

#define PIXELS 2

TSL_INLINE void tile(
    const tsl_depthwise_f32_args *d, size_t pixel, size_t channel, const int pixels, const int vectors) {
    size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    float32x4_t sum[PIXELS][4], lo = vdupq_n_f32(d->lo), hi = vdupq_n_f32(d->hi);
    TSL_UNROLL
    for (int p = 0; p < pixels; p++) {
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) sum[p][v] = vld1q_f32(d->bias + channel + 4 * v);
    }
    const float *w = d->w + channel;
    for (size_t t = 0; t < d->n_taps; t++, w += w_tap) {
        TSL_UNROLL
        for (int p = 0; p < pixels; p++) {
            const float *a = tsl_floats_at(d->a, ((ptrdiff_t)pixel + p) * d->a_pixel + d->tap[t]) + channel;
            TSL_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[p][v] = vfmaq_f32(sum[p][v], vld1q_f32(a + 4 * v), vld1q_f32(w + 4 * v));
        }
    }
    TSL_UNROLL
    for (int p = 0; p < pixels; p++) {
        ptrdiff_t at = (ptrdiff_t)pixel + p;
        float *c = tsl_writable_floats_at(d->c, at * d->c_pixel) + channel;
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) {
            float32x4_t y = sum[p][v];
            if (d->z) y = vaddq_f32(y, vld1q_f32(tsl_floats_at(d->z, at * d->z_pixel) + channel + 4 * v));
            vst1q_f32(c + 4 * v, tsl_neon_clamp(y, lo, hi));
        }
    }
}

// The last channels, which fill no vector.
static void one(const tsl_depthwise_f32_args *d, ptrdiff_t pixel, size_t channel) {
    size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    float sum = d->bias[channel];
    for (size_t t = 0; t < d->n_taps; t++)
        sum = fmaf(
            tsl_floats_at(d->a, pixel * d->a_pixel + d->tap[t])[channel], d->w[t * w_tap + channel], sum);
    if (d->z) sum += tsl_floats_at(d->z, pixel * d->z_pixel)[channel];
    tsl_writable_floats_at(d->c, pixel * d->c_pixel)[channel] = tsl_clamp(sum, d->lo, d->hi);
}

TSL_INLINE void all_pixels(const tsl_depthwise_f32_args *d, size_t channel, const int vectors) {
    size_t pixel = 0;
    for (; pixel + PIXELS <= d->pixels; pixel += PIXELS) tile(d, pixel, channel, PIXELS, vectors);
    if (pixel < d->pixels) tile(d, pixel, channel, 1, vectors);
}

void tsl_neon_depthwise_f32(const tsl_depthwise_f32_args *d) {
    size_t channel = 0;
    for (; channel + 16 <= d->channels; channel += 16) all_pixels(d, channel, 4);
    for (; channel + 4 <= d->channels; channel += 4) all_pixels(d, channel, 1);
    for (; channel < d->channels; channel++)
        for (size_t pixel = 0; pixel < d->pixels; pixel++) one(d, (ptrdiff_t)pixel, channel);
}
