// SPDX-License-Identifier: Apache-2.0
// Making, binding and running a plan.
#include "plan/plan.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "ir/shape_infer.h"
#include "pass/pass.h"
#include "plan/control.h"
#include "plan/evaluate_node.h"
#include "plan/program.h"
#include "plan/stages.h"

// The operands that are graph inputs: counts them, and writes them down where `patches` is not NULL.
static uint32_t visit_patches(const tsl_plan *plan, const uint32_t *input_of, tsl_plan_patch *patches) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        const tsl_node *node = &plan->graph->nodes[plan->steps[s].node];
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i] == TSL_NONE || input_of[node->inputs[i]] == TSL_NONE) continue;
            if (patches)
                patches[count] = (tsl_plan_patch){&plan->steps[s].inputs[i], input_of[node->inputs[i]]};
            count++;
        }
    }
    return count;
}

static tslim_status find_patches(tsl_plan *plan) {
    const tslim_graph *graph = plan->graph;
    size_t bytes = graph->n_values * sizeof(uint32_t);
    uint32_t *input_of = tsl_allocate(plan->ctx, bytes); // of each value: which graph input it is
    TSL_REQUIRE_MEMORY(input_of, bytes);
    for (uint32_t v = 0; v < graph->n_values; v++) input_of[v] = TSL_NONE;
    for (uint32_t i = 0; i < graph->n_inputs; i++) input_of[graph->inputs[i]] = i;
    uint32_t count = visit_patches(plan, input_of, NULL);
    plan->patches = tsl_arena_array(&plan->arena, count, sizeof(*plan->patches));
    if (plan->patches) plan->n_patches = visit_patches(plan, input_of, plan->patches);
    tsl_free(plan->ctx, input_of, bytes);
    TSL_REQUIRE_MEMORY(plan->patches, count * sizeof(*plan->patches));
    return TSLIM_OK;
}

static tslim_status lower(tsl_plan *plan, tslim_issue_callback callback, void *user) {
    tsl_issues issues;
    tsl_issues_init(&issues, plan->graph, callback, user);
    tslim_status status = tsl_plan_lower(plan, &issues);
    if (status == TSLIM_OK) return tsl_issues_finish(&issues);
    tsl_text_clear(&issues.summary);
    return status;
}

// What cannot be planned yet becomes a program of its own.
static tslim_status split(tsl_plan *plan) {
    tslim_graph *rest;
    TSL_TRY(tsl_graph_split(plan->graph, &rest));
    plan->counted_nodes = (uint64_t)plan->graph->n_nodes + (rest ? rest->n_nodes : 0);
    plan->env->nodes += plan->counted_nodes;
    if (!rest) return TSLIM_OK;
    tslim_status status = tsl_program_create(plan->env, rest, rest, true, &plan->rest);
    if (status != TSLIM_OK) tslim_graph_destroy(rest);
    return status;
}

// Planned for the most that they can be.
static tslim_status bound_outputs(tsl_plan *plan) {
    tslim_graph *graph = plan->graph;
    plan->results = tsl_arena_array(&plan->arena, graph->n_outputs, sizeof(*plan->results));
    plan->output_shapes = tsl_arena_array(&plan->arena, graph->n_outputs, sizeof(*plan->output_shapes));
    TSL_REQUIRE_MEMORY(
        plan->results && plan->output_shapes ? plan : NULL, graph->n_outputs * sizeof(tsl_shape));
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        plan->output_shapes[i] = graph->values[graph->outputs[i]].shape;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (!tsl_op_finds_shape(graph->nodes[n].op)) continue;
        tslim_status status = tsl_shape_bound(graph, &graph->nodes[n]);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "node '%s'", graph->nodes[n].name);
    }
    return TSLIM_OK;
}

static tslim_status build(tsl_plan *plan, tslim_issue_callback callback, void *user) {
    TSL_TRY(split(plan));
    TSL_TRY(bound_outputs(plan));
    if (plan->env->optimize) TSL_TRY(tsl_pass_fuse_normalization(plan->graph)); // what depends on sizes
    if (plan->env->optimize) TSL_TRY(tsl_pass_fuse_chains(plan->graph));
    if (plan->env->optimize) TSL_TRY(tsl_pass_fuse_tables(plan->graph, tsl_evaluate_on_cpu, NULL));
    TSL_TRY(TSL_VERIFY(plan->graph));
    TSL_TRY(tsl_pass_assign_layouts(plan->graph));
    TSL_TRY(TSL_VERIFY(plan->graph));
    TSL_TRY(tsl_plan_find_loops(plan));
    TSL_TRY(tsl_plan_place_values(plan));
    TSL_TRY(lower(plan, callback, user));
    TSL_TRY(tsl_plan_memory(plan));
    return find_patches(plan);
}

tslim_status tsl_plan_create(tsl_environment *env, tslim_graph *specialized, tslim_issue_callback callback,
    void *user, tsl_plan **result) {
    tsl_plan *plan = tsl_allocate_zeroed(env->ctx, sizeof(*plan));
    if (!plan) {
        tslim_graph_destroy(specialized);
        return tsl_no_memory(sizeof(*plan));
    }
    plan->ctx = env->ctx;
    plan->env = env;
    plan->graph = specialized;
    tsl_arena_init(&plan->arena, env->ctx);
    tslim_status status = build(plan, callback, user);
    if (status != TSLIM_OK) {
        tsl_plan_destroy(plan);
        return status;
    }
    *result = plan;
    return TSLIM_OK;
}

void tsl_plan_destroy(tsl_plan *plan) {
    if (!plan) return;
    for (uint32_t s = 0; s < plan->n_steps; s++) tsl_control_destroy(plan->steps[s].control);
    tsl_program_destroy(plan->rest);
    plan->env->nodes -= plan->counted_nodes;
    tsl_arena_clear(&plan->arena);
    tslim_graph_destroy(plan->graph);
    tsl_free(plan->ctx, plan, sizeof(*plan));
}

static void bind_tensors(const tsl_plan *plan, const uint32_t *ids, tsl_tensor *tensors, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] != TSL_NONE) tensors[i].data = plan->values[ids[i]].tensor.data;
}

void tsl_plan_bind(tsl_plan *plan, uint8_t *memory) {
    for (uint32_t v = 0; v < plan->graph->n_values; v++) {
        tsl_plan_value *value = &plan->values[v];
        if (value->place != TSL_PLACE_ARENA) continue;
        value->tensor.data = memory + plan->values[value->root].offset + value->origin;
    }
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        tsl_plan_step *step = &plan->steps[s];
        const tsl_node *node = &plan->graph->nodes[step->node];
        bind_tensors(plan, node->inputs, step->inputs, node->n_inputs);
        bind_tensors(plan, node->outputs, step->outputs, node->n_outputs);
        step->scratch = memory + step->scratch_offset;
    }
}

// ---- Borders ----

static void fill(const tsl_tensor *t, int zero, int64_t image, int64_t row, int64_t column, int64_t columns) {
    size_t element = tslim_dtype_size(t->dtype);
    int64_t offset = image * t->strides[0] + row * t->strides[2] + column * t->strides[3];
    // Only 8-bit tensors have a zero point; 0 has all bits 0 in every other type.
    memset((uint8_t *)t->data + offset * (int64_t)element, zero & 0xff,
        (size_t)columns * (size_t)t->dims[1] * element);
}

// Memory is used again within a run, so a border is made anew each time, before the values within it.
// `zero`: the stored number for it, once the values themselves have been through the step's table.
static void clear_border(const tsl_tensor *t, int zero) {
    int64_t top = t->border[0], left = t->border[1], bottom = t->border[2], right = t->border[3];
    if ((top | left | bottom | right) == 0) return;
    int64_t rows = t->dims[2], columns = t->dims[3];
    for (int64_t n = 0; n < t->dims[0]; n++) {
        for (int64_t r = -top; r < 0; r++) fill(t, zero, n, r, -left, left + columns + right);
        for (int64_t r = rows; r < rows + bottom; r++) fill(t, zero, n, r, -left, left + columns + right);
        for (int64_t r = 0; r < rows; r++) {
            fill(t, zero, n, r, -left, left);
            fill(t, zero, n, r, columns, right);
        }
    }
}

// ---- Running ----

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// The borders that this step is the first to need: of values of one sample, in this lane's memory, or of
// others.
static void make_borders(const tsl_plan *plan, const tsl_plan_step *step, bool one_sample, uint32_t lane) {
    const tsl_node *node = &plan->graph->nodes[step->node];
    for (uint32_t i = 0; step->clear_border && i < node->n_outputs; i++) {
        uint32_t output = node->outputs[i];
        if (output == TSL_NONE || !tsl_plan_makes_border(plan, step->node, output)) continue;
        uint32_t whole = plan->values[output].whole;
        if (plan->values[whole].one_sample != one_sample) continue;
        tsl_tensor tensor = plan->values[whole].tensor;
        tensor.data = (uint8_t *)tensor.data + lane * plan->lane_bytes;
        clear_border(&tensor, plan->graph->values[whole].quant.zero_point);
    }
}

static tslim_status run_step(tsl_plan *plan, tsl_plan_step *step) {
    make_borders(plan, step, false, 0);
    if (step->control) return tsl_control_run(step->control, step->inputs, step->outputs);
    if (!step->kernel.run) return TSLIM_OK;
    tsl_run run = {.ctx = plan->ctx,
        .kernel = &step->kernel,
        .inputs = step->inputs,
        .outputs = step->outputs,
        .found = step->outputs,
        .scratch = step->scratch};
    return step->kernel.run(&run);
}

static void take_found(tsl_plan *plan, const tsl_plan_step *step) {
    const tsl_node *node = &plan->graph->nodes[step->node];
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE) plan->values[node->outputs[i]].tensor = step->outputs[i];
}

static void count_time(tsl_plan_step *step, uint64_t taken) {
    step->nanoseconds += taken;
    if (step->runs++ == 0 || taken < step->least_nanoseconds) step->least_nanoseconds = taken;
}

// ---- Sample by sample ----

typedef struct loop_task {
    tsl_plan *plan;
    const tsl_plan_loop *loop;
    bool profile;
    atomic_int status; // of a sample that failed
} loop_task;

static void describe_operands(const tsl_plan *plan, const uint32_t *ids, const tsl_tensor *described,
    uint32_t count, const ptrdiff_t *strides, int64_t sample, uint32_t lane, tsl_tensor *operands) {
    for (uint32_t i = 0; i < count; i++) {
        operands[i] = described[i];
        if (ids[i] == TSL_NONE) continue;
        ptrdiff_t offset = plan->values[ids[i]].one_sample ? (ptrdiff_t)(lane * plan->lane_bytes)
                                                           : (ptrdiff_t)sample * strides[i];
        if (offset != 0) operands[i].data = (uint8_t *)operands[i].data + offset;
    }
}

static tslim_status run_step_of_sample(tsl_plan *plan, tsl_plan_step *step, int64_t sample, uint32_t lane) {
    const tsl_node *node = &plan->graph->nodes[step->node];
    tsl_tensor *inputs = plan->operands + (size_t)lane * plan->most_operands,
               *outputs = inputs + node->n_inputs;
    make_borders(plan, step, true, lane);
    if (!step->kernel.run) return TSLIM_OK;
    describe_operands(plan, node->inputs, step->inputs, node->n_inputs, step->strides, sample, lane, inputs);
    describe_operands(plan, node->outputs, step->outputs, node->n_outputs, step->strides + node->n_inputs,
        sample, lane, outputs);
    tsl_run run = {.ctx = plan->ctx,
        .kernel = &step->kernel,
        .inputs = inputs,
        .outputs = outputs,
        .found = outputs,
        .scratch = step->scratch + lane * plan->lane_bytes};
    return step->kernel.run(&run);
}

static void run_samples(void *data, size_t begin, size_t end, uint32_t lane) {
    loop_task *task = data;
    tsl_plan *plan = task->plan;
    for (size_t sample = begin; sample < end; sample++)
        for (uint32_t n = task->loop->begin; n < task->loop->end; n++) {
            tsl_plan_step *step = &plan->steps[n];
            uint64_t start = task->profile ? now() : 0;
            tslim_status status = run_step_of_sample(plan, step, (int64_t)sample, lane);
            if (status != TSLIM_OK) {
                atomic_store(&task->status, status);
                return;
            }
            if (task->profile) step->of_this_run += now() - start;
        }
}

// While profiling, one thread takes all samples, and the others help it within each step.
static tslim_status run_loop(tsl_plan *plan, const tsl_plan_loop *loop, bool profile) {
    loop_task task = {.plan = plan, .loop = loop, .profile = profile, .status = TSLIM_OK};
    const size_t samples = (size_t)loop->samples;
    for (uint32_t n = loop->begin; n < loop->end; n++) {
        make_borders(plan, &plan->steps[n], false, 0);
        plan->steps[n].of_this_run = 0;
    }
    if (plan->n_lanes > 1 && !profile)
        tsl_parallel_for(plan->ctx, samples, 1, run_samples, &task);
    else
        run_samples(&task, 0, samples, 0);
    for (uint32_t n = loop->begin; profile && n < loop->end; n++)
        count_time(&plan->steps[n], plan->steps[n].of_this_run);
    tslim_status status = (tslim_status)atomic_load(&task.status);
    if (status == TSLIM_OK) return status;
    return tsl_fail(status, "nodes '%s' to '%s' failed for a sample of the batch",
        plan->steps[loop->begin].step.name, plan->steps[loop->end - 1].step.name);
}

tslim_status tsl_plan_run(tsl_plan *plan, bool profile, tsl_after_step after, void *user) {
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        tsl_plan_step *step = &plan->steps[s];
        const tsl_plan_loop *loop = &plan->loops[plan->loop_of[step->node]];
        if (loop != plan->loops) {
            TSL_TRY(run_loop(plan, loop, profile));
            s = loop->end - 1;
            continue;
        }
        uint64_t start = profile ? now() : 0;
        tslim_status status = run_step(plan, step);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "node '%s'", step->step.name);
        if (step->finds_shape) take_found(plan, step);
        if (profile) count_time(step, now() - start);
        if (after) TSL_TRY(after(user, plan, step));
    }
    for (uint32_t i = 0; i < plan->graph->n_outputs; i++)
        plan->results[i] = plan->values[plan->graph->outputs[i]].tensor;
    return TSLIM_OK;
}
