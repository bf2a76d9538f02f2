// SPDX-License-Identifier: Apache-2.0
// What prepare makes for a matrix product: packed weights, and the numbers by which sums become outputs.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/finish.h"
#include "cpu/product.h"

#define READABLE_BEHIND 64

tslim_status tsl_scratch_reserve(tsl_kernel *kernel, size_t bytes, size_t *offset) {
    *offset = kernel->scratch_bytes;
    bool fits = tsl_add_size(kernel->scratch_bytes, bytes, &kernel->scratch_bytes) &&
                tsl_align_size(kernel->scratch_bytes, 64, &kernel->scratch_bytes);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "scratch memory of %zu bytes", bytes);
    return TSLIM_OK;
}

tslim_status tsl_kernel_name(const tsl_prepare *p, tsl_kernel *kernel, const char *what) {
    const char *type = p->step->inputs[0].dtype == TSLIM_DTYPE_FLOAT ? "f32" : "s8";
    kernel->name = tsl_arena_format(p->arena, "%s %s %s", what, type, p->isa_name);
    TSL_REQUIRE_MEMORY(kernel->name, 32);
    return TSLIM_OK;
}

tslim_status tsl_readable_copy(const tsl_prepare *p, const tsl_tensor *constant, const void **data) {
    size_t bytes = (size_t)tsl_tensor_elements(constant) * tslim_dtype_size(constant->dtype);
    void *copy = tsl_arena_alloc_aligned(p->arena, bytes + READABLE_BEHIND);
    TSL_REQUIRE_MEMORY(copy, bytes + READABLE_BEHIND);
    if (bytes) memcpy(copy, constant->data, bytes);
    memset((char *)copy + bytes, 0, READABLE_BEHIND);
    *data = copy;
    return TSLIM_OK;
}

// ---- Weights ----

// The largest sum must fit in 32 bits, whatever the operands.
static tslim_status check_depth(const tsl_prepare *p, const tsl_pack_geometry *g) {
    const tsl_tensor *a = &p->step->inputs[0];
    int64_t zero_point = a->quant.zero_point;
    TSL_REQUIRE(zero_point >= -128 && zero_point <= 255, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a zero point of %d", p->step->name, a->quant.zero_point);
    int64_t largest =
        (a->dtype == TSLIM_DTYPE_UINT8 ? 255 : 128) + (zero_point < 0 ? -zero_point : zero_point);
    // Quantized in the run, or by weights with zero points, which add as much again: on the safe side.
    if (a->dtype == TSLIM_DTYPE_FLOAT) largest = 256;
    if (p->step->inputs[1].quant.zero_point != 0 || p->step->inputs[1].quant.zero_points) largest *= 2;
    size_t depth;
    TSL_REQUIRE(
        tsl_mul_size(g->k_padded, g->n_taps, &depth) && depth <= (size_t)(INT32_MAX / (128 * largest)),
        TSLIM_ERROR_UNSUPPORTED, "node '%s': sums of %zu INT8 products may not fit in 32 bits", p->step->name,
        depth);
    return TSLIM_OK;
}

static void pack_all(const tsl_weights *w, const void *row_major, void *packed) {
    tsl_pack_request request = w->request;
    for (size_t i = 0; i < w->count; i++) {
        // Packing reads it only.
        request.weights.data = (char *)(uintptr_t)row_major + i * w->source_stride;
        tsl_cpu_pack(&request, (char *)packed + i * w->packed_stride);
    }
}

static tslim_status pack_now(const tsl_prepare *p, size_t bytes, tsl_weights *w) {
    void *packed = tsl_arena_alloc_aligned(p->arena, bytes);
    TSL_REQUIRE_MEMORY(packed, bytes);
    pack_all(w, w->request.weights.data, packed);
    w->packed = packed;
    return TSLIM_OK;
}

static tslim_status use_packed(const tsl_prepare *p, const tsl_tensor *tensor, tsl_weights *w) {
    TSL_REQUIRE(tensor->packing == w->geometry.packing && w->count == 1, TSLIM_ERROR_BAD_FILE,
        "node '%s': weights in packing %d, wanted %d", p->step->name, (int)tensor->packing,
        (int)w->geometry.packing);
    w->packed = tensor->data;
    if ((uintptr_t)tensor->data % 64 == 0) return TSLIM_OK;
    void *aligned = tsl_arena_alloc_aligned(p->arena, w->geometry.bytes);
    TSL_REQUIRE_MEMORY(aligned, w->geometry.bytes);
    memcpy(aligned, tensor->data, w->geometry.bytes);
    w->packed = aligned;
    return TSLIM_OK;
}

static bool has_least(const tsl_weights *w, const void *packed) {
    const tsl_pack_geometry *g = &w->geometry;
    size_t bytes = g->packing == TSL_PACKING_PANELS ? g->groups * g->group_stride : g->bytes;
    for (size_t i = 0; i < w->count; i++)
        if (memchr((const char *)packed + i * w->packed_stride, 0x80, bytes)) return true;
    return false;
}

// The vector kernels without VNNI want INT8 weights of -127 and up. Others are right with portable C, but
// slow.
static bool suits_vectors(const tsl_prepare *p, const tsl_weights *w) {
    if (w->request.weights.dtype == TSLIM_DTYPE_FLOAT || p->any_weights) return true;
    return w->packed && !has_least(w, w->packed);
}

const tsl_cpu_functions *tsl_weights_functions(const tsl_weights *w, const void *packed) {
    return w->packed || has_least(w, packed) ? w->functions : w->vectors;
}

static tslim_status set_sizes(const tsl_tensor *tensor, tsl_weights *w, size_t *bytes) {
    bool fits = tsl_align_size(w->geometry.bytes, 64, &w->packed_stride) &&
                tsl_mul_size(w->packed_stride, w->count, bytes) &&
                tsl_add_size(*bytes, READABLE_BEHIND, bytes);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "%zu matrices of %zu bytes", w->count, w->geometry.bytes);
    w->source_stride = (size_t)tsl_tensor_elements(tensor) * tslim_dtype_size(tensor->dtype);
    return TSLIM_OK;
}

tslim_status tsl_weights_prepare(
    const tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *tensor, size_t count, tsl_weights *w) {
    return tsl_weights_prepare_operand(p, kernel, tensor, 1, count, w);
}

tslim_status tsl_weights_prepare_operand(const tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *tensor,
    uint32_t index, size_t count, tsl_weights *w) {
    *w = (tsl_weights){
        .request = {.op = p->step->op, .attrs = p->step->attrs, .weights = *tensor, .input_index = index},
        .functions = p->functions,
        .vectors = p->functions,
        .count = count};
    size_t bytes = 0;
    if (tensor->dtype != TSLIM_DTYPE_FLOAT && tensor->dtype != TSLIM_DTYPE_INT8)
        return tsl_cpu_unsupported(p);
    TSL_TRY(tsl_pack_geometry_get(&w->request, &w->geometry));
    TSL_TRY(set_sizes(tensor, w, &bytes));
    if (tensor->dtype == TSLIM_DTYPE_INT8) TSL_TRY(check_depth(p, &w->geometry));
    if (tensor->constant && tensor->packing != TSL_PACKING_NONE)
        TSL_TRY(use_packed(p, tensor, w));
    else if (tensor->constant)
        TSL_TRY(pack_now(p, bytes, w));
    else
        TSL_TRY(tsl_scratch_reserve(kernel, bytes, &w->scratch));
    if (!suits_vectors(p, w)) w->functions = tsl_cpu_functions_get(TSLIM_ISA_PORTABLE);
    return TSLIM_OK;
}

typedef struct pack_task {
    const tsl_weights *weights;
    const char *row_major;
    char *packed;
} pack_task;

static void pack_panels(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const pack_task *t = data;
    const tsl_weights *w = t->weights;
    const tsl_pack_geometry *g = &w->geometry;
    for (size_t i = begin; i < end; i++) {
        size_t panel = i % g->panels, group = i / g->panels % g->groups, matrix = i / g->panels / g->groups;
        char *packed = t->packed + matrix * w->packed_stride;
        tsl_pack_panels(g, w->request.weights.dtype, t->row_major + matrix * w->source_stride, packed, group,
            panel, panel + 1);
        if (w->request.weights.dtype != TSLIM_DTYPE_INT8) continue;
        int32_t *sums =
            (int32_t *)(void *)(packed + g->sums_offset) + (group * g->panels + panel) * TSL_PANEL;
        const int8_t *weights = (const int8_t *)packed + group * g->group_stride + panel * g->panel_stride;
        tsl_pack_panel_sums(weights, g->n_taps * g->k_padded, sums);
    }
}

const void *tsl_weights_at_run(const tsl_weights *w, const tsl_run *run, const void *data) {
    if (w->packed) return w->packed;
    void *packed = run->scratch + w->scratch;
    if (w->geometry.packing == TSL_PACKING_PANELS) {
        pack_task task = {w, data, packed};
        tsl_parallel_for(run->ctx, w->count * w->geometry.groups * w->geometry.panels, 4, pack_panels, &task);
    } else {
        pack_all(w, data, packed);
    }
    return packed;
}

// ---- Numbers of the epilogue ----

// The scale of a tensor with one, which must be a positive number.
static tslim_status read_scale(const tsl_prepare *p, const tsl_tensor *t, const char *what, double *scale) {
    if (!t->quant.scales || t->quant.n_scales != 1)
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': the %s has %u scales, wanted 1", p->step->name,
            what, t->quant.scales ? t->quant.n_scales : 0);
    *scale = (double)t->quant.scales[0];
    TSL_REQUIRE(isfinite(*scale) && *scale > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the scale of the %s is %g", p->step->name, what, *scale);
    return TSLIM_OK;
}

static float to_steps(double real, double scale, int32_t zero_point) {
    double steps = nearbyint(real / scale) + zero_point;
    return (float)(steps > -128 ? steps < 127 ? steps : 127 : -128);
}

static void set_bounds(const tsl_step *step, bool to_int8, double y_scale, tsl_coefficients *c) {
    const tsl_step_epilogue *e = &step->epilogue;
    int32_t zero_point = step->outputs[0].quant.zero_point;
    double lo = e->clamp ? (double)e->lo : -INFINITY, hi = e->clamp ? (double)e->hi : INFINITY;
    if (c->line) { // the bounds of the first clamp, clamped by the second
        const double least = fmin(hi, fmax(lo, tsl_chain_bound(c->line, c->line->lo)));
        hi = fmin(hi, fmax(lo, tsl_chain_bound(c->line, c->line->hi)));
        lo = least;
    }
    c->lo = to_int8 ? to_steps(lo, y_scale, zero_point) : (float)lo;
    c->hi = to_int8 ? to_steps(hi, y_scale, zero_point) : (float)hi;
}

// What a channel's results are multiplied by.
static double factor_of(const tsl_coefficients *c, size_t channel) {
    return c->line ? c->line->factor[channel] : 1;
}

// One channel's bias in the output's unit.
static float bias_of(const tsl_coefficients *c, size_t channel, double bias) {
    double shift = c->line ? c->line->shift[channel] * c->unit : 0;
    return (float)(bias * c->bias_factor * factor_of(c, channel) + shift + c->offset);
}

static void fill_bias(const tsl_coefficients *c, const float *data, float *padded) {
    size_t step = c->bias_tensor && tsl_tensor_elements(c->bias_tensor) == 1 ? 0 : 1;
    for (size_t i = 0; i < c->groups * c->padded; i++) padded[i] = (float)c->offset;
    if (!data && !c->line) return;
    for (size_t i = 0; i < c->groups * c->n; i++)
        padded[i / c->n * c->padded + i % c->n] = bias_of(c, i, data ? (double)data[i * step] : 0);
}

static tslim_status prepare_bias(const tsl_prepare *p, tsl_kernel *kernel, tsl_coefficients *c) {
    const tsl_tensor *bias = c->bias_tensor;
    size_t bytes = c->groups * c->padded * sizeof(float);
    if (bias) {
        if (bias->dtype != TSLIM_DTYPE_FLOAT) return tsl_cpu_unsupported(p);
        int64_t elements = tsl_tensor_elements(bias);
        TSL_REQUIRE(elements == 1 || (uint64_t)elements == c->groups * c->n, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': a bias of %lld elements for %zu channels", p->step->name, (long long)elements,
            c->groups * c->n);
        if (!bias->constant) return tsl_scratch_reserve(kernel, bytes, &c->bias_scratch);
    }
    c->bias = tsl_arena_alloc_aligned(p->arena, bytes);
    TSL_REQUIRE_MEMORY(c->bias, bytes);
    fill_bias(c, bias ? bias->data : NULL, c->bias);
    return TSLIM_OK;
}

const float *tsl_coefficients_bias(const tsl_coefficients *c, const tsl_run *run, const void *data) {
    if (c->bias) return c->bias;
    float *padded = (float *)(void *)(run->scratch + c->bias_scratch);
    fill_bias(c, data, padded);
    return padded;
}

static tslim_status prepare_residual(const tsl_prepare *p, double y_scale, tsl_coefficients *c) {
    int32_t index = p->step->epilogue.residual;
    if (index < 0) return TSLIM_OK;
    const tsl_tensor *z = tsl_step_input(p->step, (uint32_t)index), *y = &p->step->outputs[0];
    TSL_REQUIRE(z, TSLIM_ERROR_INTERNAL, "node '%s': its residual %d is absent", p->step->name, index);
    TSL_REQUIRE(z->rank == y->rank && memcmp(z->dims, y->dims, z->rank * sizeof(z->dims[0])) == 0,
        TSLIM_ERROR_UNSUPPORTED, "node '%s': a residual of another shape than the output", p->step->name);
    c->residual = z;
    c->residual_after = c->is_int8 && z->dtype == TSLIM_DTYPE_FLOAT;
    if (z->dtype == TSLIM_DTYPE_FLOAT) return c->is_int8 && !c->to_float ? tsl_cpu_unsupported(p) : TSLIM_OK;
    if (z->dtype != TSLIM_DTYPE_INT8 || !c->is_int8) return tsl_cpu_unsupported(p);
    double z_scale = 0;
    TSL_TRY(read_scale(p, z, "residual", &z_scale));
    c->z_scale = (float)(z_scale / y_scale);
    c->offset -= z->quant.zero_point * (double)c->z_scale;
    return TSLIM_OK;
}

// ---- The chain ----

static tslim_status set_line(const tsl_prepare *p, tsl_coefficients *c) {
    const tsl_chain *chain = p->step->epilogue.chain;
    if (!chain || c->dynamic || p->step->epilogue.residual >= 0 || !tsl_chain_is_line(chain)) return TSLIM_OK;
    if (chain->n_channels != c->groups * c->n) return tsl_cpu_unsupported(p);
    c->line = chain;
    return TSLIM_OK;
}

static bool has_finish(const tsl_prepare *p, const tsl_coefficients *c) {
    return p->step->epilogue.chain && !c->line;
}

static tslim_status prepare_finish(const tsl_prepare *p, double y_scale, tsl_coefficients *c) {
    if (!has_finish(p, c)) return TSLIM_OK;
    if (c->residual_after) return tsl_cpu_unsupported(p);
    const tsl_finish_shape shape = {.groups = c->groups,
        .n = c->n,
        .padded = c->padded,
        .y_scale = y_scale,
        .y_zero = p->step->outputs[0].quant.zero_point,
        .lo = c->lo,
        .hi = c->hi};
    TSL_TRY(tsl_finish_prepare(p, p->step->epilogue.chain, &shape, &c->finish));
    c->lo = -INFINITY; // the product's own
    c->hi = INFINITY;
    return TSLIM_OK;
}

static tslim_status prepare_scales(
    const tsl_prepare *p, const tsl_quant *w, double factor, tsl_coefficients *c) {
    size_t channels = c->groups * c->n;
    TSL_REQUIRE(w->scales && (w->n_scales == 1 || w->n_scales == c->n || w->n_scales == channels),
        TSLIM_ERROR_UNSUPPORTED, "node '%s': weights with %u scales for %zu channels", p->step->name,
        w->scales ? w->n_scales : 0, channels);
    c->scale = tsl_arena_array(p->arena, c->groups * c->padded, sizeof(float));
    TSL_REQUIRE_MEMORY(c->scale, c->groups * c->padded * sizeof(float));
    for (size_t i = 0; i < channels; i++)
        c->scale[i / c->n * c->padded + i % c->n] =
            (float)((double)w->scales[i % w->n_scales] * factor * factor_of(c, i));
    if (w->zero_point == 0 && !w->zero_points) return TSLIM_OK;
    c->w_zero = tsl_arena_array(p->arena, c->groups * c->padded, sizeof(int32_t));
    TSL_REQUIRE_MEMORY(c->w_zero, c->groups * c->padded * sizeof(int32_t));
    for (size_t i = 0; i < channels; i++)
        c->w_zero[i / c->n * c->padded + i % c->n] =
            -(w->zero_points ? w->zero_points[i % w->n_scales] : w->zero_point);
    return TSLIM_OK;
}

tslim_status tsl_coefficients_prepare(const tsl_prepare *p, tsl_kernel *kernel, const tsl_weights *weights,
    const tsl_tensor *bias, double alpha, double beta, tsl_coefficients *c) {
    const tsl_tensor *a = &p->step->inputs[0], *y = &p->step->outputs[0];
    const tsl_tensor *w = &weights->request.weights;
    const tsl_pack_geometry *g = &weights->geometry;
    bool depthwise = g->packing == TSL_PACKING_DEPTHWISE;
    *c = (tsl_coefficients){.groups = depthwise ? 1 : g->groups,
        .n = depthwise ? g->groups : g->n,
        .padded = g->panels * TSL_PANEL,
        .bias_tensor = bias,
        .bias_factor = beta,
        .table = (const int8_t *)p->step->epilogue.table};
    c->is_int8 = w->dtype == TSLIM_DTYPE_INT8;
    c->to_float = y->dtype == TSLIM_DTYPE_FLOAT;
    double y_scale = 1, sum_scale = 1; // of the output; of what the sums become
    if (c->is_int8) {
        double a_scale = 0;
        c->dynamic = a->dtype == TSLIM_DTYPE_FLOAT && c->to_float && weights->packed && weights->count == 1;
        TSL_TRY(set_line(p, c));
        if ((a->dtype != TSLIM_DTYPE_INT8 && a->dtype != TSLIM_DTYPE_UINT8 && !c->dynamic) ||
            (!c->to_float && y->dtype != TSLIM_DTYPE_INT8))
            return tsl_cpu_unsupported(p);
        c->a_kind = a->dtype == TSLIM_DTYPE_UINT8    ? TSL_ACTIVATION_U8
                    : a->non_negative && !c->dynamic ? TSL_ACTIVATION_NON_NEGATIVE
                                                     : TSL_ACTIVATION_S8;
        c->zero_point = a->quant.zero_point;
        if (c->dynamic)
            a_scale = 1;
        else
            TSL_TRY(read_scale(p, a, "input", &a_scale));
        if (!c->to_float) {
            TSL_TRY(read_scale(p, y, "output", &y_scale));
            if (!has_finish(p, c)) {
                sum_scale = y_scale;
                c->offset = y->quant.zero_point;
            }
        }
        TSL_TRY(prepare_scales(p, &w->quant, alpha * a_scale / sum_scale, c));
        c->bias_factor = beta / sum_scale;
        c->unit = 1 / y_scale;
    } else if (a->dtype != TSLIM_DTYPE_FLOAT || w->dtype != TSLIM_DTYPE_FLOAT || !c->to_float) {
        return tsl_cpu_unsupported(p);
    }
    size_t dynamic_bytes = c->groups * c->padded * (sizeof(float) + sizeof(int32_t));
    if (c->dynamic) TSL_TRY(tsl_scratch_reserve(kernel, dynamic_bytes, &c->dynamic_scratch));
    set_bounds(p->step, !c->to_float, y_scale, c);
    TSL_TRY(prepare_residual(p, sum_scale, c));
    TSL_TRY(prepare_finish(p, y_scale, c));
    return prepare_bias(p, kernel, c);
}

void tsl_coefficients_fill_start(
    const tsl_coefficients *c, const int32_t *sums, size_t depth, int32_t *start) {
    for (size_t i = 0; i < c->groups * c->padded; i++)
        start[i] = -c->zero_point * (sums[i] + (c->w_zero ? (int32_t)depth * c->w_zero[i] : 0));
}

tslim_status tsl_coefficients_start(const tsl_prepare *p, const tsl_coefficients *c, const int32_t *sums,
    size_t depth, const int32_t **start) {
    *start = NULL;
    if (!c->is_int8 || c->zero_point == 0) return TSLIM_OK;
    size_t count = c->groups * c->padded;
    int32_t *values = tsl_arena_array(p->arena, count, sizeof(*values));
    TSL_REQUIRE_MEMORY(values, count * sizeof(*values));
    tsl_coefficients_fill_start(c, sums, depth, values);
    *start = values;
    return TSLIM_OK;
}
