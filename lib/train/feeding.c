// SPDX-License-Identifier: Apache-2.0
// From a batch to a network's inputs, and what its outputs say.
#include "train/feeding.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/convert.h"
#include "plan/session.h"

// ---- Which array is for what ----

static tslim_status find_array(tslim_dataset *dataset, const char *name, uint32_t *index) {
    tslim_tensor_info info;
    for (*index = 0; *index < tslim_dataset_input_count(dataset); ++*index) {
        TSL_TRY(tslim_dataset_input_info(dataset, *index, &info));
        if (strcmp(info.name, name) == 0) return TSLIM_OK;
    }
    *index = TSL_NONE;
    return TSLIM_OK;
}

// One array, or arrays without names, are taken in order; else names decide.
static tslim_status find_source(
    const tslim_graph *graph, tslim_dataset *dataset, uint32_t input, uint32_t *source) {
    const char *name = graph->values[graph->inputs[input]].name;
    tslim_tensor_info info;
    TSL_TRY(find_array(dataset, name, source));
    if (*source != TSL_NONE) return TSLIM_OK;
    const uint32_t n_arrays = tslim_dataset_input_count(dataset);
    TSL_REQUIRE(input < n_arrays, TSLIM_ERROR_INVALID_ARGUMENT,
        "the model takes %" PRIu32 " inputs, a sample has %" PRIu32, graph->n_inputs, n_arrays);
    TSL_TRY(tslim_dataset_input_info(dataset, input, &info));
    TSL_REQUIRE(n_arrays == 1 || !*info.name, TSLIM_ERROR_INVALID_ARGUMENT,
        "the data has no input of the name '%s'", name);
    *source = input;
    return TSLIM_OK;
}

// The model's own batch where it has one.
static tslim_status find_batch(tsl_feeding *f, const tslim_graph *graph, tslim_dataset *dataset) {
    const uint64_t count = tslim_dataset_count(dataset);
    int64_t fixed = -1;
    for (uint32_t i = 0; i < f->n_inputs; i++) {
        const tsl_value *value = &graph->values[graph->inputs[i]];
        if (value->shape.known && value->shape.rank > 0 && value->shape.dims[0] >= 0)
            fixed = value->shape.dims[0];
    }
    TSL_REQUIRE(count > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the data has no samples");
    TSL_REQUIRE(fixed < 0 || (fixed >= 1 && fixed <= UINT32_MAX && (uint64_t)fixed <= count),
        TSLIM_ERROR_INVALID_ARGUMENT, "the model has a batch of %" PRId64 ", the data %" PRIu64 " samples",
        fixed, count);
    f->batch = fixed >= 0 ? (uint32_t)fixed : f->options->batch;
    if (count < f->batch) f->batch = (uint32_t)count;
    return TSLIM_OK;
}

tslim_status tsl_feeding_init(tsl_feeding *feeding, const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_train_options *options, const tsl_feeding *trained) {
    *feeding = (tsl_feeding){.options = options, .n_inputs = graph->n_inputs, .target = TSL_NONE};
    TSL_REQUIRE(graph->n_inputs > 0 && graph->n_inputs <= TSL_MAX_ARRAYS &&
                    tslim_dataset_input_count(dataset) <= TSL_MAX_ARRAYS,
        TSLIM_ERROR_INVALID_ARGUMENT, "the model takes %" PRIu32 " inputs, a sample has %" PRIu32,
        graph->n_inputs, tslim_dataset_input_count(dataset));
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        TSL_TRY(find_source(graph, dataset, i, &feeding->sources[i]));
    if (options->target) {
        TSL_TRY(find_array(dataset, options->target, &feeding->target));
        TSL_REQUIRE(feeding->target != TSL_NONE, TSLIM_ERROR_INVALID_ARGUMENT,
            "the data has no array '%s' to compare with", options->target);
    }
    const bool labels = tslim_dataset_has_labels(dataset);
    feeding->labels = !options->target && !options->callback && labels;
    if (!trained) return find_batch(feeding, graph, dataset);
    TSL_REQUIRE(tslim_dataset_count(dataset) > 0, TSLIM_ERROR_INVALID_ARGUMENT, "there are no samples");
    TSL_REQUIRE(labels || !trained->labels, TSLIM_ERROR_INVALID_ARGUMENT, "there are no labels");
    feeding->labels = trained->labels;
    feeding->scores = labels;
    feeding->batch = trained->batch;
    return TSLIM_OK;
}

tslim_status tsl_feeding_types(
    const tsl_feeding *feeding, const tslim_graph *graph, tslim_dataset *dataset, tslim_dtype *types) {
    tslim_tensor_info info;
    for (uint32_t d = 0; d < tslim_dataset_input_count(dataset); d++) {
        TSL_TRY(tslim_dataset_input_info(dataset, d, &info));
        types[d] = info.dtype;
        for (uint32_t i = 0; i < feeding->n_inputs; i++)
            if (feeding->sources[i] == d && graph->values[graph->inputs[i]].dtype == TSLIM_DTYPE_FLOAT)
                types[d] = TSLIM_DTYPE_FLOAT;
        const bool sequences = feeding->options->loss == TSLIM_LOSS_CTC;
        if (d != feeding->target) continue;
        TSL_REQUIRE(!sequences || tsl_dtype_is_integer(info.dtype), TSLIM_ERROR_INVALID_ARGUMENT,
            "array '%s' is %s: CTC wants integers", info.name, tslim_dtype_name(info.dtype));
        if (!sequences) types[d] = TSLIM_DTYPE_FLOAT;
    }
    return TSLIM_OK;
}

// ---- Filling inputs ----

void tsl_batch_pad(tsl_batch *batch, uint32_t size) {
    if (batch->count == 0) return;
    const uint32_t last = batch->count - 1;
    for (uint32_t i = batch->count; i < size; i++) {
        batch->samples[i] = batch->samples[last];
        if (batch->labels) batch->labels[i] = batch->labels[last];
        for (uint32_t a = 0; a < batch->n_arrays; a++) {
            uint8_t *data = batch->arrays[a].data;
            memcpy(data + i * batch->rows[a], data + last * batch->rows[a], batch->rows[a]);
        }
    }
}

// Of each label the distribution (1 - s) * one-hot + s / classes (Szegedy et al., 2016, arXiv:1512.00567).
static tslim_status fill_classes(const tsl_network *network, const tsl_batch *batch, float *rows) {
    const uint32_t n = network->losses.n_classes;
    const double smoothing = network->options->label_smoothing;
    for (uint32_t i = 0; i < network->feeding->batch; i++) {
        const int64_t label = batch->labels[i];
        TSL_REQUIRE(label >= 0 && label < n, TSLIM_ERROR_INVALID_ARGUMENT,
            "sample %" PRIu64 " has label %" PRId64 ", the model %" PRIu32 " classes", batch->samples[i],
            label, n);
        for (uint32_t c = 0; c < n; c++) rows[(size_t)i * n + c] = (float)(smoothing / n);
        rows[(size_t)i * n + (size_t)label] += (float)(1 - smoothing);
    }
    return TSLIM_OK;
}

static tslim_status fill_loss_input(tsl_network *network, const tsl_loss_input *input, tslim_tensor *tensor,
    const tsl_batch *batch, const tsl_teacher *teacher) {
    const uint32_t target = network->feeding->target;
    switch (input->feed) {
    case TSL_FEED_CLASSES:
        return fill_classes(network, batch, tensor->data);
    case TSL_FEED_TARGET:
        memcpy(tensor->data, batch->arrays[target].data, tensor->bytes);
        return TSLIM_OK;
    case TSL_FEED_SEQUENCES:
        tsl_elements_to_int64(
            batch->arrays[target].dtype, batch->arrays[target].data, (size_t)input->elements, tensor->data);
        return TSLIM_OK;
    case TSL_FEED_TEACHER: {
        const tslim_tensor *output = &teacher->outputs[input->index];
        TSL_REQUIRE(output->dtype == TSLIM_DTYPE_FLOAT && output->bytes / sizeof(float) == input->elements,
            TSLIM_ERROR_UNSUPPORTED, "output %" PRIu32 " of the teacher is %s of %zu bytes", input->index,
            tslim_dtype_name(output->dtype), output->bytes);
        tensor->data = output->data;
        tensor->bytes = output->bytes;
        return TSLIM_OK;
    }
    default: // filled by the caller's own loss, while the network runs
        return TSLIM_OK;
    }
}

tslim_status tsl_network_feed(tsl_network *network, const tsl_batch *batch, const tsl_teacher *teacher) {
    for (uint32_t i = 0; i < network->feeding->n_inputs; i++) {
        network->inputs[i] = batch->arrays[network->feeding->sources[i]];
        network->inputs[i].dims[0] = network->feeding->batch;
    }
    for (uint32_t i = 0; i < network->losses.n_inputs; i++)
        TSL_TRY(fill_loss_input(network, &network->losses.inputs[i],
            &network->inputs[network->losses.first_input + i], batch, teacher));
    return TSLIM_OK;
}

// ---- The caller's own loss ----

// Points `outputs` and `derivatives` at memory for `count` samples.
static void shape_derivatives(tsl_network *network, uint32_t count) {
    for (uint32_t i = 0; i < network->n_model_outputs; i++) {
        tslim_tensor *derivative = &network->derivatives[i];
        *derivative = network->model_outputs[i];
        derivative->data = NULL;
        network->model_outputs[i].dims[0] = count;
    }
    for (uint32_t i = 0; i < network->losses.n_inputs; i++) {
        if (network->losses.inputs[i].feed != TSL_FEED_DERIVATIVE) continue;
        const tslim_tensor *input = &network->inputs[network->losses.first_input + i];
        tslim_tensor *derivative = &network->derivatives[network->losses.inputs[i].index];
        derivative->data = input->data;
        derivative->bytes = input->bytes;
    }
}

static tslim_status call_back(tsl_network *network, const tsl_batch *batch, bool gradients, double *loss) {
    const tslim_train_options *o = network->options;
    *loss = NAN;
    shape_derivatives(network, batch->count);
    tsl_clear_message();
    tslim_status status = o->callback(o->callback_user, network->model_outputs, network->n_model_outputs,
        batch->samples, batch->labels, batch->count, gradients ? network->derivatives : NULL, loss);
    if (status != TSLIM_OK && !*tsl_message()) return tsl_fail(status, "the caller's loss failed");
    return status;
}

// Sees the outputs as they are made, before any gradient is computed from them.
static bool watch_output(void *user, const char *name, const tslim_tensor *value) {
    tsl_network *network = user;
    for (uint32_t i = 0; i < network->n_model_outputs; i++) {
        tslim_tensor *copy = &network->model_outputs[i];
        if (strcmp(name, network->output_names[i]) != 0) continue;
        const tsl_loss_input *input = &network->losses.inputs[i];
        const size_t bytes = (size_t)input->elements * sizeof(float);
        void *memory = copy->data;
        *copy = *value;
        copy->data = memory;
        copy->bytes = bytes;
        memcpy(memory, value->data, bytes);
        network->seen++;
    }
    if (network->seen != network->n_model_outputs) return true;
    network->seen = 0;
    network->callers_status = call_back(network, network->current, true, &network->callers_loss);
    if (network->callers_status == TSLIM_OK) return true;
    snprintf(network->callers_message, sizeof(network->callers_message), "%s", tsl_message());
    return false;
}

// Memory that outputs are kept in until the last is there.
static tslim_status start_watching(tsl_network *network) {
    for (uint32_t i = 0; i < network->n_model_outputs; i++) {
        const size_t bytes = (size_t)network->losses.inputs[i].elements * sizeof(float);
        network->model_outputs[i].data = tsl_arena_alloc_aligned(&network->arena, bytes);
        TSL_REQUIRE_MEMORY(network->model_outputs[i].data, bytes);
    }
    tsl_session_watch(network->session, network->output_names, network->n_model_outputs);
    return tslim_session_set_tap(network->session, watch_output, network);
}

// ---- Running ----

static void find_gradients(tsl_network *network) {
    uint32_t at = network->first_gradient;
    for (uint32_t i = 0; i < network->n_parameters; i++)
        network->gradients[i] = network->has_gradient[i] ? network->outputs[at++].data : NULL;
}

// The mean over the first `count` samples, in their order.
static double mean_loss(const tsl_network *network, uint32_t count) {
    if (network->loss == TSL_NONE) return 0;
    const float *losses = network->outputs[network->loss].data;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += losses[i];
    return sum / count;
}

tslim_status tsl_network_run(
    tsl_network *network, const tsl_batch *batch, const tsl_teacher *teacher, double *loss) {
    const bool callback = network->options->callback != NULL, training = network->gradients != NULL;
    if (callback && training && !network->model_outputs[0].data) TSL_TRY(start_watching(network));
    TSL_TRY(tsl_network_feed(network, batch, teacher));
    memset(network->outputs, 0, network->n_outputs * sizeof(*network->outputs));
    network->current = batch;
    network->seen = 0;
    network->callers_status = TSLIM_OK;
    tslim_status status = tslim_session_run(
        network->session, network->inputs, network->n_inputs, network->outputs, network->n_outputs);
    if (network->callers_status != TSLIM_OK)
        return tsl_fail(network->callers_status, "%s", network->callers_message);
    TSL_TRY(status);
    if (training) find_gradients(network);
    if (callback && !training) {
        memcpy(network->model_outputs, network->outputs + network->first_model_output,
            network->n_model_outputs * sizeof(*network->outputs));
        TSL_TRY(call_back(network, batch, false, &network->callers_loss));
    }
    *loss = mean_loss(network, batch->count);
    if (callback) *loss += network->losses.callers_weight * network->callers_loss;
    return TSLIM_OK;
}

// ---- Validation ----

// The first of equal scores, as tslim_evaluate has it.
static uint64_t count_correct(const tsl_network *network, const tsl_batch *batch) {
    const uint32_t n = network->losses.n_classes;
    const float *scores = network->outputs[network->scores].data;
    uint64_t correct = 0;
    for (uint32_t i = 0; i < batch->count; i++, scores += n) {
        uint32_t best = 0;
        for (uint32_t c = 1; c < n; c++)
            if (scores[c] > scores[best] || (isnan(scores[best]) && !isnan(scores[c]))) best = c;
        correct += (int64_t)best == batch->labels[i];
    }
    return correct;
}

tslim_status tsl_network_validate(
    tsl_network *network, tsl_samples *samples, tsl_teacher *teacher, tsl_validation *result) {
    const uint64_t batches = tsl_samples_batches(samples);
    double sum = 0, loss;
    uint64_t correct = 0;
    tsl_samples_begin(samples, 0);
    for (uint64_t b = 0; b < batches; b++) {
        TSL_TRY(tsl_samples_next(samples));
        tsl_batch_pad(&samples->batch, network->feeding->batch);
        TSL_TRY(tsl_teacher_run(teacher, network->feeding, &samples->batch));
        TSL_TRY(tsl_network_run(network, &samples->batch, teacher, &loss));
        sum += loss * samples->batch.count;
        if (network->scores != TSL_NONE) correct += count_correct(network, &samples->batch);
    }
    result->loss = sum / (double)samples->total;
    result->top1 = network->scores == TSL_NONE ? NAN : (double)correct / (double)samples->total;
    return TSLIM_OK;
}
