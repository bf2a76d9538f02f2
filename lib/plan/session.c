// SPDX-License-Identifier: Apache-2.0
// The public session: a model, a plan for one set of shapes, and the memory for it.
#include "plan/session.h"

#include <string.h>

#include "plan/program.h"
#include "plan/specialize.h"

void tslim_session_options_init(tslim_session_options *options) {
    if (options) *options = (tslim_session_options){.struct_size = sizeof(*options)};
}

static tslim_status read_options(const tslim_session_options *given, tslim_session_options *options) {
    tslim_session_options_init(options);
    if (!given) return TSLIM_OK;
    TSL_REQUIRE(given->struct_size >= sizeof(uint32_t) && given->struct_size <= sizeof(*options),
        TSLIM_ERROR_INVALID_ARGUMENT, "session options: struct_size %u is not one of this library's",
        given->struct_size);
    memcpy(options, given, given->struct_size);
    TSL_REQUIRE(options->shapes || options->n_shapes == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "session options: n_shapes is %u but shapes is NULL", options->n_shapes);
    TSL_REQUIRE(((uintptr_t)options->arena & 63) == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "session options: arena is not 64-byte aligned");
    TSL_REQUIRE(options->backend == TSLIM_BACKEND_CPU, TSLIM_ERROR_UNAVAILABLE,
        "this build of the library has no CUDA backend");
    TSL_REQUIRE(tslim_isa_available(options->isa), TSLIM_ERROR_UNAVAILABLE, "this machine has no %s",
        tslim_isa_name(options->isa));
    return TSLIM_OK;
}

static void release_plan(tslim_session *session) {
    if (!session->plan) return;
    if (!session->caller_memory) tsl_free(session->ctx, session->memory, session->plan->bytes);
    session->env.bytes -= session->plan->bytes;
    tsl_plan_destroy(session->plan);
    session->plan = NULL;
}

// Gives the session this plan and memory for it, in place of what it had. On failure nothing changes, and the
// plan is the caller's still.
static tslim_status adopt_plan(tslim_session *session, tsl_plan *plan) {
    uint8_t *memory = session->caller_memory;
    if (memory)
        TSL_REQUIRE(plan->bytes <= session->caller_bytes, TSLIM_ERROR_LIMIT,
            "the session needs %zu bytes, the arena given to it has %zu", plan->bytes, session->caller_bytes);
    else {
        memory = tsl_allocate(session->ctx, plan->bytes);
        TSL_REQUIRE_MEMORY(memory, plan->bytes);
    }
    release_plan(session);
    session->plan = plan;
    session->memory = memory;
    session->env.bytes += plan->bytes;
    tsl_plan_bind(plan, memory);
    return TSLIM_OK;
}

static tslim_status plan_for(tslim_session *session, const tslim_input_shape *shapes, uint32_t n_shapes) {
    tslim_graph *specialized;
    tsl_plan *plan;
    TSL_TRY(tsl_graph_specialize(session->model->graph, shapes, n_shapes, &specialized));
    TSL_TRY(tsl_plan_create(&session->env, specialized, NULL, NULL, &plan));
    tslim_status status = adopt_plan(session, plan);
    if (status != TSLIM_OK) tsl_plan_destroy(plan);
    return status;
}

static tslim_status create(tsl_model *model, const tslim_session_options *options, tslim_session **result) {
    tslim_session *session = tsl_allocate_zeroed(model->ctx, sizeof(*session));
    TSL_REQUIRE_MEMORY(session, sizeof(*session));
    session->ctx = tsl_context_retain(model->ctx);
    session->model = tsl_model_retain(model);
    tsl_environment_init(&session->env, model);
    session->caller_memory = options->arena;
    session->caller_bytes = options->arena_bytes;
    tslim_status status = plan_for(session, options->shapes, options->n_shapes);
    if (status != TSLIM_OK) {
        tslim_session_destroy(session);
        return status;
    }
    *result = session;
    return TSLIM_OK;
}

tslim_status tslim_session_create(
    const tslim_graph *graph, const tslim_session_options *options, tslim_session **session) {
    TSL_REQUIRE(graph && session, TSLIM_ERROR_INVALID_ARGUMENT, "graph or session is NULL");
    *session = NULL;
    tslim_session_options o;
    TSL_TRY(read_options(options, &o));
    tslim_isa isa = o.isa == TSLIM_ISA_DEFAULT ? graph->ctx->isa : o.isa;
    tsl_model *model;
    tsl_winograd_choice winograd = o.no_winograd ? TSL_WINOGRAD_NEVER : TSL_WINOGRAD_BY_SHAPE;
    TSL_TRY(tsl_model_create(graph, &tsl_cpu_backend, isa, winograd, !o.no_fusion, &model));
    tslim_status status = create(model, &o, session);
    tsl_model_release(model);
    return status;
}

// The shapes that the session has a plan for.
static tslim_status shapes_of(const tslim_session *session, tslim_input_shape **shapes) {
    const tslim_graph *graph = session->plan->graph;
    size_t bytes = graph->n_inputs * sizeof(tslim_input_shape);
    *shapes = tsl_allocate_zeroed(session->ctx, bytes);
    TSL_REQUIRE_MEMORY(*shapes, bytes);
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        const tsl_value *value = &graph->values[graph->inputs[i]];
        (*shapes)[i].name = value->name;
        (*shapes)[i].rank = value->shape.rank;
        memcpy((*shapes)[i].dims, value->shape.dims, sizeof((*shapes)[i].dims));
    }
    return TSLIM_OK;
}

tslim_status tslim_session_clone(const tslim_session *session, tslim_session **clone) {
    TSL_REQUIRE(session && clone, TSLIM_ERROR_INVALID_ARGUMENT, "session or clone is NULL");
    *clone = NULL;
    tslim_session_options options;
    tslim_session_options_init(&options);
    tslim_input_shape *shapes;
    TSL_TRY(shapes_of(session, &shapes));
    options.shapes = shapes;
    options.n_shapes = session->plan->graph->n_inputs;
    tslim_status status = create(session->model, &options, clone);
    tsl_free(session->ctx, shapes, options.n_shapes * sizeof(tslim_input_shape));
    return status;
}

tslim_status tsl_session_keep_batches(tslim_session *session) {
    if (session->env.batches == TSL_BATCHES_WHOLE) return TSLIM_OK;
    tslim_input_shape *shapes;
    TSL_TRY(shapes_of(session, &shapes));
    const uint32_t n_shapes = session->plan->graph->n_inputs;
    const tsl_batch_choice before = session->env.batches;
    session->env.batches = TSL_BATCHES_WHOLE;
    tslim_status status = session->plan->n_loops > 1 ? plan_for(session, shapes, n_shapes) : TSLIM_OK;
    tsl_free(session->ctx, shapes, n_shapes * sizeof(tslim_input_shape));
    if (status != TSLIM_OK) session->env.batches = before;
    return status;
}

void tslim_session_destroy(tslim_session *session) {
    if (!session) return;
    tslim_context *ctx = session->ctx;
    release_plan(session);
    tsl_free(ctx, session->tap_buffer, session->tap_bytes);
    tsl_model_release(session->model);
    tsl_free(ctx, session, sizeof(*session));
    tsl_context_release(ctx);
}

tslim_status tslim_session_resize(
    tslim_session *session, const tslim_input_shape *shapes, uint32_t n_shapes) {
    TSL_REQUIRE(
        session && (shapes || n_shapes == 0), TSLIM_ERROR_INVALID_ARGUMENT, "session or shapes is NULL");
    return plan_for(session, shapes, n_shapes);
}

// ---- Running ----

static tslim_status check_input(const tsl_value *value, const tslim_tensor *given) {
    char wanted[256], text[256];
    bool fits = given->dtype == value->dtype && given->rank == value->shape.rank;
    for (uint32_t d = 0; fits && d < given->rank; d++) fits = given->dims[d] == value->shape.dims[d];
    if (!fits) {
        tsl_shape_format(&value->shape, wanted, sizeof(wanted));
        uint32_t rank = given->rank <= TSLIM_MAX_RANK ? given->rank : 0;
        tsl_dims_format(rank, given->dims, text, sizeof(text));
        return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "input '%s' is %s %s in this session, not %s %s",
            value->name, tslim_dtype_name(value->dtype), wanted, tslim_dtype_name(given->dtype), text);
    }
    size_t bytes = tslim_dtype_size(value->dtype);
    for (uint32_t d = 0; d < given->rank; d++) bytes *= (size_t)given->dims[d];
    TSL_REQUIRE(given->bytes >= bytes && (given->data || bytes == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "input '%s' needs %zu bytes, %zu were given", value->name, bytes, given->data ? given->bytes : 0);
    return TSLIM_OK;
}

static tslim_status take_inputs(tslim_session *session, const tslim_tensor *inputs, uint32_t n_inputs) {
    const tsl_plan *plan = session->plan;
    const tslim_graph *graph = plan->graph;
    TSL_REQUIRE(n_inputs == graph->n_inputs && (inputs || n_inputs == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "%u inputs were given, the model has %u", n_inputs, graph->n_inputs);
    for (uint32_t i = 0; i < n_inputs; i++)
        TSL_TRY(check_input(&graph->values[graph->inputs[i]], &inputs[i]));
    for (uint32_t i = 0; i < plan->n_patches; i++)
        plan->patches[i].tensor->data = inputs[plan->patches[i].input].data;
    for (uint32_t i = 0; i < n_inputs; i++) plan->values[graph->inputs[i]].tensor.data = inputs[i].data;
    return TSLIM_OK;
}

static tslim_status give_output(const char *name, const tsl_tensor *tensor, tslim_tensor *output) {
    size_t bytes = (size_t)tsl_tensor_elements(tensor) * tslim_dtype_size(tensor->dtype);
    output->dtype = tensor->dtype;
    output->rank = tensor->rank;
    memcpy(output->dims, tensor->dims, sizeof(output->dims));
    if (!output->data) {
        output->data = tensor->data;
        output->bytes = bytes;
        return TSLIM_OK;
    }
    TSL_REQUIRE(output->bytes >= bytes, TSLIM_ERROR_INVALID_ARGUMENT,
        "output '%s' needs %zu bytes, %zu were given", name, bytes, output->bytes);
    if (bytes > 0) memmove(output->data, tensor->data, bytes);
    return TSLIM_OK;
}

tslim_status tslim_session_run(tslim_session *session, const tslim_tensor *inputs, uint32_t n_inputs,
    tslim_tensor *outputs, uint32_t n_outputs) {
    TSL_REQUIRE(session, TSLIM_ERROR_INVALID_ARGUMENT, "session is NULL");
    TSL_REQUIRE(n_outputs == tslim_session_output_count(session) && outputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "%u outputs were given, the model has %u", n_outputs, tslim_session_output_count(session));
    TSL_TRY(take_inputs(session, inputs, n_inputs));
    session->env.iterations = 0;
    if (session->tap) TSL_TRY(tsl_session_tap_inputs(session));
    tsl_plan *last;
    TSL_TRY(tsl_plan_run_stages(
        session->plan, session->profiling, session->tap ? tsl_session_tap_step : NULL, session, &last));
    for (uint32_t i = 0; i < n_outputs; i++) {
        const char *name = last->graph->values[last->graph->outputs[i]].name;
        TSL_TRY(give_output(name, &last->results[i], &outputs[i]));
    }
    return TSLIM_OK;
}
