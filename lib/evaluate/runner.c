// SPDX-License-Identifier: Apache-2.0
// Matching a dataset's inputs with a model's, and feeding one from the other.
#include "evaluate/runner.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "ir/graph.h"

void tsl_runner_clear(tsl_runner *runner) {
    tslim_session_destroy(runner->session);
    for (uint32_t i = 0; i < runner->n_data; ++i) {
        if (runner->data[i].data) tsl_free(runner->ctx, runner->data[i].data, runner->data[i].bytes);
    }
    memset(runner, 0, sizeof *runner);
}

// One input needs no name; several are found by name, or taken in order where the dataset has no names.
static tslim_status match_inputs(tsl_runner *runner, const tslim_graph *graph) {
    uint32_t n_data = tslim_dataset_input_count(runner->dataset);
    uint32_t n_inputs = tslim_graph_input_count(graph), n_outputs = tslim_graph_output_count(graph);
    TSL_REQUIRE(n_inputs <= n_data && n_data <= TSL_RUNNER_MAX_INPUTS, TSLIM_ERROR_INVALID_ARGUMENT,
        "the model takes %" PRIu32 " inputs, a sample has %" PRIu32, n_inputs, n_data);
    TSL_REQUIRE(n_outputs <= TSL_RUNNER_MAX_INPUTS, TSLIM_ERROR_LIMIT, "%" PRIu32 " outputs are over %d",
        n_outputs, TSL_RUNNER_MAX_INPUTS);
    runner->n_inputs = n_inputs;
    runner->n_outputs = n_outputs;
    runner->n_data = n_data;
    for (uint32_t i = 0; i < n_inputs; ++i) {
        tslim_tensor_info wanted, given;
        TSL_TRY(tslim_graph_input_info(graph, i, &wanted));
        runner->sources[i] = i;
        bool by_order = n_data == 1;
        for (uint32_t d = 0; d < n_data && !by_order; ++d) {
            TSL_TRY(tslim_dataset_input_info(runner->dataset, d, &given));
            if (strcmp(given.name, wanted.name) == 0) {
                runner->sources[i] = d;
                break;
            }
            by_order = !*given.name && n_data == n_inputs;
            TSL_REQUIRE(by_order || d + 1 < n_data, TSLIM_ERROR_INVALID_ARGUMENT,
                "the data has no input of the name '%s'", wanted.name);
        }
    }
    return TSLIM_OK;
}

// What a batch of samples looks like for one of the model's inputs.
static tslim_status make_shape(
    tsl_runner *runner, const tslim_tensor_info *wanted, uint32_t source, tslim_input_shape *shape) {
    tslim_tensor_info sample;
    TSL_TRY(tslim_dataset_input_info(runner->dataset, source, &sample));
    *shape = (tslim_input_shape){.name = wanted->name, .rank = sample.rank + 1};
    shape->dims[0] = runner->batch;
    memcpy(shape->dims + 1, sample.dims, sample.rank * sizeof *sample.dims);
    bool fits = shape->rank == wanted->rank;
    for (uint32_t d = 1; fits && d < wanted->rank; ++d) {
        fits = wanted->dims[d] < 0 || wanted->dims[d] == shape->dims[d];
    }
    char model_text[128], sample_text[128];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "input '%s' is %s, a batch of the samples %s",
        wanted->name, tsl_dims_format(wanted->rank, wanted->dims, model_text, sizeof model_text),
        tsl_dims_format(shape->rank, shape->dims, sample_text, sizeof sample_text));
    return TSLIM_OK;
}

// The model's batch where it has one. All of its inputs share it.
static tslim_status find_batch(tsl_runner *runner, const tslim_graph *graph, uint32_t asked) {
    tslim_tensor_info info;
    runner->batch = asked;
    for (uint32_t i = 0; i < runner->n_inputs; ++i) {
        TSL_TRY(tslim_graph_input_info(graph, i, &info));
        if (info.rank == 0 || info.dims[0] < 0) continue;
        TSL_REQUIRE(info.dims[0] >= 1 && info.dims[0] <= UINT32_MAX, TSLIM_ERROR_INVALID_ARGUMENT,
            "input '%s' has a batch of %" PRId64, info.name, info.dims[0]);
        runner->batch = (uint32_t)info.dims[0];
        runner->fixed_batch = true;
    }
    return TSLIM_OK;
}

static tslim_status create_session(
    tsl_runner *runner, const tslim_graph *graph, const tsl_runner_options *options) {
    tslim_input_shape shapes[TSL_RUNNER_MAX_INPUTS];
    tslim_session_options session_options;
    tslim_session_options_init(&session_options);
    for (uint32_t i = 0; i < runner->n_inputs; ++i) {
        tslim_tensor_info wanted;
        TSL_TRY(tslim_graph_input_info(graph, i, &wanted));
        TSL_TRY(make_shape(runner, &wanted, runner->sources[i], &shapes[i]));
    }
    session_options.backend = options->backend;
    session_options.isa = options->isa;
    session_options.no_fusion = options->no_fusion;
    session_options.shapes = shapes;
    session_options.n_shapes = runner->n_inputs;
    return tslim_session_create(graph, &session_options, &runner->session);
}

// Memory for a full batch of each of the dataset's inputs: float where the model takes float, else as it
// comes.
static tslim_status create_data(tsl_runner *runner) {
    for (uint32_t d = 0; d < runner->n_data; ++d) {
        tslim_tensor_info sample, wanted;
        tslim_tensor *data = &runner->data[d];
        TSL_TRY(tslim_dataset_input_info(runner->dataset, d, &sample));
        *data = (tslim_tensor){.dtype = sample.dtype, .rank = sample.rank + 1};
        for (uint32_t i = 0; i < runner->n_inputs; ++i) {
            TSL_TRY(tslim_session_input_info(runner->session, i, &wanted));
            if (runner->sources[i] == d && wanted.dtype == TSLIM_DTYPE_FLOAT) data->dtype = TSLIM_DTYPE_FLOAT;
        }
        size_t bytes = tslim_dtype_size(data->dtype);
        bool fits = tsl_mul_size(bytes, runner->batch, &bytes);
        data->dims[0] = runner->batch;
        for (uint32_t i = 0; i < sample.rank; ++i) {
            data->dims[i + 1] = sample.dims[i];
            fits = fits && tsl_mul_size(bytes, (size_t)sample.dims[i], &bytes);
        }
        TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "a batch of %" PRIu32 " samples is too large", runner->batch);
        data->data = tsl_allocate(runner->ctx, bytes);
        TSL_REQUIRE_MEMORY(data->data, bytes);
        data->bytes = bytes;
    }
    return TSLIM_OK;
}

tslim_status tsl_runner_init(
    tsl_runner *runner, const tslim_graph *graph, tslim_dataset *dataset, const tsl_runner_options *options) {
    tslim_status status;
    memset(runner, 0, sizeof *runner);
    runner->ctx = graph->ctx;
    runner->dataset = dataset;
    TSL_TRY_GOTO(match_inputs(runner, graph));
    TSL_TRY_GOTO(find_batch(runner, graph, options->batch));
    uint64_t samples = tslim_dataset_count(dataset);
    runner->fixed_batch = runner->fixed_batch || options->pad;
    if (!runner->fixed_batch && samples > 0 && samples < runner->batch) runner->batch = (uint32_t)samples;
    TSL_TRY_GOTO(create_session(runner, graph, options));
    TSL_TRY_GOTO(create_data(runner));
    return TSLIM_OK;
fail:
    tsl_runner_clear(runner);
    return status;
}

// Copies the last of `count` samples into the rest of a full batch.
static void pad(const tsl_runner *runner, tslim_tensor *tensor, uint32_t count) {
    size_t row = tensor->bytes / runner->batch;
    unsigned char *bytes = tensor->data;
    for (size_t i = count; i < runner->batch; ++i) memcpy(bytes + i * row, bytes + (count - 1) * row, row);
    tensor->dims[0] = runner->batch;
}

tslim_status tsl_runner_read(tsl_runner *runner, uint64_t first, uint32_t count, int64_t *labels) {
    for (uint32_t d = 0; d < runner->n_data; ++d) runner->data[d].dims[0] = count;
    TSL_TRY(tslim_dataset_read(runner->dataset, first, count, runner->data, runner->n_data, labels));
    for (uint32_t d = 0; d < runner->n_data && runner->fixed_batch; ++d) pad(runner, &runner->data[d], count);
    for (uint32_t i = 0; i < runner->n_inputs; ++i) {
        runner->inputs[i] = runner->data[runner->sources[i]];
        // The memory is for a full batch; what is filled is less.
        runner->inputs[i].bytes = runner->inputs[i].bytes / runner->batch * (size_t)runner->inputs[i].dims[0];
    }
    return TSLIM_OK;
}

// Another number of samples than the session was planned for.
static tslim_status fit_session(tsl_runner *runner, const tslim_tensor *inputs) {
    tslim_input_shape shapes[TSL_RUNNER_MAX_INPUTS];
    tslim_tensor_info info;
    bool same = true;
    for (uint32_t i = 0; i < runner->n_inputs; ++i) {
        TSL_TRY(tslim_session_input_info(runner->session, i, &info));
        same = same && info.rank > 0 && info.dims[0] == inputs[i].dims[0];
        shapes[i] = (tslim_input_shape){.name = info.name, .rank = inputs[i].rank};
        memcpy(shapes[i].dims, inputs[i].dims, sizeof shapes[i].dims);
    }
    return same ? TSLIM_OK : tslim_session_resize(runner->session, shapes, runner->n_inputs);
}

tslim_status tsl_runner_run(tsl_runner *runner, const tslim_tensor *inputs) {
    TSL_TRY(fit_session(runner, inputs));
    memset(runner->outputs, 0, sizeof runner->outputs);
    return tslim_session_run(runner->session, inputs, runner->n_inputs, runner->outputs, runner->n_outputs);
}
