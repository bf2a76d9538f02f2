// SPDX-License-Identifier: Apache-2.0
// GatherElements: result element i along the axis is element indices[i] of the source, at the same place
// otherwise.
#include <string.h>

#include "cpu/index.h"

typedef struct gather_state {
    uint32_t axis;
} gather_state;

typedef struct gather_task {
    const tsl_tensor *x, *indices, *y;
    uint32_t axis;
    int64_t row; // elements of the last axis
    size_t size;
} gather_task;

#define PICK(bytes)                                                                                          \
    for (size_t i = 0; i < n; i++)                                                                           \
    memcpy(y + i * (bytes), x + (ptrdiff_t)(index[i] * step + (int64_t)i * along) * (bytes), (bytes))

// n elements: element i is at x + index[i] * step + i * along.
static void pick(
    uint8_t *y, const uint8_t *x, const int64_t *index, int64_t step, int64_t along, size_t n, size_t size) {
    switch (size) {
    case 1:
        PICK(1);
        break;
    case 2:
        PICK(2);
        break;
    case 4:
        PICK(4);
        break;
    default:
        PICK(8);
        break;
    }
}

// Item i is a row along the last axis.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const gather_task *t = task_data;
    const tsl_tensor *x = t->x, *indices = t->indices;
    const uint32_t last = x->rank - 1;
    const int64_t step = x->strides[t->axis], along = t->axis == last ? 0 : 1;
    int64_t block[TSL_BLOCK];
    for (size_t item = begin; item < end; item++) {
        int64_t rest = (int64_t)item, from = 0;
        for (uint32_t d = last; d-- > 0;) {
            if (d != t->axis) from += rest % indices->dims[d] * x->strides[d];
            rest /= indices->dims[d];
        }
        for (int64_t first = 0; first < t->row; first += TSL_BLOCK) {
            size_t n = t->row - first < TSL_BLOCK ? (size_t)(t->row - first) : TSL_BLOCK;
            int64_t position = (int64_t)item * t->row + first;
            tsl_load_indices(indices, position, 1, n, x->dims[t->axis], block);
            pick((uint8_t *)t->y->data + (size_t)position * t->size,
                (const uint8_t *)x->data + (size_t)(from + first * along) * t->size, block, step, along, n,
                t->size);
        }
    }
}

static tslim_status run_gather(const tsl_run *run) {
    const gather_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *indices = &run->inputs[1];
    const int64_t elements = tsl_tensor_elements(indices);
    if (elements == 0) return TSLIM_OK;
    TSL_TRY(tsl_check_indices(indices, 0, 1, s->axis, x->dims[s->axis]));
    gather_task t = {.x = x, .indices = indices, .y = &run->outputs[0], .axis = s->axis};
    t.row = indices->dims[x->rank - 1];
    t.size = tslim_dtype_size(x->dtype);
    tsl_parallel_for(run->ctx, (size_t)(elements / t.row), 16384 / (size_t)t.row + 1, run_rows, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_gather_elements(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *indices = &p->step->inputs[1], *y = &p->step->outputs[0];
    TSL_NEW_STATE(gather_state, s);
    kernel->run = run_gather;
    kernel->name = "gather elements";
    TSL_TRY(tsl_step_axis(p, 0, x->rank, &s->axis));
    bool fits = x->rank == indices->rank && y->rank == x->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++)
        fits = y->dims[i] == indices->dims[i] && (i == s->axis || indices->dims[i] <= x->dims[i]);
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': indices that do not fit", p->step->name);
    const uint8_t *table;
    TSL_TRY(tsl_move_prepare(p, x, y, &table));
    return tsl_is_index(indices) && !table ? TSLIM_OK : tsl_cpu_unsupported(p);
}
