// SPDX-License-Identifier: Apache-2.0
// NonZero and Compress: counted first, then written in order.
#include <string.h>

#include "cpu/operator.h"

// ---- NonZero: one row of indices for each axis ----

// The bits that make an element differ from zero: all but a float's sign.
static uint64_t value_bits(tslim_dtype dtype) {
    uint64_t all = UINT64_MAX >> (64 - 8 * tslim_dtype_size(dtype));
    return tsl_element_is_integer(dtype) || dtype == TSLIM_DTYPE_BOOL ? all : all >> 1;
}

static bool is_non_zero(const uint8_t *element, size_t size, uint64_t mask) {
    uint64_t bits = 0;
    memcpy(&bits, element, size); // little-endian
    return (bits & mask) != 0;
}

static tslim_status run_non_zero(const tsl_run *run) {
    const tsl_tensor *x = &run->inputs[0];
    tsl_tensor *y = &run->found[0];
    const size_t size = tslim_dtype_size(x->dtype);
    const uint64_t mask = value_bits(x->dtype);
    const uint8_t *data = x->data;
    int64_t elements = tsl_tensor_elements(x), count = 0, *to = y->data;
    for (int64_t i = 0; i < elements; i++) count += is_non_zero(data + (size_t)i * size, size, mask);
    int64_t index[TSLIM_MAX_RANK] = {0}, found = 0;
    for (int64_t i = 0; i < elements && found < count; i++) {
        if (is_non_zero(data + (size_t)i * size, size, mask)) {
            for (int64_t d = 0; d < y->dims[0]; d++) to[d * count + found] = index[d];
            found++;
        }
        for (uint32_t d = x->rank; d-- > 0;) {
            if (++index[d] < x->dims[d]) break;
            index[d] = 0;
        }
    }
    y->dims[1] = count;
    tsl_tensor_set_row_major(y);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_non_zero(tsl_prepare *p, tsl_kernel *kernel) {
    kernel->run = run_non_zero;
    kernel->name = "non-zero";
    bool fits =
        tslim_dtype_size(p->step->inputs[0].dtype) > 0 && p->step->outputs[0].dtype == TSLIM_DTYPE_INT64;
    return fits ? TSLIM_OK : tsl_cpu_unsupported(p);
}

// ---- Compress: the slices whose condition is true ----

typedef struct compress_state {
    size_t outer, length, inner; // inner in bytes
    uint32_t axis; // of the result
} compress_state;

static tslim_status run_compress(const tsl_run *run) {
    const compress_state *s = run->kernel->state;
    const uint8_t *x = run->inputs[0].data, *condition = run->inputs[1].data;
    tsl_tensor *y = &run->found[0];
    uint8_t *to = y->data;
    size_t given = (size_t)run->inputs[1].dims[0], length = given < s->length ? given : s->length;
    int64_t count = 0;
    for (size_t i = 0; i < length; i++) count += condition[i] != 0;
    for (size_t o = 0; o < s->outer && s->inner > 0; o++)
        for (size_t i = 0; i < length; i++) {
            if (!condition[i]) continue;
            memcpy(to, x + (o * s->length + i) * s->inner, s->inner);
            to += s->inner;
        }
    y->dims[s->axis] = count;
    tsl_tensor_set_row_major(y);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_compress(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(compress_state, s);
    kernel->run = run_compress;
    kernel->name = "compress";
    if (step->inputs[1].dtype != TSLIM_DTYPE_BOOL || step->inputs[1].rank != 1 ||
        x->dtype != step->outputs[0].dtype || tslim_dtype_size(x->dtype) == 0)
        return tsl_cpu_unsupported(p);
    s->outer = 1;
    s->inner = tslim_dtype_size(x->dtype);
    if (!tsl_attrs_find(step->attrs, TSL_ATTR_axis)) {
        s->length = (size_t)tsl_tensor_elements(x);
        return TSLIM_OK;
    }
    TSL_TRY(tsl_step_axis(p, 0, x->rank, &s->axis));
    for (uint32_t i = 0; i < s->axis; i++) s->outer *= (size_t)x->dims[i];
    s->length = (size_t)x->dims[s->axis];
    for (uint32_t i = s->axis + 1; i < x->rank; i++) s->inner *= (size_t)x->dims[i];
    return TSLIM_OK;
}
