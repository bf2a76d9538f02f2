// SPDX-License-Identifier: Apache-2.0
// Input shapes are bound on a copy, then one walk infers and folds.
#include "plan/specialize.h"

#include <inttypes.h>
#include <string.h>

#include "pass/pass.h"
#include "plan/evaluate_node.h"

// The input that a shape is meant for.
static tslim_status find_input(const tslim_graph *graph, const tslim_input_shape *shape, tsl_value **value) {
    if (!shape->name) {
        TSL_REQUIRE(graph->n_inputs == 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "a shape without a name, but the model has %u inputs", graph->n_inputs);
        *value = &graph->values[graph->inputs[0]];
        return TSLIM_OK;
    }
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        *value = &graph->values[graph->inputs[i]];
        if (strcmp((*value)->name, shape->name) == 0) return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "the model has no input '%s' (its first is '%s')",
        shape->name, graph->n_inputs ? graph->values[graph->inputs[0]].name : "none");
}

// Gives a symbol its size in every input.
static void bind_symbol(tslim_graph *graph, const char *symbol, int64_t size) {
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        tsl_shape *shape = &graph->values[graph->inputs[i]].shape;
        for (uint32_t d = 0; d < shape->rank; d++)
            if (shape->dims[d] < 0 && shape->symbols[d] && strcmp(shape->symbols[d], symbol) == 0)
                shape->dims[d] = size;
    }
}

static tslim_status bind_input(tslim_graph *graph, const tslim_input_shape *shape) {
    char wanted[256], given[256];
    tsl_value *value = NULL;
    TSL_TRY(find_input(graph, shape, &value));
    TSL_REQUIRE(shape->rank <= graph->ctx->limits.rank, TSLIM_ERROR_LIMIT,
        "input '%s': rank %u, the limit is %u", value->name, shape->rank, graph->ctx->limits.rank);
    tsl_dims_format(shape->rank, shape->dims, given, sizeof(given));
    tsl_shape_format(&value->shape, wanted, sizeof(wanted));
    if (!value->shape.known) tsl_shape_set(&value->shape, shape->rank, shape->dims);
    bool fits = shape->rank == value->shape.rank;
    for (uint32_t d = 0; fits && d < shape->rank; d++) {
        TSL_REQUIRE(shape->dims[d] >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "input '%s': dim %u is %" PRId64,
            value->name, d, shape->dims[d]);
        if (value->shape.dims[d] < 0 && value->shape.symbols[d] && strcmp(value->shape.symbols[d], "?") != 0)
            bind_symbol(graph, value->shape.symbols[d], shape->dims[d]);
        if (value->shape.dims[d] < 0) value->shape.dims[d] = shape->dims[d];
        fits = value->shape.dims[d] == shape->dims[d];
    }
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "input '%s' is %s, not %s", value->name, wanted, given);
    return TSLIM_OK;
}

static tslim_status bind_inputs(tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes) {
    for (uint32_t i = 0; i < n_shapes; i++) TSL_TRY(bind_input(graph, &shapes[i]));
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        tsl_value *value = &graph->values[graph->inputs[i]];
        TSL_REQUIRE(value->shape.known, TSLIM_ERROR_INVALID_ARGUMENT,
            "input '%s' has no known rank: give its shape", value->name);
        for (uint32_t d = 0; d < value->shape.rank; d++) {
            if (value->shape.dims[d] < 0) value->shape.dims[d] = 1;
            value->shape.symbols[d] = NULL;
        }
        uint64_t elements;
        tslim_status status = tsl_shape_elements(graph->ctx, &value->shape, &elements);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "input '%s'", value->name);
    }
    return TSLIM_OK;
}

// Infers and folds what inputs make known. Takes the copy over.
static tslim_status finish(tslim_graph *copy, tslim_status status, tslim_graph **specialized) {
    if (status == TSLIM_OK) status = tsl_pass_infer_and_fold(copy, tsl_evaluate_on_cpu, NULL);
    if (status == TSLIM_OK) status = tsl_pass_remove_dead(copy);
    if (status == TSLIM_OK) status = TSL_VERIFY(copy);
    if (status != TSLIM_OK) {
        tslim_graph_destroy(copy);
        return status;
    }
    *specialized = copy;
    return TSLIM_OK;
}

tslim_status tsl_graph_specialize(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_graph **specialized) {
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    return finish(copy, bind_inputs(copy, shapes, n_shapes), specialized);
}

static tslim_status bind_tensors(tslim_graph *graph, const tsl_tensor *inputs, const uint8_t *deciding) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        uint32_t id = graph->inputs[i];
        tsl_value *value = &graph->values[id];
        tsl_value_set_dtype(value, inputs[i].dtype);
        tsl_shape_set(&value->shape, inputs[i].rank, inputs[i].dims);
        if (!deciding || !deciding[i]) {
            graph->inputs[kept++] = id;
            continue;
        }
        size_t bytes = (size_t)tsl_tensor_elements(&inputs[i]) * tslim_dtype_size(inputs[i].dtype);
        void *data;
        TSL_TRY(tsl_value_new_data(graph, id, bytes, &data));
        if (bytes > 0) memcpy(data, inputs[i].data, bytes);
    }
    graph->n_inputs = kept;
    return TSLIM_OK;
}

tslim_status tsl_graph_specialize_for(
    const tslim_graph *graph, const tsl_tensor *inputs, const uint8_t *deciding, tslim_graph **specialized) {
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    return finish(copy, bind_tensors(copy, inputs, deciding), specialized);
}
