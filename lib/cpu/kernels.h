// SPDX-License-Identifier: Apache-2.0
// The dispatch table: every function that exists once in portable C and again for some instruction sets.
// kernels.inc names each once; the table, the tests and the benches are made from it.
//
// A convolution is a matrix product whose rows are gathered: output pixel r, kernel position t reads k
// channels at a + a_row[r] + tap[t]. The input has a border of zeros, so there is no edge. Rows and taps are
// any set at all: 1x1, strided, dilated and transposed convolution (a phase at a time), Gemm and MatMul are
// the same function.
#ifndef TSL_CPU_KERNELS_H
#define TSL_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tinyslim/context.h>

#include "ir/op.h"

// Output channels of one panel of packed weights.
#define TSL_PANEL 16
// INT8 channels that are multiplied together: k is padded to a multiple of it, with zero weights.
#define TSL_K_GROUP 4

// ---- The chain after a product's sum ----
// t is the sum with bias and residual, in real units: a = f(t), of Clip clamp(t, least, most);
// y = clamp(fmaf(a, factor[j], shift[j]), lo, hi), to int8 rounded to nearest even. A product that has one
// leaves the bounds of its own alone.
typedef struct tsl_finish_args tsl_finish_args;
typedef struct tsl_finish {
    void (*run)(const tsl_finish_args *args); // finish_sums of the dispatch table
    tsl_op op; // f
    float alpha, beta; // as in tsl_unary_f32_args
    float least, most;
    const float *factor, *shift; // padded to 16
    bool uniform; // they are the same for all channels
    bool plain; // they are 1 and -0, and lo and hi are open: for float
    float lo, hi; // for int8 whole numbers within -128..127
} tsl_finish;

// Rows of some of a product's channels. With int32 sums, t is what tsl_gemm_s8_args says, as y there; with
// float ones, the sum and z; with neither, c_f32 holds t.
struct tsl_finish_args {
    const tsl_finish *finish;
    const int32_t *sums; // [rows][width], or NULL
    const float *sums_f32; // the same
    size_t rows;
    size_t first, width; // channels, a multiple of 16; of these, those below n exist
    size_t n;
    const float *scale, *bias; // from channel 0 on, as all pointers here
    const void *z; // int8, or float with float sums
    const ptrdiff_t *z_row;
    float z_scale;
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
    const ptrdiff_t *c_row;
};

// ---- Float matrix product: c[r][j] = clamp(bias[j] + sum(t, i) a[r][t][i] * w[t][i][j] + z[r][j], lo, hi)
// ---- Accumulated in order of t, then i, by fused multiply-adds, starting from bias: portable C uses fmaf
// too.
typedef struct tsl_gemm_f32_args {
    const float *a;
    const ptrdiff_t *a_row; // m byte offsets
    const ptrdiff_t *tap; // n_taps byte offsets
    size_t m, n, n_taps, k;
    const float *w; // [panel][tap][k][16]; channels past n are zero
    size_t panel_stride; // in elements: n_taps * k * 16, or more
    float *c;
    const ptrdiff_t *c_row; // m byte offsets; the n channels of a row lie side by side
    const float *z; // residual, or NULL
    const ptrdiff_t *z_row;
    const float *bias; // padded to a multiple of 16; never NULL
    float lo, hi;
    const tsl_finish *finish; // or NULL
} tsl_gemm_f32_args;

// The chain of sums[rows][width], and their storage.
static inline void tsl_gemm_f32_finish(
    const tsl_gemm_f32_args *g, size_t row, size_t rows, size_t first, size_t width, const float *sums) {
    const tsl_finish_args args = {.finish = g->finish,
        .sums_f32 = sums,
        .rows = rows,
        .first = first,
        .width = width,
        .n = g->n,
        .z = g->z,
        .z_row = g->z ? g->z_row + row : NULL,
        .c_f32 = g->c,
        .c_row = g->c_row + row};
    g->finish->run(&args);
}

// ---- INT8 matrix product: acc = acc_init[j] + sum a*w in int32, exact for any operands ----
// y = fmaf((float)acc, scale[j], bias[j]), or with a residual fmaf((float)z, z_scale, that);
// to int8: clamp(round to nearest even(y), lo, hi); to float: clamp(y, lo, hi).
// Any y, however large, is clamped right (clamp as floats, then convert). In every function here a float
// result that is not a number stays so; as int8 it becomes lo.
typedef enum tsl_activation_kind {
    TSL_ACTIVATION_S8 = 0, // -128..127
    TSL_ACTIVATION_NON_NEGATIVE = 1, // int8, proven 0..127: half-range tricks are exact
    TSL_ACTIVATION_U8 = 2 // 0..255
} tsl_activation_kind;

// Groups of 4 channels whose products fit 16 bits when they are added up: cpu/bundle.h.
#define TSL_BUNDLE_GROUPS 8 // at most
#define TSL_BUNDLE_AHEAD 16
typedef struct tsl_group_place {
    int32_t a, w; // bytes from the start of a row and of a panel's weights
} tsl_group_place;
typedef struct tsl_bundles { // of one panel
    // Of all groups, bundle after bundle, the largest bundles first; then zeros, since kernels look ahead to
    // fetch weights.
    const tsl_group_place *places;
    uint32_t count[TSL_BUNDLE_GROUPS]; // how many bundles have 1, 2, ... groups
} tsl_bundles;

typedef struct tsl_gemm_s8_args {
    const void *a; // int8 or uint8
    tsl_activation_kind a_kind;
    const ptrdiff_t *a_row;
    const ptrdiff_t *tap;
    size_t m, n, n_taps;
    size_t k4; // groups of 4 channels for a tap; up to 3 bytes past the last channel are read, their weights
               // are 0
    const int8_t *w; // [panel][tap][k4][16][4], in -127..127
    size_t panel_stride; // in bytes
    const tsl_bundles *bundles; // one for each panel, or NULL
    const int32_t
        *w_sum; // of each channel's weights over all taps (padded to 16): for kernels that shift a by 128
    const int32_t *acc_init; // padded to 16, or NULL for zeros
    // Weights with zero points: acc has a_sum[r] * w_zero[j] too. m sums; padded to 16. Or both NULL.
    const int32_t *a_sum, *w_zero;
    const float *scale, *bias; // padded to 16
    const int8_t *z; // residual, or NULL
    const ptrdiff_t *z_row;
    float z_scale;
    float lo, hi; // for int8 whole numbers within -128..127
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
    const ptrdiff_t *c_row;
    const tsl_finish *finish; // or NULL
} tsl_gemm_s8_args;

// The chain of sums[rows][width], and their storage.
static inline void tsl_gemm_s8_finish(
    const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t first, size_t width, const int32_t *sums) {
    const tsl_finish_args args = {.finish = g->finish,
        .sums = sums,
        .rows = rows,
        .first = first,
        .width = width,
        .n = g->n,
        .scale = g->scale,
        .bias = g->bias,
        .z = g->z,
        .z_row = g->z ? g->z_row + row : NULL,
        .z_scale = g->z_scale,
        .c_s8 = g->c_s8,
        .c_f32 = g->c_f32,
        .c_row = g->c_row + row};
    g->finish->run(&args);
}

// sum[r] = the sum of a row's activations over all taps, of k channels each: for weights with zero points.
typedef struct tsl_row_sums_args {
    const void *a;
    tsl_activation_kind a_kind;
    const ptrdiff_t *a_row, *tap;
    size_t m, n_taps, k;
    int32_t *sum;
} tsl_row_sums_args;

// ---- Depthwise convolution: one row of output pixels, each channel by itself ----
typedef struct tsl_depthwise_f32_args {
    const float *a; // kernel position (0,0) of the first output pixel
    ptrdiff_t a_pixel; // bytes from one output pixel's input to the next's
    const ptrdiff_t *tap;
    size_t n_taps, pixels, channels;
    const float *w; // [tap][channels padded to 16]
    float *c;
    ptrdiff_t c_pixel; // bytes
    const float *z;
    ptrdiff_t z_pixel;
    const float *bias; // padded to 16
    float lo, hi;
} tsl_depthwise_f32_args;

typedef struct tsl_depthwise_s8_args {
    const void *a; // up to 63 bytes past the last channel of a pixel are read
    tsl_activation_kind a_kind;
    ptrdiff_t a_pixel;
    const ptrdiff_t *tap;
    size_t n_taps, pixels, channels;
    size_t
        tap_columns; // where tap[r * tap_columns + c] = tap[r * tap_columns] + c * (tap[1] - tap[0]); else 0
    size_t lines; // rows of output pixels, with the steps in bytes from one to the next
    ptrdiff_t a_line, c_line, z_line;
    const int8_t *w; // [tap][channels padded to 16]
    const int32_t *acc_init;
    const float *scale, *bias;
    const int8_t *z;
    ptrdiff_t z_pixel;
    float z_scale;
    float lo, hi;
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
    ptrdiff_t c_pixel;
    const tsl_finish *finish; // or NULL
} tsl_depthwise_s8_args;

// The chain of sums[rows][width], channels from `first` on, and their storage; c and z are the rows' offsets.
static inline void tsl_depthwise_finish(const tsl_depthwise_s8_args *d, size_t rows, size_t first,
    size_t width, const int32_t *sums, const ptrdiff_t *c, const ptrdiff_t *z) {
    const tsl_finish_args args = {.finish = d->finish,
        .sums = sums,
        .rows = rows,
        .first = first,
        .width = width,
        .n = d->channels,
        .scale = d->scale,
        .bias = d->bias,
        .z = d->z,
        .z_row = z,
        .z_scale = d->z_scale,
        .c_s8 = d->c_s8,
        .c_f32 = d->c_f32,
        .c_row = c};
    d->finish->run(&args);
}

// ---- Winograd's F(4x4, 3x3), see cpu/winograd.h: a tile is 6x6 input pixels, 36 points, 4x4 output pixels
// ----
#define TSL_WINOGRAD_POINTS 36

// One tile's channels at each point: as float, or as int16 within -25500..25500.
typedef struct tsl_winograd_input_args {
    const char *const *pixels; // 36, row by row
    ptrdiff_t offset; // bytes, of the first channel
    tsl_activation_kind kind; // int8 only
    size_t channels; // read and written on to the next multiple of 16 (float) or 32 (int8)
    void *v; // float or int16
    size_t v_point; // bytes from one point to the next
} tsl_winograd_input_args;

// Panels of packed weights at each point.
typedef struct tsl_winograd_weights_args {
    const void *w; // float: [tap][k][16]; int8: [tap][k/4][16][4]
    size_t w_tap, w_panel; // bytes from one kernel position, one panel to the next
    size_t k, panels; // k: for int8 a multiple of 4
    void *u; // float: [point][panel][k][16]; int16: [point][panel][k/2][16][2]
    size_t u_point, u_panel; // bytes
} tsl_winograd_weights_args;

// c[r][j] = sum(i) a[r][i] * w[i][j], or c + that, modulo 2^32.
typedef struct tsl_gemm_s16_args {
    const int16_t *a;
    size_t a_row; // bytes; a multiple of 4
    size_t m, panels, k2; // k2: pairs of channels
    const int16_t *w; // [panel][k2][16][2]
    size_t w_panel; // bytes
    int32_t *c;
    size_t c_row; // bytes; all channels of the panels are written
    bool accumulate;
} tsl_gemm_s16_args;

// One tile's outputs: clamp(sum + bias + z), or what tsl_gemm_s8_args says.
typedef struct tsl_winograd_output_args {
    const void *m; // float or int32
    size_t m_point; // bytes
    size_t rows, columns,
        channels; // rows, columns: up to 4 that exist; m is read on to the next multiple of 16
    const int32_t *acc_init; // padded to 16, or NULL; int8 only, as scale
    const float *scale, *bias; // padded to 16
    const void *z; // float or int8, or NULL
    ptrdiff_t z_row, z_column; // bytes
    float z_scale, lo, hi;
    int8_t *c_s8; // one of the two is NULL
    float *c_f32;
    ptrdiff_t c_row, c_column;
    const tsl_finish *finish; // or NULL; int8 only
} tsl_winograd_output_args;

// The chain of one tile's sums, sixteen channels from `first` on, and their storage.
static inline void tsl_winograd_finish(
    const tsl_winograd_output_args *o, size_t first, const int32_t sums[4][4][TSL_PANEL]) {
    ptrdiff_t c[4], z[4];
    for (size_t row = 0; row < o->rows; row++) {
        for (size_t column = 0; column < o->columns; column++) {
            c[column] = (ptrdiff_t)row * o->c_row + (ptrdiff_t)column * o->c_column;
            z[column] = (ptrdiff_t)row * o->z_row + (ptrdiff_t)column * o->z_column;
        }
        const tsl_finish_args args = {.finish = o->finish,
            .sums = sums[row][0],
            .rows = o->columns,
            .first = first,
            .width = TSL_PANEL,
            .n = o->channels,
            .scale = o->scale,
            .bias = o->bias,
            .z = o->z,
            .z_row = z,
            .z_scale = o->z_scale,
            .c_s8 = o->c_s8,
            .c_f32 = o->c_f32,
            .c_row = c};
        o->finish->run(&args);
    }
}

// ---- The rest of the operators: contiguous runs of elements, or channels of one pixel. The same bits at
// every level. Results are clamped to lo..hi; NaN stays NaN where the result is float and becomes 0 where it
// is int8. ----

// y[i] = clamp(f(x[i])). The f of Clip is the identity. x may be y.
typedef struct tsl_unary_f32_args {
    tsl_op op;
    const float *x;
    float *y;
    size_t n;
    float alpha,
        beta; // HardSigmoid, LeakyRelu, Elu, Selu (beta: gamma), Celu, ThresholdedRelu; Gelu: 1 for tanh
    float lo, hi;
} tsl_unary_f32_args;

// Rows of several operands: `count` of them (0: one), these bytes apart.
typedef struct tsl_operand_rows {
    size_t count;
    ptrdiff_t a, b, y;
} tsl_operand_rows;

// y[i] = clamp(a[i] op b[i]): Add, Sub, Mul, Div, Max, Min, PRelu. y may be a or b.
typedef struct tsl_binary_f32_args {
    tsl_op op;
    const float *a, *b;
    float *y;
    size_t n; // of a row
    tsl_operand_rows rows;
    bool a_scalar, b_scalar; // one value for all
    float lo, hi;
} tsl_binary_f32_args;

// y[i] = clamp(fmaf(x[i], scale[i], shift[i]))
typedef struct tsl_scale_shift_f32_args {
    const float *x, *scale, *shift;
    float *y;
    size_t n;
    bool scalar; // one scale and one shift for all
    float lo, hi;
} tsl_scale_shift_f32_args;

// The smallest and the largest of x, and of 0. NaNs are left out.
typedef struct tsl_range_f32_args {
    const float *x;
    size_t n;
    float lo, hi; // result
} tsl_range_f32_args;

// y[i] = rne(clamp(x[i] * inverse_scale, lo, hi)) + zero_point: the bounds are those of the type less the
// zero point, which comes last so that ties are rounded as ONNX does.
typedef struct tsl_quantize_s8_args {
    const float *x;
    int8_t *y;
    size_t n;
    float inverse_scale, zero_point, lo, hi;
} tsl_quantize_s8_args;

// y[i] = (x[i] - zero_point) * scale
typedef struct tsl_dequantize_s8_args {
    const int8_t *x;
    float *y;
    size_t n;
    float scale, zero_point;
} tsl_dequantize_s8_args;

// y[i] = table[(uint8_t)x[i]]. x may be y.
typedef struct tsl_table_s8_args {
    const int8_t *x;
    int8_t *y;
    size_t n; // of a row; not 0
    const ptrdiff_t *row; // offsets of the rows from x and y; NULL: one row at 0
    size_t n_rows;
    const int8_t *table; // 256
} tsl_table_s8_args;

// Elements from row r on that lie side by side.
static inline size_t tsl_table_run(const tsl_table_s8_args *args, size_t r, size_t n_rows) {
    size_t last = r;
    while (last + 1 < n_rows && args->row[last + 1] == args->row[last] + (ptrdiff_t)args->n) last++;
    return (last + 1 - r) * args->n;
}

// y[3 * i + k] = x[k][i]: a picture's three planes become pixels.
typedef struct tsl_interleave_bytes_args {
    const uint8_t *x[3];
    uint8_t *y; // none of the planes
    size_t n;
} tsl_interleave_bytes_args;

// Add: rne(clamp(fmaf(a, a_scale, fmaf(b, b_scale, offset)))); Sub: b_scale is negative;
// Mul: rne(clamp(fmaf((float)((a - a_zero) * (b - b_zero)), a_scale, offset)))
typedef struct tsl_binary_s8_args {
    tsl_op op;
    const int8_t *a, *b;
    int8_t *y;
    size_t n; // of a row
    tsl_operand_rows rows;
    bool a_scalar, b_scalar;
    float a_scale, b_scale, a_zero, b_zero, offset, lo, hi;
} tsl_binary_s8_args;

// y[c] = scale * sum over taps t of weights[t] * x[c] at `x` + taps[t]; without weights each is 1. Float sums
// go in groups of 64 taps. x is float or int8, as in the function's name; int8 sums without weights are
// exact. Of int8: fmaf(sum - shift, scale, offset).
typedef struct tsl_window_sum_args {
    const void *x;
    const ptrdiff_t *taps; // byte offsets
    const float *weights;
    size_t n_taps, channels;
    float scale, lo, hi;
    float shift, offset; // of int8 only
    float *y; // one of the two is NULL
    int8_t *y_s8; // only for int8: rounded to nearest even
} tsl_window_sum_args;

// y[c] = the largest x[c]; NaN if any is.
typedef struct tsl_window_max_args {
    const void *x;
    const ptrdiff_t *taps;
    size_t n_taps, channels; // n_taps > 0
    void *y;
} tsl_window_max_args;

// One step of an LSTM cell with its usual functions. Gates i, o, f and the candidate lie `stride` floats
// apart and are clamped to -clip..clip first: c = sigmoid(f) * c + sigmoid(i) * tanh(candidate); h =
// sigmoid(o) * tanh(c)
typedef struct tsl_lstm_cell_f32_args {
    const float *gates;
    size_t n, stride;
    float clip;
    float *c, *h;
} tsl_lstm_cell_f32_args;

// The end of a step of a GRU cell: h = z * (h - candidate) + candidate, candidate = tanh(clamp(x + r *
// product)).
typedef struct tsl_gru_cell_f32_args {
    const float *z, *x;
    const float *r, *product; // both NULL: x alone
    size_t n;
    float clip;
    float *h;
} tsl_gru_cell_f32_args;

// *total = the sum of x[i], or with `squares` of (x[i] - center)^2. Lanes are added up every 64 vectors, in
// double.
typedef struct tsl_sum_f32_args {
    const float *x;
    size_t n;
    bool squares;
    float center;
    double *total;
} tsl_sum_f32_args;

// y[i] = fmaf((x[i] - mean) * inverse, scale[i], shift[i]). y may be x.
typedef struct tsl_normalize_f32_args {
    const float *x, *scale, *shift; // scale NULL: 1, shift NULL: 0
    float *y;
    size_t n;
    bool scalar; // one scale and one shift for all
    float mean, inverse;
} tsl_normalize_f32_args;

// ---- Channels that lie side by side, over `pixels` pixels of given steps in bytes: normalization in
// training ----

// sum[c] += u, product[c] += u * v, with u = p - p_shift[c] and v = q - q_shift[c], for each pixel. Lanes are
// added up every 64 pixels, in double.
typedef struct tsl_channel_sums_f32_args {
    const float *p, *q;
    ptrdiff_t p_pixel, q_pixel;
    size_t pixels, channels;
    const float *p_shift, *q_shift;
    double *sum, *product;
} tsl_channel_sums_f32_args;

// y = clamp(fmaf(p, a[c], fmaf(q - q_shift[c], b[c], shift[c]))); without q: clamp(fmaf(p, a[c], shift[c])).
// y may be p or q.
typedef struct tsl_channel_affine_f32_args {
    const float *p, *q; // q may be NULL
    float *y;
    ptrdiff_t p_pixel, q_pixel, y_pixel;
    size_t pixels, channels;
    const float *a, *b, *q_shift, *shift;
    float lo, hi;
} tsl_channel_affine_f32_args;

// The gradient of a convolution's weights, over rows of result pixels:
// sum[panel][i][lane] += dy[16 * panel + lane] * x[offset[i]], or by_channel (depthwise) times channel 16 *
// panel + lane of x. In the order of the pixels, by fused multiply-adds.
typedef struct tsl_weight_gradient_f32_args {
    const float *x, *dy;
    const ptrdiff_t *x_row, *dy_row; // n_rows byte offsets
    ptrdiff_t x_pixel, dy_pixel; // bytes
    size_t n_rows, pixels; // of a row
    const ptrdiff_t *offset; // n_offsets, in bytes: a kernel position and a channel of x
    size_t n_offsets, channels; // channels of dy
    bool by_channel;
    float *sum;
    size_t sum_panel; // elements from one panel to the next
} tsl_weight_gradient_f32_args;

// dx[i] = dy[i] * f'(t[i]); t is the operand or the result of f, as in cpu/function_gradient.c. dx may be dy
// or t.
typedef struct tsl_function_gradient_f32_args {
    tsl_op op;
    const float *dy, *t;
    float *dx;
    size_t n;
    float alpha, lo, hi; // as in tsl_unary_f32_args; Clip's bounds
} tsl_function_gradient_f32_args;

// One row. y may be x.
typedef struct tsl_softmax_f32_args {
    const float *x;
    float *y;
    size_t n; // > 0
    bool logarithm;
} tsl_softmax_f32_args;

// `n` rows side by side: element k of row i is x[k * stride + i]. y may be x.
typedef struct tsl_softmax_columns_f32_args {
    const float *x;
    float *y;
    size_t length, stride, n; // length > 0
    bool logarithm;
} tsl_softmax_columns_f32_args;

// The table itself: one pointer for each line of kernels.inc, TSL_KERNEL(name, result, parameters).
typedef struct tsl_cpu_functions {
#define TSL_KERNEL(name, result, parameters) result(*name) parameters;
#include "cpu/kernels.inc"
#undef TSL_KERNEL
    bool bundles; // gemm_s8 is faster with them
} tsl_cpu_functions;

// The table at a level that the machine has; static. Filled once, from portable C upwards: each level
// overlays what it does better.
const tsl_cpu_functions *tsl_cpu_functions_get(tslim_isa isa);

// The functions of lib/cpu/vector_kernels.inc, compiled for a level.
void tsl_cpu_overlay_avx2_vector(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avx512_vector(tsl_cpu_functions *functions);
void tsl_cpu_overlay_neon_vector(tsl_cpu_functions *functions);
// Those of lib/cpu/winograd_f32.inc.
void tsl_cpu_overlay_avx2_winograd_f32(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avx512_winograd_f32(tsl_cpu_functions *functions);

// Each level's own overlay, defined in its folder (portable/, avx2/, avxvnni/, avx512/, avx512vnni/,
// neon/, neondot/).
void tsl_cpu_overlay_portable(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avx2(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avxvnni(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avx512(tsl_cpu_functions *functions);
void tsl_cpu_overlay_avx512vnni(tsl_cpu_functions *functions);
void tsl_cpu_overlay_neon(tsl_cpu_functions *functions);
void tsl_cpu_overlay_neondot(tsl_cpu_functions *functions);

#endif
