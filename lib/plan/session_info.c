// SPDX-License-Identifier: Apache-2.0
// What a session can be asked: its inputs and outputs, its memory, the time of each step.
#include <string.h>

#include "plan/session.h"
#include "plan/specialize.h"

uint32_t tslim_session_input_count(const tslim_session *session) {
    return session ? session->plan->graph->n_inputs : 0;
}

uint32_t tslim_session_output_count(const tslim_session *session) {
    return session ? session->plan->graph->n_outputs : 0;
}

tslim_status tslim_session_input_info(const tslim_session *session, uint32_t index, tslim_tensor_info *info) {
    return tslim_graph_input_info(session ? session->plan->graph : NULL, index, info);
}

tslim_status tslim_session_output_info(
    const tslim_session *session, uint32_t index, tslim_tensor_info *info) {
    return tslim_graph_output_info(session ? session->plan->graph : NULL, index, info);
}

size_t tslim_session_arena_bytes(const tslim_session *session) {
    return session ? session->plan->bytes : 0;
}

tslim_status tslim_session_profile(tslim_session *session, bool on) {
    TSL_REQUIRE(session, TSLIM_ERROR_INVALID_ARGUMENT, "session is NULL");
    session->profiling = on;
    if (!on) return TSLIM_OK; // the times can still be read
    for (uint32_t s = 0; s < session->plan->n_steps; s++) {
        tsl_plan_step *step = &session->plan->steps[s];
        step->nanoseconds = step->least_nanoseconds = step->runs = 0;
    }
    return TSLIM_OK;
}

uint32_t tslim_session_step_count(const tslim_session *session) {
    return session ? session->plan->n_steps : 0;
}

tslim_status tslim_session_step_profile(
    const tslim_session *session, uint32_t index, tslim_step_profile *profile) {
    TSL_REQUIRE(session && profile, TSLIM_ERROR_INVALID_ARGUMENT, "session or profile is NULL");
    TSL_REQUIRE(index < session->plan->n_steps, TSLIM_ERROR_INVALID_ARGUMENT, "step %u of %u", index,
        session->plan->n_steps);
    const tsl_plan_step *step = &session->plan->steps[index];
    const tsl_node *node = &session->plan->graph->nodes[step->node];
    *profile = (tslim_step_profile){.node = node->name,
        .op_type = node->op_type,
        .kernel = step->kernel.name,
        .precision =
            node->n_inputs && node->inputs[0] != TSL_NONE ? step->inputs[0].dtype : step->outputs[0].dtype,
        .macs = tsl_node_macs(session->plan->graph, node),
        .nanoseconds = step->nanoseconds,
        .least_nanoseconds = step->least_nanoseconds,
        .runs = step->runs};
    return TSLIM_OK;
}
