// SPDX-License-Identifier: Apache-2.0
// Where: one of two values, by a condition. Values of any type; INT8 of one scale.
#include <string.h>

#include "cpu/operator.h"

static void run_choices(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const size_t size = *(const size_t *)user;
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t at = (ptrdiff_t)i;
        unsigned choice = data[1][at * strides[1]] ? 2 : 3;
        memcpy(data[0] + at * strides[0], data[choice] + at * strides[choice], size);
    }
}

static tslim_status run_where(const tsl_run *run) {
    tsl_iteration it;
    const size_t size = tslim_dtype_size(run->outputs[0].dtype);
    const tsl_tensor *operands[] = {&run->outputs[0], &run->inputs[0], &run->inputs[1], &run->inputs[2]};
    tsl_iteration_init(&it, operands, 4);
    tsl_iterate(run->ctx, &it, run_choices, &size);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_where(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    kernel->run = run_where;
    kernel->name = "where";
    for (uint32_t i = 1; i < 3; i++) {
        const uint8_t *table;
        TSL_TRY(tsl_move_prepare(p, &step->inputs[i], &step->outputs[0], &table));
        if (table) return tsl_cpu_unsupported(p);
    }
    return step->inputs[0].dtype == TSLIM_DTYPE_BOOL ? TSLIM_OK : tsl_cpu_unsupported(p);
}
