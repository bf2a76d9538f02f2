// SPDX-License-Identifier: Apache-2.0
// What a file says beside its graph: pairs of a key and a text. Nothing here understands them; they stay with
// the model through every step and format, since what stands there (a text recognizer's characters, the names
// of classes) is needed to use it.
#include <string.h>

#include "base/status.h"
#include "ir/graph.h"

// Far more than any file has: an end to what a hostile one can ask for.
#define MOST_ENTRIES 4096

static tsl_metadata *find(const tslim_graph *graph, const char *key) {
    for (uint32_t i = 0; i < graph->n_metadata; i++)
        if (strcmp(graph->metadata[i].key, key) == 0) return &graph->metadata[i];
    return NULL;
}

// Doubles the list each time that its length is a power of two.
static tsl_metadata *append(tslim_graph *graph) {
    uint32_t count = graph->n_metadata;
    if ((count & (count - 1)) == 0) {
        tsl_metadata *list = tsl_arena_array(&graph->arena, count ? 2 * (size_t)count : 1, sizeof(*list));
        if (!list) return NULL;
        if (count) memcpy(list, graph->metadata, count * sizeof(*list));
        graph->metadata = list;
    }
    return &graph->metadata[graph->n_metadata++];
}

tslim_status tsl_graph_set_metadata_bytes(
    tslim_graph *graph, const char *key, const char *value, size_t value_bytes) {
    tsl_metadata *entry = find(graph, key);
    TSL_REQUIRE(entry || graph->n_metadata < MOST_ENTRIES, TSLIM_ERROR_LIMIT,
        "more than %d entries of metadata", MOST_ENTRIES);
    tsl_metadata filled = {.key = entry ? entry->key : tsl_arena_string(&graph->arena, key),
        .value = tsl_arena_string_n(&graph->arena, value, value_bytes),
        .value_bytes = value_bytes};
    TSL_REQUIRE_MEMORY(filled.key && filled.value ? graph : NULL, value_bytes);
    if (!entry) entry = append(graph);
    TSL_REQUIRE_MEMORY(entry, sizeof(*entry));
    *entry = filled;
    return TSLIM_OK;
}

tslim_status tsl_graph_copy_metadata(const tslim_graph *from, tslim_graph *to) {
    for (uint32_t i = 0; i < from->n_metadata; i++)
        TSL_TRY(tsl_graph_set_metadata_bytes(
            to, from->metadata[i].key, from->metadata[i].value, from->metadata[i].value_bytes));
    return TSLIM_OK;
}

tslim_status tslim_graph_set_metadata(tslim_graph *graph, const char *key, const char *value) {
    TSL_REQUIRE(graph && key && value, TSLIM_ERROR_INVALID_ARGUMENT, "graph, key or value is NULL");
    return tsl_graph_set_metadata_bytes(graph, key, value, strlen(value));
}

const char *tslim_graph_metadata(const tslim_graph *graph, const char *key) {
    const tsl_metadata *entry = graph && key ? find(graph, key) : NULL;
    return entry ? entry->value : NULL;
}

uint32_t tslim_graph_metadata_count(const tslim_graph *graph) {
    return graph ? graph->n_metadata : 0;
}

const char *tslim_graph_metadata_key(const tslim_graph *graph, uint32_t index) {
    return graph && index < graph->n_metadata ? graph->metadata[index].key : NULL;
}
