// SPDX-License-Identifier: Apache-2.0
// INT8 depthwise convolution by columns, for the usual windows: 3 by 3 and 5 by 5, stride 1 or 2.
// The bytes of four rows of one input column are interleaved once, so that each int32 holds four taps of one
// channel, and multiplied into all output pixels that the column belongs to, whose sums stay in registers.
//
// A vector holds 64 channels of one pixel. Where fewer are left it holds 32 channels of two pixels or 16 of
// four: the line is cut into segments that go side by side, each in its 16-byte lanes. The last segment
// starts so that it ends with the line; pixels that two segments share are computed twice.
#ifndef TSL_CPU_X86_DEPTHWISE_COLUMNS_512_H
#define TSL_CPU_X86_DEPTHWISE_COLUMNS_512_H

#include "cpu/x86/depthwise_s8.h"
#include "cpu/x86/finish_s8_512.h"

#define TSL_MOST_COLUMNS 5
#define TSL_MOST_GROUPS 7 // of four kernel positions

typedef struct columns_block {
    _Alignas(64) int8_t w[TSL_MOST_GROUPS][4][64];
    _Alignas(64) int32_t first[4][TSL_LANES];
    _Alignas(64) float scale[4][TSL_LANES], bias[4][TSL_LANES];
    tsl_vi flip; // to unsigned activations
    ptrdiff_t row[TSL_MOST_COLUMNS]; // offsets of the kernel's rows; past the last: any
    ptrdiff_t column;
    size_t width; // channels, of each segment
    size_t length; // output pixels of a segment
    size_t channel; // the first
    ptrdiff_t line; // offset of the output's line
    ptrdiff_t a[4], c[4]; // offsets of the segments' first pixels
} columns_block;

// `count` values of 4 bytes, repeated for each segment, in the order of the sums; zeros elsewhere.
static inline void spread_words(void *to, const void *from, size_t count, size_t segments) {
    char values[256];
    const char *v = from;
    if (count < 64) {
        memset(values, 0, sizeof(values));
        for (size_t s = 0; s < segments; s++) memcpy(values + 256 / segments * s, from, count * 4);
        v = values;
    }
    // Lane l of the q-th vector is lane q of what holds channels 16 * l and on.
    tsl_vi low_01 = _mm512_shuffle_i32x4(tsl_vi_load(v), tsl_vi_load(v + 64), 0x44),
           high_01 = _mm512_shuffle_i32x4(tsl_vi_load(v), tsl_vi_load(v + 64), 0xee),
           low_23 = _mm512_shuffle_i32x4(tsl_vi_load(v + 128), tsl_vi_load(v + 192), 0x44),
           high_23 = _mm512_shuffle_i32x4(tsl_vi_load(v + 128), tsl_vi_load(v + 192), 0xee);
    tsl_vi_store(to, _mm512_shuffle_i32x4(low_01, low_23, 0x88));
    tsl_vi_store((char *)to + 64, _mm512_shuffle_i32x4(low_01, low_23, 0xdd));
    tsl_vi_store((char *)to + 128, _mm512_shuffle_i32x4(high_01, high_23, 0x88));
    tsl_vi_store((char *)to + 192, _mm512_shuffle_i32x4(high_01, high_23, 0xdd));
}

static inline tsl_vi spread_bytes(const int8_t *from, size_t count, size_t segments) {
    if (count == 64) return tsl_vi_load(from);
    char values[64] = {0};
    for (size_t s = 0; s < segments; s++) memcpy(values + 64 / segments * s, from, count);
    return tsl_vi_load(values);
}

// Which kernel position byte i of the k-th group of four is, or -1. Groups are the columns of the first four
// rows; of five by five then columns 1 to 4 of the last row, and its column 0 as what lay there when the
// pixel before took its columns 1 to 4.
static inline int tap_of(size_t k, size_t i, size_t rows, size_t columns, bool dense) {
    if (k < columns) return i < rows ? (int)(i * columns + k) : -1;
    if (k == columns) return (int)(4 * columns + 1 + i);
    return i == (dense ? 0 : 1) ? (int)(4 * columns) : -1;
}

static inline void set_columns_block(
    const tsl_depthwise_s8_args *d, size_t channel, size_t segments, size_t columns, columns_block *b) {
    const size_t rows = d->n_taps / columns, w_tap = (d->channels + TSL_PANEL - 1) / TSL_PANEL * TSL_PANEL;
    const size_t padded = tsl_smaller(w_tap - channel, 64 / segments);
    const tsl_vi ones = tsl_vi_set_bytes(1);
    tsl_vi sum[4] = {tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero(), tsl_vi_zero()}, bytes[4];
    b->channel = channel;
    b->width = tsl_smaller(d->channels - channel, 64 / segments);
    b->column = d->tap[1] - d->tap[0];
    b->flip = tsl_vi_set_bytes(d->a_kind == TSL_ACTIVATION_S8 ? -128 : 0);
    for (size_t k = 0; k < TSL_MOST_COLUMNS; k++) b->row[k] = d->tap[tsl_smaller(k, rows - 1) * columns];
    for (size_t k = 0; k < columns + (rows > 4 ? 2 : 0); k++) {
        tsl_vi tap[4];
        for (size_t i = 0; i < 4; i++) {
            const int at = tap_of(k, i, rows, columns, d->a_pixel == b->column);
            tap[i] =
                at >= 0 ? spread_bytes(d->w + (size_t)at * w_tap + channel, padded, segments) : tsl_vi_zero();
        }
        interleave(tap, bytes);
        TSL_UNROLL
        for (int q = 0; q < 4; q++) {
            tsl_vi_store(b->w[k][q], bytes[q]);
            sum[q] = tsl_dot(sum[q], ones, b->w[k][q], TSL_ACTIVATION_NON_NEGATIVE);
        }
    }
    memset(b->first, 0, sizeof(b->first));
    if (d->acc_init) spread_words(b->first, d->acc_init + channel, padded, segments);
    TSL_UNROLL
    for (int q = 0; q < 4; q++)
        if (d->a_kind == TSL_ACTIVATION_S8)
            tsl_vi_store(b->first[q], tsl_vi_subtract(tsl_vi_load(b->first[q]), tsl_vi_times_128(sum[q])));
    spread_words(b->scale, d->scale + channel, padded, segments);
    spread_words(b->bias, d->bias + channel, padded, segments);
    b->length = (d->pixels + segments - 1) / segments;
    for (size_t s = 0; s < segments; s++) {
        ptrdiff_t start = (ptrdiff_t)tsl_smaller(s * b->length, d->pixels - b->length);
        b->a[s] = start * d->a_pixel + (ptrdiff_t)channel;
        b->c[s] = start * d->c_pixel + (ptrdiff_t)channel;
    }
}

// 64 / segments bytes of each segment.
TSL_INLINE tsl_vi load_segments(const char *from, const ptrdiff_t offset[4], const int segments) {
    if (segments == 1) return tsl_vi_load(from + offset[0]);
    if (segments == 2)
        return _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)(from + offset[0]))),
            _mm256_loadu_si256((const __m256i *)(const void *)(from + offset[1])), 1);
    tsl_vi v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(from + offset[0])));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(from + offset[1])), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(from + offset[2])), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(from + offset[3])), 3);
}

// Four rows of the column at `from`, interleaved.
TSL_INLINE void load_column(
    const columns_block *b, const char *from, const int rows, const int segments, tsl_vi v[4]) {
    tsl_vi tap[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++)
        tap[i] = i < rows ? tsl_vi_xor(load_segments(from + b->row[i], b->a, segments), b->flip) : tap[0];
    interleave(tap, v);
}

// One pixel of each segment.
TSL_INLINE void finish_columns(const columns_block *b, const tsl_vi sum[4], int8_t *c, const int segments,
    const tsl_vi lo, const tsl_vi hi) {
    tsl_vi q[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++)
        q[i] = _mm512_cvtps_epi32(
            tsl_vf_multiply_add(tsl_vi_to_float(sum[i]), tsl_vf_load(b->scale[i]), tsl_vf_load(b->bias[i])));
    tsl_vi bytes = tsl_vi_pack_16(tsl_vi_pack_32(q[0], q[1]), tsl_vi_pack_32(q[2], q[3]));
    bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, lo), hi);
    if (b->width < (size_t)(64 / segments)) {
        char pieces[64];
        tsl_vi_store(pieces, bytes);
        for (int s = 0; s < segments; s++) tsl_copy_few(c + b->c[s], pieces + 64 / segments * s, b->width);
    } else if (segments == 1) {
        tsl_vi_store(c + b->c[0], bytes);
    } else if (segments == 2) {
        _mm256_storeu_si256((__m256i *)(void *)(c + b->c[0]), _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256((__m256i *)(void *)(c + b->c[1]), _mm512_extracti64x4_epi64(bytes, 1));
    } else {
        _mm_storeu_si128((__m128i *)(void *)(c + b->c[0]), _mm512_castsi512_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(c + b->c[1]), _mm512_extracti32x4_epi32(bytes, 1));
        _mm_storeu_si128((__m128i *)(void *)(c + b->c[2]), _mm512_extracti32x4_epi32(bytes, 2));
        _mm_storeu_si128((__m128i *)(void *)(c + b->c[3]), _mm512_extracti32x4_epi32(bytes, 3));
    }
}

// Pixels of each segment that go through the chain together.
#define TSL_PART_PIXELS ((size_t)32)

// Pixels `first` on of each segment, whose sums lie in the order of the channels, go through the chain.
static __attribute__((noinline)) void finish_part(const tsl_depthwise_s8_args *d, const columns_block *b,
    size_t first, size_t pixels, size_t segments, int32_t (*sums)[4][TSL_LANES]) {
    ptrdiff_t c[4 * TSL_PART_PIXELS];
    for (size_t i = 0; i < pixels; i++)
        for (size_t s = 0; s < segments; s++)
            c[i * segments + s] =
                b->line + b->c[s] - (ptrdiff_t)b->channel + (ptrdiff_t)(first + i) * d->c_pixel;
    finish_pixels(d, b->channel, 64 / segments, pixels * segments, sums[0][0], c, NULL);
}

// Three columns. What is interleaved of the last three input columns stays in registers with the weights; the
// sums of a pixel are finished at once, or, with `sums`, stored there as they are.
TSL_INLINE void columns_part_3(const tsl_depthwise_s8_args *d, const columns_block *b, const char *a,
    size_t pixels, int8_t *c, const int stride, const int segments, int32_t (*sums)[4][TSL_LANES]) {
    const tsl_vi lo = tsl_vi_set_bytes((int)d->lo), hi = tsl_vi_set_bytes((int)d->hi);
    const ptrdiff_t column = b->column, c_pixel = d->c_pixel;
    tsl_vi v[3][4], w[3][4];
    TSL_UNROLL
    for (int k = 0; k < 3; k++) {
        TSL_UNROLL
        for (int q = 0; q < 4; q++) w[k][q] = tsl_vi_load(b->w[k][q]);
    }
    load_column(b, a, 3, segments, v[0]);
    if (stride == 1) load_column(b, a + column, 3, segments, v[1]);
    for (size_t i = 0; i < pixels; i++, a += stride * column) {
        if (stride == 2) load_column(b, a + column, 3, segments, v[1]);
        load_column(b, a + 2 * column, 3, segments, v[2]);
        tsl_vi sum[4];
        TSL_UNROLL
        for (int q = 0; q < 4; q++) {
            sum[q] = tsl_vi_load(b->first[q]);
            TSL_UNROLL
            for (int k = 0; k < 3; k++) sum[q] = tsl_dot_vectors(sum[q], v[k][q], w[k][q]);
        }
        if (sums) {
            spill_in_order(sum, sums[i][0]);
        } else {
            finish_columns(b, sum, c, segments, lo, hi);
            c += c_pixel;
        }
        TSL_UNROLL
        for (int q = 0; q < 4; q++) {
            v[0][q] = v[stride][q];
            if (stride == 1) v[1][q] = v[2][q];
        }
    }
}

TSL_INLINE void columns_line_3(const tsl_depthwise_s8_args *d, const columns_block *b, const char *a,
    int8_t *c, const int stride, const int segments) {
    if (!d->finish) {
        columns_part_3(d, b, a, b->length, c, stride, segments, NULL);
        return;
    }
    _Alignas(64) int32_t sums[TSL_PART_PIXELS][4][TSL_LANES];
    for (size_t done = 0, pixels; done < b->length; done += pixels) {
        pixels = tsl_smaller(b->length - done, TSL_PART_PIXELS);
        columns_part_3(d, b, a, pixels, NULL, stride, segments, sums);
        finish_part(d, b, done, pixels, (size_t)segments, sums);
        a += (ptrdiff_t)pixels * stride * b->column;
    }
}

// ---- Five columns: the weights of half the channels fill the registers, so each half passes over the line
// by itself, and its sums wait in memory for the other's ----

#define TSL_MOST_PIXELS 96

// Two quarters of four taps, interleaved.
TSL_INLINE void load_half(
    const columns_block *b, const char *const from[4], const int segments, const int half, tsl_vi v[2]) {
    tsl_vi tap[4];
    TSL_UNROLL
    for (int i = 0; i < 4; i++) tap[i] = tsl_vi_xor(load_segments(from[i], b->a, segments), b->flip);
    const tsl_vi first =
        half ? tsl_vi_interleave_high_8(tap[0], tap[1]) : tsl_vi_interleave_low_8(tap[0], tap[1]);
    const tsl_vi last =
        half ? tsl_vi_interleave_high_8(tap[2], tap[3]) : tsl_vi_interleave_low_8(tap[2], tap[3]);
    v[0] = tsl_vi_interleave_low_16(first, last);
    v[1] = tsl_vi_interleave_high_16(first, last);
}

TSL_INLINE void load_half_column(
    const columns_block *b, const char *a, const int segments, const int half, tsl_vi v[2]) {
    const char *const from[4] = {a + b->row[0], a + b->row[1], a + b->row[2], a + b->row[3]};
    load_half(b, from, segments, half, v);
}

// Columns 1 to 4 of the last row.
TSL_INLINE void load_half_row(
    const columns_block *b, const char *a, const int segments, const int half, tsl_vi v[2]) {
    const char *last = a + b->row[4] + b->column;
    const char *const from[4] = {last, last + b->column, last + 2 * b->column, last + 3 * b->column};
    load_half(b, from, segments, half, v);
}

TSL_INLINE void half_line(const columns_block *b, const char *a, size_t pixels, const int stride,
    const int segments, const int half, int32_t (*sums)[4][TSL_LANES]) {
    const ptrdiff_t column = b->column;
    const char *last = a + b->row[4];
    const char *const before_first[4] = {last, last, last, last};
    tsl_vi v[5][2], w[5][2], row[2], before[2];
    TSL_UNROLL
    for (int k = 0; k < 5; k++) {
        TSL_UNROLL
        for (int j = 0; j < 2; j++) w[k][j] = tsl_vi_load(b->w[k][2 * half + j]);
    }
    TSL_UNROLL
    for (int k = 0; k < 5 - stride; k++) load_half_column(b, a + k * column, segments, half, v[k]);
    load_half(b, before_first, segments, half, before);
    for (size_t i = 0; i < pixels; i++, a += stride * column) {
        TSL_UNROLL
        for (int k = 5 - stride; k < 5; k++) load_half_column(b, a + k * column, segments, half, v[k]);
        load_half_row(b, a, segments, half, row);
        TSL_UNROLL
        for (int j = 0; j < 2; j++) {
            const int q = 2 * half + j;
            tsl_vi sum = tsl_vi_load(b->first[q]);
            TSL_UNROLL
            for (int k = 0; k < 5; k++) sum = tsl_dot_vectors(sum, v[k][j], w[k][j]);
            sum = tsl_dot_vectors(sum, row[j], tsl_vi_load(b->w[5][q]));
            sum = tsl_dot_vectors(sum, before[j], tsl_vi_load(b->w[6][q]));
            tsl_vi_store(sums[i][q], sum);
            TSL_UNROLL
            for (int k = 0; k < 5 - stride; k++) v[k][j] = v[k + stride][j];
            before[j] = row[j];
        }
    }
}

TSL_INLINE void columns_line_5(const tsl_depthwise_s8_args *d, const columns_block *b, const char *a,
    int8_t *c, const int stride, const int segments) {
    _Alignas(64) int32_t sums[TSL_MOST_PIXELS][4][TSL_LANES];
    const tsl_vi lo = tsl_vi_set_bytes((int)d->lo), hi = tsl_vi_set_bytes((int)d->hi);
    const size_t most = d->finish ? TSL_PART_PIXELS : TSL_MOST_PIXELS;
    for (size_t done = 0, pixels; done < b->length; done += pixels) {
        pixels = tsl_smaller(b->length - done, most);
        half_line(b, a, pixels, stride, segments, 0, sums);
        half_line(b, a, pixels, stride, segments, 1, sums);
        a += (ptrdiff_t)pixels * stride * b->column;
        for (size_t i = 0; i < pixels; i++) {
            tsl_vi sum[4];
            TSL_UNROLL
            for (int q = 0; q < 4; q++) sum[q] = tsl_vi_load(sums[i][q]);
            if (d->finish) {
                spill_in_order(sum, sums[i][0]);
            } else {
                finish_columns(b, sum, c, segments, lo, hi);
                c += d->c_pixel;
            }
        }
        if (d->finish) finish_part(d, b, done, pixels, (size_t)segments, sums);
    }
}

#define TSL_COLUMNS(columns, stride)                                                                         \
    static __attribute__((noinline)) void columns_##columns##_##stride(                                      \
        const tsl_depthwise_s8_args *d, const columns_block *b, size_t segments, const char *a, int8_t *c) { \
        if (segments == 1)                                                                                   \
            columns_line_##columns(d, b, a, c, stride, 1);                                                   \
        else if (segments == 2)                                                                              \
            columns_line_##columns(d, b, a, c, stride, 2);                                                   \
        else                                                                                                 \
            columns_line_##columns(d, b, a, c, stride, 4);                                                   \
    }
TSL_COLUMNS(3, 1)
TSL_COLUMNS(3, 2)
TSL_COLUMNS(5, 1)
TSL_COLUMNS(5, 2)
#undef TSL_COLUMNS

typedef void (*columns_function)(
    const tsl_depthwise_s8_args *d, const columns_block *b, size_t segments, const char *a, int8_t *c);

// NULL when the window is not one of these, or for what is rare: residuals, and float outputs without a
// chain.
static columns_function choose_columns(const tsl_depthwise_s8_args *d) {
    const size_t columns = d->tap_columns;
    if ((!d->c_s8 && !d->finish) || d->z || columns < 3 || d->n_taps != columns * columns || d->pixels == 0)
        return NULL;
    const ptrdiff_t column = d->tap[1] - d->tap[0];
    const int stride = d->a_pixel == column ? 1 : d->a_pixel == 2 * column ? 2 : 0;
    if (stride == 0) return NULL;
    if (!d->finish && !tsl_is_bounded(d->scale, d->bias, d->channels, 0)) return NULL;
    if (columns == 3) return stride == 1 ? columns_3_1 : columns_3_2;
    if (columns == 5) return stride == 1 ? columns_5_1 : columns_5_2;
    return NULL;
}

// Segments that begin and end are not worth it for fewer pixels.
#define TSL_FEW_PIXELS 16

// The next block of channels from `channel` on: the number of segments, and how far it starts before. A block
// ends with the last channel where there are enough; channels that two blocks share are computed twice.
static size_t choose_segments(const tsl_depthwise_s8_args *d, size_t channel, size_t *back) {
    const size_t rest = d->channels - channel;
    size_t segments = 4;
    if (rest >= 64 || (rest > 32 && (d->channels >= 64 || d->pixels < TSL_FEW_PIXELS)))
        segments = 1;
    else if (rest >= 32 || (rest > 16 && (d->channels >= 32 || d->pixels < TSL_FEW_PIXELS)))
        segments = 2;
    if (segments > d->pixels) segments = 1;
    const size_t width = 64 / segments;
    *back = rest < width && d->channels >= width ? width - rest : 0;
    return segments;
}

// False when the window is not one of these.
static bool depthwise_columns(const tsl_depthwise_s8_args *d) {
    const columns_function run = choose_columns(d);
    if (!run) return false;
    columns_block b;
    for (size_t channel = 0, back; channel < d->channels; channel += b.width - back) {
        const size_t segments = choose_segments(d, channel, &back);
        set_columns_block(d, channel - back, segments, d->tap_columns, &b);
        for (size_t i = 0; i < d->lines; i++) {
            ptrdiff_t line = (ptrdiff_t)i;
            b.line = line * d->c_line;
            run(d, &b, segments, (const char *)d->a + line * d->a_line, d->finish ? NULL : d->c_s8 + b.line);
        }
    }
    return true;
}

#endif
