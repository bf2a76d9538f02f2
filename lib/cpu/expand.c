// SPDX-License-Identifier: Apache-2.0
// Expand: a copy of a broadcast source.
#include "cpu/operator.h"

typedef struct expand_state {
    const uint8_t *table;
} expand_state;

static tslim_status run_expand(const tsl_run *run) {
    const expand_state *s = run->kernel->state;
    tsl_move(run->ctx, s->table, &run->inputs[0], &run->outputs[0]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_expand(tsl_prepare *p, tsl_kernel *kernel) {
    TSL_NEW_STATE(expand_state, s);
    kernel->run = run_expand;
    kernel->name = "expand";
    return tsl_move_prepare(p, &p->step->inputs[0], &p->step->outputs[0], &s->table);
}
