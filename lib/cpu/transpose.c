// SPDX-License-Identifier: Apache-2.0
// Transpose: a copy whose source is seen with its dims in another order.
#include "cpu/operator.h"

typedef struct transpose_state {
    const uint8_t *table;
    uint32_t axis[TSLIM_MAX_RANK]; // result dim i is source dim axis[i]
} transpose_state;

static tslim_status run_transpose(const tsl_run *run) {
    const transpose_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0];
    tsl_tensor view = *x;
    for (uint32_t i = 0; i < x->rank; i++) {
        view.dims[i] = x->dims[s->axis[i]];
        view.strides[i] = x->strides[s->axis[i]];
    }
    tsl_move(run->ctx, s->table, &view, &run->outputs[0]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_transpose(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const uint32_t rank = step->inputs[0].rank;
    TSL_NEW_STATE(transpose_state, s);
    kernel->run = run_transpose;
    kernel->name = "transpose";
    size_t count;
    const int64_t *perm = tsl_attrs_ints(step->attrs, TSL_ATTR_perm, &count);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t from = perm && i < count ? perm[i] : (int64_t)(rank - 1 - i);
        bool right = (!perm || count == rank) && from >= 0 && from < (int64_t)rank && !(seen >> from & 1);
        TSL_REQUIRE(
            right, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': perm is no order of %u dims", step->name, rank);
        seen |= 1u << from;
        s->axis[i] = (uint32_t)from;
    }
    return tsl_move_prepare(p, &step->inputs[0], &step->outputs[0], &s->table);
}
