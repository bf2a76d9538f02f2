// SPDX-License-Identifier: Apache-2.0
// Two models on the same samples: how far apart their outputs are, and each value that both have under one
// name.
#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/name_map.h"
#include "data/convert.h"
#include "evaluate/difference.h"
#include "evaluate/runner.h"
#include "ir/graph.h"

#define DEFAULT_BATCH 16

void tslim_compare_options_init(tslim_compare_options *options) {
    if (!options) return;
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

// A value of both models: the first's elements of this batch, and the sums over all batches.
typedef struct compared_value {
    const char *name;
    float *elements;
    size_t capacity; // in bytes
    size_t count; // of elements in this batch; 0: not seen
    tsl_difference_sums sums;
} compared_value;

typedef struct comparison {
    tslim_context *ctx;
    const tslim_graph *b;
    tsl_runner runner_a, runner_b;
    tsl_arena arena; // names
    tsl_name_map names;
    compared_value *values;
    uint32_t n_values;
    size_t values_capacity;
    // Values in the order in which the second model makes them.
    uint32_t *order;
    uint32_t n_order;
    size_t order_capacity;
    tsl_difference_sums outputs[TSL_RUNNER_MAX_INPUTS];
    float *scratch[2]; // outputs that are not float
    size_t scratch_bytes[2];
    uint32_t batch, count; // samples of this run, and how many of them are real
    bool no_memory; // in a tap, which cannot return a status
} comparison;

static void clear(comparison *c) {
    for (uint32_t i = 0; i < c->n_values; ++i) tsl_free(c->ctx, c->values[i].elements, c->values[i].capacity);
    tsl_free(c->ctx, c->values, c->values_capacity * sizeof *c->values);
    tsl_free(c->ctx, c->order, c->order_capacity * sizeof *c->order);
    for (int i = 0; i < 2; ++i) tsl_free(c->ctx, c->scratch[i], c->scratch_bytes[i]);
    tsl_name_map_clear(&c->names);
    tsl_arena_clear(&c->arena);
    tsl_runner_clear(&c->runner_a);
    tsl_runner_clear(&c->runner_b);
}

// Elements that belong to real samples: padding is left out where the value has the batch in front.
static size_t count_real(const comparison *c, const tslim_tensor *tensor) {
    size_t elements = 1;
    for (uint32_t d = 0; d < tensor->rank; ++d) elements *= (size_t)tensor->dims[d];
    bool batched = tensor->rank > 0 && tensor->dims[0] == c->batch;
    return batched ? elements / c->batch * c->count : elements;
}

// ---- Values along the way ----

// The entry of that name, made if it is new. NULL when memory is short.
static compared_value *find_entry(comparison *c, const char *name) {
    uint32_t index = tsl_name_map_get(&c->names, name);
    if (index != TSL_NAME_ABSENT) return &c->values[index];
    const char *copy = tsl_arena_string(&c->arena, name);
    if (!copy ||
        !tsl_grow(c->ctx, (void **)&c->values, &c->values_capacity, c->n_values + 1U, sizeof *c->values) ||
        !tsl_name_map_set(&c->names, copy, c->n_values)) {
        return NULL;
    }
    c->values[c->n_values] = (compared_value){.name = copy};
    return &c->values[c->n_values++];
}

// Keeps what the first model makes.
static bool keep_value(void *user, const char *name, const tslim_tensor *tensor) {
    comparison *c = user;
    uint32_t id = tsl_graph_find_value(c->b, name);
    if (id == TSL_NONE || tsl_graph_is_output(c->b, id)) return true; // outputs are compared by themselves
    size_t count = count_real(c, tensor), bytes = count * sizeof(float);
    compared_value *value = find_entry(c, name);
    if (value && bytes > value->capacity) {
        tsl_free(c->ctx, value->elements, value->capacity);
        value->elements = tsl_allocate(c->ctx, bytes);
        value->capacity = value->elements ? bytes : 0;
    }
    c->no_memory = !value || (bytes > 0 && !value->elements);
    if (c->no_memory) return false;
    if (bytes > 0) memcpy(value->elements, tensor->data, bytes);
    value->count = count;
    return true;
}

// Compares what the second model makes with what was kept. A value of another size (a pruned layer's) has no
// distance and is left out.
static bool compare_value(void *user, const char *name, const tslim_tensor *tensor) {
    comparison *c = user;
    uint32_t index = tsl_name_map_get(&c->names, name);
    if (index == TSL_NAME_ABSENT) return true;
    compared_value *value = &c->values[index];
    if (value->count == 0 || value->count != count_real(c, tensor)) return true;
    if (value->sums.elements == 0) {
        c->no_memory =
            !tsl_grow(c->ctx, (void **)&c->order, &c->order_capacity, c->n_order + 1U, sizeof *c->order);
        if (c->no_memory) return false;
        c->order[c->n_order++] = index;
    }
    tsl_difference_add(&value->sums, value->elements, tensor->data, value->count);
    value->count = 0;
    return true;
}

// ---- Outputs ----

// The elements as float: the tensor's own, or converted into scratch memory.
static tslim_status as_float(
    comparison *c, int side, const tslim_tensor *tensor, size_t count, const float **elements) {
    *elements = tensor->data;
    if (tensor->dtype == TSLIM_DTYPE_FLOAT) return TSLIM_OK;
    size_t bytes = count * sizeof(float);
    if (bytes > c->scratch_bytes[side]) {
        tsl_free(c->ctx, c->scratch[side], c->scratch_bytes[side]);
        c->scratch[side] = tsl_allocate(c->ctx, bytes);
        c->scratch_bytes[side] = c->scratch[side] ? bytes : 0;
        TSL_REQUIRE_MEMORY(c->scratch[side], bytes);
    }
    tsl_elements_to_float(tensor->dtype, tensor->data, count, c->scratch[side]);
    *elements = c->scratch[side];
    return TSLIM_OK;
}

// How many boxes are left, say: it may well be another number in the second model.
static bool size_depends_on_data(const comparison *c, uint32_t output) {
    tslim_tensor_info info;
    if (tslim_session_output_info(c->runner_a.session, output, &info) != TSLIM_OK) return false;
    for (uint32_t d = 0; d < info.rank; ++d)
        if (info.dims[d] < 0) return true;
    return info.rank == 0 && c->runner_a.outputs[output].rank > 0;
}

static tslim_status compare_outputs(comparison *c) {
    for (uint32_t i = 0; i < c->runner_a.n_outputs; ++i) {
        const tslim_tensor *a = &c->runner_a.outputs[i], *b = &c->runner_b.outputs[i];
        const float *a_elements, *b_elements;
        char a_text[128], b_text[128];
        bool same = a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
        if (!same && size_depends_on_data(c, i)) continue; // no distance for these samples
        TSL_REQUIRE(same, TSLIM_ERROR_INVALID_ARGUMENT,
            "output %" PRIu32 " is %s of the first model, %s of the second", i,
            tsl_dims_format(a->rank, a->dims, a_text, sizeof a_text),
            tsl_dims_format(b->rank, b->dims, b_text, sizeof b_text));
        size_t count = count_real(c, a), columns = a->rank ? (size_t)a->dims[a->rank - 1] : 1;
        TSL_TRY(as_float(c, 0, a, count, &a_elements));
        TSL_TRY(as_float(c, 1, b, count, &b_elements));
        tsl_difference_add(&c->outputs[i], a_elements, b_elements, count);
        if (columns > 0)
            tsl_difference_add_rows(&c->outputs[i], a_elements, b_elements, count / columns, columns);
    }
    return TSLIM_OK;
}

// ---- All together ----

static tslim_status run_batch(comparison *c, uint64_t first, uint32_t count) {
    TSL_TRY(tsl_runner_read(&c->runner_a, first, count, NULL));
    c->batch = (uint32_t)c->runner_a.inputs[0].dims[0];
    c->count = count;
    tslim_status status = tsl_runner_run(&c->runner_a, c->runner_a.inputs);
    if (status == TSLIM_OK) status = tsl_runner_run(&c->runner_b, c->runner_a.inputs);
    if (c->no_memory) return tsl_no_memory(c->values_capacity * sizeof *c->values);
    TSL_TRY(status);
    return compare_outputs(c);
}

static tslim_status create_runners(
    comparison *c, const tslim_graph *a, tslim_dataset *dataset, const tslim_compare_options *options) {
    // Keeping every value of a large network takes memory: one sample at a time then.
    uint32_t batch = options->batch ? options->batch : options->per_value ? 1 : DEFAULT_BATCH;
    tsl_runner_options first = {.batch = batch, .backend = options->backend_a, .isa = options->isa_a};
    tsl_runner_options second = {.batch = batch, .backend = options->backend_b, .isa = options->isa_b};
    // Without fusion the first shows every value that the second can have.
    first.no_fusion = options->per_value;
    TSL_TRY(tsl_runner_init(&c->runner_b, c->b, dataset, &second));
    // A fixed batch of one model is the batch of both: the samples are read once, for the first.
    first.pad = c->runner_b.fixed_batch;
    if (first.pad) first.batch = c->runner_b.batch;
    TSL_TRY(tsl_runner_init(&c->runner_a, a, dataset, &first));
    const tsl_runner *one = &c->runner_a, *other = &c->runner_b;
    TSL_REQUIRE(one->n_inputs == other->n_inputs && one->n_inputs > 0 && one->n_outputs == other->n_outputs,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "the models do not match: %" PRIu32 " inputs and %" PRIu32 " outputs, %" PRIu32 " and %" PRIu32,
        one->n_inputs, one->n_outputs, other->n_inputs, other->n_outputs);
    TSL_REQUIRE(!(one->fixed_batch && other->fixed_batch) || one->batch == other->batch,
        TSLIM_ERROR_INVALID_ARGUMENT, "the models have fixed batches of %" PRIu32 " and %" PRIu32, one->batch,
        other->batch);
    if (options->per_value) {
        TSL_TRY(tslim_session_set_tap(one->session, keep_value, c));
        TSL_TRY(tslim_session_set_tap(other->session, compare_value, c));
    }
    return TSLIM_OK;
}

static tslim_status run_all(comparison *c, tslim_dataset *dataset, const tslim_compare_options *options) {
    uint64_t total = tslim_dataset_count(dataset);
    for (uint64_t first = 0; first < total;) {
        uint64_t left = total - first;
        uint32_t count = left < c->runner_a.batch ? (uint32_t)left : c->runner_a.batch;
        TSL_TRY(run_batch(c, first, count));
        first += count;
        bool go_on = !options->progress || options->progress(options->progress_user, "samples", first, total);
        TSL_REQUIRE(
            go_on, TSLIM_ERROR_CANCELLED, "cancelled after %" PRIu64 " of %" PRIu64 " samples", first, total);
    }
    return TSLIM_OK;
}

static const char *maker_of(const tslim_graph *graph, const char *name) {
    uint32_t id = tsl_graph_find_value(graph, name);
    if (id == TSL_NONE || graph->values[id].producer == TSL_NONE) return "";
    return graph->nodes[graph->values[id].producer].op_type;
}

static tslim_status report(comparison *c, tslim_difference_callback callback, void *user) {
    for (uint32_t i = 0; i < c->n_order; ++i) {
        const compared_value *value = &c->values[c->order[i]];
        tslim_difference difference = {.value = value->name, .op_type = maker_of(c->b, value->name)};
        tsl_difference_finish(&value->sums, &difference);
        callback(user, &difference);
    }
    for (uint32_t i = 0; i < c->runner_a.n_outputs; ++i) {
        tslim_tensor_info info;
        TSL_TRY(tslim_graph_output_info(c->b, i, &info));
        tslim_difference difference = {.value = info.name, .op_type = maker_of(c->b, info.name)};
        tsl_difference_finish(&c->outputs[i], &difference);
        callback(user, &difference);
    }
    return TSLIM_OK;
}

tslim_status tslim_compare(const tslim_graph *a, const tslim_graph *b, tslim_dataset *dataset,
    const tslim_compare_options *given, tslim_difference_callback callback, void *user) {
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    TSL_REQUIRE(
        a && b && dataset && callback, TSLIM_ERROR_INVALID_ARGUMENT, "tslim_compare: an argument is NULL");
    if (given) {
        TSL_REQUIRE(given->struct_size > 0 && given->struct_size <= sizeof options,
            TSLIM_ERROR_INVALID_ARGUMENT, "tslim_compare: options.struct_size is %" PRIu32,
            given->struct_size);
        memcpy(&options, given, given->struct_size);
    }
    TSL_REQUIRE(tslim_dataset_count(dataset) > 0, TSLIM_ERROR_INVALID_ARGUMENT, "the data has no samples");
    comparison c = {.ctx = a->ctx, .b = b};
    tsl_arena_init(&c.arena, a->ctx);
    tsl_name_map_init(&c.names, a->ctx);
    tslim_status status = create_runners(&c, a, dataset, &options);
    if (status == TSLIM_OK) status = run_all(&c, dataset, &options);
    if (status == TSLIM_OK) status = report(&c, callback, user);
    clear(&c);
    return status;
}
