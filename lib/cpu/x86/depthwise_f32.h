// SPDX-License-Identifier: Apache-2.0
// Template of float depthwise convolution: two vectors of channels by four pixels at once, so that eight
// chains of multiply-adds hide each other's latency.
#ifndef TSL_CPU_X86_DEPTHWISE_F32_H
#define TSL_CPU_X86_DEPTHWISE_F32_H

#include "cpu/x86/vector.h"

#define TSL_TILE_PIXELS 4

// Channels of one tile: `vectors` whole ones, or `count` lanes of one (count > 0).
TSL_INLINE void tile(const tsl_depthwise_f32_args *d, size_t pixel, size_t channel, const int pixels,
    const int vectors, size_t count) {
    size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    tsl_vf sum[TSL_TILE_PIXELS][2], lo = tsl_vf_set(d->lo), hi = tsl_vf_set(d->hi);
    TSL_UNROLL
    for (int p = 0; p < pixels; p++) {
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) sum[p][v] = tsl_vf_load(d->bias + channel + (size_t)v * TSL_LANES);
    }
    const char *a = (const char *)(d->a + channel) + (ptrdiff_t)pixel * d->a_pixel;
    const float *w = d->w + channel;
    for (size_t t = 0; t < d->n_taps; t++, w += w_tap) {
        TSL_UNROLL
        for (int v = 0; v < vectors; v++) {
            tsl_vf weights = tsl_vf_load(w + v * TSL_LANES);
            TSL_UNROLL
            for (int p = 0; p < pixels; p++) {
                const float *from = tsl_floats_at(a, d->tap[t] + p * d->a_pixel) + v * TSL_LANES;
                tsl_vf activations = count ? tsl_vf_load_few(from, count) : tsl_vf_load(from);
                sum[p][v] = tsl_vf_multiply_add(activations, weights, sum[p][v]);
            }
        }
    }
    TSL_UNROLL
    for (int p = 0; p < pixels; p++) {
        ptrdiff_t at = (ptrdiff_t)pixel + p;
        float *c = tsl_writable_floats_at(d->c, at * d->c_pixel) + channel;
        const float *z = d->z ? tsl_floats_at(d->z, at * d->z_pixel) + channel : NULL;
        TSL_UNROLL
        for (int v = 0; v < vectors; v++, c += TSL_LANES) {
            tsl_vf y = sum[p][v];
            if (z) {
                y = tsl_vf_add(y, count ? tsl_vf_load_few(z, count) : tsl_vf_load(z));
                z += TSL_LANES;
            }
            y = tsl_vf_clamp(y, lo, hi);
            if (count)
                tsl_vf_store_few(c, y, count);
            else
                tsl_vf_store(c, y);
        }
    }
}

TSL_INLINE void all_pixels(const tsl_depthwise_f32_args *d, size_t channel, const int vectors, size_t count) {
    size_t pixel = 0;
    for (; pixel + TSL_TILE_PIXELS <= d->pixels; pixel += TSL_TILE_PIXELS)
        tile(d, pixel, channel, TSL_TILE_PIXELS, vectors, count);
    for (; pixel < d->pixels; pixel++) tile(d, pixel, channel, 1, vectors, count);
}

TSL_INLINE void depthwise_f32(const tsl_depthwise_f32_args *d) {
    size_t channel = 0;
    for (; channel + 2 * TSL_LANES <= d->channels; channel += 2 * TSL_LANES) all_pixels(d, channel, 2, 0);
    if (channel + TSL_LANES <= d->channels) {
        all_pixels(d, channel, 1, 0);
        channel += TSL_LANES;
    }
    if (channel < d->channels) all_pixels(d, channel, 1, d->channels - channel);
}

#endif
