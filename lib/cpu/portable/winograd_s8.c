// SPDX-License-Identifier: Apache-2.0
// Exact integer Winograd F(4x4, 3x3): the plain definition. The matrices are those of interpolation at 0, 1,
// -1, 2, -2 and infinity, scaled to whole numbers:
//   B' as it is: |B'| <= 10 a line, so inputs grow by up to 100: 25,500, within int16;
//   G times 24, -6, -6, 24, 24, 6: weights grow by up to 49: 6,223;
//   A' with lines divided by what they have in common, so that line i makes 24/(1, 2, 4, 4)[i] times the
//   sums.
// Points are summed modulo 2^32. Output (i, j) is then 9 * 2^s * Y, s = shift[i] + shift[j]: times the
// inverse of 9 modulo 2^32 and shifted right by s it is Y, exactly, if |Y| * 2^s < 2^31 -- which the caller
// proves from the weights.
#include "cpu/portable/portable.h"
#include "cpu/portable/requantize.h"

#define INVERSE_OF_9 0x38E38E39u

static const int shift[4] = {3, 2, 1, 1};

// t = B' d
static void input_line(const int32_t *d, int step, int32_t t[6]) {
    int32_t d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    t[0] = 4 * d0 - 5 * d2 + d4;
    t[1] = d4 - 4 * d2 + (d3 - 4 * d1);
    t[2] = d4 - 4 * d2 - (d3 - 4 * d1);
    t[3] = d4 - d2 + 2 * (d3 - d1);
    t[4] = d4 - d2 - 2 * (d3 - d1);
    t[5] = 4 * d1 - 5 * d3 + d5;
}

void tsl_portable_winograd_input_s8(const tsl_winograd_input_args *args) {
    for (size_t i = 0; i < args->channels; i++) {
        int32_t d[36], t[6];
        for (int p = 0; p < 36; p++) {
            const void *at = args->pixels[p] + args->offset + i;
            d[p] = args->kind == TSL_ACTIVATION_U8 ? *(const uint8_t *)at : *(const int8_t *)at;
        }
        for (int column = 0; column < 6; column++) {
            input_line(d + column, 6, t);
            for (int row = 0; row < 6; row++) d[row * 6 + column] = t[row];
        }
        char *v = (char *)args->v + i * sizeof(int16_t);
        for (int row = 0; row < 6; row++) {
            input_line(d + row * 6, 1, t);
            for (int column = 0; column < 6; column++, v += args->v_point)
                *(int16_t *)(void *)v = (int16_t)t[column];
        }
    }
}

// u = G g
static void weights_line(const int32_t *g, int step, int32_t u[6]) {
    int32_t g0 = g[0], g1 = g[step], g2 = g[2 * step];
    u[0] = 6 * g0;
    u[1] = g0 + g1 + g2;
    u[2] = g0 - g1 + g2;
    u[3] = g0 + 2 * g1 + 4 * g2;
    u[4] = g0 - 2 * g1 + 4 * g2;
    u[5] = 6 * g2;
}

// Weight (i, j) of one panel: at w[tap] for the kernel positions, to u[point].
static void transform_weight(const int8_t *w, size_t w_tap, char *u, size_t u_point) {
    int32_t g[18], tap[3], line[6];
    for (int column = 0; column < 3; column++) {
        for (int row = 0; row < 3; row++) tap[row] = w[(size_t)(row * 3 + column) * w_tap];
        weights_line(tap, 1, line);
        for (int row = 0; row < 6; row++) g[row * 3 + column] = line[row];
    }
    for (int row = 0; row < 6; row++) {
        weights_line(g + row * 3, 1, line);
        for (int column = 0; column < 6; column++, u += u_point)
            *(int16_t *)(void *)u = (int16_t)line[column];
    }
}

void tsl_portable_winograd_weights_s8(const tsl_winograd_weights_args *args) {
    for (size_t panel = 0; panel < args->panels; panel++) {
        const int8_t *w = (const int8_t *)args->w + panel * args->w_panel;
        char *u = (char *)args->u + panel * args->u_panel;
        for (size_t i = 0; i < args->k; i++)
            for (size_t j = 0; j < TSL_PANEL; j++) {
                size_t from = (i / TSL_K_GROUP * TSL_PANEL + j) * TSL_K_GROUP + i % TSL_K_GROUP;
                size_t to = (i / 2 * TSL_PANEL + j) * 2 + i % 2;
                transform_weight(w + from, args->w_tap, u + to * sizeof(int16_t), args->u_point);
            }
    }
}

void tsl_portable_gemm_s16(const tsl_gemm_s16_args *g) {
    for (size_t panel = 0; panel < g->panels; panel++) {
        for (size_t row = 0; row < g->m; row++) {
            const int16_t *a = (const int16_t *)(const void *)((const char *)g->a + row * g->a_row);
            const int16_t *w = (const int16_t *)(const void *)((const char *)g->w + panel * g->w_panel);
            int32_t *c = (int32_t *)(void *)((char *)g->c + row * g->c_row) + panel * TSL_PANEL;
            uint32_t sums[TSL_PANEL];
            for (size_t j = 0; j < TSL_PANEL; j++) sums[j] = g->accumulate ? (uint32_t)c[j] : 0;
            for (size_t i = 0; i < g->k2; i++, w += 2 * TSL_PANEL)
                for (size_t j = 0; j < TSL_PANEL; j++)
                    sums[j] += (uint32_t)(a[2 * i] * w[2 * j] + a[2 * i + 1] * w[2 * j + 1]);
            for (size_t j = 0; j < TSL_PANEL; j++) c[j] = (int32_t)sums[j];
        }
    }
}

// y = A' m modulo 2^32
static void output_line(const uint32_t *m, int step, uint32_t y[4]) {
    uint32_t m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
    y[0] = m[0] - 4 * (m1 + m2) + (m3 + m4);
    y[1] = (m3 - m4) - 2 * (m1 - m2);
    y[2] = (m3 + m4) - (m1 + m2);
    y[3] = 2 * (m3 - m4) - (m1 - m2) + m[5 * step];
}

static void store(const tsl_winograd_output_args *o, size_t i, size_t row, size_t column, int32_t sum) {
    if (o->acc_init) sum += o->acc_init[i];
    float y = fmaf((float)sum, o->scale[i], o->bias[i]);
    const int8_t *z = o->z;
    if (z)
        y = fmaf((float)(z + (ptrdiff_t)row * o->z_row + (ptrdiff_t)column * o->z_column)[i], o->z_scale, y);
    ptrdiff_t at = (ptrdiff_t)row * o->c_row + (ptrdiff_t)column * o->c_column;
    if (o->c_s8)
        (o->c_s8 + at)[i] = tsl_requantize(y, o->lo, o->hi);
    else
        ((float *)(void *)((char *)o->c_f32 + at))[i] = tsl_clamp(y, o->lo, o->hi);
}

// All outputs of channel i.
static void find_sums(const tsl_winograd_output_args *o, size_t i, int32_t sums[4][4]) {
    uint32_t m[36], half[24], y[4];
    for (size_t p = 0; p < 36; p++)
        m[p] = *(const uint32_t *)(const void *)((const char *)o->m + p * o->m_point + i * sizeof(int32_t));
    for (int row = 0; row < 6; row++) {
        output_line(m + row * 6, 1, y);
        for (int column = 0; column < 4; column++) half[row * 4 + column] = y[column];
    }
    for (size_t column = 0; column < 4; column++) {
        output_line(half + column, 4, y);
        for (size_t row = 0; row < 4; row++)
            sums[row][column] = (int32_t)(y[row] * INVERSE_OF_9) >> (shift[row] + shift[column]);
    }
}

static void finish(const tsl_winograd_output_args *o, size_t first) {
    int32_t panel[4][4][TSL_PANEL] = {0}, sums[4][4];
    for (size_t j = 0; j < TSL_PANEL && first + j < o->channels; j++) {
        find_sums(o, first + j, sums);
        for (size_t pixel = 0; pixel < 16; pixel++)
            panel[pixel / 4][pixel % 4][j] =
                sums[pixel / 4][pixel % 4] + (o->acc_init ? o->acc_init[first + j] : 0);
    }
    tsl_winograd_finish(o, first, (const int32_t(*)[4][TSL_PANEL])panel);
}

void tsl_portable_winograd_output_s8(const tsl_winograd_output_args *o) {
    for (size_t first = 0; o->finish && first < o->channels; first += TSL_PANEL) finish(o, first);
    for (size_t i = 0; !o->finish && i < o->channels; i++) {
        int32_t sums[4][4];
        find_sums(o, i, sums);
        for (size_t row = 0; row < o->rows; row++)
            for (size_t column = 0; column < o->columns; column++)
                store(o, i, row, column, sums[row][column]);
    }
}
