// SPDX-License-Identifier: Apache-2.0
// Runs the float network over samples, in the form in which it will be quantized, and observes each of its
// values.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "ir/graph.h"
#include "plan/session.h"
#include "quant/calibration.h"
#include "quant/equalize.h"
#include "quant/product.h"

#define DEFAULT_BATCH 8

void tslim_calibration_options_init(tslim_calibration_options *options) {
    if (options)
        *options = (tslim_calibration_options){
            .struct_size = sizeof(*options), .method = TSLIM_CALIBRATION_MSE, .percentile = 99.99};
}

static tslim_status read_options(const tslim_calibration_options *given, tslim_calibration_options *options) {
    tslim_calibration_options_init(options);
    if (given) {
        TSL_REQUIRE(given->struct_size >= sizeof(uint32_t) && given->struct_size <= sizeof(*options),
            TSLIM_ERROR_INVALID_ARGUMENT, "calibration options: struct_size %u is not one of this library's",
            given->struct_size);
        memcpy(options, given, given->struct_size);
    }
    TSL_REQUIRE((uint32_t)options->method <= TSLIM_CALIBRATION_MSE, TSLIM_ERROR_INVALID_ARGUMENT,
        "calibration options: method %d", (int)options->method);
    TSL_REQUIRE(options->percentile > 0 && options->percentile <= 100, TSLIM_ERROR_INVALID_ARGUMENT,
        "calibration options: a percentile of %g must be over 0 and at most 100", options->percentile);
    bool whole = options->shard == 0 && options->n_shards == 0;
    TSL_REQUIRE(whole || (options->shard >= 1 && options->shard <= options->n_shards),
        TSLIM_ERROR_INVALID_ARGUMENT, "calibration options: shard %u of %u", options->shard,
        options->n_shards);
    TSL_REQUIRE(options->shapes || options->n_shapes == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "calibration options: n_shapes is %u but shapes is NULL", options->n_shapes);
    return TSLIM_OK;
}

// One run over a dataset.
typedef struct calibrator {
    const tslim_graph *graph;
    tslim_dataset *dataset;
    const tslim_calibration_options *options;
    tslim_calibration *calibration;
    tslim_session *session;
    tsl_arena arena; // of what follows
    uint32_t n_inputs;
    uint32_t *source; // the dataset's input for each of the model's
    tslim_input_shape *shapes; // of the model's inputs, batch included
    tslim_tensor *read, *inputs; // the same memory in the dataset's order and in the model's
    tslim_tensor *outputs;
    uint32_t batch; // samples a run
    bool fixed_batch; // by the model: a last batch that is not full cannot be run
    tslim_status status; // of the observers
    tslim_graph *optimized; // the form in which it will be quantized
    uint32_t *watched; // of each of its values: how many channels are watched
    bool *channels_last; // where they lie
} calibrator;

// ---- Channels ----

// Values whose channels can be scaled, and the operands of products, whose means correct biases.
static tslim_status choose_watched(calibrator *c) {
    const tslim_graph *graph = c->optimized;
    tsl_channel_set *sets = tsl_arena_array(&c->arena, graph->n_values, sizeof(*sets));
    c->watched = tsl_arena_array(&c->arena, graph->n_values, sizeof(*c->watched));
    c->channels_last = tsl_arena_array(&c->arena, graph->n_values, sizeof(*c->channels_last));
    TSL_REQUIRE_MEMORY(sets && c->watched && c->channels_last ? sets : NULL, graph->n_values * sizeof(*sets));
    TSL_TRY(tsl_channel_sets_find(graph, sets));
    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tsl_channel_set *set = &sets[tsl_channel_set_root(sets, v)];
        if (!tsl_channel_set_usable(set)) continue;
        c->watched[v] = set->channels;
        c->channels_last[v] = set->channels_last;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tsl_product p;
        const tsl_node *node = &graph->nodes[n];
        if (!tsl_product_read(graph, node, &p) || p.groups * p.n_in > TSL_MOST_CHANNELS) continue;
        c->watched[node->inputs[0]] = (uint32_t)(p.groups * p.n_in);
        c->channels_last[node->inputs[0]] = p.channels_last;
    }
    return TSLIM_OK;
}

static tslim_status prepare_channels(calibrator *c) {
    TSL_TRY(tslim_graph_clone(c->graph, &c->optimized));
    TSL_TRY(tslim_graph_optimize(c->optimized));
    return choose_watched(c);
}

static tslim_status observe_channels(calibrator *c, const char *name, const tslim_tensor *values) {
    uint32_t id = tsl_graph_find_value(c->optimized, name);
    uint32_t count = id == TSL_NONE ? 0 : c->watched[id];
    if (count == 0 || values->rank < 2) return TSLIM_OK;
    uint32_t axis = c->channels_last[id] ? values->rank - 1 : 1;
    if (values->dims[axis] != (int64_t)count) return TSLIM_OK;
    size_t outer = 1, inner = 1;
    for (uint32_t d = 0; d < values->rank; d++)
        if (d != axis) *(d < axis ? &outer : &inner) *= (size_t)values->dims[d];
    tsl_channels *channels;
    TSL_TRY(tsl_calibration_need_channels(c->calibration, name, count, &channels));
    tsl_channels_add(channels, values->data, outer, inner);
    return TSLIM_OK;
}

static bool observe(void *user, const char *name, const tslim_tensor *values) {
    calibrator *c = user;
    // The plan names copies of its own; integers are no business of quantization.
    uint32_t id = tsl_graph_find_value(c->graph, name);
    if (id == TSL_NONE || c->session->tap_dtype != TSLIM_DTYPE_FLOAT) return true;
    tsl_observer *observer;
    c->status = tsl_calibration_need_value(c->calibration, name, &observer);
    if (c->status == TSLIM_OK) tsl_observer_add(observer, values->data, values->bytes / sizeof(float));
    if (c->status == TSLIM_OK) c->status = observe_channels(c, name, values);
    return c->status == TSLIM_OK;
}

// ---- Inputs ----

// By name where the dataset has names, else by position.
static tslim_status find_source(calibrator *c, uint32_t input) {
    const char *name = c->graph->values[c->graph->inputs[input]].name;
    c->source[input] = input;
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        tslim_tensor_info info;
        TSL_TRY(tslim_dataset_input_info(c->dataset, i, &info));
        if (strcmp(info.name, name) == 0) c->source[input] = i;
    }
    return TSLIM_OK;
}

// The model's own batch where it has one; else what was asked for.
static void choose_batch(calibrator *c) {
    c->batch = c->options->batch ? c->options->batch : DEFAULT_BATCH;
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        const tsl_shape *shape = &c->graph->values[c->graph->inputs[i]].shape;
        if (!shape->known || shape->rank == 0 || shape->dims[0] < 1 || shape->dims[0] > UINT32_MAX) continue;
        c->batch = (uint32_t)shape->dims[0];
        c->fixed_batch = true;
    }
    uint64_t samples = tslim_dataset_count(c->dataset);
    if (!c->fixed_batch && c->batch > samples && samples > 0) c->batch = (uint32_t)samples;
}

static tslim_status prepare_input(calibrator *c, uint32_t input) {
    tslim_tensor_info info;
    TSL_TRY(tslim_dataset_input_info(c->dataset, c->source[input], &info));
    const char *name = c->graph->values[c->graph->inputs[input]].name;
    TSL_REQUIRE(info.rank < TSLIM_MAX_RANK, TSLIM_ERROR_INVALID_ARGUMENT,
        "input '%s': samples of rank %u leave no room for a batch", name, info.rank);
    tslim_input_shape *shape = &c->shapes[input];
    *shape = (tslim_input_shape){.name = name, .rank = info.rank + 1, .dims = {c->batch}};
    size_t bytes = tslim_dtype_size(info.dtype) * c->batch;
    for (uint32_t d = 0; d < info.rank; d++) {
        shape->dims[d + 1] = info.dims[d];
        TSL_REQUIRE(info.dims[d] >= 0 && tsl_mul_size(bytes, (size_t)info.dims[d], &bytes), TSLIM_ERROR_LIMIT,
            "input '%s': a batch of %u samples does not fit the address space", name, c->batch);
    }
    tslim_tensor *tensor = &c->inputs[input];
    *tensor = (tslim_tensor){.dtype = info.dtype, .rank = shape->rank, .bytes = bytes};
    memcpy(tensor->dims, shape->dims, sizeof(tensor->dims));
    tensor->data = tsl_arena_alloc_aligned(&c->arena, bytes ? bytes : 1);
    TSL_REQUIRE_MEMORY(tensor->data, bytes);
    c->read[c->source[input]] = *tensor;
    return TSLIM_OK;
}

// A shape that the caller gave must be the dataset's, but for the batch.
static tslim_status check_shapes(const calibrator *c) {
    for (uint32_t i = 0; i < c->options->n_shapes; i++) {
        const tslim_input_shape *given = &c->options->shapes[i];
        for (uint32_t k = 0; k < c->n_inputs; k++) {
            const tslim_input_shape *shape = &c->shapes[k];
            if (given->name ? strcmp(given->name, shape->name) != 0 : c->n_inputs > 1) continue;
            bool fits = given->rank == shape->rank;
            for (uint32_t d = 1; fits && d < given->rank; d++) fits = given->dims[d] == shape->dims[d];
            char wanted[128], there[128];
            uint32_t rank = given->rank <= TSLIM_MAX_RANK ? given->rank : 0;
            TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT,
                "input '%s': a shape of %s was given, the samples are %s", shape->name,
                tsl_dims_format(rank, given->dims, wanted, sizeof(wanted)),
                tsl_dims_format(shape->rank, shape->dims, there, sizeof(there)));
        }
    }
    return TSLIM_OK;
}

static tslim_status prepare_inputs(calibrator *c) {
    c->n_inputs = c->graph->n_inputs;
    uint32_t available = tslim_dataset_input_count(c->dataset);
    TSL_REQUIRE(available == c->n_inputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "the dataset has %u inputs, the model has %u", available, c->n_inputs);
    c->source = tsl_arena_array(&c->arena, c->n_inputs, sizeof(*c->source));
    c->shapes = tsl_arena_array(&c->arena, c->n_inputs, sizeof(*c->shapes));
    c->read = tsl_arena_array(&c->arena, c->n_inputs, sizeof(*c->read));
    c->inputs = tsl_arena_array(&c->arena, c->n_inputs, sizeof(*c->inputs));
    c->outputs = tsl_arena_array(&c->arena, c->graph->n_outputs, sizeof(*c->outputs));
    TSL_REQUIRE_MEMORY(
        c->source && c->shapes && c->read && c->inputs && c->outputs ? c : NULL, sizeof(tslim_tensor));
    choose_batch(c);
    for (uint32_t i = 0; i < c->n_inputs; i++) TSL_TRY(find_source(c, i));
    for (uint32_t i = 0; i < c->n_inputs; i++) TSL_TRY(prepare_input(c, i));
    for (uint32_t i = 0; i < c->n_inputs; i++)
        TSL_REQUIRE(c->read[i].data, TSLIM_ERROR_INVALID_ARGUMENT,
            "the dataset's inputs do not go with the model's by name: input %u is used twice or not at all",
            i);
    return check_shapes(c);
}

// Of the optimized graph, node by node: a chain that a product takes over would be seen at its end alone.
static tslim_status open_session(calibrator *c) {
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = c->shapes;
    options.n_shapes = c->n_inputs;
    options.no_fusion = true;
    TSL_TRY(tslim_session_create(c->optimized, &options, &c->session));
    return tslim_session_set_tap(c->session, observe, c);
}

// ---- The run ----

// For the last batch.
static tslim_status shrink_batch(calibrator *c, uint32_t count) {
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        c->shapes[i].dims[0] = c->inputs[i].dims[0] = c->read[i].dims[0] = count;
        c->inputs[i].bytes = c->inputs[i].bytes / c->batch * count;
        c->read[i].bytes = c->read[i].bytes / c->batch * count;
    }
    c->batch = count;
    return tslim_session_resize(c->session, c->shapes, c->n_inputs);
}

static tslim_status run_batch(calibrator *c, uint64_t first) {
    TSL_TRY(tslim_dataset_read(c->dataset, first, c->batch, c->read, c->n_inputs, NULL));
    for (uint32_t i = 0; i < c->graph->n_outputs; i++) c->outputs[i] = (tslim_tensor){0};
    tslim_status status =
        tslim_session_run(c->session, c->inputs, c->n_inputs, c->outputs, c->graph->n_outputs);
    if (c->status != TSLIM_OK) return c->status;
    TSL_TRY(status);
    c->calibration->samples += c->batch;
    return TSLIM_OK;
}

static tslim_status report(const calibrator *c, uint64_t done, uint64_t total) {
    if (!c->options->progress || c->options->progress(c->options->progress_user, "samples", done, total))
        return TSLIM_OK;
    return tsl_fail(TSLIM_ERROR_CANCELLED, "calibration was cancelled after %" PRIu64 " samples", done);
}

static tslim_status run(calibrator *c) {
    uint64_t samples = tslim_dataset_count(c->dataset), full = c->batch;
    if (c->fixed_batch) samples -= samples % full;
    TSL_REQUIRE(samples > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "the dataset has %" PRIu64 " samples: too few for a batch of %" PRIu64,
        tslim_dataset_count(c->dataset), full);
    uint64_t stride = c->options->n_shards ? c->options->n_shards : 1;
    uint64_t start = c->options->n_shards ? c->options->shard - 1 : 0;
    for (uint64_t batch = start; batch < (samples + full - 1) / full; batch += stride) {
        uint64_t first = batch * full;
        if (samples - first < full) TSL_TRY(shrink_batch(c, (uint32_t)(samples - first)));
        TSL_TRY(run_batch(c, first));
        TSL_TRY(report(c, first + c->batch, samples));
    }
    return TSLIM_OK;
}

static tslim_status calibrate(calibrator *c) {
    TSL_TRY(tsl_calibration_create(c->graph->ctx, &c->calibration));
    c->calibration->method = c->options->method;
    c->calibration->percentile = c->options->percentile;
    TSL_TRY(tslim_graph_get_preparation(c->graph, &c->calibration->preparation));
    TSL_TRY(prepare_channels(c));
    TSL_TRY(prepare_inputs(c));
    TSL_TRY(open_session(c));
    return run(c);
}

tslim_status tslim_calibrate(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_calibration_options *given, tslim_calibration **calibration) {
    TSL_REQUIRE(graph && dataset && calibration, TSLIM_ERROR_INVALID_ARGUMENT,
        "graph, dataset or calibration is NULL");
    *calibration = NULL;
    TSL_REQUIRE(!graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "the graph is optimized or quantized already: calibrate the model that it was made from");
    tslim_calibration_options options;
    TSL_TRY(read_options(given, &options));
    calibrator c = {.graph = graph, .dataset = dataset, .options = &options};
    tsl_arena_init(&c.arena, graph->ctx);
    tslim_status status = calibrate(&c);
    tslim_session_destroy(c.session);
    tslim_graph_destroy(c.optimized);
    tsl_arena_clear(&c.arena);
    if (status != TSLIM_OK) {
        tslim_calibration_destroy(c.calibration);
        return status;
    }
    *calibration = c.calibration;
    return TSLIM_OK;
}
