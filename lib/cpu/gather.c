// SPDX-License-Identifier: Apache-2.0
// Gather: rows of a row-major tensor along one axis, by indices that may count from the end.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

typedef struct gather_state {
    const uint8_t *table;
    uint32_t axis;
} gather_state;

typedef struct gather_task {
    const tsl_tensor *indices;
    const uint8_t *from, *table;
    uint8_t *to;
    int64_t dim, count; // of the axis; of indices
    size_t row; // bytes of one gathered piece
} gather_task;

static int64_t index_at(const tsl_tensor *indices, int64_t i) {
    size_t size = tslim_dtype_size(indices->dtype);
    return tsl_load_int(indices->dtype, (const uint8_t *)indices->data + (size_t)i * size);
}

// Item i is the (i % count)-th index of the (i / count)-th outer position.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const gather_task *t = task_data;
    for (size_t item = begin; item < end; item++) {
        int64_t index = index_at(t->indices, (int64_t)item % t->count);
        size_t source = (size_t)((int64_t)item / t->count * t->dim + (index < 0 ? index + t->dim : index));
        const uint8_t *from = t->from + source * t->row;
        uint8_t *to = t->to + item * t->row;
        if (!t->table)
            memcpy(to, from, t->row);
        else
            for (size_t i = 0; i < t->row; i++) to[i] = t->table[from[i]];
    }
}

static tslim_status run_gather(const tsl_run *run) {
    const gather_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *indices = &run->inputs[1];
    gather_task task = {.indices = indices,
        .from = x->data,
        .to = run->outputs[0].data,
        .table = s->table,
        .dim = x->dims[s->axis],
        .count = tsl_tensor_elements(indices),
        .row = tslim_dtype_size(x->dtype)};
    for (int64_t i = 0; i < task.count; i++) {
        int64_t index = index_at(indices, i);
        TSL_REQUIRE(index >= -task.dim && index < task.dim, TSLIM_ERROR_INVALID_ARGUMENT,
            "index %" PRId64 " at position %" PRId64 " is out of range: the axis has %" PRId64 " elements",
            index, i, task.dim);
    }
    int64_t outer = 1;
    for (uint32_t i = 0; i < s->axis; i++) outer *= x->dims[i];
    for (uint32_t i = s->axis + 1; i < x->rank; i++) task.row *= (size_t)x->dims[i];
    if (task.row == 0 || outer * task.count == 0) return TSLIM_OK;
    tsl_parallel_for(run->ctx, (size_t)(outer * task.count), 65536 / task.row + 1, run_rows, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_gather(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *indices = &p->step->inputs[1];
    TSL_NEW_STATE(gather_state, s);
    kernel->run = run_gather;
    kernel->name = "gather";
    TSL_TRY(tsl_step_axis(p, 0, x->rank, &s->axis));
    if (indices->dtype != TSLIM_DTYPE_INT64 && indices->dtype != TSLIM_DTYPE_INT32)
        return tsl_cpu_unsupported(p);
    return tsl_move_prepare(p, x, &p->step->outputs[0], &s->table);
}
