// SPDX-License-Identifier: Apache-2.0
// From the graph's constants to flat arrays and back.
#include "train/weights.h"

#include <string.h>

#include "base/checked.h"

#define ALIGNMENT ((size_t)16) // floats

static tslim_status add_item(
    tsl_weights *w, const tslim_graph *graph, const char *name, uint32_t input, bool decays, size_t *offset) {
    uint32_t id = tsl_graph_find_value(graph, name);
    TSL_REQUIRE(id != TSL_NONE && tsl_value_is_constant(&graph->values[id]), TSLIM_ERROR_INTERNAL,
        "the model has no weights '%s'", name);
    const tsl_value *value = &graph->values[id];
    TSL_REQUIRE(value->dtype == TSLIM_DTYPE_FLOAT, TSLIM_ERROR_UNSUPPORTED,
        "weights '%s' are %s: only float32 is trained", name, tslim_dtype_name(value->dtype));
    size_t count = value->bytes / sizeof(float), end;
    TSL_REQUIRE(tsl_add_size(*offset, count, &end) && tsl_align_size(end, ALIGNMENT, &end), TSLIM_ERROR_LIMIT,
        "too many weights");
    w->items[w->n_items++] =
        (tsl_weight){.name = value->name, .input = input, .offset = *offset, .count = count, .decays = decays};
    *offset = end;
    return TSLIM_OK;
}

static tslim_status list_items(tsl_weights *w, const tslim_graph *graph, const tsl_trainable *t) {
    w->items_bytes = ((size_t)t->n_parameters + t->n_statistics) * sizeof(*w->items);
    w->items = tsl_allocate(w->ctx, w->items_bytes);
    TSL_REQUIRE_MEMORY(w->items, w->items_bytes);
    for (uint32_t i = 0; i < t->n_parameters; i++) {
        const tsl_parameter *p = &t->parameters[i];
        TSL_TRY(add_item(w, graph, p->name, p->input, p->decays, &w->n_trained));
    }
    w->n_parameters = w->n_items;
    w->n_floats = w->n_trained;
    for (uint32_t i = 0; i < t->n_statistics; i++)
        TSL_TRY(add_item(w, graph, t->statistics[i].name, t->statistics[i].input, false, &w->n_floats));
    return TSLIM_OK;
}

static tslim_status allocate(tsl_weights *w, const tsl_weights_wanted *wanted) {
    size_t arrays = 1 + (size_t)wanted->n_moments + wanted->average + wanted->best;
    TSL_REQUIRE(tsl_mul_size(w->n_floats, arrays * sizeof(float), &w->memory_bytes), TSLIM_ERROR_LIMIT,
        "too many weights");
    w->memory = tsl_allocate_zeroed(w->ctx, w->memory_bytes);
    TSL_REQUIRE_MEMORY(w->memory, w->memory_bytes);
    float *next = w->memory;
    w->values = next;
    for (uint32_t i = 0; i < wanted->n_moments; i++) w->moments[i] = next += w->n_floats;
    if (wanted->average) w->average = next += w->n_floats;
    if (wanted->best) w->best = next + w->n_floats;
    return TSLIM_OK;
}

static tslim_status init(tsl_weights *w, const tslim_graph *graph, const tsl_trainable *trainable,
    const tsl_weights_wanted *wanted) {
    TSL_TRY(list_items(w, graph, trainable));
    TSL_TRY(allocate(w, wanted));
    for (uint32_t i = 0; i < w->n_items; i++) {
        const tsl_value *value = &graph->values[tsl_graph_find_value(graph, w->items[i].name)];
        memcpy(w->values + w->items[i].offset, value->data, w->items[i].count * sizeof(float));
    }
    if (w->average) memcpy(w->average, w->values, w->n_floats * sizeof(float));
    if (w->best) memcpy(w->best, w->values, w->n_floats * sizeof(float));
    return TSLIM_OK;
}

tslim_status tsl_weights_init(tsl_weights *weights, const tslim_graph *graph, const tsl_trainable *trainable,
    const tsl_weights_wanted *wanted) {
    *weights = (tsl_weights){.ctx = graph->ctx};
    tslim_status status = init(weights, graph, trainable, wanted);
    if (status != TSLIM_OK) tsl_weights_clear(weights);
    return status;
}

void tsl_weights_clear(tsl_weights *weights) {
    if (weights->items) tsl_free(weights->ctx, weights->items, weights->items_bytes);
    if (weights->memory) tsl_free(weights->ctx, weights->memory, weights->memory_bytes);
    *weights = (tsl_weights){0};
}

tslim_status tsl_weights_store(const tsl_weights *weights, const float *values, tslim_graph *graph) {
    for (uint32_t i = 0; i < weights->n_items; i++) {
        const tsl_weight *item = &weights->items[i];
        uint32_t id = tsl_graph_find_value(graph, item->name);
        TSL_REQUIRE(id != TSL_NONE && graph->values[id].bytes == item->count * sizeof(float),
            TSLIM_ERROR_INTERNAL, "the model has no weights '%s'", item->name);
        void *data;
        TSL_TRY(tsl_value_new_data(graph, id, item->count * sizeof(float), &data));
        memcpy(data, values + item->offset, item->count * sizeof(float));
    }
    return TSLIM_OK;
}

void tsl_weights_average(tsl_weights *weights, double decay) {
    const float keep = (float)decay, add = (float)(1 - decay);
    for (size_t i = 0; i < weights->n_floats; i++)
        weights->average[i] = keep * weights->average[i] + add * weights->values[i];
}
