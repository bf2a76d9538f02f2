// SPDX-License-Identifier: Apache-2.0
// A body is a program of its own: it is planned once for the shapes that it gets, and again only when a loop
// hands on a value of another shape.
#include "plan/control.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "ir/bodies.h"
#include "ir/shape_infer.h"
#include "plan/program.h"

// Of all loops in a run, for each node that the context allows a graph (4 million by default): a condition
// that never becomes false ends there.
#define ITERATIONS_PER_NODE 40

typedef tslim_status (*run_function)(tsl_control *control, const tsl_tensor *inputs, tsl_tensor *outputs);

struct tsl_control {
    tsl_environment *env;
    const tsl_node *node;
    run_function run;
    tsl_program *bodies[2];
    uint32_t n_bodies;
    uint32_t n_states, first_state; // carried values, and where the first is among the operands
    tsl_tensor *arguments; // of a body's inputs
    uint32_t n_arguments;
    bool *open; // of each output: its dims are not known before a run
    tsl_room *rooms; // of each output that is open
    tsl_room *states; // of each carried value two: this iteration's and the next's
    tsl_room *slices; // of each value that Scan goes along, where a slice does not lie in one piece
    // What Loop tells its body.
    int64_t iteration;
    uint8_t condition;
};

static size_t tensor_bytes(const tsl_tensor *tensor) {
    return (size_t)tsl_tensor_elements(tensor) * tslim_dtype_size(tensor->dtype);
}

static bool same_dims(const tsl_tensor *a, const tsl_tensor *b) {
    return a->rank == b->rank && a->dtype == b->dtype &&
           memcmp(a->dims, b->dims, a->rank * sizeof(*a->dims)) == 0;
}

static void set_dims(tsl_tensor *tensor, uint32_t rank, const int64_t *dims) {
    tensor->rank = rank;
    for (uint32_t i = 0; i < rank; i++) tensor->dims[i] = dims[i];
    tsl_tensor_set_row_major(tensor);
}

// A result as the step's output: into the place that was planned for it, or a room of its own.
static tslim_status give(tsl_control *c, uint32_t index, const tsl_tensor *from, tsl_tensor *output) {
    size_t bytes = tensor_bytes(from);
    if (c->open[index]) {
        TSL_TRY(tsl_room_reserve(c->env, &c->rooms[index], bytes, false));
        output->data = c->rooms[index].data;
        set_dims(output, from->rank, from->dims);
    }
    TSL_REQUIRE(same_dims(from, output), TSLIM_ERROR_INVALID_ARGUMENT,
        "result %u has another shape than was inferred", index);
    if (bytes > 0) memcpy(output->data, from->data, bytes);
    return TSLIM_OK;
}

static bool read_condition(const tsl_tensor *tensor, bool *condition) {
    if (tensor->dtype != TSLIM_DTYPE_BOOL || tsl_tensor_elements(tensor) != 1) return false;
    *condition = *(const uint8_t *)tensor->data != 0;
    return true;
}

// ---- If ----

static tslim_status run_if(tsl_control *c, const tsl_tensor *inputs, tsl_tensor *outputs) {
    bool condition;
    TSL_REQUIRE(read_condition(&inputs[0], &condition), TSLIM_ERROR_INVALID_ARGUMENT,
        "the condition is not one bool");
    const tsl_tensor *results;
    TSL_TRY(tsl_program_run(c->bodies[condition ? 0 : 1], inputs + 1, &results));
    for (uint32_t i = 0; i < c->node->n_outputs; i++)
        if (c->node->outputs[i] != TSL_NONE) TSL_TRY(give(c, i, &results[i], &outputs[i]));
    return TSLIM_OK;
}

// ---- What Loop and Scan share ----

static tslim_status count_iteration(tsl_environment *env) {
    uint64_t nodes = env->ctx->limits.nodes;
    uint64_t limit = nodes > UINT64_MAX / ITERATIONS_PER_NODE ? UINT64_MAX : nodes * ITERATIONS_PER_NODE;
    TSL_REQUIRE(++env->iterations <= limit, TSLIM_ERROR_LIMIT,
        "the loops of one run went round %" PRIu64 " times, the limit is %" PRIu64, env->iterations, limit);
    return TSLIM_OK;
}

// What the body made becomes what it gets next. The other of two rooms, because it may hand on what it got.
static tslim_status carry(tsl_control *c, uint64_t iteration, const tsl_tensor *results) {
    for (uint32_t i = 0; i < c->n_states; i++) {
        tsl_tensor *argument = &c->arguments[c->first_state + i];
        tsl_room *room = &c->states[2 * i + iteration % 2];
        size_t bytes = tensor_bytes(&results[i]);
        TSL_TRY(tsl_room_reserve(c->env, room, bytes, false));
        if (bytes > 0) memcpy(room->data, results[i].data, bytes);
        *argument = results[i];
        argument->data = room->data;
    }
    return TSLIM_OK;
}

static tslim_status give_states(tsl_control *c, tsl_tensor *outputs) {
    for (uint32_t i = 0; i < c->n_states; i++)
        if (c->node->outputs[i] != TSL_NONE)
            TSL_TRY(give(c, i, &c->arguments[c->first_state + i], &outputs[i]));
    return TSLIM_OK;
}

// Dims of a stack of `count` slices along `axis`; LIMIT when it is too large.
static tslim_status stack_dims(
    const tsl_control *c, const tsl_tensor *slice, uint32_t axis, int64_t count, tsl_tensor *stack) {
    tsl_shape shape = {.known = true};
    TSL_REQUIRE(
        slice->rank < c->env->ctx->limits.rank, TSLIM_ERROR_LIMIT, "a result of %u dims", slice->rank + 1);
    for (uint32_t i = 0; i <= slice->rank; i++)
        shape.dims[shape.rank++] = i == axis ? count : slice->dims[i - (i > axis)];
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(c->env->ctx, &shape, &elements));
    set_dims(stack, shape.rank, shape.dims);
    return TSLIM_OK;
}

// Dims of a body's output where no iteration has told them.
static void declared_slice(const tsl_control *c, uint32_t output, tsl_tensor *slice) {
    const tslim_graph *body = tsl_program_graph(c->bodies[0]);
    const tsl_value *value = &body->values[body->outputs[output]];
    *slice = (tsl_tensor){.dtype = value->dtype, .rank = value->shape.rank};
    for (uint32_t i = 0; i < value->shape.rank; i++) slice->dims[i] = tsl_max_i64(value->shape.dims[i], 0);
}

static tslim_status same_as_first(const tsl_tensor *slice, const tsl_tensor *first, uint32_t output) {
    TSL_REQUIRE(same_dims(slice, first), TSLIM_ERROR_INVALID_ARGUMENT,
        "result %u has another shape than in the first iteration", output);
    return TSLIM_OK;
}

// The slice of `stack` at an index of an axis, or the way back: runs of `inner` bytes.
static void copy_slice(
    const tsl_tensor *stack, uint32_t axis, int64_t index, uint8_t *slice, bool into_stack) {
    size_t inner = tslim_dtype_size(stack->dtype);
    int64_t outer = 1;
    for (uint32_t i = 0; i < axis; i++) outer *= stack->dims[i];
    for (uint32_t i = axis + 1; i < stack->rank; i++) inner *= (size_t)stack->dims[i];
    if (inner == 0) return;
    for (int64_t o = 0; o < outer; o++) {
        uint8_t *in_stack = (uint8_t *)stack->data + (size_t)(o * stack->dims[axis] + index) * inner;
        uint8_t *in_slice = slice + (size_t)o * inner;
        memcpy(into_stack ? in_stack : in_slice, into_stack ? in_slice : in_stack, inner);
    }
}

// ---- Loop ----

// Adds a slice to an output: in place where its size is known, else to a room that grows.
static tslim_status append(tsl_control *c, uint32_t output, const tsl_tensor *slice, tsl_tensor *stack) {
    tsl_tensor first = *slice, grown = *stack;
    if (c->iteration > 0) set_dims(&first, stack->rank - 1, stack->dims + 1);
    TSL_TRY(same_as_first(slice, &first, output));
    if (!c->open[output]) { // the trip count is a constant
        TSL_REQUIRE(c->iteration < stack->dims[0], TSLIM_ERROR_INTERNAL, "result %u is full", output);
    } else {
        TSL_TRY(stack_dims(c, slice, 0, c->iteration + 1, &grown));
        TSL_TRY(tsl_room_reserve(c->env, &c->rooms[output], tensor_bytes(&grown), true));
        grown.data = c->rooms[output].data;
        *stack = grown;
    }
    copy_slice(stack, 0, c->iteration, slice->data, true);
    return TSLIM_OK;
}

static tslim_status start_loop(
    tsl_control *c, const tsl_tensor *inputs, tsl_tensor *outputs, int64_t *limit, bool *go_on) {
    *limit = INT64_MAX;
    *go_on = true;
    if (inputs[0].dtype != TSLIM_DTYPE_NONE) {
        TSL_REQUIRE(inputs[0].dtype == TSLIM_DTYPE_INT64 && tsl_tensor_elements(&inputs[0]) == 1,
            TSLIM_ERROR_INVALID_ARGUMENT, "the trip count is not one int64");
        *limit = *(const int64_t *)inputs[0].data;
    }
    if (inputs[1].dtype != TSLIM_DTYPE_NONE)
        TSL_REQUIRE(
            read_condition(&inputs[1], go_on), TSLIM_ERROR_INVALID_ARGUMENT, "the condition is not one bool");
    for (uint32_t i = 2; i < c->n_arguments; i++) c->arguments[i] = inputs[i];
    for (uint32_t i = c->n_states; i < c->node->n_outputs; i++) {
        tsl_tensor slice;
        declared_slice(c, i + 1, &slice);
        if (c->open[i] && c->node->outputs[i] != TSL_NONE) TSL_TRY(stack_dims(c, &slice, 0, 0, &outputs[i]));
    }
    return TSLIM_OK;
}

static tslim_status run_loop(tsl_control *c, const tsl_tensor *inputs, tsl_tensor *outputs) {
    int64_t limit;
    bool go_on;
    TSL_TRY(start_loop(c, inputs, outputs, &limit, &go_on));
    for (c->iteration = 0; c->iteration < limit && go_on; c->iteration++) {
        const tsl_tensor *results;
        TSL_TRY(count_iteration(c->env));
        TSL_TRY(tsl_program_run(c->bodies[0], c->arguments, &results));
        TSL_REQUIRE(read_condition(&results[0], &go_on), TSLIM_ERROR_INVALID_ARGUMENT,
            "the body's condition is not one bool");
        for (uint32_t i = c->n_states; i < c->node->n_outputs; i++)
            if (c->node->outputs[i] != TSL_NONE) TSL_TRY(append(c, i, &results[1 + i], &outputs[i]));
        TSL_TRY(carry(c, (uint64_t)c->iteration, results + 1));
    }
    return give_states(c, outputs);
}

// ---- Scan ----

typedef struct scanned {
    uint32_t axis;
    bool backward;
    int64_t count;
} scanned;

static bool goes_backward(const tsl_control *c, tsl_attr_id attr, uint32_t index) {
    size_t count;
    const int64_t *directions = tsl_attrs_ints(&c->node->attrs, attr, &count);
    return directions && index < count && directions[index] != 0;
}

static tslim_status find_scanned(const tsl_control *c, const tsl_tensor *inputs, uint32_t i, scanned *s) {
    const tsl_tensor *input = &inputs[c->n_states + i];
    TSL_TRY(tsl_scan_axis(&c->node->attrs, TSL_ATTR_scan_input_axes, i, input->rank, &s->axis));
    s->backward = goes_backward(c, TSL_ATTR_scan_input_directions, i);
    s->count = input->dims[s->axis];
    return TSLIM_OK;
}

// Slice `iteration` of an operand as the body's argument: within the operand along its first axis.
static tslim_status take_slice(tsl_control *c, const tsl_tensor *inputs, uint32_t i, int64_t iteration) {
    scanned s;
    TSL_TRY(find_scanned(c, inputs, i, &s));
    const tsl_tensor *input = &inputs[c->n_states + i];
    tsl_tensor *argument = &c->arguments[c->n_states + i];
    int64_t index = s.backward ? s.count - 1 - iteration : iteration, dims[TSLIM_MAX_RANK];
    for (uint32_t d = 0; d + 1 < input->rank; d++) dims[d] = input->dims[d + (d >= s.axis)];
    *argument = *input;
    set_dims(argument, input->rank - 1, dims);
    size_t bytes = tensor_bytes(argument);
    if (s.axis == 0) {
        argument->data = input->data ? (uint8_t *)input->data + (size_t)index * bytes : NULL;
        return TSLIM_OK;
    }
    TSL_TRY(tsl_room_reserve(c->env, &c->slices[i], bytes, false));
    argument->data = c->slices[i].data;
    if (input->data) copy_slice(input, s.axis, index, argument->data, false);
    return TSLIM_OK;
}

// The place for all slices of a result, known from the first of them.
static tslim_status start_stack(tsl_control *c, uint32_t output, const tsl_tensor *slice, int64_t count,
    tsl_tensor *stack, uint32_t *axis) {
    TSL_TRY(tsl_scan_axis(
        &c->node->attrs, TSL_ATTR_scan_output_axes, output - c->n_states, slice->rank + 1, axis));
    tsl_tensor wanted = *stack;
    TSL_TRY(stack_dims(c, slice, *axis, count, &wanted));
    if (!c->open[output]) {
        TSL_REQUIRE(same_dims(&wanted, stack), TSLIM_ERROR_INVALID_ARGUMENT,
            "result %u has another shape than was inferred", output);
        return TSLIM_OK;
    }
    TSL_TRY(tsl_room_reserve(c->env, &c->rooms[output], tensor_bytes(&wanted), false));
    wanted.data = c->rooms[output].data;
    *stack = wanted;
    return TSLIM_OK;
}

static tslim_status stack_results(
    tsl_control *c, const tsl_tensor *results, int64_t iteration, int64_t count, tsl_tensor *outputs) {
    for (uint32_t i = c->n_states; i < c->node->n_outputs; i++) {
        if (c->node->outputs[i] == TSL_NONE) continue;
        uint32_t axis;
        tsl_tensor declared;
        if (!results) declared_slice(c, i, &declared);
        const tsl_tensor *slice = results ? &results[i] : &declared;
        if (iteration == 0) {
            TSL_TRY(start_stack(c, i, slice, count, &outputs[i], &axis));
        } else {
            tsl_tensor wanted = outputs[i];
            TSL_TRY(tsl_scan_axis(
                &c->node->attrs, TSL_ATTR_scan_output_axes, i - c->n_states, slice->rank + 1, &axis));
            TSL_TRY(stack_dims(c, slice, axis, count, &wanted));
            TSL_TRY(same_as_first(&wanted, &outputs[i], i));
        }
        bool backward = goes_backward(c, TSL_ATTR_scan_output_directions, i - c->n_states);
        if (results)
            copy_slice(&outputs[i], axis, backward ? count - 1 - iteration : iteration, slice->data, true);
    }
    return TSLIM_OK;
}

static tslim_status run_scan(tsl_control *c, const tsl_tensor *inputs, tsl_tensor *outputs) {
    uint32_t n_scanned = tsl_node_own_inputs(c->node) - c->n_states;
    scanned first, other;
    TSL_TRY(find_scanned(c, inputs, 0, &first));
    for (uint32_t i = 1; i < n_scanned; i++) {
        TSL_TRY(find_scanned(c, inputs, i, &other));
        TSL_REQUIRE(other.count == first.count, TSLIM_ERROR_INVALID_ARGUMENT,
            "it goes along %" PRId64 " slices and %" PRId64, first.count, other.count);
    }
    for (uint32_t i = 0; i < c->n_arguments; i++) c->arguments[i] = inputs[i];
    if (first.count == 0) TSL_TRY(stack_results(c, NULL, 0, 0, outputs));
    for (int64_t t = 0; t < first.count; t++) {
        const tsl_tensor *results;
        TSL_TRY(count_iteration(c->env));
        for (uint32_t i = 0; i < n_scanned; i++) TSL_TRY(take_slice(c, inputs, i, t));
        TSL_TRY(tsl_program_run(c->bodies[0], c->arguments, &results));
        TSL_TRY(stack_results(c, results, t, first.count, outputs));
        TSL_TRY(carry(c, (uint64_t)t, results));
    }
    return give_states(c, outputs);
}

// ---- Making ----

static tslim_status add_body(tsl_control *c, const tslim_graph *graph, tsl_attr_id id) {
    const tslim_graph *body = tsl_node_body(graph, c->node, id);
    TSL_REQUIRE(body, TSLIM_ERROR_INVALID_ARGUMENT, "it has no graph '%s'", tsl_attr_name(id));
    TSL_TRY(tsl_program_create(c->env, body, NULL, false, &c->bodies[c->n_bodies]));
    c->n_bodies++;
    return TSLIM_OK;
}

// What Loop tells its body is of the shape that the body says: a scalar, or a list of one.
static void describe_arguments(tsl_control *c, const tslim_graph *graph, const tsl_tensor *inputs) {
    for (uint32_t i = 0; i < c->n_arguments; i++) c->arguments[i] = inputs[i];
    if (c->node->op != TSL_OP_LOOP) return;
    const tslim_graph *body = tsl_node_body(graph, c->node, TSL_ATTR_body);
    c->condition = 1;
    for (uint32_t i = 0; i < 2; i++) {
        const tsl_shape *shape = &body->values[body->inputs[i]].shape;
        c->arguments[i] = (tsl_tensor){.dtype = i == 0 ? TSLIM_DTYPE_INT64 : TSLIM_DTYPE_BOOL,
            .data = i == 0 ? (void *)&c->iteration : &c->condition};
        set_dims(&c->arguments[i], shape->known && shape->rank == 1 ? 1 : 0, (const int64_t[]){1});
    }
}

// Plans and memory for the shapes at hand, so that a run need not make them. A body that does not fit them
// says so when, and if, it runs.
static tslim_status prepare_bodies(tsl_control *c, const tsl_tensor *inputs) {
    for (uint32_t i = 0; i < c->n_bodies; i++) {
        tsl_plan *plan;
        const tsl_tensor *arguments = c->node->op == TSL_OP_IF ? inputs + 1 : c->arguments;
        tslim_status status = tsl_program_select(c->bodies[i], arguments, &plan);
        if (status != TSLIM_OK && status != TSLIM_ERROR_INVALID_ARGUMENT) return status;
    }
    return TSLIM_OK;
}

static tslim_status prepare_scan(tsl_control *c, const tsl_tensor *inputs) {
    uint32_t n_scanned = tsl_node_own_inputs(c->node) - c->n_states;
    for (uint32_t i = 0; i < n_scanned; i++) TSL_TRY(take_slice(c, inputs, i, 0));
    return TSLIM_OK;
}

static tslim_status prepare(
    tsl_control *c, tsl_plan *plan, const tsl_tensor *inputs, const tsl_tensor *outputs) {
    const tsl_node *node = c->node;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const tsl_value *value = tsl_node_output(plan->graph, node, i);
        c->open[i] = value && !tsl_shape_is_static(&value->shape);
    }
    if (node->op == TSL_OP_IF) {
        TSL_TRY(add_body(c, plan->graph, TSL_ATTR_then_branch));
        TSL_TRY(add_body(c, plan->graph, TSL_ATTR_else_branch));
        return prepare_bodies(c, inputs);
    }
    TSL_TRY(add_body(c, plan->graph, TSL_ATTR_body));
    describe_arguments(c, plan->graph, inputs);
    if (node->op == TSL_OP_SCAN) TSL_TRY(prepare_scan(c, inputs));
    for (uint32_t i = 0; i < 2 * c->n_states; i++)
        if (!c->open[i / 2] && node->outputs[i / 2] != TSL_NONE)
            TSL_TRY(tsl_room_reserve(c->env, &c->states[i], tensor_bytes(&outputs[i / 2]), false));
    return prepare_bodies(c, inputs);
}

tslim_status tsl_control_create(tsl_plan *plan, const tsl_node *node, const tsl_tensor *inputs,
    const tsl_tensor *outputs, tsl_control **result) {
    tsl_control *c = tsl_arena_alloc_zeroed(&plan->arena, sizeof(*c));
    TSL_REQUIRE_MEMORY(c, sizeof(*c));
    *c = (tsl_control){.env = plan->env,
        .node = node,
        .run = node->op == TSL_OP_IF     ? run_if
               : node->op == TSL_OP_LOOP ? run_loop
                                         : run_scan,
        .n_states = tsl_node_states(node),
        .first_state = node->op == TSL_OP_LOOP ? 2 : 0,
        .n_arguments = node->op == TSL_OP_IF ? 0 : node->n_inputs,
        .arguments = tsl_arena_array(&plan->arena, node->n_inputs, sizeof(tsl_tensor)),
        .open = tsl_arena_array(&plan->arena, node->n_outputs, sizeof(bool)),
        .rooms = tsl_arena_array(&plan->arena, node->n_outputs, sizeof(tsl_room)),
        .states = tsl_arena_array(&plan->arena, node->n_outputs, 2 * sizeof(tsl_room)),
        .slices = tsl_arena_array(&plan->arena, node->n_inputs, sizeof(tsl_room))};
    TSL_REQUIRE_MEMORY(
        c->arguments && c->open && c->rooms && c->states && c->slices ? c : NULL, sizeof(tsl_tensor));
    *result = c; // the plan destroys it
    return prepare(c, plan, inputs, outputs);
}

void tsl_control_destroy(tsl_control *c) {
    if (!c) return;
    for (uint32_t i = 0; i < c->n_bodies; i++) tsl_program_destroy(c->bodies[i]);
    for (uint32_t i = 0; i < c->node->n_outputs; i++) tsl_room_free(c->env, &c->rooms[i]);
    for (uint32_t i = 0; i < 2 * c->n_states; i++) tsl_room_free(c->env, &c->states[i]);
    for (uint32_t i = 0; i < tsl_node_own_inputs(c->node); i++) tsl_room_free(c->env, &c->slices[i]);
}

tslim_status tsl_control_run(tsl_control *c, const tsl_tensor *inputs, tsl_tensor *outputs) {
    return c->run(c, inputs, outputs);
}
