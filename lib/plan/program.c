// SPDX-License-Identifier: Apache-2.0
// Plans that are made when shapes are known, and kept for the next time.
#include "plan/program.h"

#include <inttypes.h>
#include <string.h>

#include "ir/shape_infer.h"
#include "plan/specialize.h"

// Plans that a program keeps, and nodes of plans that a session keeps while others can be given up for them.
#define MOST_PLANS 32
#define MOST_KEPT_NODES 20000
// Of all plans of a session, in terms of the context's limit on nodes.
#define MOST_GRAPHS 16
// Numbers that decide on a shape.
#define MOST_DECIDING_BYTES 4096

struct tsl_program {
    tsl_environment *env;
    const tslim_graph *graph;
    tslim_graph *owned;
    uint8_t *deciding; // of each input; NULL: none does
    uint32_t n_inputs;
    tsl_plan *plans; // the one used last first
    uint32_t n_plans;
    tsl_room memory; // for any one of the plans
    tsl_plan *bound; // whose tensors point into it
};

const tslim_graph *tsl_program_graph(const tsl_program *program) {
    return program->graph;
}

tsl_plan *tsl_program_current(const tsl_program *program) {
    return program->plans;
}

static tslim_status find_deciding(tsl_program *program) {
    const tslim_graph *graph = program->graph;
    uint8_t *decides = tsl_allocate_zeroed(program->env->ctx, graph->n_values);
    TSL_REQUIRE_MEMORY(decides, graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != TSL_NONE && tsl_operand_decides(graph->nodes[n].op, i))
                decides[graph->nodes[n].inputs[i]] = 1;
    program->deciding = tsl_allocate_zeroed(program->env->ctx, program->n_inputs);
    for (uint32_t i = 0; program->deciding && i < program->n_inputs; i++)
        program->deciding[i] = decides[graph->inputs[i]];
    tsl_free(program->env->ctx, decides, graph->n_values);
    TSL_REQUIRE_MEMORY(program->deciding, program->n_inputs);
    return TSLIM_OK;
}

tslim_status tsl_program_create(
    tsl_environment *env, const tslim_graph *graph, tslim_graph *owned, bool deciding, tsl_program **result) {
    tsl_program *program = tsl_allocate_zeroed(env->ctx, sizeof(*program));
    TSL_REQUIRE_MEMORY(program, sizeof(*program));
    *program = (tsl_program){.env = env, .graph = graph, .n_inputs = graph->n_inputs};
    tslim_status status = deciding ? find_deciding(program) : TSLIM_OK;
    if (status != TSLIM_OK) {
        tsl_program_destroy(program);
        return status;
    }
    program->owned = owned;
    *result = program;
    return TSLIM_OK;
}

static void drop_last(tsl_program *program) {
    tsl_plan **link = &program->plans;
    while ((*link)->next) link = &(*link)->next;
    if (program->bound == *link) program->bound = NULL;
    tsl_plan_destroy(*link);
    *link = NULL;
    program->n_plans--;
}

void tsl_program_destroy(tsl_program *program) {
    if (!program) return;
    tslim_context *ctx = program->env->ctx;
    while (program->plans) drop_last(program);
    tsl_room_free(program->env, &program->memory);
    tsl_free(ctx, program->deciding, program->n_inputs);
    tslim_graph_destroy(program->owned);
    tsl_free(ctx, program, sizeof(*program));
}

// ---- Which plan ----

static bool decides(const tsl_program *program, uint32_t input) {
    return program->deciding && program->deciding[input];
}

static size_t tensor_bytes(const tsl_tensor *tensor) {
    return (size_t)tsl_tensor_elements(tensor) * tslim_dtype_size(tensor->dtype);
}

static bool is_made_for(const tsl_program *program, const tsl_plan *plan, const tsl_tensor *inputs) {
    for (uint32_t i = 0; i < program->n_inputs; i++) {
        const tsl_tensor *made = &plan->made_for[i];
        if (made->rank != inputs[i].rank || made->dtype != inputs[i].dtype ||
            memcmp(made->dims, inputs[i].dims, made->rank * sizeof(*made->dims)) != 0)
            return false;
        if (decides(program, i) && memcmp(made->data, inputs[i].data, tensor_bytes(made)) != 0) return false;
    }
    return true;
}

static tslim_status remember_inputs(const tsl_program *program, const tsl_tensor *inputs, tsl_plan *plan) {
    plan->made_for = tsl_arena_copy(&plan->arena, inputs, program->n_inputs * sizeof(*inputs));
    plan->sources = tsl_arena_array(&plan->arena, program->n_inputs, sizeof(*plan->sources));
    TSL_REQUIRE_MEMORY(plan->made_for && plan->sources ? plan : NULL, program->n_inputs * sizeof(*inputs));
    for (uint32_t i = 0, next = 0; i < program->n_inputs; i++) {
        plan->made_for[i].data = NULL;
        if (!decides(program, i)) {
            plan->sources[next++] = i;
            continue;
        }
        size_t bytes = tensor_bytes(&inputs[i]);
        plan->made_for[i].data = tsl_arena_copy(&plan->arena, inputs[i].data, bytes);
        TSL_REQUIRE_MEMORY(plan->made_for[i].data, bytes);
    }
    return TSLIM_OK;
}

static tslim_status check_deciding(const tsl_program *program, const tsl_tensor *inputs) {
    for (uint32_t i = 0; i < program->n_inputs; i++) {
        if (!decides(program, i)) continue;
        const char *name = program->graph->values[program->graph->inputs[i]].name;
        TSL_REQUIRE(tslim_dtype_size(inputs[i].dtype) > 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "'%s', which decides on a shape, is %s", name, tslim_dtype_name(inputs[i].dtype));
        TSL_REQUIRE(tensor_bytes(&inputs[i]) <= MOST_DECIDING_BYTES, TSLIM_ERROR_LIMIT,
            "'%s', which decides on a shape, has %zu bytes", name, tensor_bytes(&inputs[i]));
    }
    return TSLIM_OK;
}

static tslim_status create_plan(tsl_program *program, const tsl_tensor *inputs, tsl_plan **plan) {
    tslim_graph *specialized;
    TSL_TRY(check_deciding(program, inputs));
    TSL_TRY(tsl_graph_specialize_for(program->graph, inputs, program->deciding, &specialized));
    TSL_TRY(tsl_plan_create(program->env, specialized, NULL, NULL, plan));
    tslim_status status = remember_inputs(program, inputs, *plan);
    if (status != TSLIM_OK) tsl_plan_destroy(*plan);
    return status;
}

static tslim_status add_plan(tsl_program *program, const tsl_tensor *inputs) {
    tsl_environment *env = program->env;
    while (program->n_plans >= MOST_PLANS || (program->plans && env->nodes > MOST_KEPT_NODES))
        drop_last(program);
    uint64_t limit = env->ctx->limits.nodes * MOST_GRAPHS;
    TSL_REQUIRE(env->nodes <= limit, TSLIM_ERROR_LIMIT,
        "plans of %" PRIu64 " nodes, stage after stage, the limit is %" PRIu64, env->nodes, limit);
    tsl_plan *plan;
    TSL_TRY(create_plan(program, inputs, &plan));
    plan->next = program->plans;
    program->plans = plan;
    program->n_plans++;
    return TSLIM_OK;
}

tslim_status tsl_program_select(tsl_program *program, const tsl_tensor *inputs, tsl_plan **result) {
    tsl_plan **link = &program->plans;
    while (*link && !is_made_for(program, *link, inputs)) link = &(*link)->next;
    if (*link) { // to the front
        tsl_plan *found = *link;
        *link = found->next;
        found->next = program->plans;
        program->plans = found;
    } else {
        TSL_TRY(add_plan(program, inputs));
    }
    tsl_plan *plan = program->plans;
    if (!program->memory.data || plan->bytes > program->memory.bytes) {
        program->bound = NULL;
        TSL_TRY(tsl_room_reserve(program->env, &program->memory, plan->bytes, false));
    }
    if (program->bound != plan) tsl_plan_bind(plan, program->memory.data);
    program->bound = plan;
    for (uint32_t i = 0; i < plan->graph->n_inputs; i++)
        plan->values[plan->graph->inputs[i]].tensor.data = inputs[plan->sources[i]].data;
    for (uint32_t i = 0; i < plan->n_patches; i++)
        plan->patches[i].tensor->data = inputs[plan->sources[plan->patches[i].input]].data;
    *result = plan;
    return TSLIM_OK;
}

// ---- Running ----

tslim_status tsl_plan_run_stages(
    tsl_plan *first, bool profile, tsl_after_step after, void *user, tsl_plan **last) {
    tsl_plan *plan = first;
    TSL_TRY(tsl_plan_run(plan, profile, after, user));
    while (plan->rest) {
        TSL_TRY(tsl_program_select(plan->rest, plan->results, &plan));
        TSL_TRY(tsl_plan_run(plan, profile, after, user));
    }
    *last = plan;
    return TSLIM_OK;
}

tslim_status tsl_program_run(tsl_program *program, const tsl_tensor *inputs, const tsl_tensor **results) {
    tsl_plan *plan;
    TSL_TRY(tsl_program_select(program, inputs, &plan));
    TSL_TRY(tsl_plan_run_stages(plan, false, NULL, NULL, &plan));
    *results = plan->results;
    return TSLIM_OK;
}
