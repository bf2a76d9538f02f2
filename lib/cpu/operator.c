// SPDX-License-Identifier: Apache-2.0
// Helpers of the operators: see operator.h.
#include "cpu/operator.h"

#include <inttypes.h>
#include <string.h>

#include "base/crc32.h"

double tsl_quantized(const tsl_tensor *t, double real) {
    double lowest = t->dtype == TSLIM_DTYPE_INT8 ? -128 : 0;
    double q = nearbyint(real / (double)tsl_scale(t)) + t->quant.zero_point;
    if (isnan(q)) return t->quant.zero_point;
    return q < lowest ? lowest : q > lowest + 255 ? lowest + 255 : q;
}

void tsl_step_bounds(const tsl_step *step, float *lo, float *hi) {
    *lo = step->epilogue.clamp ? step->epilogue.lo : -INFINITY;
    *hi = step->epilogue.clamp ? step->epilogue.hi : INFINITY;
}

void tsl_step_quantized_bounds(const tsl_step *step, const tsl_tensor *y, float *lo, float *hi) {
    tsl_step_bounds(step, lo, hi);
    double scale = (double)tsl_scale(y), zero_point = y->quant.zero_point;
    float q_lo = (float)(nearbyint((double)*lo / scale) + zero_point);
    float q_hi = (float)(nearbyint((double)*hi / scale) + zero_point);
    *lo = q_lo > -128.0f ? fminf(q_lo, 127.0f) : -128.0f;
    *hi = q_hi < 127.0f ? fmaxf(q_hi, -128.0f) : 127.0f;
}

tslim_status tsl_step_axis(const tsl_prepare *p, int64_t default_axis, uint32_t rank, uint32_t *axis) {
    int64_t value = tsl_attrs_int(p->step->attrs, TSL_ATTR_axis, default_axis);
    TSL_REQUIRE(value >= -(int64_t)rank && value < (int64_t)rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': axis %" PRId64 " of a tensor of rank %u", p->step->name, value, rank);
    *axis = (uint32_t)(value < 0 ? value + rank : value);
    return TSLIM_OK;
}

tsl_rows_along tsl_along_axis(const tsl_tensor *t, uint32_t axis) {
    tsl_rows_along r = {1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++)
        *(i < axis ? &r.outer : i == axis ? &r.length : &r.inner) *= t->dims[i];
    return r;
}

tslim_status tsl_softmax_rows(const tsl_prepare *p, const tsl_tensor *t, tsl_rows_along *rows) {
    const bool flatten = p->step->opset < 13;
    uint32_t axis = t->rank; // before opset 13 it may be behind the last dim
    bool behind = flatten && tsl_attrs_int(p->step->attrs, TSL_ATTR_axis, 1) == (int64_t)t->rank;
    if (t->rank > 0 && !behind) TSL_TRY(tsl_step_axis(p, flatten ? 1 : -1, t->rank, &axis));
    *rows = tsl_along_axis(t, axis);
    if (!flatten) return TSLIM_OK;
    rows->length *= rows->inner;
    rows->inner = 1;
    return TSLIM_OK;
}

tslim_status tsl_read_ints(const tsl_tensor *tensor, int64_t *values, size_t capacity, size_t *count) {
    int64_t elements = tsl_tensor_elements(tensor);
    TSL_REQUIRE(tensor->rank <= 1 && tsl_element_is_integer(tensor->dtype) && (uint64_t)elements <= capacity,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "a list of integers has rank %u, type %s, %" PRId64 " elements (at most %zu)", tensor->rank,
        tslim_dtype_name(tensor->dtype), elements, capacity);
    *count = (size_t)elements;
    if (elements == 0) return TSLIM_OK;
    ptrdiff_t stride = tensor->rank == 0 ? 0 : (ptrdiff_t)tensor->strides[0];
    tsl_load_ints(tensor->dtype, tensor->data, stride * (ptrdiff_t)tslim_dtype_size(tensor->dtype),
        (size_t)elements, values);
    return TSLIM_OK;
}

tslim_status tsl_step_ints(const tsl_prepare *p, tsl_attr_id attr, uint32_t index, int64_t *values,
    size_t capacity, size_t *count, bool *present) {
    size_t n;
    const int64_t *list = tsl_attrs_ints(p->step->attrs, attr, &n);
    const tsl_attr *single = list ? NULL : tsl_attrs_find(p->step->attrs, attr);
    if (single && single->type == TSL_ATTR_TYPE_INT) { // as shape inference reads it
        list = &single->i;
        n = 1;
    }
    const tsl_tensor *operand = tsl_step_input(p->step, index);
    *count = 0;
    *present = list || operand;
    if (list) {
        TSL_REQUIRE(n <= capacity, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': %s has %zu numbers, at most %zu fit", p->step->name, tsl_attr_name(attr), n,
            capacity);
        for (size_t i = 0; i < n; i++) values[i] = list[i];
        *count = n;
        return TSLIM_OK;
    }
    if (!operand) return TSLIM_OK;
    TSL_REQUIRE(operand->constant, TSLIM_ERROR_UNSUPPORTED, "node '%s': operand %u must be a constant",
        p->step->name, index);
    return tsl_read_ints(operand, values, capacity, count);
}

uint64_t tsl_step_seed(const tsl_step *step) {
    const tsl_attr *seed = tsl_attrs_find(step->attrs, TSL_ATTR_seed);
    if (!seed || (seed->type != TSL_ATTR_TYPE_FLOAT && seed->type != TSL_ATTR_TYPE_INT))
        return UINT64_C(1) << 32 | tsl_crc32(0, step->name, strlen(step->name)); // no float's bits
    if (seed->type == TSL_ATTR_TYPE_INT) return (uint64_t)seed->i; // Dropout's
    uint32_t bits;
    memcpy(&bits, &seed->f, sizeof bits);
    return bits;
}

void *tsl_new_state(tsl_prepare *p, tsl_kernel *kernel, size_t bytes) {
    kernel->state = tsl_arena_alloc_zeroed(p->arena, bytes);
    return kernel->state;
}

tslim_status tsl_table_prepare(tsl_prepare *p, const tsl_tensor *from, const tsl_tensor *to,
    tsl_real_function f, const void *user, const uint8_t **result) {
    uint8_t *table = tsl_arena_alloc(p->arena, 256);
    TSL_REQUIRE_MEMORY(table, 256);
    for (int i = 0; i < 256; i++) {
        double q = from->dtype == TSLIM_DTYPE_INT8 && i > 127 ? i - 256 : i;
        double x = tsl_dequantized(from, q);
        double y = tsl_quantized(to, f ? f(user, x) : x);
        table[i] = (uint8_t)(int)y;
    }
    *result = table;
    return TSLIM_OK;
}

tslim_status tsl_move_prepare(
    tsl_prepare *p, const tsl_tensor *from, const tsl_tensor *to, const uint8_t **table) {
    *table = NULL;
    if (tslim_dtype_size(from->dtype) == 0) return tsl_cpu_unsupported(p);
    if (!tsl_is_quantized(from) || !tsl_is_quantized(to))
        return from->dtype == to->dtype ? TSLIM_OK : tsl_cpu_unsupported(p);
    if (from->quant.n_scales != 1 || to->quant.n_scales != 1) return tsl_cpu_unsupported(p);
    if (from->dtype == to->dtype && tsl_scale(from) == tsl_scale(to) &&
        from->quant.zero_point == to->quant.zero_point)
        return TSLIM_OK;
    return tsl_table_prepare(p, from, to, NULL, NULL, table);
}
