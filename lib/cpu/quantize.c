// SPDX-License-Identifier: Apache-2.0
// The library's own Quantize and Dequantize, between float and INT8 whose scale is in the tensor's
// descriptor.
#include <string.h>

#include "cpu/operator.h"

typedef struct quantize_state {
    const tsl_cpu_functions *functions;
    float scale, inverse, zero_point, lo, hi;
    const tsl_tensor *quantized; // not INT8: goes element by element
    const uint8_t *table; // both sides are quantized
} quantize_state;

static void run_quantize(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const quantize_state *s = user;
    tsl_quantize_s8_args args = {.inverse_scale = s->inverse,
        .zero_point = s->zero_point,
        .lo = s->lo,
        .hi = s->hi,
        .n = count,
        .x = (const float *)(const void *)data[1],
        .y = (int8_t *)data[0]};
    if (strides[0] == 1 && strides[1] == 4) {
        s->functions->quantize_s8(&args);
        return;
    }
    float x[TSL_BLOCK];
    int8_t y[TSL_BLOCK];
    args.x = x;
    args.y = y;
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        args.n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        for (size_t i = 0; i < args.n; i++)
            memcpy(&x[i], data[1] + (ptrdiff_t)(first + i) * strides[1], sizeof(float));
        s->functions->quantize_s8(&args);
        for (size_t i = 0; i < args.n; i++) data[0][(ptrdiff_t)(first + i) * strides[0]] = (uint8_t)y[i];
    }
}

static void run_dequantize(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const quantize_state *s = user;
    tsl_dequantize_s8_args args = {
        .scale = s->scale, .zero_point = s->zero_point, .n = count, .x = (const int8_t *)data[1], .y = (float *)(void *)data[0]};
    if (strides[0] == 4 && strides[1] == 1) {
        s->functions->dequantize_s8(&args);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        float y = ((float)(int8_t)data[1][(ptrdiff_t)i * strides[1]] - s->zero_point) * s->scale;
        memcpy(data[0] + (ptrdiff_t)i * strides[0], &y, sizeof y);
    }
}

static void quantize_any(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const quantize_state *s = user;
    for (size_t i = 0; i < count; i++) {
        float x;
        memcpy(&x, data[1] + (ptrdiff_t)i * strides[1], sizeof x);
        data[0][(ptrdiff_t)i * strides[0]] = (uint8_t)(int)tsl_quantized(s->quantized, (double)x);
    }
}

static void dequantize_any(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const quantize_state *s = user;
    for (size_t i = 0; i < count; i++) {
        double q = tsl_load_double(s->quantized->dtype, data[1] + (ptrdiff_t)i * strides[1]);
        float y = (float)tsl_dequantized(s->quantized, q);
        memcpy(data[0] + (ptrdiff_t)i * strides[0], &y, sizeof y);
    }
}

static tslim_status run_conversion(const tsl_run *run) {
    const quantize_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    bool to_float = y->dtype == TSLIM_DTYPE_FLOAT;
    if (tsl_is_quantized(x) && tsl_is_quantized(y)) {
        tsl_move(run->ctx, s->table, x, y);
        return TSLIM_OK;
    }
    tsl_inner_loop loop = to_float ? run_dequantize : run_quantize;
    if (s->quantized) loop = to_float ? dequantize_any : quantize_any;
    tsl_iteration it;
    const tsl_tensor *operands[] = {y, x};
    tsl_iteration_init(&it, operands, 2);
    tsl_iterate(run->ctx, &it, loop, s);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_quantize(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(quantize_state, s);
    s->functions = p->functions;
    kernel->run = run_conversion;
    kernel->name = p->step->op == TSL_OP_QUANTIZE ? "quantize" : "dequantize";
    if (tsl_is_quantized(x) && tsl_is_quantized(y)) return tsl_move_prepare(p, x, y, &s->table);
    const tsl_tensor *q = tsl_is_quantized(y) ? y : x;
    const tsl_tensor *real = q == y ? x : y;
    if (!tsl_is_quantized(q) || real->dtype != TSLIM_DTYPE_FLOAT || q->quant.n_scales != 1)
        return tsl_cpu_unsupported(p);
    s->scale = tsl_scale(q);
    s->inverse = (float)(1.0 / (double)s->scale);
    if (tsl_is_plain_int8(q)) {
        s->zero_point = (float)q->quant.zero_point;
        tsl_step_quantized_bounds(p->step, q, &s->lo, &s->hi);
        s->lo -= s->zero_point;
        s->hi -= s->zero_point;
        return TSLIM_OK;
    }
    tsl_tensor *copy = tsl_arena_copy(p->arena, q, sizeof(*q));
    TSL_REQUIRE_MEMORY(copy, sizeof(*copy));
    s->quantized = copy;
    return TSLIM_OK;
}
