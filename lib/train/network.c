// SPDX-License-Identifier: Apache-2.0
// From a model to a session that computes its loss, and, for training, gradients and statistics.
#include "train/network.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "plan/session.h"
#include "plan/specialize.h"
#include "train/differentiate.h"
#include "train/feeding.h"

// ---- The graph ----

// A copy of `graph` for the batch's shapes.
static tslim_status specialize(
    const tslim_graph *graph, const tsl_feeding *feeding, const tsl_batch *batch, tslim_graph **specialized) {
    tslim_input_shape shapes[TSL_MAX_ARRAYS];
    for (uint32_t i = 0; i < feeding->n_inputs; i++) {
        const tslim_tensor *array = &batch->arrays[feeding->sources[i]];
        shapes[i] = (tslim_input_shape){.name = graph->values[graph->inputs[i]].name, .rank = array->rank};
        memcpy(shapes[i].dims, array->dims, sizeof(shapes[i].dims));
        shapes[i].dims[0] = feeding->batch;
    }
    return tsl_graph_specialize(graph, shapes, feeding->n_inputs, specialized);
}

static tslim_status set_outputs(tslim_graph *graph, const uint32_t *outputs, uint32_t count) {
    uint32_t *copy = tsl_arena_copy(&graph->arena, outputs, count * sizeof(*outputs));
    TSL_REQUIRE_MEMORY(copy, count * sizeof(*outputs));
    graph->outputs = copy;
    graph->n_outputs = count;
    return TSLIM_OK;
}

static tslim_status append_losses(
    tsl_network *network, tslim_graph *graph, const tsl_batch *batch, const tsl_teacher *teacher) {
    const tsl_feeding *f = network->feeding;
    tslim_tensor target = {0};
    if (f->target != TSL_NONE) {
        target = batch->arrays[f->target];
        target.dims[0] = f->batch;
    }
    tsl_loss_plan plan = {.options = f->options,
        .labels = f->labels,
        .scores = f->scores,
        .target = f->target == TSL_NONE ? NULL : &target,
        .teacher = teacher->graph,
        .teacher_losses = (tslim_loss *)teacher->losses};
    return tsl_losses_append(graph, &plan, &network->losses);
}

// The model's outputs, which the caller's own loss reads, come last.
static tslim_status keep_model_outputs(
    tsl_network *network, tslim_graph *graph, uint32_t n_model_outputs, uint32_t *outputs, uint32_t *count) {
    if (!network->options->callback) return TSLIM_OK;
    network->first_model_output = *count;
    network->n_model_outputs = n_model_outputs;
    network->output_names = tsl_arena_array(&network->arena, n_model_outputs, sizeof(char *));
    network->model_outputs =
        tsl_arena_array(&network->arena, n_model_outputs, sizeof(*network->model_outputs));
    network->derivatives = tsl_arena_array(&network->arena, n_model_outputs, sizeof(*network->derivatives));
    if (!network->output_names || !network->model_outputs || !network->derivatives)
        return tsl_no_memory(n_model_outputs * sizeof(tslim_tensor));
    for (uint32_t i = 0; i < n_model_outputs; i++) {
        outputs[(*count)++] = graph->outputs[i];
        network->output_names[i] = tsl_arena_string(&network->arena, graph->values[graph->outputs[i]].name);
        TSL_REQUIRE_MEMORY(network->output_names[i], 64);
    }
    return TSLIM_OK;
}

// ---- The session ----

static tslim_status create_loss_inputs(tsl_network *network) {
    for (uint32_t i = 0; i < network->losses.n_inputs; i++) {
        const tsl_loss_input *input = &network->losses.inputs[i];
        if (input->feed == TSL_FEED_TEACHER) continue; // the teacher's own memory
        tslim_tensor *tensor = &network->inputs[network->losses.first_input + i];
        tensor->bytes = (size_t)input->elements * tslim_dtype_size(tensor->dtype);
        tensor->data = tsl_arena_alloc_aligned(&network->arena, tensor->bytes);
        TSL_REQUIRE_MEMORY(tensor->data, tensor->bytes);
        memset(tensor->data, 0, tensor->bytes);
    }
    return TSLIM_OK;
}

static tslim_status create_session(tsl_network *network, const tslim_graph *graph) {
    TSL_TRY(tslim_session_create(graph, NULL, &network->session));
    network->n_inputs = tslim_session_input_count(network->session);
    network->n_outputs = tslim_session_output_count(network->session);
    network->inputs = tsl_arena_array(&network->arena, network->n_inputs, sizeof(*network->inputs));
    network->outputs = tsl_arena_array(&network->arena, network->n_outputs, sizeof(*network->outputs));
    if (!network->inputs || !network->outputs) return tsl_no_memory(network->n_inputs * sizeof(tslim_tensor));
    for (uint32_t i = 0; i < network->n_inputs; i++) {
        tslim_tensor_info info;
        TSL_TRY(tslim_session_input_info(network->session, i, &info));
        network->inputs[i] = (tslim_tensor){.dtype = info.dtype, .rank = info.rank};
        memcpy(network->inputs[i].dims, info.dims, sizeof(info.dims));
    }
    return create_loss_inputs(network);
}

static void begin(tsl_network *network, const tslim_graph *graph, const tsl_feeding *feeding) {
    *network = (tsl_network){.ctx = graph->ctx,
        .options = feeding->options,
        .feeding = feeding,
        .loss = TSL_NONE,
        .scores = TSL_NONE,
        .first_gradient = TSL_NONE,
        .first_statistic = TSL_NONE,
        .first_model_output = TSL_NONE};
    tsl_arena_init(&network->arena, graph->ctx);
}

void tsl_network_clear(tsl_network *network) {
    if (!network->ctx) return;
    tslim_session_destroy(network->session);
    tsl_arena_clear(&network->arena);
    *network = (tsl_network){0};
}

// ---- Training ----

// Makes the statistics outputs, so that they stay what they are while the graph is specialized.
static tslim_status add_statistics(tslim_graph *graph, const tsl_trainable *trainable) {
    const uint32_t count = graph->n_outputs + trainable->n_statistics;
    uint32_t *outputs = tsl_arena_array(&graph->arena, count, sizeof(*outputs));
    TSL_REQUIRE_MEMORY(outputs, count * sizeof(*outputs));
    memcpy(outputs, graph->outputs, graph->n_outputs * sizeof(*outputs));
    for (uint32_t i = 0; i < trainable->n_statistics; i++)
        outputs[graph->n_outputs + i] = trainable->statistics[i].next;
    graph->outputs = outputs;
    graph->n_outputs = count;
    return TSLIM_OK;
}

// Appends the gradients of all parameters to `outputs`.
static tslim_status add_gradients(tsl_network *network, tslim_graph *graph, const tsl_trainable *trainable,
    uint32_t *outputs, uint32_t *count) {
    const uint32_t n = network->n_parameters = trainable->n_parameters;
    network->gradients = tsl_arena_array(&network->arena, n, sizeof(*network->gradients));
    network->has_gradient = tsl_arena_array(&network->arena, n, sizeof(*network->has_gradient));
    uint32_t *lists = tsl_arena_array(&network->arena, 2 * (size_t)n, sizeof(*lists));
    if (!network->gradients || !network->has_gradient || !lists) return tsl_no_memory(n * sizeof(*lists));
    for (uint32_t i = 0; i < n; i++) {
        lists[i] = graph->inputs[trainable->parameters[i].input];
        TSL_REQUIRE(strcmp(graph->values[lists[i]].name, trainable->parameters[i].name) == 0,
            TSLIM_ERROR_INTERNAL, "input '%s' is not '%s'", graph->values[lists[i]].name,
            trainable->parameters[i].name);
    }
    TSL_TRY(tsl_differentiate(graph, network->losses.total, lists, n, lists + n));
    network->first_gradient = *count;
    for (uint32_t i = 0; i < n; i++) {
        network->has_gradient[i] = lists[n + i] != TSL_NONE;
        if (network->has_gradient[i]) outputs[(*count)++] = lists[n + i];
    }
    return TSLIM_OK;
}

static tslim_status finish_training_graph(tsl_network *network, tslim_graph *graph, const tsl_batch *batch,
    const tsl_teacher *teacher, const tsl_trainable *trainable) {
    const uint32_t n_model_outputs = graph->n_outputs - trainable->n_statistics;
    const uint32_t *statistics = graph->outputs + n_model_outputs;
    graph->n_outputs = n_model_outputs;
    TSL_TRY(append_losses(network, graph, batch, teacher));
    const size_t most = 1 + (size_t)trainable->n_parameters + trainable->n_statistics + n_model_outputs;
    uint32_t *outputs = tsl_arena_array(&network->arena, most, sizeof(*outputs)), count = 0;
    TSL_REQUIRE_MEMORY(outputs, most * sizeof(*outputs));
    if (network->losses.per_sample != TSL_NONE) {
        network->loss = count;
        outputs[count++] = network->losses.per_sample;
    }
    TSL_TRY(add_gradients(network, graph, trainable, outputs, &count));
    network->first_statistic = count;
    for (uint32_t i = 0; i < trainable->n_statistics; i++) outputs[count++] = statistics[i];
    TSL_TRY(keep_model_outputs(network, graph, n_model_outputs, outputs, &count));
    TSL_TRY(set_outputs(graph, outputs, count));
    return create_session(network, graph);
}

static void feed_weights(tsl_network *network, const tsl_weights *weights) {
    for (uint32_t i = 0; i < weights->n_items; i++) {
        tslim_tensor *input = &network->inputs[weights->items[i].input];
        input->data = weights->values + weights->items[i].offset;
        input->bytes = weights->items[i].count * sizeof(float);
    }
}

static tslim_status init_training(tsl_network *network, tslim_graph *copy, const tslim_graph *graph,
    const tsl_batch *batch, const tsl_teacher *teacher, tsl_trainable *trainable, tsl_weights *weights,
    const tsl_weights_wanted *wanted) {
    const tslim_train_options *o = network->options;
    const tsl_trainable_options how = {
        .freeze_statistics = o->freeze_statistics, .momentum = (float)o->statistics_momentum};
    TSL_TRY(tsl_make_trainable(copy, &how, trainable));
    TSL_REQUIRE(
        trainable->n_parameters > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the model has no weights to train");
    TSL_TRY(tsl_weights_init(weights, graph, trainable, wanted));
    TSL_TRY(add_statistics(copy, trainable));
    tslim_graph *specialized;
    TSL_TRY(specialize(copy, network->feeding, batch, &specialized));
    tslim_status status = finish_training_graph(network, specialized, batch, teacher, trainable);
    tslim_graph_destroy(specialized);
    if (status == TSLIM_OK) feed_weights(network, weights);
    return status;
}

tslim_status tsl_network_init_training(tsl_network *network, const tslim_graph *graph,
    const tsl_feeding *feeding, const tsl_batch *batch, const tsl_teacher *teacher, tsl_trainable *trainable,
    tsl_weights *weights, const tsl_weights_wanted *wanted) {
    tslim_graph *copy;
    begin(network, graph, feeding);
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = init_training(network, copy, graph, batch, teacher, trainable, weights, wanted);
    tslim_graph_destroy(copy);
    if (status != TSLIM_OK) tsl_network_clear(network);
    return status;
}

// ---- Validation ----

static tslim_status init_validation(
    tsl_network *network, tslim_graph *graph, const tsl_batch *batch, const tsl_teacher *teacher) {
    const uint32_t n_model_outputs = graph->n_outputs;
    uint32_t count = 0;
    uint32_t *outputs = tsl_arena_array(&network->arena, (size_t)n_model_outputs + 2, sizeof(*outputs));
    TSL_REQUIRE_MEMORY(outputs, n_model_outputs * sizeof(*outputs));
    TSL_TRY(append_losses(network, graph, batch, teacher));
    if (network->losses.per_sample != TSL_NONE) {
        network->loss = count;
        outputs[count++] = network->losses.per_sample;
    }
    if (network->losses.scores != TSL_NONE) {
        network->scores = count;
        outputs[count++] = network->losses.scores;
    }
    TSL_TRY(keep_model_outputs(network, graph, n_model_outputs, outputs, &count));
    TSL_TRY(set_outputs(graph, outputs, count));
    return create_session(network, graph);
}

tslim_status tsl_network_init_validation(tsl_network *network, const tslim_graph *graph,
    const tsl_feeding *feeding, const tsl_batch *batch, const tsl_teacher *teacher) {
    tslim_graph *specialized;
    begin(network, graph, feeding);
    TSL_TRY(specialize(graph, feeding, batch, &specialized));
    tslim_status status = init_validation(network, specialized, batch, teacher);
    tslim_graph_destroy(specialized);
    if (status != TSLIM_OK) tsl_network_clear(network);
    return status;
}

// ---- The teacher ----

static tslim_status init_teacher(
    tsl_teacher *teacher, const tslim_graph *student, const tsl_feeding *feeding, const tsl_batch *batch) {
    const tslim_train_options *o = feeding->options;
    tslim_graph *shaped;
    TSL_REQUIRE(student->n_outputs + (uint64_t)o->n_features <= TSL_MAX_LOSS_INPUTS, TSLIM_ERROR_LIMIT,
        "more than %d values are compared", TSL_MAX_LOSS_INPUTS);
    TSL_TRY(specialize(student, feeding, batch, &shaped));
    tslim_status status = tsl_choose_teacher_losses(shaped, o, teacher->losses);
    tslim_graph_destroy(shaped);
    TSL_TRY(status);
    TSL_REQUIRE(o->teacher->n_inputs == feeding->n_inputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "the teacher has %" PRIu32 " inputs, the model %" PRIu32, o->teacher->n_inputs, feeding->n_inputs);
    status = specialize(o->teacher, feeding, batch, &teacher->graph);
    if (status == TSLIM_OK) status = tsl_make_teacher(teacher->graph, o, teacher->losses, student->n_outputs);
    if (status == TSLIM_OK) status = tslim_session_create(teacher->graph, NULL, &teacher->session);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "the teacher");
}

tslim_status tsl_teacher_init(
    tsl_teacher *teacher, const tslim_graph *student, const tsl_feeding *feeding, const tsl_batch *batch) {
    memset(teacher, 0, sizeof(*teacher));
    if (!feeding->options->teacher) return TSLIM_OK;
    tslim_status status = init_teacher(teacher, student, feeding, batch);
    if (status != TSLIM_OK) tsl_teacher_clear(teacher);
    return status;
}

void tsl_teacher_clear(tsl_teacher *teacher) {
    tslim_session_destroy(teacher->session);
    tslim_graph_destroy(teacher->graph);
    memset(teacher, 0, sizeof(*teacher));
}

tslim_status tsl_teacher_run(tsl_teacher *teacher, const tsl_feeding *feeding, const tsl_batch *batch) {
    tslim_tensor inputs[TSL_MAX_ARRAYS];
    if (!teacher->session) return TSLIM_OK;
    for (uint32_t i = 0; i < feeding->n_inputs; i++) {
        inputs[i] = batch->arrays[feeding->sources[i]];
        inputs[i].dims[0] = feeding->batch;
    }
    memset(teacher->outputs, 0, sizeof(teacher->outputs));
    return tslim_session_run(teacher->session, inputs, feeding->n_inputs, teacher->outputs,
        tslim_session_output_count(teacher->session));
}
