// SPDX-License-Identifier: Apache-2.0
// Identity; Dropout, which at inference drops nothing; Reorder, which copies from one layout to another.
#include <string.h>

#include "cpu/operator.h"

typedef struct identity_state {
    const uint8_t *table;
    bool mask; // Dropout's second output: all true
} identity_state;

static tslim_status run_identity(const tsl_run *run) {
    const identity_state *s = run->kernel->state;
    tsl_move(run->ctx, s->table, &run->inputs[0], &run->outputs[0]);
    if (!s->mask) return TSLIM_OK;
    uint8_t yes = 1;
    tsl_tensor truth = {.dtype = TSLIM_DTYPE_BOOL, .data = &yes};
    tsl_copy(run->ctx, &truth, &run->outputs[1]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_identity(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(identity_state, s);
    kernel->run = run_identity;
    kernel->name = step->op == TSL_OP_REORDER ? "reorder" : "copy";
    s->mask = step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    if (s->mask && step->outputs[1].dtype != TSLIM_DTYPE_BOOL) return tsl_cpu_unsupported(p);
    const tsl_tensor *training = step->op == TSL_OP_DROPOUT ? tsl_step_input(step, 2) : NULL;
    if (training) {
        bool off = training->constant && tsl_tensor_elements(training) == 1 &&
                   tsl_load_int(training->dtype, training->data) == 0;
        const tsl_tensor *ratio = tsl_step_input(step, 1);
        const bool none = ratio && ratio->constant && tsl_tensor_elements(ratio) == 1 &&
                          tsl_load_double(ratio->dtype, ratio->data) == 0;
        TSL_REQUIRE(off || none, TSLIM_ERROR_UNSUPPORTED, "node '%s': dropout in training mode", step->name);
    }
    return tsl_move_prepare(p, &step->inputs[0], &step->outputs[0], &s->table);
}
