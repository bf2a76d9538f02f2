// SPDX-License-Identifier: Apache-2.0
// The inside of a session.
#ifndef TSL_PLAN_SESSION_H
#define TSL_PLAN_SESSION_H

#include <tinyslim/session.h>

#include "plan/plan.h"

struct tslim_session {
    tslim_context *ctx;
    tsl_model *model;
    tsl_environment env;
    tsl_plan *plan; // the first stage; the others hang on it
    uint8_t *memory; // plan->bytes
    void *caller_memory; // NULL: the session's own
    size_t caller_bytes;
    bool profiling;
    tslim_tap tap;
    void *tap_user;
    const char *const *tap_names; // only these values are shown; NULL: all
    uint32_t n_tap_names;
    float *tap_buffer; // the largest value, in NCHW order
    size_t tap_bytes;
    tslim_dtype tap_dtype; // of the value being shown, as the plan keeps it
};

// From now on every value is there for all samples of a batch, for who looks at values.
tslim_status tsl_session_keep_batches(tslim_session *session);

// Shows the inputs, or what a step has made, to the tap.
tslim_status tsl_session_tap_inputs(tslim_session *session);
tslim_status tsl_session_tap_step(void *session, const tsl_plan *plan, const tsl_plan_step *step);

// Shows these values alone to the tap: the others cost nothing. The names stay the caller's. NULL: all.
void tsl_session_watch(tslim_session *session, const char *const *names, uint32_t n_names);

#endif
