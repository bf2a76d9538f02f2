// SPDX-License-Identifier: Apache-2.0
// Watching values: each is brought into NCHW order and float, whatever the plan keeps it as.
#include <string.h>

#include "plan/session.h"

static float read_element(const tsl_tensor *t, int64_t offset) {
    float scale = t->quant.scales ? t->quant.scales[0] : 1;
    switch (t->dtype) {
    case TSLIM_DTYPE_FLOAT:
        return ((const float *)t->data)[offset];
    case TSLIM_DTYPE_INT8:
        return (float)(((const int8_t *)t->data)[offset] - t->quant.zero_point) * scale;
    case TSLIM_DTYPE_UINT8:
        return (float)(((const uint8_t *)t->data)[offset] - t->quant.zero_point) * scale;
    case TSLIM_DTYPE_BOOL:
        return ((const uint8_t *)t->data)[offset];
    case TSLIM_DTYPE_INT32:
        return (float)((const int32_t *)t->data)[offset];
    case TSLIM_DTYPE_INT64:
        return (float)((const int64_t *)t->data)[offset];
    default:
        return 0;
    }
}

static bool can_read(const tsl_tensor *t) {
    return t->dtype == TSLIM_DTYPE_FLOAT || t->dtype == TSLIM_DTYPE_INT8 || t->dtype == TSLIM_DTYPE_UINT8 ||
           t->dtype == TSLIM_DTYPE_BOOL || t->dtype == TSLIM_DTYPE_INT32 || t->dtype == TSLIM_DTYPE_INT64;
}

// Copies in row-major order: an odometer over all dims but the last.
static void copy_row_major(const tsl_tensor *t, float *to) {
    int64_t index[TSLIM_MAX_RANK] = {0};
    int64_t elements = tsl_tensor_elements(t);
    int64_t inner = t->rank ? t->dims[t->rank - 1] : 1, step = t->rank ? t->strides[t->rank - 1] : 0;
    for (int64_t done = 0; done < elements; done += inner) {
        int64_t offset = 0;
        for (uint32_t d = 0; d + 1 < t->rank; d++) offset += index[d] * t->strides[d];
        for (int64_t i = 0; i < inner; i++) to[done + i] = read_element(t, offset + i * step);
        for (uint32_t d = t->rank - (t->rank > 0); d-- > 0;) {
            if (++index[d] < t->dims[d]) break;
            index[d] = 0;
        }
    }
}

static bool is_watched(const tslim_session *session, const char *name) {
    if (!session->tap_names) return true;
    uint32_t i = 0;
    while (i < session->n_tap_names && strcmp(session->tap_names[i], name) != 0) i++;
    return i < session->n_tap_names;
}

static tslim_status show(tslim_session *session, const char *name, const tsl_tensor *tensor) {
    if (!can_read(tensor) || !is_watched(session, name)) return TSLIM_OK;
    size_t bytes = (size_t)tsl_tensor_elements(tensor) * sizeof(float);
    if (bytes > session->tap_bytes) {
        float *buffer = tsl_allocate(session->ctx, bytes);
        TSL_REQUIRE_MEMORY(buffer, bytes);
        tsl_free(session->ctx, session->tap_buffer, session->tap_bytes);
        session->tap_buffer = buffer;
        session->tap_bytes = bytes;
    }
    copy_row_major(tensor, session->tap_buffer);
    session->tap_dtype = tensor->dtype;
    tslim_tensor shown = {
        .dtype = TSLIM_DTYPE_FLOAT, .rank = tensor->rank, .data = session->tap_buffer, .bytes = bytes};
    memcpy(shown.dims, tensor->dims, sizeof(shown.dims));
    if (!session->tap(session->tap_user, name, &shown))
        return tsl_fail(TSLIM_ERROR_CANCELLED, "the tap ended the run at value '%s'", name);
    return TSLIM_OK;
}

tslim_status tsl_session_tap_inputs(tslim_session *session) {
    const tslim_graph *graph = session->plan->graph;
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        TSL_TRY(show(
            session, graph->values[graph->inputs[i]].name, &session->plan->values[graph->inputs[i]].tensor));
    return TSLIM_OK;
}

tslim_status tsl_session_tap_step(void *user, const tsl_plan *plan, const tsl_plan_step *step) {
    const tsl_node *node = &plan->graph->nodes[step->node];
    if (node->op == TSL_OP_REORDER && !tsl_graph_is_output(plan->graph, node->outputs[0])) return TSLIM_OK;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE)
            TSL_TRY(show(
                user, plan->graph->values[node->outputs[i]].name, &plan->values[node->outputs[i]].tensor));
    return TSLIM_OK;
}

tslim_status tslim_session_set_tap(tslim_session *session, tslim_tap tap, void *user) {
    TSL_REQUIRE(session, TSLIM_ERROR_INVALID_ARGUMENT, "session is NULL");
    if (tap) TSL_TRY(tsl_session_keep_batches(session));
    session->tap = tap;
    session->tap_user = user;
    return TSLIM_OK;
}

void tsl_session_watch(tslim_session *session, const char *const *names, uint32_t n_names) {
    session->tap_names = names;
    session->n_tap_names = n_names;
}
