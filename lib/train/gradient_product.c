// SPDX-License-Identifier: Apache-2.0
// Gradients of convolutions and matrix products. That of a convolution's input is a transposed convolution
// with the same weights, and the other way round; that of the weights is an operator of the library's own.
#include "ir/window.h"
#include "train/gradient.h"

// ---- Convolution ----

static tsl_window_nd read_window(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0)), w = tsl_shape_of(g, tsl_x(g, 1));
    tsl_window_nd window = {0};
    tsl_check(g, tsl_window_nd_read(&g->node.attrs, g->node.op, x.rank - 2, x.dims + 2, w.dims + 2, &window));
    return window;
}

// The window in plain numbers, whatever auto_pad and output_shape said.
static void set_window(tsl_gradient *g, const tsl_window_nd *w) {
    int64_t pads[2 * TSL_MOST_SPATIAL];
    for (uint32_t i = 0; i < w->rank; i++) {
        pads[i] = w->pad_begin[i];
        pads[w->rank + i] = w->pad_end[i];
    }
    tsl_with_ints(g, TSL_ATTR_kernel_shape, w->kernel, w->rank);
    tsl_with_ints(g, TSL_ATTR_strides, w->stride, w->rank);
    tsl_with_ints(g, TSL_ATTR_dilations, w->dilation, w->rank);
    tsl_with_ints(g, TSL_ATTR_pads, pads, 2 * w->rank);
    tsl_with_int(g, TSL_ATTR_group, w->group);
}

static void give_bias(tsl_gradient *g) {
    if (!tsl_wants(g, 2)) return;
    const tsl_shape y = tsl_shape_of(g, g->dy[0]), bias = tsl_shape_of(g, tsl_x(g, 2));
    const uint32_t all_but_channels = ((1u << y.rank) - 1) & ~2u;
    const uint32_t sum = tsl_reduced(g, TSL_OP_REDUCE_SUM, g->dy[0], all_but_channels);
    tsl_give(g, 2, tsl_reshaped_like(g, sum, &bias));
}

static void give_weights(tsl_gradient *g, const tsl_window_nd *window, uint32_t x, uint32_t dy) {
    if (!tsl_wants(g, 1)) return;
    const uint32_t operands[] = {x, dy};
    tsl_begin(g, TSL_OP_CONV_WEIGHT_GRADIENT, 2, operands, 1);
    set_window(g, window);
    tsl_give(g, 1, tsl_end(g));
}

// With stride 1 the transposed convolution is a convolution too, with the kernel the other way round and
// channels exchanged; there are quicker kernels for that.
static bool is_convolution_back(const tsl_window_nd *w, const tsl_shape *weights) {
    bool fits = w->group == 1 || (weights->dims[0] == w->group && weights->dims[1] == 1);
    for (uint32_t i = 0; i < w->rank; i++) {
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i];
        fits = fits && w->stride[i] == 1 && w->pad_begin[i] <= reach && w->pad_end[i] <= reach;
    }
    return fits;
}

static uint32_t turned_weights(tsl_gradient *g, const tsl_window_nd *w) {
    static const int64_t exchange[TSLIM_MAX_RANK] = {1, 0, 2, 3, 4, 5, 6, 7};
    int64_t starts[TSL_MOST_SPATIAL], ends[TSL_MOST_SPATIAL], axes[TSL_MOST_SPATIAL], steps[TSL_MOST_SPATIAL];
    uint32_t weights = tsl_x(g, 1);
    bool one = true; // a kernel of one position
    for (uint32_t i = 0; i < w->rank; i++) {
        starts[i] = steps[i] = -1;
        ends[i] = -w->kernel[i] - 1;
        axes[i] = 2 + (int64_t)i;
        one = one && w->kernel[i] == 1;
    }
    if (!one) {
        const uint32_t operands[] = {weights, tsl_integers(g, starts, w->rank),
            tsl_integers(g, ends, w->rank), tsl_integers(g, axes, w->rank), tsl_integers(g, steps, w->rank)};
        tsl_begin(g, TSL_OP_SLICE, 5, operands, 1);
        weights = tsl_end(g);
    }
    return w->group == 1 ? tsl_transposed(g, weights, exchange) : weights;
}

static uint32_t convolution_back(tsl_gradient *g, const tsl_window_nd *w) {
    tsl_window_nd back = *w;
    for (uint32_t i = 0; i < w->rank; i++) {
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i];
        back.pad_begin[i] = reach - w->pad_begin[i];
        back.pad_end[i] = reach - w->pad_end[i];
    }
    const uint32_t operands[] = {g->dy[0], turned_weights(g, w)};
    tsl_begin(g, TSL_OP_CONV, 2, operands, 1);
    set_window(g, &back);
    return tsl_end(g);
}

void tsl_gradient_conv(tsl_gradient *g) {
    const tsl_window_nd w = read_window(g);
    if (g->status != TSLIM_OK) return;
    const tsl_shape weights = tsl_shape_of(g, tsl_x(g, 1));
    if (tsl_wants(g, 0) && is_convolution_back(&w, &weights)) {
        tsl_give(g, 0, convolution_back(g, &w));
    } else if (tsl_wants(g, 0)) {
        int64_t rest[TSL_MOST_SPATIAL]; // what no window reached at the end
        for (uint32_t i = 0; i < w.rank; i++)
            rest[i] = w.in[i] + w.pad_begin[i] + w.pad_end[i] - (w.kernel[i] - 1) * w.dilation[i] - 1 -
                      (w.out[i] - 1) * w.stride[i];
        const uint32_t operands[] = {g->dy[0], tsl_x(g, 1)};
        tsl_begin(g, TSL_OP_CONV_TRANSPOSE, 2, operands, 1);
        set_window(g, &w);
        tsl_with_ints(g, TSL_ATTR_output_padding, rest, w.rank);
        tsl_give(g, 0, tsl_end(g));
    }
    give_weights(g, &w, tsl_x(g, 0), g->dy[0]);
    give_bias(g);
}

// Results that nothing is spread to, at the end, have no part in the gradient.
static uint32_t without_padding(tsl_gradient *g, tsl_window_nd *w) {
    int64_t starts[TSL_MOST_SPATIAL] = {0}, axes[TSL_MOST_SPATIAL];
    bool whole = true;
    for (uint32_t i = 0; i < w->rank; i++) {
        axes[i] = 2 + (int64_t)i;
        whole = whole && w->output_padding[i] < w->stride[i];
    }
    if (whole) return g->dy[0];
    for (uint32_t i = 0; i < w->rank; i++) w->out[i] -= w->output_padding[i];
    const uint32_t operands[] = {g->dy[0], tsl_integers(g, starts, w->rank), tsl_integers(g, w->out, w->rank),
        tsl_integers(g, axes, w->rank)};
    tsl_begin(g, TSL_OP_SLICE, 4, operands, 1);
    return tsl_end(g);
}

void tsl_gradient_conv_transpose(tsl_gradient *g) {
    tsl_window_nd w = read_window(g);
    if (g->status != TSLIM_OK) return;
    const uint32_t dy = without_padding(g, &w);
    if (tsl_wants(g, 0)) {
        const uint32_t operands[] = {dy, tsl_x(g, 1)};
        tsl_begin(g, TSL_OP_CONV, 2, operands, 1);
        set_window(g, &w);
        tsl_give(g, 0, tsl_end(g));
    }
    give_weights(g, &w, dy, tsl_x(g, 0));
    give_bias(g);
}

// ---- Matrix products ----

static uint32_t product(tsl_gradient *g, uint32_t a, bool transpose_a, uint32_t b, bool transpose_b) {
    const uint32_t operands[] = {a, b};
    tsl_begin(g, TSL_OP_GEMM, 2, operands, 1);
    tsl_with_int(g, TSL_ATTR_transA, transpose_a);
    tsl_with_int(g, TSL_ATTR_transB, transpose_b);
    return tsl_end(g);
}

// y = alpha A B + beta C, with A and B maybe transposed.
void tsl_gradient_gemm(tsl_gradient *g) {
    const bool transpose_a = tsl_attribute(g, TSL_ATTR_transA, 0) != 0,
               transpose_b = tsl_attribute(g, TSL_ATTR_transB, 0) != 0;
    const double alpha = (double)tsl_attrs_float(&g->node.attrs, TSL_ATTR_alpha, 1),
                 beta = (double)tsl_attrs_float(&g->node.attrs, TSL_ATTR_beta, 1);
    const uint32_t a = tsl_x(g, 0), b = tsl_x(g, 1), dy = g->dy[0];
    const uint32_t scaled =
        alpha == 1 || !(tsl_wants(g, 0) || tsl_wants(g, 1)) ? dy : tsl_times(g, dy, alpha);
    if (tsl_wants(g, 0))
        tsl_give(g, 0,
            transpose_a ? product(g, b, transpose_b, scaled, true)
                        : product(g, scaled, false, b, !transpose_b));
    if (tsl_wants(g, 1))
        tsl_give(g, 1,
            transpose_b ? product(g, scaled, true, a, transpose_a)
                        : product(g, a, !transpose_a, scaled, false));
    if (tsl_wants(g, 2)) tsl_give(g, 2, beta == 1 ? dy : tsl_times(g, dy, beta));
}

// A tensor as one matrix: all rows of all its matrices.
static uint32_t as_matrix(tsl_gradient *g, uint32_t a) {
    const tsl_shape shape = tsl_shape_of(g, a);
    int64_t dims[2] = {1, shape.rank > 0 ? shape.dims[shape.rank - 1] : 1};
    for (uint32_t i = 0; i + 1 < shape.rank; i++) dims[0] *= shape.dims[i];
    return tsl_reshaped(g, a, 2, dims);
}

void tsl_gradient_matmul(tsl_gradient *g) {
    tsl_shape a = tsl_shape_of(g, tsl_x(g, 0)), b = tsl_shape_of(g, tsl_x(g, 1));
    const tsl_shape a_given = a, b_given = b, y_given = tsl_shape_of(g, g->dy[0]);
    // Vectors as matrices of one row or column.
    if (a.rank == 1) tsl_shape_set(&a, 2, (int64_t[]){1, a.dims[0]});
    if (b.rank == 1) tsl_shape_set(&b, 2, (int64_t[]){b.dims[0], 1});
    tsl_shape y = a.rank >= b.rank ? a : b;
    for (uint32_t i = 0; i + 2 < y.rank; i++) y.dims[i] = y_given.dims[i];
    y.dims[y.rank - 2] = a.dims[a.rank - 2];
    y.dims[y.rank - 1] = b.dims[b.rank - 1];
    const uint32_t dy = tsl_reshaped_like(g, g->dy[0], &y);
    if (tsl_wants(g, 0)) {
        const uint32_t b_matrix = tsl_reshaped_like(g, tsl_x(g, 1), &b);
        const uint32_t da = b.rank == 2
                                ? product(g, as_matrix(g, dy), false, b_matrix, true)
                                : tsl_combine(g, TSL_OP_MATMUL, dy, tsl_transposed(g, b_matrix, NULL));
        tsl_give(g, 0, tsl_reshaped_like(g, b.rank == 2 ? da : tsl_summed_to(g, da, &a), &a_given));
    }
    if (tsl_wants(g, 1)) {
        const uint32_t a_matrix = tsl_reshaped_like(g, tsl_x(g, 0), &a);
        const uint32_t db = b.rank == 2
                                ? product(g, as_matrix(g, a_matrix), true, as_matrix(g, dy), false)
                                : tsl_combine(g, TSL_OP_MATMUL, tsl_transposed(g, a_matrix, NULL), dy);
        tsl_give(g, 1, tsl_reshaped_like(g, b.rank == 2 ? db : tsl_summed_to(g, db, &b), &b_given));
    }
    if (tsl_wants(g, 2)) tsl_give(g, 2, g->dy[0]); // a bias, which reading may have put there
}
