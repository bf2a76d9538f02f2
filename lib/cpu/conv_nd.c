// SPDX-License-Identifier: Apache-2.0
// Convolution along three and more axes, of floats. The input is copied with channels side by side and zeros
// around; each plane of the last two axes of the result is then a gathered product like a 2-D convolution's,
// over the taps of all axes. A transposed one is a convolution of the input with zeros between its elements,
// whose taps go backwards.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/conv.h"
#include "cpu/operator.h"

typedef struct conv_nd {
    tsl_window_nd window;
    tsl_weights weights;
    tsl_coefficients coefficients;
    tsl_product product;
    ptrdiff_t *taps;
    tsl_tensor spread; // the copy's elements that are the input's; data is set by a run
    tsl_tensor output; // the result with channels side by side
    int64_t origin; // of element 0 of the input, in the copy
    int64_t first; // of kernel position 0 of the first result, from the origin
    int64_t step[TSL_MOST_SPATIAL]; // in the copy, from one result to the next
    int64_t planes; // of the result, within one batch item
    size_t input_bytes, input_scratch, output_bytes, output_scratch;
    uint32_t residual_index;
} conv_nd;

// Sizes and strides of both copies. `before` gets the zeros in front along each axis.
static bool set_strides(conv_nd *s, bool transposed, int64_t *before) {
    const tsl_window_nd *w = &s->window;
    int64_t in_stride = s->spread.dims[1], out_stride = s->output.dims[1];
    s->spread.strides[1] = s->output.strides[1] = 1;
    for (uint32_t d = w->rank; d-- > 0;) {
        const int64_t reach = (w->kernel[d] - 1) * w->dilation[d], spacing = transposed ? w->stride[d] : 1;
        const int64_t pad = w->pad_begin[d], length = (w->in[d] - 1) * spacing + 1;
        const int64_t last = transposed ? w->out[d] - 1 + pad : (w->out[d] - 1) * w->stride[d] - pad + reach;
        before[d] = tsl_max_i64(transposed ? reach - pad : pad, 0);
        s->step[d] = in_stride * (transposed ? 1 : w->stride[d]);
        s->spread.strides[d + 2] = in_stride * spacing;
        s->output.strides[d + 2] = out_stride;
        const int64_t element = in_stride;
        if (!tsl_mul_i64(in_stride, before[d] + tsl_max_i64(length, last + 1), &in_stride) ||
            !tsl_mul_i64(out_stride, w->out[d], &out_stride))
            return false;
        s->origin += before[d] * element;
        s->first += (transposed ? pad : -pad) * element;
    }
    s->spread.strides[0] = in_stride;
    s->output.strides[0] = out_stride;
    int64_t in_total, out_total;
    if (!tsl_mul_i64(in_stride, s->spread.dims[0], &in_total) || in_total >= INT64_MAX / 8 ||
        !tsl_mul_i64(out_stride, s->output.dims[0], &out_total) || out_total >= INT64_MAX / 8)
        return false;
    s->input_bytes = (size_t)in_total * sizeof(float) + 64; // kernels may read on behind
    s->output_bytes = (size_t)out_total * sizeof(float) + 64;
    return true;
}

static void set_taps(conv_nd *s, bool transposed) {
    const tsl_window_nd *w = &s->window;
    int64_t at[TSL_MOST_SPATIAL] = {0};
    for (size_t tap = 0; tap < s->weights.geometry.n_taps; tap++) {
        int64_t offset = 0;
        for (uint32_t d = 0; d < w->rank; d++) {
            const int64_t element = transposed ? s->step[d] : s->step[d] / w->stride[d];
            offset += at[d] * w->dilation[d] * element;
        }
        s->taps[tap] = (ptrdiff_t)(transposed ? -offset : offset) * (ptrdiff_t)sizeof(float);
        for (uint32_t d = w->rank; d-- > 0;) {
            if (++at[d] < w->kernel[d]) break;
            at[d] = 0;
        }
    }
}

static void set_product(conv_nd *s) {
    const uint32_t last = s->window.rank - 1;
    const ptrdiff_t size = (ptrdiff_t)sizeof(float);
    s->product = (tsl_product){.functions = s->weights.functions,
        .geometry = &s->weights.geometry,
        .coefficients = &s->coefficients,
        .taps = s->taps,
        .n_taps = s->weights.geometry.n_taps};
    tsl_rows *rows = &s->product.rows;
    rows->count[0] = (size_t)s->output.dims[0];
    rows->a[0] = s->spread.strides[0] * size;
    rows->c[0] = rows->z[0] = s->output.strides[0] * size;
    for (uint32_t i = 1; i < 3; i++) {
        const uint32_t d = last - 2 + i;
        rows->count[i] = (size_t)s->window.out[d];
        rows->a[i] = s->step[d] * size;
        rows->c[i] = rows->z[i] = s->output.strides[d + 2] * size;
    }
}

static tslim_status run_conv_nd(const tsl_run *run) {
    const conv_nd *s = run->kernel->state;
    const tsl_coefficients *c = &s->coefficients;
    float *copy = (float *)(void *)(run->scratch + s->input_scratch) + s->origin;
    float *result = (float *)(void *)(run->scratch + s->output_scratch);
    tsl_tensor spread = s->spread, output = s->output;
    spread.data = copy;
    output.data = result;
    memset(run->scratch + s->input_scratch, 0, s->input_bytes);
    tsl_copy(run->ctx, &run->inputs[0], &spread);
    // The residual lies where the result comes to lie: each element is read just before it is written.
    if (c->residual) tsl_copy(run->ctx, &run->inputs[s->residual_index], &output);
    tsl_product_operands o = {.w = tsl_weights_at_run(&s->weights, run, run->inputs[1].data),
        .bias = tsl_coefficients_bias(c, run, c->bias_tensor ? run->inputs[2].data : NULL)};
    for (int64_t plane = 0; plane < s->planes; plane++) {
        int64_t rest = plane, from = s->first, to = 0;
        for (uint32_t d = s->window.rank - 2; d-- > 0; rest /= s->window.out[d]) {
            from += rest % s->window.out[d] * s->step[d];
            to += rest % s->window.out[d] * s->output.strides[d + 2];
        }
        o.a = copy + from;
        o.c = result + to;
        o.z = c->residual ? o.c : NULL;
        tsl_product_run(run->ctx, &s->product, &o);
    }
    tsl_copy(run->ctx, &output, &run->outputs[0]);
    return TSLIM_OK;
}

static tslim_status check_dims(const tsl_prepare *p, conv_nd *s) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    const tsl_pack_geometry *g = &s->weights.geometry;
    bool fits = (uint64_t)x->dims[1] == g->groups * g->k && (uint64_t)y->dims[1] == g->groups * g->n &&
                x->dims[0] == y->dims[0];
    s->planes = 1;
    for (uint32_t d = 0; d < s->window.rank; d++) {
        fits = fits && y->dims[d + 2] == s->window.out[d];
        if (d + 2 < s->window.rank) s->planes *= s->window.out[d];
    }
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", p->step->name);
    return TSLIM_OK;
}

tslim_status tsl_conv_nd_prepare(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *weights = &step->inputs[1], *y = &step->outputs[0];
    const bool transposed = step->op == TSL_OP_CONV_TRANSPOSE;
    TSL_NEW_STATE(conv_nd, s);
    kernel->run = run_conv_nd;
    if (x->dtype != TSLIM_DTYPE_FLOAT || weights->dtype != TSLIM_DTYPE_FLOAT) return tsl_cpu_unsupported(p);
    TSL_REQUIRE(weights->rank == x->rank && y->rank == x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': convolution of rank %u by rank %u", step->name, x->rank, weights->rank);
    TSL_TRY(
        tsl_window_nd_read(step->attrs, step->op, x->rank - 2, x->dims + 2, weights->dims + 2, &s->window));
    TSL_TRY(tsl_weights_prepare(p, kernel, weights, 1, &s->weights));
    const tsl_tensor *bias = step->epilogue.residual == 2 ? NULL : tsl_step_input(step, 2);
    TSL_TRY(tsl_coefficients_prepare(p, kernel, &s->weights, bias, 1, 1, &s->coefficients));
    TSL_TRY(check_dims(p, s));
    s->residual_index = step->epilogue.residual < 0 ? 0 : (uint32_t)step->epilogue.residual;
    s->spread = *x;
    s->output = *y;
    int64_t before[TSL_MOST_SPATIAL];
    TSL_REQUIRE(set_strides(s, transposed, before), TSLIM_ERROR_LIMIT,
        "node '%s': copies of its operands are too large", step->name);
    TSL_TRY(tsl_scratch_reserve(kernel, s->input_bytes, &s->input_scratch));
    TSL_TRY(tsl_scratch_reserve(kernel, s->output_bytes, &s->output_scratch));
    const size_t n_taps = s->weights.geometry.n_taps;
    s->taps = tsl_arena_array(p->arena, n_taps, sizeof(*s->taps));
    TSL_REQUIRE_MEMORY(s->taps, n_taps * sizeof(*s->taps));
    set_taps(s, transposed);
    set_product(s);
    kernel->macs = (uint64_t)tsl_tensor_elements(transposed ? x : y) * n_taps *
                   (transposed ? s->weights.geometry.n : s->weights.geometry.k);
    return tsl_kernel_name(p, kernel, transposed ? "conv_transpose nd" : "conv nd");
}
