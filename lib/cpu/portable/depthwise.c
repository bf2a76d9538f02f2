// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution of one row of output pixels: the plain definition.
#include <math.h>

#include "cpu/portable/portable.h"
#include "cpu/portable/requantize.h"

static size_t padded(size_t channels) {
    return (channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
}

static inline const float *floats_at(const float *base, ptrdiff_t bytes) {
    return (const float *)(const void *)((const char *)base + bytes);
}

void tsl_portable_depthwise_f32(const tsl_depthwise_f32_args *d) {
    size_t w_tap = padded(d->channels);
    for (size_t p = 0; p < d->pixels; p++) {
        ptrdiff_t pixel = (ptrdiff_t)p;
        float *c = (float *)(void *)((char *)d->c + pixel * d->c_pixel);
        const float *z = d->z ? floats_at(d->z, pixel * d->z_pixel) : NULL;
        for (size_t j = 0; j < d->channels; j++) {
            float sum = d->bias[j];
            for (size_t t = 0; t < d->n_taps; t++)
                sum = fmaf(floats_at(d->a, pixel * d->a_pixel + d->tap[t])[j], d->w[t * w_tap + j], sum);
            c[j] = tsl_clamp(z ? sum + z[j] : sum, d->lo, d->hi);
        }
    }
}

static int32_t accumulate(const tsl_depthwise_s8_args *d, ptrdiff_t pixel, size_t channel) {
    size_t w_tap = padded(d->channels);
    int32_t sum = d->acc_init ? d->acc_init[channel] : 0;
    for (size_t t = 0; t < d->n_taps; t++) {
        const char *a = (const char *)d->a + pixel * d->a_pixel + d->tap[t];
        int32_t activation =
            d->a_kind == TSL_ACTIVATION_U8 ? ((const uint8_t *)a)[channel] : ((const int8_t *)a)[channel];
        sum += activation * d->w[t * w_tap + channel];
    }
    return sum;
}

// One pixel, through the chain.
static void finish_pixel(const tsl_depthwise_s8_args *d, ptrdiff_t pixel) {
    const ptrdiff_t c = pixel * d->c_pixel, z = pixel * d->z_pixel;
    for (size_t first = 0; first < d->channels; first += TSL_PANEL) {
        int32_t sums[TSL_PANEL] = {0};
        for (size_t j = first; j < d->channels && j < first + TSL_PANEL; j++)
            sums[j - first] = accumulate(d, pixel, j);
        tsl_depthwise_finish(d, 1, first, TSL_PANEL, sums, &c, &z);
    }
}

static void line_s8(const tsl_depthwise_s8_args *d) {
    for (size_t p = 0; p < d->pixels; p++) {
        ptrdiff_t pixel = (ptrdiff_t)p;
        const int8_t *z = d->z ? d->z + pixel * d->z_pixel : NULL;
        if (d->finish) {
            finish_pixel(d, pixel);
            continue;
        }
        for (size_t j = 0; j < d->channels; j++) {
            float y = fmaf((float)accumulate(d, pixel, j), d->scale[j], d->bias[j]);
            if (z) y = fmaf((float)z[j], d->z_scale, y);
            if (d->c_s8)
                (d->c_s8 + pixel * d->c_pixel)[j] = tsl_requantize(y, d->lo, d->hi);
            else
                ((float *)(void *)((char *)d->c_f32 + pixel * d->c_pixel))[j] = tsl_clamp(y, d->lo, d->hi);
        }
    }
}

void tsl_portable_depthwise_s8(const tsl_depthwise_s8_args *args) {
    for (size_t i = 0; i < args->lines; i++) {
        tsl_depthwise_s8_args line = *args;
        ptrdiff_t at = (ptrdiff_t)i;
        line.a = (const char *)args->a + at * args->a_line;
        if (args->z) line.z = args->z + at * args->z_line;
        if (args->c_s8)
            line.c_s8 = args->c_s8 + at * args->c_line;
        else
            line.c_f32 = (float *)(void *)((char *)args->c_f32 + at * args->c_line);
        line_s8(&line);
    }
}
