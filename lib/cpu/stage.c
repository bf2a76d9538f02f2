// SPDX-License-Identifier: Apache-2.0
// Copies of a convolution's operands in the layout that its kernels want.
#include "cpu/stage.h"

#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"
#include "cpu/product.h"

#define READABLE_BEHIND 64

// Rank 4 over the same memory.
static tsl_tensor view_of(const tsl_tensor *t) {
    tsl_tensor view = *t;
    if (t->rank == 4) return view;
    view.rank = 4;
    view.dims[2] = 1;
    view.dims[3] = t->dims[2];
    view.strides[2] = t->strides[2] * t->dims[2];
    view.strides[3] = t->strides[2];
    memset(view.border, 0, sizeof(view.border));
    return view;
}

static tslim_status set_copy(const uint16_t border[4], tsl_stage *s) {
    tsl_tensor *v = &s->view;
    memcpy(v->border, border, sizeof(v->border));
    size_t columns = (size_t)v->dims[3] + border[1] + border[3],
           rows = (size_t)v->dims[2] + border[0] + border[2];
    size_t channels = (size_t)v->dims[1], row, plane, bytes;
    bool fits = tsl_mul_size(columns, channels, &row) && tsl_mul_size(row, rows, &plane) &&
                tsl_mul_size(plane, (size_t)v->dims[0], &bytes) &&
                tsl_mul_size(bytes, tslim_dtype_size(v->dtype), &bytes) &&
                tsl_add_size(bytes, READABLE_BEHIND, &bytes) && bytes < INT64_MAX / 2;
    TSL_REQUIRE(
        fits, TSLIM_ERROR_LIMIT, "a copy of %zu rows of %zu pixels of %zu channels", rows, columns, channels);
    v->strides[0] = (int64_t)plane;
    v->strides[1] = 1;
    v->strides[2] = (int64_t)row;
    v->strides[3] = (int64_t)channels;
    s->bytes = bytes;
    return TSLIM_OK;
}

tslim_status tsl_stage_prepare(
    tsl_kernel *kernel, const tsl_tensor *tensor, const uint16_t border[4], tsl_stage *stage) {
    *stage = (tsl_stage){.view = view_of(tensor)};
    stage->view.data = NULL;
    // A constant may end with its memory, where kernels read on.
    stage->used = tensor->constant || !tsl_tensor_is_channels_last(&stage->view);
    for (int i = 0; i < 4; i++) stage->used = stage->used || stage->view.border[i] < border[i];
    if (!stage->used) return TSLIM_OK;
    TSL_TRY(set_copy(border, stage));
    return tsl_scratch_reserve(kernel, stage->bytes, &stage->scratch);
}

// Element (0,0,0,0) of the copy.
static char *copy_data(const tsl_stage *s, const tsl_run *run) {
    const tsl_tensor *v = &s->view;
    int64_t inside = v->border[0] * v->strides[2] + v->border[1] * v->strides[3];
    return (char *)run->scratch + s->scratch + (size_t)inside * tslim_dtype_size(v->dtype);
}

const void *tsl_stage_read(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor) {
    if (!stage->used) return tensor->data;
    tsl_tensor from = view_of(tensor), to = stage->view;
    to.data = copy_data(stage, run);
    // The border holds what stands for zero; of floats all bytes are 0.
    memset(run->scratch + stage->scratch, (uint8_t)tensor->quant.zero_point, stage->bytes);
    tsl_copy(run->ctx, &from, &to);
    return to.data;
}

tslim_status tsl_stage_prepare_quantized(
    tsl_kernel *kernel, const tsl_tensor *tensor, const uint16_t border[4], tsl_stage *stage) {
    tsl_tensor quantized = *tensor;
    quantized.dtype = TSLIM_DTYPE_INT8;
    quantized.constant = true; // that is, copied
    return tsl_stage_prepare(kernel, &quantized, border, stage);
}

// A row of pixels, channel by channel where these lie apart; `quantized` NULL: only the range is wanted.
static void visit_row(const tsl_cpu_functions *functions, const tsl_tensor *t, const float *x,
    const tsl_dynamic_range *range, int8_t *quantized, tsl_range_f32_args *ends) {
    size_t columns = (size_t)t->dims[3], channels = (size_t)t->dims[1];
    bool together = (channels == 1 || t->strides[1] == 1) && (columns == 1 || t->strides[3] == t->dims[1]);
    size_t runs = together ? 1 : channels * columns, length = together ? channels * columns : 1;
    for (size_t i = 0; i < runs; i++) {
        size_t column = together ? 0 : i / channels, channel = together ? 0 : i % channels;
        const float *from = x + (int64_t)column * t->strides[3] + (int64_t)channel * t->strides[1];
        if (quantized) {
            tsl_dynamic_quantize(functions, range, from, quantized + i, length);
            continue;
        }
        tsl_range_f32_args here = {.x = from, .n = length};
        functions->range_f32(&here);
        ends->lo = here.lo < ends->lo ? here.lo : ends->lo;
        ends->hi = here.hi > ends->hi ? here.hi : ends->hi;
    }
}

const void *tsl_stage_quantize(const tsl_stage *stage, const tsl_run *run, const tsl_cpu_functions *functions,
    const tsl_tensor *tensor, tsl_dynamic_range *range) {
    tsl_tensor from = view_of(tensor), to = stage->view;
    tsl_range_f32_args ends = {0};
    to.data = copy_data(stage, run);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t n = 0; n < from.dims[0]; n++)
            for (int64_t y = 0; y < from.dims[2]; y++) {
                const float *x = (const float *)from.data + n * from.strides[0] + y * from.strides[2];
                int8_t *row = (int8_t *)to.data + n * to.strides[0] + y * to.strides[2];
                visit_row(functions, &from, x, range, pass ? row : NULL, &ends);
            }
        if (pass) break;
        *range = tsl_dynamic_range_between(ends.lo, ends.hi);
        memset(run->scratch + stage->scratch, (uint8_t)(range->zero_point - 128), stage->bytes);
    }
    return to.data;
}

void *tsl_stage_write(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor) {
    return stage->used ? copy_data(stage, run) : tensor->data;
}

void tsl_stage_finish(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor) {
    if (!stage->used) return;
    tsl_tensor from = stage->view, to = view_of(tensor);
    from.data = copy_data(stage, run);
    tsl_copy(run->ctx, &from, &to);
}
