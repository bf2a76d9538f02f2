// SPDX-License-Identifier: Apache-2.0
// Templates' common end: from int32 sums to int8 or float outputs, as kernels.h defines it. Needs a vector
// header.
#ifndef TSL_CPU_X86_REQUANTIZE_H
#define TSL_CPU_X86_REQUANTIZE_H

#include "cpu/x86/vector.h"

// One row of `count` channels of which the last ones may not fill a vector, to int8 or to float: for what is
// rare enough to go through memory. Pointers stand at the row's first channel; sums, scale and bias are
// padded.
typedef struct tsl_row_output {
    const int32_t *sums;
    const float *scale, *bias;
    const int8_t *z; // or NULL
    float z_scale, lo, hi;
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
} tsl_row_output;

// Sixteen int32 at `sums`.
TSL_INLINE void tsl_requantize_panel(const tsl_row_output *row, size_t channel, size_t count) {
    tsl_vi z[TSL_PANEL_VECTORS], q[TSL_PANEL_VECTORS];
    int8_t bytes[TSL_PANEL] = {0};
    tsl_vf lo = tsl_vf_set(row->lo), hi = tsl_vf_set(row->hi);
    if (row->z) {
        tsl_copy_few(bytes, row->z + channel, count);
        tsl_panel_load_s8(bytes, z);
    }
    float real[TSL_PANEL];
    TSL_UNROLL
    for (int v = 0; v < TSL_PANEL_VECTORS; v++) {
        size_t at = channel + (size_t)v * TSL_LANES;
        tsl_vf y = tsl_vf_multiply_add(tsl_vi_to_float(tsl_vi_load(row->sums + at)),
            tsl_vf_load(row->scale + at), tsl_vf_load(row->bias + at));
        if (row->z) y = tsl_vf_multiply_add(tsl_vi_to_float(z[v]), tsl_vf_set(row->z_scale), y);
        tsl_vf_store(real + v * TSL_LANES, tsl_vf_clamp(y, lo, hi));
        q[v] = tsl_vf_requantize(y, lo, hi);
    }
    if (row->c_s8) {
        tsl_panel_store_s8(bytes, q);
        tsl_store_few_of_16(
            (char *)row->c_s8 + channel, _mm_loadu_si128((const __m128i *)(const void *)bytes), count);
    } else {
        for (size_t j = 0; j < count; j++) row->c_f32[channel + j] = real[j];
    }
}

static __attribute__((noinline, unused)) void tsl_requantize_row(const tsl_row_output *row, size_t count) {
    for (size_t channel = 0; channel < count; channel += TSL_PANEL)
        tsl_requantize_panel(row, channel, tsl_smaller(count - channel, TSL_PANEL));
}

#endif
