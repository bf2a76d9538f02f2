// SPDX-License-Identifier: Apache-2.0
// Shape and Size: numbers that the plan knows.
#include "cpu/operator.h"

typedef struct shape_state {
    int64_t start;
    bool size;
} shape_state;

static tslim_status run_shape(const tsl_run *run) {
    const shape_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    int64_t elements = tsl_tensor_elements(x);
    if (s->size)
        tsl_store_ints(TSLIM_DTYPE_INT64, y->data, 0, 1, &elements);
    else if (y->dims[0] > 0)
        tsl_store_ints(TSLIM_DTYPE_INT64, y->data, sizeof(int64_t), (size_t)y->dims[0], x->dims + s->start);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_shape(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *y = &step->outputs[0];
    const int64_t rank = step->inputs[0].rank;
    TSL_NEW_STATE(shape_state, s);
    kernel->run = run_shape;
    kernel->name = "shape";
    s->size = step->op == TSL_OP_SIZE;
    if (y->dtype != TSLIM_DTYPE_INT64) return tsl_cpu_unsupported(p);
    if (s->size) return TSLIM_OK;
    s->start = tsl_attrs_int(step->attrs, TSL_ATTR_start, 0);
    if (s->start < 0) s->start = s->start < -rank ? 0 : s->start + rank;
    TSL_REQUIRE(y->rank == 1 && (y->dims[0] == 0 || s->start + y->dims[0] <= rank),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the result is no part of the shape", step->name);
    return TSLIM_OK;
}
