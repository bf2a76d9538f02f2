// SPDX-License-Identifier: Apache-2.0
// Products of plain matrices.
#include "cpu/matrix.h"

#include <inttypes.h>

#include "base/checked.h"
#include "cpu/bundle.h"
#include "cpu/dynamic.h"

#define READABLE_BEHIND 64

bool tsl_is_column_bias(const tsl_tensor *tensor, int64_t n) {
    int64_t elements = tsl_tensor_elements(tensor);
    return elements == 1 || (elements == n && tensor->rank > 0 && tensor->dims[tensor->rank - 1] == n);
}

static tslim_status copy_constant(const tsl_prepare *p, const tsl_tensor *tensor, const void **copy) {
    if (!tensor || !tensor->constant) return TSLIM_OK;
    return tsl_readable_copy(p, tensor, copy);
}

static void fill_starts(const tsl_matrix *t, const void *packed, int32_t *start) {
    const tsl_weights *w = &t->weights;
    for (size_t i = 0; i < w->count; i++) {
        const char *sums = (const char *)packed + i * w->packed_stride + w->geometry.sums_offset;
        tsl_coefficients_fill_start(&t->coefficients, (const int32_t *)(const void *)sums, w->geometry.k,
            start + i * t->coefficients.padded);
    }
}

static tslim_status set_start(tsl_prepare *p, tsl_kernel *kernel, tsl_matrix *t) {
    const tsl_coefficients *c = &t->coefficients;
    if (!c->is_int8 || c->zero_point == 0) return TSLIM_OK;
    size_t count, bytes;
    TSL_REQUIRE(
        tsl_mul_size(t->weights.count, c->padded, &count) && tsl_mul_size(count, sizeof(int32_t), &bytes),
        TSLIM_ERROR_LIMIT, "node '%s': %zu matrices", p->step->name, t->weights.count);
    if (!t->weights.packed) return tsl_scratch_reserve(kernel, bytes, &t->starts);
    int32_t *start = tsl_arena_array(p->arena, count, sizeof(*start));
    TSL_REQUIRE_MEMORY(start, bytes);
    fill_starts(t, t->weights.packed, start);
    t->product.start = start;
    return TSLIM_OK;
}

tslim_status tsl_matrix_prepare(tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *matrix, size_t count,
    size_t m, const tsl_tensor *bias, double alpha, double beta, tsl_matrix *t) {
    TSL_TRY(tsl_weights_prepare(p, kernel, matrix, count, &t->weights));
    TSL_TRY(tsl_coefficients_prepare(p, kernel, &t->weights, bias, alpha, beta, &t->coefficients));
    const tsl_pack_geometry *g = &t->weights.geometry;
    const tsl_coefficients *c = &t->coefficients;
    t->m = m;
    t->residual_index = p->step->epilogue.residual < 0 ? 0 : (uint32_t)p->step->epilogue.residual;
    t->product = (tsl_product){
        .functions = t->weights.functions, .geometry = g, .coefficients = c, .taps = &t->tap, .n_taps = 1};
    size_t a_row = g->k * (c->dynamic ? 1 : tslim_dtype_size(p->step->inputs[0].dtype));
    size_t y_row = g->n * tslim_dtype_size(p->step->outputs[0].dtype);
    tsl_rows *rows = &t->product.rows;
    rows->count[0] = rows->count[1] = 1;
    rows->count[2] = m;
    rows->a[2] = (ptrdiff_t)a_row;
    rows->c[2] = (ptrdiff_t)y_row;
    if (c->residual) rows->z[2] = (ptrdiff_t)(g->n * tslim_dtype_size(c->residual->dtype));
    t->a_bytes = m * a_row;
    t->y_bytes = m * y_row;
    if (c->dynamic)
        TSL_TRY(tsl_scratch_reserve(kernel, t->a_bytes + READABLE_BEHIND, &t->quantized));
    else
        TSL_TRY(copy_constant(p, &p->step->inputs[0], &t->a));
    TSL_TRY(copy_constant(p, c->residual, &t->z));
    if (count == 1) TSL_TRY(tsl_product_bundle(p, t->weights.packed, &t->product));
    return set_start(p, kernel, t);
}

static const tsl_product *product_of_computed(
    const tsl_matrix *t, const tsl_run *run, const void *packed, tsl_product *now) {
    *now = t->product;
    now->functions = tsl_weights_functions(&t->weights, packed);
    if (t->coefficients.zero_point == 0) return now;
    int32_t *start = (int32_t *)(void *)(run->scratch + t->starts);
    fill_starts(t, packed, start);
    now->start = start;
    return now;
}

const tsl_product *tsl_matrix_product(
    const tsl_matrix *t, const tsl_run *run, tsl_product_operands *operands, tsl_matrix_run *now) {
    if (t->coefficients.is_int8 && !t->weights.packed)
        return product_of_computed(t, run, operands->w, &now->product);
    if (!t->coefficients.dynamic) return &t->product;
    const tsl_pack_geometry *g = &t->weights.geometry;
    const tsl_cpu_functions *functions = t->product.functions;
    const char *sums = (const char *)t->weights.packed + g->sums_offset;
    int8_t *quantized = (int8_t *)run->scratch + t->quantized;
    size_t count = t->m * g->k;
    tsl_dynamic_range range = tsl_dynamic_range_of(functions, operands->a, count);
    tsl_dynamic_quantize(functions, &range, operands->a, quantized, count);
    now->product = t->product;
    now->product.start = tsl_dynamic_coefficients(
        &t->coefficients, run, &range, (const int32_t *)(const void *)sums, g->k, &now->coefficients);
    now->product.coefficients = &now->coefficients;
    operands->a = quantized;
    return &now->product;
}

tsl_product_operands tsl_matrix_operands(const tsl_matrix *t, const tsl_run *run) {
    const tsl_coefficients *c = &t->coefficients;
    tsl_product_operands o = {.a = t->a ? t->a : run->inputs[0].data, .c = run->outputs[0].data};
    if (c->residual) o.z = t->z ? t->z : run->inputs[t->residual_index].data;
    o.w = tsl_weights_at_run(&t->weights, run, run->inputs[1].data);
    o.bias = tsl_coefficients_bias(c, run, c->bias_tensor ? run->inputs[2].data : NULL);
    return o;
}
