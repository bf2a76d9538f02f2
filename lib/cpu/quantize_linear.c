// SPDX-License-Identifier: Apache-2.0
// ONNX's QuantizeLinear and DequantizeLinear: scales and zero points are operands, one for the tensor or one
// for each index of an axis.
#include <string.h>

#include "cpu/operator.h"

typedef struct linear_state {
    uint32_t axis;
    bool per_axis, quantize, has_zero_point;
} linear_state;

// A parameter as a tensor that broadcasts to the data.
static tsl_tensor along_axis(const tsl_tensor *parameter, const tsl_tensor *data, const linear_state *s) {
    tsl_tensor view = *parameter;
    if (!s->per_axis) {
        view.rank = 0;
        return view;
    }
    view.rank = data->rank;
    for (uint32_t i = 0; i < data->rank; i++) {
        view.dims[i] = i == s->axis ? data->dims[i] : 1;
        view.strides[i] = parameter->strides[0];
    }
    return view;
}

typedef struct linear_run {
    tslim_dtype from, to, scale, zero_point;
    bool quantize;
} linear_run;

// round(x / scale) in single precision, as ONNX has it for float; then the zero point, then the type's range.
static double convert(const linear_run *r, double x, double scale, double zero_point) {
    if (!r->quantize) return (x - zero_point) * scale;
    double real = r->from == TSLIM_DTYPE_DOUBLE ? x / scale : (double)((float)x / (float)scale);
    return nearbyint(real) + zero_point;
}

static void run_elements(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const linear_run *r = user;
    double x[TSL_BLOCK], scale[TSL_BLOCK], zero[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        ptrdiff_t at = (ptrdiff_t)first;
        tsl_load_doubles(r->from, data[1] + at * strides[1], strides[1], n, x);
        tsl_load_doubles(r->scale, data[2] + at * strides[2], strides[2], n, scale);
        tsl_load_doubles(r->zero_point, data[3] + at * strides[3], strides[3], n, zero);
        for (size_t i = 0; i < n; i++) x[i] = convert(r, x[i], scale[i], zero[i]);
        tsl_store_doubles(r->to, data[0] + at * strides[0], strides[0], n, x);
    }
}

// ---- Between float and 8 bits ----

static bool is_byte(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
}

static float byte_at(tslim_dtype dtype, const uint8_t *data) {
    return dtype == TSLIM_DTYPE_INT8 ? (float)*(const int8_t *)data : (float)*data;
}

// x / scale to the nearest whole number, ties to even, within 8 bits of which `lo` is the least: sums of less
// than 2^22 with 1.5 * 2^23 have no fraction.
static void quantize_block(
    const float *x, const float *scale, const float *zero, float lo, size_t n, uint8_t *y) {
    const float round = 12582912;
    for (size_t i = 0; i < n; i++) {
        float steps = x[i] / scale[i];
        steps = steps == steps ? steps : -zero[i];
        steps = steps > -1024 ? steps : -1024;
        steps = steps < 1024 ? steps : 1024;
        float q = steps + round - round + zero[i];
        q = q > lo ? q : lo;
        q = q < lo + 255 ? q : lo + 255;
        y[i] = (uint8_t)(int32_t)q;
    }
}

static bool is_plain(const linear_run *r, const ptrdiff_t *strides) {
    tslim_dtype real = r->quantize ? r->from : r->to, integers = r->quantize ? r->to : r->from;
    ptrdiff_t real_stride = strides[r->quantize ? 1 : 0], byte_stride = strides[r->quantize ? 0 : 1];
    return real == TSLIM_DTYPE_FLOAT && is_byte(integers) && r->scale == TSLIM_DTYPE_FLOAT &&
           r->zero_point == integers && real_stride == sizeof(float) && byte_stride == 1;
}

static void run_bytes(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const linear_run *r = user;
    if (!is_plain(r, strides)) {
        run_elements(user, data, strides, count);
        return;
    }
    float scale[TSL_BLOCK], zero[TSL_BLOCK];
    const float lo = r->to == TSLIM_DTYPE_INT8 ? -128 : 0;
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        const size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        for (size_t i = 0; i < n; i++) {
            const ptrdiff_t at = (ptrdiff_t)(first + i);
            memcpy(&scale[i], data[2] + at * strides[2], sizeof(float));
            zero[i] = byte_at(r->zero_point, data[3] + at * strides[3]);
        }
        if (r->quantize) {
            quantize_block((const float *)(const void *)data[1] + first, scale, zero, lo, n, data[0] + first);
            continue;
        }
        float *y = (float *)(void *)data[0] + first;
        for (size_t i = 0; i < n; i++) y[i] = (byte_at(r->from, data[1] + first + i) - zero[i]) * scale[i];
    }
}

static tslim_status run_linear(const tsl_run *run) {
    const linear_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    int64_t zero = 0;
    tsl_tensor none = {.dtype = TSLIM_DTYPE_INT64, .data = &zero};
    tsl_tensor scale = along_axis(&run->inputs[1], x, s);
    tsl_tensor zero_point = s->has_zero_point ? along_axis(&run->inputs[2], x, s) : none;
    linear_run r = {x->dtype, y->dtype, scale.dtype, zero_point.dtype, s->quantize};
    tsl_iteration it;
    const tsl_tensor *operands[] = {y, x, &scale, &zero_point};
    tsl_iteration_init(&it, operands, 4);
    tsl_iterate(run->ctx, &it, run_bytes, &r);
    return TSLIM_OK;
}

static tslim_status prepare(tsl_prepare *p, tsl_kernel *kernel, bool quantize) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *scale = &step->inputs[1], *zero = tsl_step_input(step, 2);
    TSL_NEW_STATE(linear_state, s);
    kernel->run = run_linear;
    kernel->name = quantize ? "quantize linear" : "dequantize linear";
    s->quantize = quantize;
    s->has_zero_point = zero != NULL;
    const tsl_tensor *reals = quantize ? x : &step->outputs[0], *integers = quantize ? &step->outputs[0] : x;
    bool types = (tsl_element_is_real(reals->dtype) || (quantize && reals->dtype == TSLIM_DTYPE_INT32)) &&
                 tsl_element_is_integer(integers->dtype) && tsl_element_is_real(scale->dtype);
    if (!types || (zero && !tsl_element_is_integer(zero->dtype))) return tsl_cpu_unsupported(p);
    int64_t elements = tsl_tensor_elements(scale);
    TSL_REQUIRE(!zero || tsl_tensor_elements(zero) == elements, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': scales and zero points differ in number", step->name);
    s->per_axis = scale->rank == 1 && elements != 1;
    if (!s->per_axis) {
        TSL_REQUIRE(elements == 1, TSLIM_ERROR_UNSUPPORTED, "node '%s': scales in blocks", step->name);
        return TSLIM_OK;
    }
    TSL_TRY(tsl_step_axis(p, 1, x->rank, &s->axis));
    TSL_REQUIRE(elements == x->dims[s->axis], TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the scales are not as many as axis %u is long", step->name, s->axis);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_quantize_linear(tsl_prepare *p, tsl_kernel *kernel) {
    return prepare(p, kernel, true);
}
tslim_status tsl_cpu_prepare_dequantize_linear(tsl_prepare *p, tsl_kernel *kernel) {
    return prepare(p, kernel, false);
}
