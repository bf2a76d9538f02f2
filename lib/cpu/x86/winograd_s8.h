// SPDX-License-Identifier: Apache-2.0
// Template of integer Winograd's three transforms; portable/winograd_s8.c defines them and says why they are
// exact. Lines are computed two and two, so that what both need is loaded once and nothing goes through
// memory but inputs and results.
#ifndef TSL_CPU_X86_WINOGRAD_S8_H
#define TSL_CPU_X86_WINOGRAD_S8_H

#include "cpu/x86/requantize.h"
#include "cpu/x86/words.h"

#define TSL_WORDS ((size_t)TSL_VECTOR_BYTES / sizeof(int16_t))

// t = B' d
TSL_INLINE void input_line(const tsl_vi d[6], tsl_vi t[6]) {
    tsl_vi even = tsl_words_subtract(d[4], d[2]), odd = tsl_words_subtract(d[3], d[1]);
    t[0] = tsl_words_add(even, tsl_words_times_4(tsl_words_subtract(d[0], d[2])));
    t[5] = tsl_words_subtract(tsl_words_subtract(d[5], d[3]), tsl_words_times_4(odd));
    odd = tsl_words_times_2(odd);
    t[3] = tsl_words_add(even, odd);
    t[4] = tsl_words_subtract(even, odd);
    even = tsl_words_subtract(d[4], tsl_words_times_4(d[2]));
    odd = tsl_words_subtract(d[3], tsl_words_times_4(d[1]));
    t[1] = tsl_words_add(even, odd);
    t[2] = tsl_words_subtract(even, odd);
}

TSL_INLINE void input_tiles(const tsl_winograd_input_args *args, const bool is_unsigned) {
    for (size_t i = 0; i < args->channels; i += TSL_WORDS) {
        tsl_vi columns[6][6], line[6];
        TSL_UNROLL
        for (int column = 0; column < 6; column++) {
            TSL_UNROLL
            for (int row = 0; row < 6; row++) {
                const char *pixel = args->pixels[row * 6 + column] + args->offset + i;
                line[row] = is_unsigned ? tsl_words_from_u8(pixel) : tsl_words_from_s8(pixel);
            }
            input_line(line, columns[column]);
        }
        char *v = (char *)args->v + i * sizeof(int16_t);
        TSL_UNROLL
        for (int row = 0; row < 6; row++) {
            tsl_vi t[6];
            TSL_UNROLL
            for (int column = 0; column < 6; column++) line[column] = columns[column][row];
            input_line(line, t);
            TSL_UNROLL
            for (int column = 0; column < 6; column++) {
                tsl_vi_store(v, t[column]);
                v += args->v_point;
            }
        }
    }
}

TSL_INLINE void winograd_input_s8(const tsl_winograd_input_args *args) {
    if (args->kind == TSL_ACTIVATION_U8)
        input_tiles(args, true);
    else
        input_tiles(args, false);
}

// u = G g
TSL_INLINE void weights_line(tsl_vi g0, tsl_vi g1, tsl_vi g2, tsl_vi u[6]) {
    tsl_vi even = tsl_words_add(g0, g2), four = tsl_words_times_4(g2), two = tsl_words_times_2(g1);
    u[1] = tsl_words_add(even, g1);
    u[2] = tsl_words_subtract(even, g1);
    even = tsl_words_add(g0, four);
    u[3] = tsl_words_add(even, two);
    u[4] = tsl_words_subtract(even, two);
    u[0] = tsl_words_add(tsl_words_times_4(g0), tsl_words_times_2(g0));
    u[5] = tsl_words_add(four, tsl_words_times_2(g2));
}

// Two input channels of as many outputs as fill a vector.
TSL_INLINE void weights_of_two(const char *w, size_t w_tap, int second, char *u, size_t u_point) {
    tsl_vi columns[3][6];
    TSL_UNROLL
    for (int column = 0; column < 3; column++) {
        tsl_vi tap[3];
        TSL_UNROLL
        for (int row = 0; row < 3; row++)
            tap[row] = tsl_words_of_fours(w + (size_t)(row * 3 + column) * w_tap, second);
        weights_line(tap[0], tap[1], tap[2], columns[column]);
    }
    TSL_UNROLL
    for (int row = 0; row < 6; row++) {
        tsl_vi line[6];
        weights_line(columns[0][row], columns[1][row], columns[2][row], line);
        TSL_UNROLL
        for (int column = 0; column < 6; column++) {
            tsl_vi_store(u, line[column]);
            u += u_point;
        }
    }
}

TSL_INLINE void winograd_weights_s8(const tsl_winograd_weights_args *args) {
    const size_t row_bytes = TSL_PANEL * TSL_K_GROUP; // of four channels in w, of two in u
    for (size_t panel = 0; panel < args->panels; panel++) {
        const char *w = (const char *)args->w + panel * args->w_panel;
        char *u = (char *)args->u + panel * args->u_panel;
        for (size_t i = 0; i < args->k; i += TSL_K_GROUP, w += row_bytes, u += 2 * row_bytes)
            for (size_t at = 0; at < row_bytes; at += TSL_VECTOR_BYTES) {
                weights_of_two(w + at, args->w_tap, 0, u + at, args->u_point);
                weights_of_two(w + at, args->w_tap, 1, u + row_bytes + at, args->u_point);
            }
    }
}

// y = A' m
TSL_INLINE void output_line(const tsl_vi m[6], tsl_vi y[4]) {
    tsl_vi sum_1 = tsl_vi_add(m[1], m[2]), difference_1 = tsl_vi_subtract(m[1], m[2]);
    tsl_vi sum_2 = tsl_vi_add(m[3], m[4]), difference_2 = tsl_vi_subtract(m[3], m[4]);
    y[0] = tsl_vi_add(tsl_vi_subtract(m[0], tsl_vi_times_4(sum_1)), sum_2);
    y[1] = tsl_vi_subtract(difference_2, tsl_vi_times_2(difference_1));
    y[2] = tsl_vi_subtract(sum_2, sum_1);
    y[3] = tsl_vi_add(tsl_vi_subtract(tsl_vi_times_2(difference_2), difference_1), m[5]);
}

// One output pixel's sixteen channels from `i` on.
TSL_INLINE void store_pixel(const tsl_winograd_output_args *o, size_t i, size_t row, size_t column,
    const tsl_vi sums[TSL_PANEL_VECTORS]) {
    ptrdiff_t at = (ptrdiff_t)row * o->c_row + (ptrdiff_t)column * o->c_column;
    const int8_t *z = o->z;
    if (z) z += (ptrdiff_t)row * o->z_row + (ptrdiff_t)column * o->z_column;
    if (!o->c_s8 || o->channels - i < TSL_PANEL) {
        int32_t spilled[TSL_PANEL];
        TSL_UNROLL
        for (int v = 0; v < TSL_PANEL_VECTORS; v++) tsl_vi_store(spilled + v * TSL_LANES, sums[v]);
        tsl_row_output output = {.sums = spilled,
            .scale = o->scale + i,
            .bias = o->bias + i,
            .z = z ? z + i : NULL,
            .z_scale = o->z_scale,
            .lo = o->lo,
            .hi = o->hi,
            .c_s8 = o->c_s8 ? o->c_s8 + at + i : NULL,
            .c_f32 = o->c_s8 ? NULL : tsl_writable_floats_at(o->c_f32, at) + i};
        tsl_requantize_row(&output, tsl_smaller(o->channels - i, TSL_PANEL));
        return;
    }
    tsl_vi zs[TSL_PANEL_VECTORS], q[TSL_PANEL_VECTORS];
    if (z) tsl_panel_load_s8(z + i, zs);
    TSL_UNROLL
    for (int v = 0; v < TSL_PANEL_VECTORS; v++) {
        tsl_vf y = tsl_vf_multiply_add(tsl_vi_to_float(sums[v]), tsl_vf_load(o->scale + i + v * TSL_LANES),
            tsl_vf_load(o->bias + i + v * TSL_LANES));
        if (z) y = tsl_vf_multiply_add(tsl_vi_to_float(zs[v]), tsl_vf_set(o->z_scale), y);
        q[v] = tsl_vf_requantize(y, tsl_vf_set(o->lo), tsl_vf_set(o->hi));
    }
    tsl_panel_store_s8(o->c_s8 + at + i, q);
}

static __attribute__((noinline)) void finish_tile(
    const tsl_winograd_output_args *o, size_t i, const tsl_vi sums[4][4][TSL_PANEL_VECTORS]) {
    _Alignas(64) int32_t panel[4][4][TSL_PANEL];
    for (size_t pixel = 0; pixel < 16; pixel++)
        for (size_t v = 0; v < TSL_PANEL_VECTORS; v++)
            tsl_vi_store(panel[pixel / 4][pixel % 4] + v * TSL_LANES, sums[pixel / 4][pixel % 4][v]);
    tsl_winograd_finish(o, i, (const int32_t(*)[4][TSL_PANEL])panel);
}

#define TSL_INVERSE_OF_9 0x38E38E39

// From 9 * 2^shift times the sum to the sum.
#define TSL_SUM_OF(y, shift) tsl_vi_shift_right(tsl_vi_multiply(y, inverse), shift)

TSL_INLINE void output_channels(const tsl_winograd_output_args *o, size_t i) {
    const int32_t inverse_of_9 = TSL_INVERSE_OF_9;
    const tsl_vi inverse = tsl_vi_broadcast(&inverse_of_9);
    tsl_vi sums[4][4][TSL_PANEL_VECTORS];
    TSL_UNROLL
    for (int v = 0; v < TSL_PANEL_VECTORS; v++) {
        const char *m = (const char *)o->m + i * sizeof(int32_t) + (size_t)v * TSL_VECTOR_BYTES;
        tsl_vi rows[6][4], line[6], y[4];
        TSL_UNROLL
        for (int row = 0; row < 6; row++) {
            TSL_UNROLL
            for (int column = 0; column < 6; column++) {
                line[column] = tsl_vi_load(m);
                m += o->m_point;
            }
            output_line(line, rows[row]);
        }
        tsl_vi first = o->acc_init ? tsl_vi_load(o->acc_init + i + (size_t)v * TSL_LANES) : tsl_vi_zero();
        TSL_UNROLL
        for (int column = 0; column < 4; column++) {
            TSL_UNROLL
            for (int row = 0; row < 6; row++) line[row] = rows[row][column];
            output_line(line, y);
            switch (column) {
#define TSL_COLUMN(column, shift)                                                                            \
    case column:                                                                                             \
        sums[0][column][v] = tsl_vi_add(first, TSL_SUM_OF(y[0], shift + 3));                                 \
        sums[1][column][v] = tsl_vi_add(first, TSL_SUM_OF(y[1], shift + 2));                                 \
        sums[2][column][v] = tsl_vi_add(first, TSL_SUM_OF(y[2], shift + 1));                                 \
        sums[3][column][v] = tsl_vi_add(first, TSL_SUM_OF(y[3], shift + 1));                                 \
        break;
                TSL_COLUMN(0, 3)
                TSL_COLUMN(1, 2)
                TSL_COLUMN(2, 1)
                TSL_COLUMN(3, 1)
#undef TSL_COLUMN
            }
        }
    }
    if (o->finish) {
        finish_tile(o, i, (const tsl_vi(*)[4][TSL_PANEL_VECTORS])sums);
    } else if (o->rows == 4 && o->columns == 4) {
        TSL_UNROLL
        for (size_t pixel = 0; pixel < 16; pixel++)
            store_pixel(o, i, pixel / 4, pixel % 4, sums[pixel / 4][pixel % 4]);
    } else {
        for (size_t row = 0; row < o->rows; row++)
            for (size_t column = 0; column < o->columns; column++)
                store_pixel(o, i, row, column, sums[row][column]);
    }
}

TSL_INLINE void winograd_output_s8(const tsl_winograd_output_args *o) {
    for (size_t i = 0; i < o->channels; i += TSL_PANEL) output_channels(o, i);
}

#endif
