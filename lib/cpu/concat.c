// SPDX-License-Identifier: Apache-2.0
// Concat and Split: copies between a tensor and its slices along one axis, of those slices that the plan has
// not placed there already.
#include "cpu/operator.h"

typedef struct slices_state {
    uint32_t axis, count;
    const uint8_t **tables; // one a slice
} slices_state;

// The part of `whole` from index `begin` along the axis that is as long as `part`.
static tsl_tensor slice_of(const tsl_tensor *whole, const tsl_tensor *part, uint32_t axis, int64_t begin) {
    tsl_tensor slice = *whole;
    slice.dims[axis] = part->dims[axis];
    slice.data = (uint8_t *)whole->data +
                 (ptrdiff_t)(begin * whole->strides[axis]) * (ptrdiff_t)tslim_dtype_size(whole->dtype);
    return slice;
}

static tslim_status prepare(tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *whole,
    const tsl_tensor *parts, uint32_t count, bool split) {
    TSL_NEW_STATE(slices_state, s);
    s->count = count;
    TSL_TRY(tsl_step_axis(p, 0, whole->rank, &s->axis));
    s->tables = tsl_arena_array(p->arena, count, sizeof(*s->tables));
    TSL_REQUIRE_MEMORY(s->tables, count * sizeof(*s->tables));
    int64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        TSL_REQUIRE(parts[i].rank == whole->rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': part %u has rank %u, the whole %u", p->step->name, i, parts[i].rank, whole->rank);
        sum += parts[i].dims[s->axis];
        TSL_TRY(tsl_move_prepare(p, split ? whole : &parts[i], split ? &parts[i] : whole, &s->tables[i]));
    }
    TSL_REQUIRE(sum == whole->dims[s->axis], TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the parts do not make up the whole along axis %u", p->step->name, s->axis);
    return TSLIM_OK;
}

static tslim_status run_concat(const tsl_run *run) {
    const slices_state *s = run->kernel->state;
    int64_t begin = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        tsl_tensor slice = slice_of(&run->outputs[0], &run->inputs[i], s->axis, begin);
        if (run->inputs[i].data != slice.data) tsl_move(run->ctx, s->tables[i], &run->inputs[i], &slice);
        begin += run->inputs[i].dims[s->axis];
    }
    return TSLIM_OK;
}

static tslim_status run_split(const tsl_run *run) {
    const slices_state *s = run->kernel->state;
    int64_t begin = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        tsl_tensor slice = slice_of(&run->inputs[0], &run->outputs[i], s->axis, begin);
        if (run->outputs[i].data != slice.data) tsl_move(run->ctx, s->tables[i], &slice, &run->outputs[i]);
        begin += run->outputs[i].dims[s->axis];
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_concat(tsl_prepare *p, tsl_kernel *kernel) {
    kernel->run = run_concat;
    kernel->name = "concat";
    return prepare(p, kernel, &p->step->outputs[0], p->step->inputs, p->step->n_inputs, false);
}

tslim_status tsl_cpu_prepare_split(tsl_prepare *p, tsl_kernel *kernel) {
    kernel->run = run_split;
    kernel->name = "split";
    return prepare(p, kernel, &p->step->inputs[0], p->step->outputs, p->step->n_outputs, true);
}
