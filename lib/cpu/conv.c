// SPDX-License-Identifier: Apache-2.0
// Conv: one gathered product over all kernel positions.
#include "cpu/conv.h"

#include <inttypes.h>

#include "cpu/bundle.h"
#include "cpu/product_plain.h"
#include "cpu/winograd.h"

static tslim_status check_shapes(const tsl_prepare *p, const tsl_conv *conv) {
    const tsl_tensor *x = &conv->input.view, *y = &conv->output.view;
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const tsl_window *w = &conv->window;
    TSL_REQUIRE((uint64_t)x->dims[1] == g->groups * g->k && (uint64_t)y->dims[1] == g->groups * g->n,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': from %" PRId64 " to %" PRId64
        " channels, but the weights have %zu groups from %zu to %zu",
        p->step->name, x->dims[1], y->dims[1], g->groups, g->k, g->n);
    TSL_REQUIRE(x->dims[0] == y->dims[0] && y->dims[2] == w->out[0] && y->dims[3] == w->out[1],
        TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the output is %" PRId64 " x %" PRId64 ", wanted %" PRId64 " x %" PRId64, p->step->name,
        y->dims[2], y->dims[3], w->out[0], w->out[1]);
    return TSLIM_OK;
}

static tslim_status prepare_operands(tsl_prepare *p, tsl_kernel *kernel, tsl_conv *conv) {
    const tsl_step *step = p->step;
    uint32_t rank = step->inputs[0].rank;
    static const uint16_t none[4] = {0};
    uint16_t border[4];
    TSL_TRY(tsl_window_read(
        step->attrs, step->op, rank - 2, step->inputs[0].dims + 2, step->inputs[1].dims + 2, &conv->window));
    TSL_TRY(tsl_window_border(&conv->window, step->op, border));
    TSL_TRY((conv->coefficients.dynamic ? tsl_stage_prepare_quantized : tsl_stage_prepare)(
        kernel, &step->inputs[0], border, &conv->input));
    TSL_TRY(tsl_stage_prepare(kernel, &step->outputs[0], none, &conv->output));
    if (conv->coefficients.residual)
        TSL_TRY(tsl_stage_prepare(kernel, conv->coefficients.residual, none, &conv->residual));
    return check_shapes(p, conv);
}

tslim_status tsl_conv_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv **result) {
    const tsl_step *step = p->step;
    uint32_t rank = step->inputs[0].rank;
    TSL_REQUIRE((rank == 3 || rank == 4) && step->inputs[1].rank == rank && step->outputs[0].rank == rank,
        TSLIM_ERROR_UNSUPPORTED,
        "node '%s': convolution of rank %u by rank %u: only 1-D and 2-D are implemented", step->name, rank,
        step->inputs[1].rank);
    tsl_conv *conv = tsl_arena_array(p->arena, 1, sizeof(*conv));
    TSL_REQUIRE_MEMORY(conv, sizeof(*conv));
    TSL_TRY(tsl_weights_prepare(p, kernel, &step->inputs[1], 1, &conv->weights));
    const tsl_tensor *bias = step->epilogue.residual == 2 ? NULL : tsl_step_input(step, 2);
    TSL_TRY(tsl_coefficients_prepare(p, kernel, &conv->weights, bias, 1, 1, &conv->coefficients));
    TSL_TRY(prepare_operands(p, kernel, conv));
    size_t n_taps = conv->weights.geometry.n_taps;
    conv->taps = tsl_arena_array(p->arena, n_taps, sizeof(*conv->taps));
    TSL_REQUIRE_MEMORY(conv->taps, n_taps * sizeof(*conv->taps));
    conv->residual_index = step->epilogue.residual < 0 ? 0 : (uint32_t)step->epilogue.residual;
    kernel->state = conv;
    kernel->run = tsl_conv_run;
    *result = conv;
    return TSLIM_OK;
}

// One product over activations that are quantized now.
static void run_dynamic(
    const tsl_conv *conv, const tsl_run *run, tsl_product_operands *o, char *y, const char *z) {
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const char *sums = (const char *)conv->weights.packed + g->sums_offset;
    const tsl_conv_phase *phase = &conv->phases[0];
    tsl_product product = phase->product;
    tsl_coefficients coefficients;
    tsl_dynamic_range range;
    const char *a = tsl_stage_quantize(&conv->input, run, product.functions, &run->inputs[0], &range);
    product.start = tsl_dynamic_coefficients(&conv->coefficients, run, &range,
        (const int32_t *)(const void *)sums, g->k * g->n_taps, &coefficients);
    product.coefficients = &coefficients;
    o->a = a + phase->a;
    o->z = z;
    o->c = y;
    tsl_product_run(run->ctx, &product, o);
}

tslim_status tsl_conv_run(const tsl_run *run) {
    const tsl_conv *conv = run->kernel->state;
    const tsl_coefficients *c = &conv->coefficients;
    tsl_product_operands o = {0};
    const char *a = c->dynamic ? NULL : tsl_stage_read(&conv->input, run, &run->inputs[0]);
    const char *z = NULL;
    if (c->residual) z = tsl_stage_read(&conv->residual, run, &run->inputs[conv->residual_index]);
    char *y = tsl_stage_write(&conv->output, run, &run->outputs[0]);
    o.w = tsl_weights_at_run(&conv->weights, run, run->inputs[1].data);
    o.bias = tsl_coefficients_bias(c, run, c->bias_tensor ? run->inputs[2].data : NULL);
    if (c->dynamic) run_dynamic(conv, run, &o, y, z);
    for (size_t i = 0; !c->dynamic && i < conv->n_phases; i++) {
        const tsl_conv_phase *phase = &conv->phases[i];
        o.a = a + phase->a;
        o.z = z ? z + phase->z : NULL;
        o.c = y + phase->c;
        tsl_product_run(run->ctx, &phase->product, &o);
    }
    tsl_stage_finish(&conv->output, run, &run->outputs[0]);
    return TSLIM_OK;
}

// Byte offsets of the kernel positions, from position (0,0).
static void set_taps(tsl_conv *conv) {
    const tsl_window *w = &conv->window;
    const tsl_tensor *x = &conv->input.view;
    ptrdiff_t element = (ptrdiff_t)tslim_dtype_size(x->dtype);
    size_t i = 0;
    for (int64_t row = 0; row < w->kernel[0]; row++)
        for (int64_t column = 0; column < w->kernel[1]; column++)
            conv->taps[i++] =
                (row * w->dilation[0] * x->strides[2] + column * w->dilation[1] * x->strides[3]) * element;
}

static tslim_status set_product(tsl_prepare *p, tsl_conv *conv) {
    const tsl_window *w = &conv->window;
    const tsl_tensor *x = &conv->input.view, *y = &conv->output.view, *z = &conv->residual.view;
    ptrdiff_t x_size = (ptrdiff_t)tslim_dtype_size(x->dtype), y_size = (ptrdiff_t)tslim_dtype_size(y->dtype);
    tsl_conv_phase *phase = tsl_arena_array(p->arena, 1, sizeof(*phase));
    TSL_REQUIRE_MEMORY(phase, sizeof(*phase));
    conv->phases = phase;
    conv->n_phases = 1;
    phase->a = -(w->pad_begin[0] * x->strides[2] + w->pad_begin[1] * x->strides[3]) * x_size;
    tsl_product *product = &phase->product;
    *product = (tsl_product){.functions = conv->weights.functions,
        .geometry = &conv->weights.geometry,
        .coefficients = &conv->coefficients,
        .taps = conv->taps,
        .n_taps = conv->weights.geometry.n_taps};
    tsl_rows *rows = &product->rows;
    for (int i = 0; i < 3; i++) {
        int dim = i == 0 ? 0 : i + 1;
        int64_t stride = i == 0 ? 1 : w->stride[i - 1];
        rows->count[i] = (size_t)y->dims[dim];
        rows->a[i] = stride * x->strides[dim] * x_size;
        rows->c[i] = y->strides[dim] * y_size;
        if (conv->coefficients.residual) rows->z[i] = z->strides[dim] * (ptrdiff_t)tslim_dtype_size(z->dtype);
    }
    TSL_TRY(tsl_product_bundle(p, conv->weights.packed, product));
    if (!conv->coefficients.is_int8 || conv->coefficients.zero_point == 0) return TSLIM_OK;
    if (!conv->weights.packed) return tsl_cpu_unsupported(p);
    const tsl_pack_geometry *g = &conv->weights.geometry;
    const char *sums = (const char *)conv->weights.packed + g->sums_offset;
    return tsl_coefficients_start(
        p, &conv->coefficients, (const int32_t *)(const void *)sums, g->k * g->n_taps, &product->start);
}

tslim_status tsl_cpu_prepare_conv(tsl_prepare *p, tsl_kernel *kernel) {
    if (p->step->inputs[0].dtype == TSLIM_DTYPE_DOUBLE) return tsl_conv_plain_prepare(p, kernel);
    if (p->step->inputs[0].rank > 4) return tsl_conv_nd_prepare(p, kernel);
    tsl_conv *conv;
    TSL_TRY(tsl_conv_prepare(p, kernel, &conv));
    const tsl_pack_geometry *g = &conv->weights.geometry;
    set_taps(conv);
    kernel->macs = (uint64_t)tsl_tensor_elements(&conv->output.view) * g->k * g->n_taps;
    if (g->packing == TSL_PACKING_DEPTHWISE) return tsl_conv_depthwise_prepare(p, kernel, conv);
    TSL_TRY(set_product(p, conv));
    bool winograd;
    TSL_TRY(tsl_winograd_prepare(p, kernel, conv, &winograd));
    return winograd ? TSLIM_OK : tsl_kernel_name(p, kernel, "conv");
}
