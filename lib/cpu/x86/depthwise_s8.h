// SPDX-License-Identifier: Apache-2.0
// Template of INT8 depthwise convolution. A vector of channels at a time: the bytes of four kernel positions
// are interleaved, so that each int32 holds one channel's four, and multiplied and summed as in the matrix
// product. Interleaving leaves the channels of sum q in the order {16*l + 4*q + 0..3} over the 16-byte lanes
// l; scale and bias are put into that order once, and packing to bytes undoes it. Needs a dot_*.h.
#ifndef TSL_CPU_X86_DEPTHWISE_S8_H
#define TSL_CPU_X86_DEPTHWISE_S8_H

#include "cpu/portable/portable.h"
#include "cpu/x86/requantize.h"

// Kernel positions in fours; windows with more of them (12x12) are left to portable C.
#define TSL_MAX_TAP_GROUPS 32

// One block of channels, prepared for all pixels of the row.
typedef struct depthwise_block {
    size_t count; // channels, at most TSL_VECTOR_BYTES
    size_t groups;
    int8_t w[TSL_MAX_TAP_GROUPS][4][TSL_VECTOR_BYTES];
    ptrdiff_t tap[TSL_MAX_TAP_GROUPS * 4];
    int32_t first[4][TSL_LANES];
    float scale[4][TSL_LANES], bias[4][TSL_LANES];
} depthwise_block;

TSL_INLINE void interleave(const tsl_vi tap[4], tsl_vi out[4]) {
    tsl_vi low_01 = tsl_vi_interleave_low_8(tap[0], tap[1]),
           high_01 = tsl_vi_interleave_high_8(tap[0], tap[1]);
    tsl_vi low_23 = tsl_vi_interleave_low_8(tap[2], tap[3]),
           high_23 = tsl_vi_interleave_high_8(tap[2], tap[3]);
    out[0] = tsl_vi_interleave_low_16(low_01, low_23);
    out[1] = tsl_vi_interleave_high_16(low_01, low_23);
    out[2] = tsl_vi_interleave_low_16(high_01, high_23);
    out[3] = tsl_vi_interleave_high_16(high_01, high_23);
}

// The sums of a pixel's channels, in the channels' own order.
TSL_INLINE void spill_in_order(const tsl_vi sum[4], int32_t *to) {
#if TSL_LANES == 16
    const tsl_vi low[2] = {
        _mm512_shuffle_i32x4(sum[0], sum[1], 0x44), _mm512_shuffle_i32x4(sum[2], sum[3], 0x44)};
    const tsl_vi high[2] = {
        _mm512_shuffle_i32x4(sum[0], sum[1], 0xee), _mm512_shuffle_i32x4(sum[2], sum[3], 0xee)};
    tsl_vi_store(to, _mm512_shuffle_i32x4(low[0], low[1], 0x88));
    tsl_vi_store(to + 16, _mm512_shuffle_i32x4(low[0], low[1], 0xdd));
    tsl_vi_store(to + 32, _mm512_shuffle_i32x4(high[0], high[1], 0x88));
    tsl_vi_store(to + 48, _mm512_shuffle_i32x4(high[0], high[1], 0xdd));
#else
    tsl_vi_store(to, _mm256_permute2x128_si256(sum[0], sum[1], 0x20));
    tsl_vi_store(to + 8, _mm256_permute2x128_si256(sum[2], sum[3], 0x20));
    tsl_vi_store(to + 16, _mm256_permute2x128_si256(sum[0], sum[1], 0x31));
    tsl_vi_store(to + 24, _mm256_permute2x128_si256(sum[2], sum[3], 0x31));
#endif
}

// Values of `count` channels, padded to 16, in the order of the sums.
static inline void reorder(void *to, const void *from, size_t count) {
    for (size_t j = 0; j < count; j += 4)
        memcpy((char *)to + (j % 16 / 4 * TSL_LANES + j / 16 * 4) * 4, (const char *)from + j * 4, 16);
}

static void prepare(const tsl_depthwise_s8_args *d, size_t channel, depthwise_block *block) {
    size_t w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    size_t w_count = tsl_smaller(w_tap - channel, TSL_VECTOR_BYTES);
    block->count = tsl_smaller(d->channels - channel, TSL_VECTOR_BYTES);
    block->groups = (d->n_taps + 3) / 4;
    memset(block->first, 0, sizeof(block->first));
    memset(block->scale, 0, sizeof(block->scale));
    memset(block->bias, 0, sizeof(block->bias));
    if (d->acc_init) reorder(block->first, d->acc_init + channel, w_count);
    reorder(block->scale, d->scale + channel, w_count);
    reorder(block->bias, d->bias + channel, w_count);
    tsl_vi sum[4] = {tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero()};
    const tsl_activation ones = tsl_activation_of(tsl_vi_set_bytes(1), TSL_ACTIVATION_NON_NEGATIVE);
    for (size_t group = 0; group < block->groups; group++) {
        tsl_vi tap[4], bytes[4];
        for (size_t i = 0; i < 4; i++) {
            size_t t = group * 4 + i;
            block->tap[t] = d->tap[tsl_smaller(t, d->n_taps - 1)]; // past the end: any, its weights are zero
            tap[i] = tsl_vi_zero();
            if (t >= d->n_taps) continue;
            const int8_t *w = d->w + t * w_tap + channel;
            tap[i] = w_count == TSL_VECTOR_BYTES ? tsl_vi_load(w) : tsl_vi_load_few(w, w_count);
        }
        interleave(tap, bytes);
        TSL_UNROLL
        for (int q = 0; q < 4; q++) {
            tsl_vi_store(block->w[group][q], bytes[q]);
            sum[q] = tsl_dot(sum[q], ones, block->w[group][q], TSL_ACTIVATION_NON_NEGATIVE);
        }
    }
    if (tsl_shift(d->a_kind) == 0) return;
    for (int q = 0; q < 4; q++) {
        tsl_vi shifted = tsl_vi_times_128(sum[q]), first = tsl_vi_load(block->first[q]);
        first = tsl_shift(d->a_kind) > 0 ? tsl_vi_add(first, shifted) : tsl_vi_subtract(first, shifted);
        tsl_vi_store(block->first[q], first);
    }
}

// The four vectors of sums of one pixel.
TSL_INLINE void accumulate(const depthwise_block *block, const char *a, const bool whole,
    const tsl_activation_kind kind, tsl_vi sum[4]) {
    TSL_UNROLL
    for (int q = 0; q < 4; q++) sum[q] = tsl_vi_load(block->first[q]);
    for (size_t group = 0; group < block->groups; group++) {
        tsl_vi tap[4], bytes[4];
        TSL_UNROLL
        for (int t = 0; t < 4; t++) {
            const char *from = a + block->tap[group * 4 + (size_t)t];
            tap[t] = whole ? tsl_vi_load(from) : tsl_vi_load_few(from, block->count);
        }
        interleave(tap, bytes);
        TSL_UNROLL
        for (int q = 0; q < 4; q++)
            sum[q] = tsl_dot(sum[q], tsl_activation_of(bytes[q], kind), block->w[group][q], kind);
    }
}

TSL_INLINE void store_s8(const tsl_depthwise_s8_args *d, const depthwise_block *block, int8_t *c,
    const int8_t *z, const bool whole, const tsl_vi sum[4]) {
    tsl_vf y[4], lo = tsl_vf_set(d->lo), hi = tsl_vf_set(d->hi);
    tsl_vi q8[4];
    TSL_UNROLL
    for (int q = 0; q < 4; q++)
        y[q] = tsl_vf_multiply_add(
            tsl_vi_to_float(sum[q]), tsl_vf_load(block->scale[q]), tsl_vf_load(block->bias[q]));
    if (z) {
        tsl_vi bytes = whole ? tsl_vi_load(z) : tsl_vi_load_few(z, block->count);
        tsl_vi same[4] = {bytes, bytes, bytes, bytes}, spread[4];
        interleave(same, spread);
        TSL_UNROLL
        for (int q = 0; q < 4; q++)
            y[q] = tsl_vf_multiply_add(
                tsl_vi_to_float(tsl_vi_top_bytes(spread[q])), tsl_vf_set(d->z_scale), y[q]);
    }
    TSL_UNROLL
    for (int q = 0; q < 4; q++) q8[q] = tsl_vf_requantize(y[q], lo, hi);
    tsl_vi packed = tsl_vi_pack_16(tsl_vi_pack_32(q8[0], q8[1]), tsl_vi_pack_32(q8[2], q8[3]));
    if (whole)
        tsl_vi_store(c, packed);
    else
        tsl_vi_store_few(c, packed, block->count);
}

// Float outputs are rare: through memory.
static __attribute__((noinline)) void store_f32(const tsl_depthwise_s8_args *d, size_t channel, size_t count,
    float *c, const int8_t *z, const int32_t *sums) {
    tsl_row_output output = {.sums = sums,
        .scale = d->scale + channel,
        .bias = d->bias + channel,
        .z = z,
        .z_scale = d->z_scale,
        .lo = d->lo,
        .hi = d->hi,
        .c_f32 = c};
    tsl_requantize_row(&output, count);
}

// Pixels that go through the chain together.
#define TSL_FINISH_PIXELS ((size_t)16)

// Sums of `count` pixels, in the order of the channels from `channel` on; c and z are their offsets.
static __attribute__((noinline)) void finish_pixels(const tsl_depthwise_s8_args *d, size_t channel,
    size_t width, size_t count, const int32_t *sums, const ptrdiff_t *c, const ptrdiff_t *z) {
    tsl_depthwise_finish(d, count, channel, width, sums, c, z);
}

TSL_INLINE void all_pixels_finished(const tsl_depthwise_s8_args *d, const depthwise_block *block,
    size_t channel, const bool whole, const tsl_activation_kind kind) {
    _Alignas(64) int32_t sums[TSL_FINISH_PIXELS][TSL_VECTOR_BYTES];
    ptrdiff_t c[TSL_FINISH_PIXELS], z[TSL_FINISH_PIXELS];
    const size_t pixels = d->pixels * d->lines;
    for (size_t p = 0, count = 0; p < pixels; p++) {
        ptrdiff_t pixel = (ptrdiff_t)(p % d->pixels), line = (ptrdiff_t)(p / d->pixels);
        tsl_vi sum[4];
        const char *a = (const char *)d->a + line * d->a_line + pixel * d->a_pixel;
        accumulate(block, a + channel, whole, kind, sum);
        spill_in_order(sum, sums[count]);
        c[count] = line * d->c_line + pixel * d->c_pixel;
        z[count++] = line * d->z_line + pixel * d->z_pixel;
        if (count < TSL_FINISH_PIXELS && p + 1 < pixels) continue;
        finish_pixels(d, channel, TSL_VECTOR_BYTES, count, sums[0], c, z);
        count = 0;
    }
}

TSL_INLINE void all_pixels(const tsl_depthwise_s8_args *d, const depthwise_block *block, size_t channel,
    const bool whole, const tsl_activation_kind kind) {
    for (size_t p = 0; p < d->pixels * d->lines; p++) {
        ptrdiff_t pixel = (ptrdiff_t)(p % d->pixels), line = (ptrdiff_t)(p / d->pixels);
        tsl_vi sum[4];
        const char *a = (const char *)d->a + line * d->a_line + pixel * d->a_pixel;
        accumulate(block, a + channel, whole, kind, sum);
        const int8_t *z = d->z ? d->z + line * d->z_line + pixel * d->z_pixel : NULL;
        const ptrdiff_t at = line * d->c_line + pixel * d->c_pixel;
        if (d->c_s8) {
            store_s8(d, block, d->c_s8 + at + channel, z ? z + channel : NULL, whole, sum);
        } else {
            int32_t sums[TSL_VECTOR_BYTES];
            spill_in_order(sum, sums);
            float *c = tsl_writable_floats_at(d->c_f32, at) + channel;
            store_f32(d, channel, block->count, c, z ? z + channel : NULL, sums);
        }
    }
}

TSL_INLINE void depthwise_of_kind(const tsl_depthwise_s8_args *d, const tsl_activation_kind kind) {
    depthwise_block block;
    for (size_t channel = 0; channel < d->channels; channel += TSL_VECTOR_BYTES) {
        prepare(d, channel, &block);
        const bool whole = block.count == TSL_VECTOR_BYTES;
        if (d->finish && whole)
            all_pixels_finished(d, &block, channel, true, kind);
        else if (d->finish)
            all_pixels_finished(d, &block, channel, false, kind);
        else if (whole)
            all_pixels(d, &block, channel, true, kind);
        else
            all_pixels(d, &block, channel, false, kind);
    }
}

TSL_INLINE void depthwise_s8(const tsl_depthwise_s8_args *d) {
    if (d->n_taps == 0 || d->n_taps > 4 * TSL_MAX_TAP_GROUPS)
        tsl_portable_depthwise_s8(d);
    else if (d->a_kind == TSL_ACTIVATION_S8)
        depthwise_of_kind(d, TSL_ACTIVATION_S8);
    else if (d->a_kind == TSL_ACTIVATION_U8 && tsl_shift(TSL_ACTIVATION_U8) != 0)
        depthwise_of_kind(d, TSL_ACTIVATION_U8);
    else
        depthwise_of_kind(d, TSL_ACTIVATION_NON_NEGATIVE);
}

#endif
