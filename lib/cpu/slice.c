// SPDX-License-Identifier: Apache-2.0
// Slice: a copy whose source is seen from a start, with wider or negative strides.
#include <inttypes.h>

#include "cpu/operator.h"

typedef struct slice_state {
    const uint8_t *table;
    int64_t start[TSLIM_MAX_RANK], step[TSLIM_MAX_RANK];
} slice_state;

static tslim_status run_slice(const tsl_run *run) {
    const slice_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    tsl_tensor view = *x;
    ptrdiff_t offset = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (y->dims[i] == 0) return TSLIM_OK;
        view.dims[i] = y->dims[i];
        view.strides[i] = x->strides[i] * s->step[i];
        offset += (ptrdiff_t)(s->start[i] * x->strides[i]);
    }
    view.data = (uint8_t *)x->data + offset * (ptrdiff_t)tslim_dtype_size(x->dtype);
    tsl_move(run->ctx, s->table, &view, y);
    return TSLIM_OK;
}

// One axis: the start as an index, and whether everything that is read is there.
static tslim_status set_axis(
    const tsl_prepare *p, slice_state *s, uint32_t axis, int64_t start, int64_t step) {
    const int64_t dim = p->step->inputs[0].dims[axis], length = p->step->outputs[0].dims[axis];
    if (start < 0) start = start < -dim ? (step < 0 ? -1 : 0) : start + dim;
    if (step > 0) start = start > dim ? dim : start;
    if (step < 0) start = start > dim - 1 ? dim - 1 : start < 0 ? 0 : start;
    if (length <= 1) step = 1; // one element has no step, whose product with a stride might not fit
    bool inside = length == 0 || (step > 0 ? (length - 1) <= (dim - 1 - start) / step
                                           : (length - 1) <= start / -(step + (step == INT64_MIN)));
    TSL_REQUIRE(step != 0 && inside && length <= dim, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %" PRId64 " elements from %" PRId64 " by %" PRId64 " along an axis of %" PRId64,
        p->step->name, length, start, step, dim);
    s->start[axis] = start;
    s->step[axis] = step;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_slice(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const uint32_t rank = step->inputs[0].rank;
    TSL_NEW_STATE(slice_state, s);
    kernel->run = run_slice;
    kernel->name = "slice";
    int64_t starts[TSLIM_MAX_RANK], axes[TSLIM_MAX_RANK], steps[TSLIM_MAX_RANK];
    size_t n_starts, n_axes, n_steps;
    bool present, has_axes, has_steps;
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_starts, 1, starts, TSLIM_MAX_RANK, &n_starts, &present));
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_axes, 3, axes, TSLIM_MAX_RANK, &n_axes, &has_axes));
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_UNKNOWN, 4, steps, TSLIM_MAX_RANK, &n_steps, &has_steps));
    TSL_REQUIRE(present && (!has_axes || n_axes == n_starts) && (!has_steps || n_steps == n_starts),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': starts, axes and steps of different lengths", step->name);
    for (uint32_t i = 0; i < rank; i++) s->step[i] = 1;
    for (size_t i = 0; i < n_starts; i++) {
        int64_t axis = has_axes ? axes[i] : (int64_t)i;
        TSL_REQUIRE(axis >= -(int64_t)rank && axis < (int64_t)rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %" PRId64 " of a tensor of rank %u", step->name, axis, rank);
        TSL_TRY(
            set_axis(p, s, (uint32_t)(axis < 0 ? axis + rank : axis), starts[i], has_steps ? steps[i] : 1));
    }
    return tsl_move_prepare(p, &step->inputs[0], &step->outputs[0], &s->table);
}
