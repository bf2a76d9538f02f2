// SPDX-License-Identifier: Apache-2.0
// Identity; Reorder, which copies from one layout to another.
#include "cpu/operator.h"

typedef struct identity_state {
    const uint8_t *table;
} identity_state;

static tslim_status run_identity(const tsl_run *run) {
    const identity_state *s = run->kernel->state;
    tsl_move(run->ctx, s->table, &run->inputs[0], &run->outputs[0]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_identity(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(identity_state, s);
    kernel->run = run_identity;
    kernel->name = step->op == TSL_OP_REORDER ? "reorder" : "copy";
    return tsl_move_prepare(p, &step->inputs[0], &step->outputs[0], &s->table);
}
