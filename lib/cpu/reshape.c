// SPDX-License-Identifier: Apache-2.0
// Reshape, Flatten, Squeeze, Unsqueeze: the same row-major bytes. Usually the plan makes them views; this
// copies.
#include <string.h>

#include "cpu/operator.h"

typedef struct reshape_state {
    const uint8_t *table;
} reshape_state;

static tslim_status run_reshape(const tsl_run *run) {
    const reshape_state *s = run->kernel->state;
    // The result with the dims of the input: both are row-major.
    tsl_tensor y = run->inputs[0];
    y.data = run->outputs[0].data;
    y.dtype = run->outputs[0].dtype;
    tsl_tensor_set_row_major(&y);
    tsl_move(run->ctx, s->table, &run->inputs[0], &y);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_reshape(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(reshape_state, s);
    kernel->run = run_reshape;
    kernel->name = "reshape";
    TSL_REQUIRE(tsl_tensor_is_row_major(&step->outputs[0]), TSLIM_ERROR_INTERNAL,
        "node '%s': the result is not row-major", step->name);
    TSL_REQUIRE(tsl_tensor_elements(&step->inputs[0]) == tsl_tensor_elements(&step->outputs[0]),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the result has another number of elements", step->name);
    return tsl_move_prepare(p, &step->inputs[0], &step->outputs[0], &s->table);
}
