// SPDX-License-Identifier: Apache-2.0
// Repair, front to back: each layer sees what the layers before it make now that they are repaired.
#include <inttypes.h>
#include <string.h>

#include "pass/pass.h"
#include "prune/repair.h"

void tslim_repair_options_init(tslim_repair_options *options) {
    if (!options) return;
    *options = (tslim_repair_options){.struct_size = sizeof(*options),
        .methods = TSLIM_REPAIR_STATISTICS | TSLIM_REPAIR_LEAST_SQUARES,
        .ridge = 1e-3,
        .rounds = 5,
        .max_rows = 65536,
        .memory_bytes = UINT64_C(1) << 30,
        .max_unknowns = 8192,
        .batch = 20};
}

static tslim_status check_options(const tslim_repair_options *o) {
    TSL_REQUIRE(o->methods != 0 && (o->methods & ~3u) == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "repair options: methods %u", o->methods);
    TSL_REQUIRE(o->ridge >= 0 && o->ridge <= 1e6, TSLIM_ERROR_INVALID_ARGUMENT,
        "repair options: a ridge of %g", o->ridge);
    TSL_REQUIRE(o->rounds <= 1000 && o->max_rows >= 1 && o->batch >= 1 && o->max_unknowns >= 1 &&
                    o->max_unknowns <= 32768,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "repair options: %u rounds, %u rows, a batch of %u, %u unknowns: at most 1000 rounds and 32768 "
        "unknowns",
        o->rounds, o->max_rows, o->batch, o->max_unknowns);
    return TSLIM_OK;
}

// ---- Order ----

// Whether a value depends on a layer that is not done. Looks at each node once.
static tslim_status depends_on_open(tsl_repair *repair, uint32_t value, bool *open) {
    const tslim_graph *graph = repair->graph;
    size_t bytes = graph->n_values;
    uint8_t *wanted = tsl_allocate_zeroed(repair->ctx, bytes);
    TSL_REQUIRE_MEMORY(wanted, bytes);
    wanted[value] = 1;
    *open = false;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tsl_node *node = &graph->nodes[n];
        bool needed = false;
        for (uint32_t i = 0; i < node->n_outputs; i++)
            needed |= node->outputs[i] != TSL_NONE && wanted[node->outputs[i]];
        if (!needed) continue;
        uint32_t site = repair->site_of[n];
        *open |= site != TSL_NONE && !repair->sites[site].done;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != TSL_NONE) wanted[node->inputs[i]] = 1;
    }
    tsl_free(repair->ctx, wanted, bytes);
    return TSLIM_OK;
}

static uint64_t size_of(const tsl_repair_site *site) {
    return (uint64_t)site->width * site->depth;
}

// The layer that makes the other operand of the Add, if it is an open one that can go first: with fewer
// weights, as in a shortcut, it leaves the sum to the one that can do more.
static tslim_status find_shortcut(
    tsl_repair *repair, const tsl_repair_site *site, tsl_repair_site **shortcut) {
    *shortcut = NULL;
    for (uint32_t i = 0; site->other != TSL_NONE && i < repair->n_sites; i++) {
        tsl_repair_site *other = &repair->sites[i];
        bool open;
        if (other->done || other->skip || other->own != site->other || size_of(other) > size_of(site))
            continue;
        TSL_TRY(depends_on_open(repair, other->input, &open));
        if (!open) *shortcut = other;
    }
    return TSLIM_OK;
}

// ---- One layer ----

static tslim_status tell(const tsl_repair *repair, const tslim_repair_layer *result) {
    if (repair->options->layer) repair->options->layer(repair->options->layer_user, result);
    return TSLIM_OK;
}

static tslim_status repair_site(tsl_repair *repair, tsl_repair_site *site, tslim_repair_method method) {
    const tsl_node *node = &repair->graph->nodes[site->node];
    tslim_repair_layer result = {.struct_size = sizeof(result),
        .name = node->name,
        .op_type = node->op_type,
        .method = method,
        .reason = site->skip ? site->skip : "",
        .target = ""};
    site->done = true;
    if (site->skip) return tell(repair, &result);
    bool to_sum = site->sum != TSL_NONE && method == TSLIM_REPAIR_LEAST_SQUARES, open = false;
    if (to_sum) TSL_TRY(depends_on_open(repair, site->other, &open));
    to_sum = to_sum && !open;
    result.target = repair->graph->values[to_sum ? site->sum : site->own].name;
    tslim_status status = method == TSLIM_REPAIR_STATISTICS
                              ? tsl_repair_statistics(repair, site, &result)
                              : tsl_repair_least_squares(repair, site, to_sum, &result);
    if (status != TSLIM_OK) return tsl_fail_prefix(status, "repair of node '%s'", node->name);
    return tell(repair, &result);
}

static tslim_status report(const tsl_repair *repair, uint64_t done, uint64_t total) {
    const tslim_repair_options *o = repair->options;
    if (!o->progress || o->progress(o->progress_user, "layers", done, total)) return TSLIM_OK;
    return tsl_fail(TSLIM_ERROR_CANCELLED, "repair was cancelled after %" PRIu64 " layers", done);
}

static tslim_status repair_all(
    tsl_repair *repair, tslim_repair_method method, uint64_t *done, uint64_t total) {
    for (uint32_t i = 0; i < repair->n_sites; i++) repair->sites[i].done = false;
    for (uint32_t i = 0; i < repair->n_sites; i++) {
        tsl_repair_site *site = &repair->sites[i], *shortcut;
        if (site->done) continue;
        TSL_TRY(find_shortcut(repair, site, &shortcut));
        if (shortcut) {
            TSL_TRY(repair_site(repair, shortcut, method));
            TSL_TRY(report(repair, ++*done, total));
        }
        TSL_TRY(repair_site(repair, site, method));
        TSL_TRY(report(repair, ++*done, total));
    }
    return TSLIM_OK;
}

// ---- Together ----

static tslim_status run(tsl_repair *repair) {
    TSL_REQUIRE(tslim_dataset_count(repair->dataset) > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "repair needs samples, the dataset has none");
    if (repair->options->methods & TSLIM_REPAIR_LEAST_SQUARES) TSL_TRY(tsl_cholesky_open(&repair->cholesky));
    TSL_TRY(tsl_repair_match(repair));
    TSL_TRY(tsl_repair_find_sites(repair));
    bool both = repair->options->methods == (TSLIM_REPAIR_STATISTICS | TSLIM_REPAIR_LEAST_SQUARES);
    uint64_t done = 0, total = (uint64_t)repair->n_sites * (both ? 2 : 1);
    TSL_TRY(report(repair, 0, total));
    if (repair->options->methods & TSLIM_REPAIR_STATISTICS)
        TSL_TRY(repair_all(repair, TSLIM_REPAIR_STATISTICS, &done, total));
    if (repair->options->methods & TSLIM_REPAIR_LEAST_SQUARES)
        TSL_TRY(repair_all(repair, TSLIM_REPAIR_LEAST_SQUARES, &done, total));
    return TSL_VERIFY(repair->graph);
}

tslim_status tslim_repair(tslim_graph *graph, const tslim_graph *teacher, tslim_dataset *dataset,
    const tslim_repair_options *given) {
    TSL_REQUIRE(
        graph && teacher && dataset, TSLIM_ERROR_INVALID_ARGUMENT, "graph, teacher or dataset is NULL");
    tslim_repair_options options;
    tslim_repair_options_init(&options);
    if (given) {
        TSL_REQUIRE(given->struct_size >= sizeof(uint32_t) && given->struct_size <= sizeof(options),
            TSLIM_ERROR_INVALID_ARGUMENT, "repair options: struct_size %u is not one of this library's",
            given->struct_size);
        memcpy(&options, given, given->struct_size);
    }
    TSL_TRY(check_options(&options));
    TSL_REQUIRE(!graph->optimized && !teacher->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "%s is optimized or quantized already: repair first",
        graph->optimized ? "the model" : "the original");
    tsl_repair repair = {.ctx = graph->ctx, .teacher = teacher, .dataset = dataset, .options = &options};
    tsl_arena_init(&repair.arena, graph->ctx);
    tslim_status status = tslim_graph_clone(graph, &repair.graph);
    if (status == TSLIM_OK) status = run(&repair);
    if (status == TSLIM_OK) tsl_graph_swap(graph, repair.graph);
    tslim_graph_destroy(repair.graph);
    tslim_channel_groups_destroy(repair.groups);
    tsl_cholesky_close(&repair.cholesky);
    tsl_arena_clear(&repair.arena);
    return status;
}
