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

void *tsl_stage_write(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor) {
    return stage->used ? copy_data(stage, run) : tensor->data;
}

void tsl_stage_finish(const tsl_stage *stage, const tsl_run *run, const tsl_tensor *tensor) {
    if (!stage->used) return;
    tsl_tensor from = stage->view, to = view_of(tensor);
    from.data = copy_data(stage, run);
    tsl_copy(run->ctx, &from, &to);
}
