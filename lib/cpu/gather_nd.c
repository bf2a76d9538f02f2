// SPDX-License-Identifier: Apache-2.0
// GatherND: a slice for each tuple of indices, within a batch that data and indices share.
#include <string.h>

#include "cpu/tuples.h"

tslim_status tsl_tuples_init(const tsl_prepare *p, const tsl_tensor *data, const tsl_tensor *indices,
    uint32_t first_axis, tsl_tuples *t) {
    int64_t length = indices->rank > 0 ? indices->dims[indices->rank - 1] : -1;
    TSL_REQUIRE(length >= 0 && length <= (int64_t)data->rank - first_axis, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': indices of %d numbers for a tensor of rank %u", p->step->name, (int)length, data->rank);
    if (!tsl_is_index(indices)) return tsl_cpu_unsupported(p);
    *t = (tsl_tuples){.length = (uint32_t)length, .first_axis = first_axis, .slice = 1};
    for (uint32_t d = 0; d < t->length; d++) {
        t->dims[d] = data->dims[first_axis + d];
        t->strides[d] = data->strides[first_axis + d];
    }
    for (uint32_t d = first_axis + t->length; d < data->rank; d++) t->slice *= (size_t)data->dims[d];
    return TSLIM_OK;
}

tslim_status tsl_tuples_check(const tsl_tuples *t, const tsl_tensor *indices) {
    for (uint32_t d = 0; d < t->length; d++)
        TSL_TRY(tsl_check_indices(indices, d, t->length, t->first_axis + d, t->dims[d]));
    return TSLIM_OK;
}

typedef struct gather_state {
    tsl_tuples tuples;
    int64_t batches, per_batch; // tuples of each
    size_t batch_stride; // elements of the source
} gather_state;

typedef struct gather_task {
    const gather_state *s;
    const tsl_tensor *x, *indices;
    uint8_t *y;
} gather_task;

static void run_tuples(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const gather_task *t = task_data;
    const gather_state *s = t->s;
    const size_t size = tslim_dtype_size(t->x->dtype), bytes = s->tuples.slice * size;
    for (size_t i = begin; i < end; i++) {
        size_t from = i / (size_t)s->per_batch * s->batch_stride +
                      (size_t)tsl_tuples_offset(&s->tuples, t->indices, (int64_t)i);
        memcpy(t->y + i * bytes, (const uint8_t *)t->x->data + from * size, bytes);
    }
}

static tslim_status run_gather(const tsl_run *run) {
    const gather_state *s = run->kernel->state;
    const int64_t count = s->batches * s->per_batch;
    gather_task t = {s, &run->inputs[0], &run->inputs[1], run->outputs[0].data};
    if (count == 0 || s->tuples.slice == 0) return TSLIM_OK;
    TSL_TRY(tsl_tuples_check(&s->tuples, t.indices));
    tsl_parallel_for(run->ctx, (size_t)count, 16384 / s->tuples.slice + 1, run_tuples, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_gather_nd(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *indices = &p->step->inputs[1], *y = &p->step->outputs[0];
    TSL_NEW_STATE(gather_state, s);
    kernel->run = run_gather;
    kernel->name = "gather nd";
    int64_t batch = tsl_attrs_int(p->step->attrs, TSL_ATTR_batch_dims, 0);
    bool fits = batch >= 0 && batch < (int64_t)indices->rank && batch <= (int64_t)x->rank;
    s->batches = s->per_batch = 1;
    for (uint32_t i = 0; fits && i + 1 < indices->rank; i++) {
        *(i < (uint32_t)batch ? &s->batches : &s->per_batch) *= indices->dims[i];
        fits = i >= (uint32_t)batch || indices->dims[i] == x->dims[i];
    }
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': batch dims that do not fit", p->step->name);
    TSL_TRY(tsl_tuples_init(p, x, indices, (uint32_t)batch, &s->tuples));
    s->batch_stride = 1;
    for (uint32_t i = (uint32_t)batch; i < x->rank; i++) s->batch_stride *= (size_t)x->dims[i];
    int64_t elements = s->batches * s->per_batch * (int64_t)s->tuples.slice;
    TSL_REQUIRE(tsl_tensor_elements(y) == elements, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a result of another size", p->step->name);
    const uint8_t *table;
    TSL_TRY(tsl_move_prepare(p, x, y, &table));
    return table ? tsl_cpu_unsupported(p) : TSLIM_OK;
}
