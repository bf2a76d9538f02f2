// SPDX-License-Identifier: Apache-2.0
// Sensitivity analysis: each group pruned alone, on a copy, at each ratio, and the network measured.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "prune/plan.h"
#include "prune/sensitivity_data.h"

static const double default_ratios[] = {0.1, 0.3, 0.5, 0.7, 0.9};

void tslim_sensitivity_options_init(tslim_sensitivity_options *options) {
    if (!options) return;
    *options = (tslim_sensitivity_options){.struct_size = sizeof(*options),
        .ratios = default_ratios,
        .n_ratios = sizeof(default_ratios) / sizeof(default_ratios[0])};
}

// All that one point needs.
typedef struct analysis {
    const tslim_graph *graph;
    tslim_dataset *dataset;
    const tslim_sensitivity_options *options;
    tslim_channel_groups *groups;
    tsl_arena arena;
    double *scores; // by root
    uint8_t *removed; // by root
    uint32_t *prunable; // groups, in the order of the analysis
    uint32_t n_prunable;
    tslim_sensitivity *result;
} analysis;

// ---- Measuring ----

// Squared relative errors of the outputs, to be averaged.
typedef struct distance_sum {
    double sum;
    uint32_t count;
} distance_sum;

static void add_distance(void *user, const tslim_difference *difference) {
    distance_sum *d = user;
    d->sum += isinf(difference->sqnr_db) && difference->sqnr_db > 0 ? 0 : pow(10, -difference->sqnr_db / 10);
    d->count++;
}

static tslim_status measure_distance(const analysis *a, const tslim_graph *graph, double *value) {
    tslim_compare_options options;
    tslim_compare_options_init(&options);
    options.batch = a->options->batch;
    distance_sum d = {0};
    TSL_TRY(tslim_compare(a->graph, graph, a->dataset, &options, add_distance, &d));
    *value = d.count ? sqrt(d.sum / d.count) : 0;
    return TSLIM_OK;
}

static tslim_status measure(const analysis *a, const tslim_graph *graph, double *value) {
    if (a->options->metric == TSLIM_SENSITIVITY_DISTANCE) return measure_distance(a, graph, value);
    tslim_evaluate_options options;
    tslim_metrics metrics = {.struct_size = sizeof(metrics)};
    tslim_evaluate_options_init(&options);
    options.batch = a->options->batch;
    TSL_TRY(tslim_evaluate(graph, a->dataset, &options, &metrics));
    *value = a->options->metric == TSLIM_SENSITIVITY_TOP1   ? metrics.top1
             : a->options->metric == TSLIM_SENSITIVITY_TOP5 ? metrics.top5
                                                            : metrics.loss;
    return TSLIM_OK;
}

static tslim_status measure_point(
    analysis *a, uint32_t g, double ratio, const uint32_t *order, double *value) {
    const tsl_group *group = &a->groups->groups[a->prunable[g]];
    memset(a->removed, 0, a->groups->atoms->n_atoms);
    uint32_t kept = tsl_round_kept(group, group->n_units * (1 - ratio), 1, 1);
    for (uint32_t i = 0; i < group->n_units - kept; i++) a->removed[group->units[order[i]]] = 1;
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(a->graph, &copy));
    tslim_status status = tsl_surgery(a->groups->atoms, a->removed, copy);
    if (status == TSLIM_OK) status = measure(a, copy, value);
    tslim_graph_destroy(copy);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "group '%s' at %g", group->name, ratio);
}

// ---- The points ----

static bool is_mine(const analysis *a, uint32_t point) {
    return a->options->n_shards == 0 || point % a->options->n_shards + 1 == a->options->shard;
}

static tslim_status report(const analysis *a, uint64_t done, uint64_t total) {
    if (!a->options->progress || a->options->progress(a->options->progress_user, "points", done, total))
        return TSLIM_OK;
    return tsl_fail(TSLIM_ERROR_CANCELLED, "cancelled after %" PRIu64 " of %" PRIu64 " points", done, total);
}

static tslim_status save_progress(const analysis *a) {
    return a->options->file ? tsl_sensitivity_write(a->result, a->options->file) : TSLIM_OK;
}

static tslim_status measure_baseline(analysis *a) {
    if (!isnan(a->result->baseline)) return TSLIM_OK;
    a->result->baseline = 0; // a distance from itself
    if (a->options->metric == TSLIM_SENSITIVITY_DISTANCE) return save_progress(a);
    TSL_TRY(measure(a, a->graph, &a->result->baseline));
    return save_progress(a);
}

static tslim_status measure_points(analysis *a) {
    tslim_sensitivity *result = a->result;
    uint32_t n_points = result->n_groups * result->n_ratios;
    uint64_t total = 0, done = 0;
    for (uint32_t p = 0; p < n_points; p++) {
        total += is_mine(a, p);
        done += is_mine(a, p) && !isnan(result->values[p]);
    }
    TSL_TRY(measure_baseline(a));
    TSL_TRY(report(a, done, total));
    for (uint32_t g = 0; g < result->n_groups; g++) {
        uint32_t *order;
        tsl_arena_clear(&a->arena);
        TSL_TRY(tsl_order_units(a->groups, a->prunable[g], a->scores, &a->arena, &order));
        for (uint32_t r = 0; r < result->n_ratios; r++) {
            double *value = &result->values[g * result->n_ratios + r];
            if (!is_mine(a, g * result->n_ratios + r) || !isnan(*value)) continue;
            TSL_TRY(measure_point(a, g, result->ratios[r], order, value));
            TSL_TRY(save_progress(a));
            TSL_TRY(report(a, ++done, total));
        }
    }
    return TSLIM_OK;
}

// ---- Setting up ----

static tslim_status check_options(const tslim_sensitivity_options *o, tslim_dataset *dataset) {
    TSL_REQUIRE(o->struct_size == sizeof(*o), TSLIM_ERROR_INVALID_ARGUMENT,
        "sensitivity options: struct_size %u, not %zu", o->struct_size, sizeof(*o));
    TSL_REQUIRE((unsigned)o->metric <= TSLIM_SENSITIVITY_DISTANCE &&
                    (unsigned)o->criterion <= TSLIM_CRITERION_RECONSTRUCTION,
        TSLIM_ERROR_INVALID_ARGUMENT, "metric %d, criterion %d", (int)o->metric, (int)o->criterion);
    TSL_REQUIRE(o->metric == TSLIM_SENSITIVITY_DISTANCE || tslim_dataset_has_labels(dataset),
        TSLIM_ERROR_INVALID_ARGUMENT,
        "the data has no labels: without them only the distance can be measured");
    TSL_REQUIRE(o->ratios && o->n_ratios > 0, TSLIM_ERROR_INVALID_ARGUMENT, "no ratios");
    for (uint32_t r = 0; r < o->n_ratios; r++)
        TSL_REQUIRE(o->ratios[r] > (r ? o->ratios[r - 1] : 0) && o->ratios[r] < 1,
            TSLIM_ERROR_INVALID_ARGUMENT, "ratio %u is %g: they rise from above 0 to below 1", r,
            o->ratios[r]);
    TSL_REQUIRE((o->n_shards == 0 && o->shard == 0) || (o->shard >= 1 && o->shard <= o->n_shards),
        TSLIM_ERROR_INVALID_ARGUMENT, "shard %u of %u", o->shard, o->n_shards);
    TSL_REQUIRE(o->shapes || o->n_shapes == 0, TSLIM_ERROR_INVALID_ARGUMENT, "shapes is NULL");
    return TSLIM_OK;
}

// Tells models apart: nodes, and the bytes of all constants.
static tslim_status digest(const analysis *a, const char **text) {
    const tslim_graph *graph = a->graph;
    uint32_t crc = 0;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        crc = tsl_crc32(crc, graph->nodes[n].name, strlen(graph->nodes[n].name) + 1);
        crc = tsl_crc32(crc, graph->nodes[n].op_type, strlen(graph->nodes[n].op_type) + 1);
    }
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (graph->values[v].data) crc = tsl_crc32(crc, graph->values[v].data, graph->values[v].bytes);
    *text = tsl_arena_format(&a->result->arena, "%08" PRIx32, crc);
    TSL_REQUIRE_MEMORY(*text, 16);
    return TSLIM_OK;
}

static tslim_status new_result(analysis *a) {
    const tslim_sensitivity_options *o = a->options;
    TSL_TRY(tsl_sensitivity_new(a->graph->ctx, a->n_prunable, o->n_ratios, &a->result));
    tslim_sensitivity *result = a->result;
    result->metric = o->metric;
    result->criterion = o->criterion;
    result->seed = o->seed;
    result->samples = tslim_dataset_count(a->dataset);
    memcpy(result->ratios, o->ratios, o->n_ratios * sizeof(double));
    for (uint32_t g = 0; g < a->n_prunable; g++) {
        const tsl_group *group = &a->groups->groups[a->prunable[g]];
        result->groups[g] = tsl_arena_string(&result->arena, group->name);
        TSL_REQUIRE_MEMORY(result->groups[g], strlen(group->name));
        result->channels[g] = group->n_units;
    }
    return digest(a, &result->model);
}

// Takes over the points of an earlier run.
static tslim_status resume(analysis *a) {
    if (!a->options->file || access(a->options->file, F_OK) != 0) return TSLIM_OK;
    tslim_sensitivity *earlier, *merged;
    TSL_TRY(tslim_sensitivity_load_file(a->graph->ctx, a->options->file, &earlier));
    const tslim_sensitivity *parts[] = {a->result, earlier};
    tslim_status status = tslim_sensitivity_merge(parts, 2, &merged);
    tslim_sensitivity_destroy(earlier);
    if (status != TSLIM_OK) return tsl_fail_prefix(status, "'%s' is of another analysis", a->options->file);
    tslim_sensitivity_destroy(a->result);
    a->result = merged;
    return TSLIM_OK;
}

static tslim_status set_up(analysis *a) {
    TSL_TRY(tslim_channel_groups_find(a->graph, a->options->shapes, a->options->n_shapes, &a->groups));
    tsl_arena *arena = &a->groups->arena; // as long as the groups
    size_t n_atoms = a->groups->atoms->n_atoms;
    a->scores = tsl_arena_array(arena, n_atoms + 1, sizeof(*a->scores));
    a->removed = tsl_arena_array(arena, n_atoms + 1, 1);
    a->prunable = tsl_arena_array(arena, (size_t)a->groups->n_groups + 1, sizeof(*a->prunable));
    bool *fallback = tsl_arena_array(arena, (size_t)a->groups->n_groups + 1, sizeof(*fallback));
    if (!a->scores || !a->removed || !a->prunable || !fallback)
        return tsl_no_memory(n_atoms * sizeof(double));
    for (uint32_t g = 0; g < a->groups->n_groups; g++)
        if (!a->groups->groups[g].reason) a->prunable[a->n_prunable++] = g;
    TSL_TRY(
        tsl_score_units(a->groups, a->options->criterion, a->options->seed, a->dataset, a->scores, fallback));
    TSL_TRY(new_result(a));
    return resume(a);
}

tslim_status tslim_sensitivity_analyze(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_sensitivity_options *options, tslim_sensitivity **sensitivity) {
    TSL_REQUIRE(graph && dataset && options && sensitivity, TSLIM_ERROR_INVALID_ARGUMENT,
        "graph, dataset, options or sensitivity is NULL");
    *sensitivity = NULL;
    TSL_TRY(check_options(options, dataset));
    analysis a = {.graph = graph, .dataset = dataset, .options = options};
    tsl_arena_init(&a.arena, graph->ctx);
    tslim_status status = set_up(&a);
    if (status == TSLIM_OK) status = measure_points(&a);
    tsl_arena_clear(&a.arena);
    tslim_channel_groups_destroy(a.groups);
    if (status != TSLIM_OK) {
        tslim_sensitivity_destroy(a.result);
        return status;
    }
    *sensitivity = a.result;
    return TSLIM_OK;
}
