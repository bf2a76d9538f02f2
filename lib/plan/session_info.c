// SPDX-License-Identifier: Apache-2.0
// What a session can be asked: its inputs and outputs, its memory, the time of each step.
#include <string.h>

#include "plan/program.h"
#include "plan/session.h"
#include "plan/specialize.h"

uint32_t tslim_session_input_count(const tslim_session *session) {
    return session ? session->plan->graph->n_inputs : 0;
}

// The graph that has the model's outputs: what follows the first stage, where there is more than one.
static const tslim_graph *output_graph(const tslim_session *session) {
    return session->plan->rest ? tsl_program_graph(session->plan->rest) : session->plan->graph;
}

uint32_t tslim_session_output_count(const tslim_session *session) {
    return session ? output_graph(session)->n_outputs : 0;
}

tslim_status tslim_session_input_info(const tslim_session *session, uint32_t index, tslim_tensor_info *info) {
    return tslim_graph_input_info(session ? session->plan->graph : NULL, index, info);
}

tslim_status tslim_session_output_info(
    const tslim_session *session, uint32_t index, tslim_tensor_info *info) {
    TSL_TRY(tslim_graph_output_info(session ? output_graph(session) : NULL, index, info));
    if (session->plan->rest) return TSLIM_OK;
    const tsl_shape *shape = &session->plan->output_shapes[index]; // without bounds for what a run finds
    info->rank = shape->known ? shape->rank : 0;
    memcpy(info->dims, shape->dims, sizeof(info->dims));
    return TSLIM_OK;
}

size_t tslim_session_arena_bytes(const tslim_session *session) {
    return session ? session->plan->bytes : 0;
}

size_t tslim_session_memory_bytes(const tslim_session *session) {
    return session ? (size_t)session->env.bytes : 0;
}

// ---- Profile: the first stage, and the others as they ran last ----

static tsl_plan *next_stage(const tsl_plan *plan) {
    return plan->rest ? tsl_program_current(plan->rest) : NULL;
}

tslim_status tslim_session_profile(tslim_session *session, bool on) {
    TSL_REQUIRE(session, TSLIM_ERROR_INVALID_ARGUMENT, "session is NULL");
    session->profiling = on;
    if (!on) return TSLIM_OK; // the times can still be read
    for (tsl_plan *plan = session->plan; plan; plan = next_stage(plan))
        for (uint32_t i = 0; i < plan->n_steps; i++) {
            tsl_plan_step *step = &plan->steps[i];
            step->nanoseconds = step->least_nanoseconds = step->runs = 0;
        }
    return TSLIM_OK;
}

uint32_t tslim_session_step_count(const tslim_session *session) {
    uint32_t count = 0;
    for (const tsl_plan *plan = session ? session->plan : NULL; plan; plan = next_stage(plan))
        count += plan->n_steps;
    return count;
}

tslim_status tslim_session_step_profile(
    const tslim_session *session, uint32_t index, tslim_step_profile *profile) {
    TSL_REQUIRE(session && profile, TSLIM_ERROR_INVALID_ARGUMENT, "session or profile is NULL");
    TSL_REQUIRE(index < tslim_session_step_count(session), TSLIM_ERROR_INVALID_ARGUMENT, "step %u of %u",
        index, tslim_session_step_count(session));
    const tsl_plan *plan = session->plan;
    for (; index >= plan->n_steps; plan = next_stage(plan)) index -= plan->n_steps;
    const tsl_plan_step *step = &plan->steps[index];
    const tsl_node *node = &plan->graph->nodes[step->node];
    *profile = (tslim_step_profile){.node = node->name,
        .op_type = node->op_type,
        .kernel = step->kernel.name,
        .precision =
            node->n_inputs && node->inputs[0] != TSL_NONE ? step->inputs[0].dtype : step->outputs[0].dtype,
        .macs = tsl_node_macs(plan->graph, node),
        .nanoseconds = step->nanoseconds,
        .least_nanoseconds = step->least_nanoseconds,
        .runs = step->runs};
    return TSLIM_OK;
}
