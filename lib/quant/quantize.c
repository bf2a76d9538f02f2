// SPDX-License-Identifier: Apache-2.0
// tslim_quantize: works on a clone, and takes it over when all went well.
#include <inttypes.h>
#include <string.h>

#include "ir/bodies.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"
#include "quant/quantizer.h"

void tslim_quantize_options_init(tslim_quantize_options *options) {
    if (options) *options = (tslim_quantize_options){.struct_size = sizeof(*options)};
}

static tslim_status read_options(const tslim_quantize_options *given, tslim_quantize_options *options) {
    tslim_quantize_options_init(options);
    if (!given) return TSLIM_OK;
    TSL_REQUIRE(given->struct_size >= sizeof(uint32_t) && given->struct_size <= sizeof(*options),
        TSLIM_ERROR_INVALID_ARGUMENT, "quantize options: struct_size %u is not one of this library's",
        given->struct_size);
    memcpy(options, given, given->struct_size);
    TSL_REQUIRE(options->exclude || options->n_exclude == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "quantize options: n_exclude is %u but exclude is NULL", options->n_exclude);
    return TSLIM_OK;
}

// A name of the user's model. A node that was folded or fused into another stands for that one: whichever
// makes its output now. NULL where that is gone altogether.
static tslim_status resolve_excluded(
    const tsl_quantizer *q, const tslim_graph *original, const char *name, const char **resolved) {
    TSL_REQUIRE(name, TSLIM_ERROR_INVALID_ARGUMENT, "a name to exclude is NULL");
    uint32_t node = tsl_graph_find_node(q->graph, name);
    uint32_t before = tsl_graph_find_node(original, name);
    TSL_REQUIRE(node != TSL_NONE || before != TSL_NONE, TSLIM_ERROR_INVALID_ARGUMENT,
        "there is no node '%s' to exclude", name);
    if (node == TSL_NONE) {
        const tsl_value *output = tsl_node_output(original, &original->nodes[before], 0);
        uint32_t value = output ? tsl_graph_find_value(q->graph, output->name) : TSL_NONE;
        if (value != TSL_NONE) node = q->graph->values[value].producer;
    }
    *resolved = node == TSL_NONE ? NULL : q->graph->nodes[node].name;
    return TSLIM_OK;
}

// Their names in the optimized graph: equalization moves nodes and renames values.
static tslim_status find_excluded(
    tsl_quantizer *q, const tslim_graph *original, const tslim_quantize_options *options) {
    q->excluded = tsl_arena_array(&q->arena, options->n_exclude, sizeof(*q->excluded));
    TSL_REQUIRE_MEMORY(q->excluded, options->n_exclude * sizeof(*q->excluded));
    q->n_excluded = options->n_exclude;
    for (uint32_t i = 0; i < options->n_exclude; i++)
        TSL_TRY(resolve_excluded(q, original, options->exclude[i], &q->excluded[i]));
    return TSLIM_OK;
}

static void exclude_nodes(const tsl_quantizer *q, const char **reasons) {
    for (uint32_t i = 0; i < q->n_excluded; i++) {
        uint32_t node = q->excluded[i] ? tsl_graph_find_node(q->graph, q->excluded[i]) : TSL_NONE;
        if (node != TSL_NONE) reasons[node] = "excluded";
    }
}

static tslim_status prepare(tsl_quantizer *q) {
    q->n_nodes = q->graph->n_nodes;
    q->n_values = q->graph->n_values;
    q->float_reason = tsl_arena_array(&q->arena, q->n_nodes, sizeof(*q->float_reason));
    q->to_float = tsl_arena_array(&q->arena, q->n_nodes, sizeof(*q->to_float));
    q->chain = tsl_arena_array(&q->arena, q->n_nodes, sizeof(*q->chain));
    q->scale = tsl_arena_array(&q->arena, q->n_values, sizeof(*q->scale));
    q->zero_point = tsl_arena_array(&q->arena, q->n_values, sizeof(*q->zero_point));
    TSL_REQUIRE_MEMORY(q->float_reason && q->to_float && q->chain && q->scale && q->zero_point ? q : NULL,
        q->n_values * sizeof(float));
    return tsl_uses_find(q->graph, &q->uses);
}

static tslim_status choose(tsl_quantizer *q) {
    const char **reasons = tsl_arena_array(&q->arena, q->n_nodes, sizeof(*reasons));
    TSL_REQUIRE_MEMORY(reasons, q->n_nodes * sizeof(*reasons));
    exclude_nodes(q, reasons);
    for (uint32_t n = 0; n < q->n_nodes && q->allowed; n++)
        if (!q->allowed[n] && tsl_is_product(q->graph->nodes[n].op)) reasons[n] = "others are measured";
    if (!q->allowed) TSL_TRY(tsl_keep_costly(q, reasons));
    TSL_TRY(tsl_choose_precision(q, reasons));
    tsl_find_chains(q);
    return tsl_choose_scales(q);
}

// What callbacks are told, kept from before the rewriting moves the nodes.
static tslim_status list_notes(tsl_quantizer *q, tslim_quantize_note **notes) {
    *notes = tsl_arena_array(&q->arena, q->n_nodes, sizeof(**notes));
    TSL_REQUIRE_MEMORY(*notes, q->n_nodes * sizeof(**notes));
    for (uint32_t n = 0; n < q->n_nodes; n++)
        (*notes)[n] = (tslim_quantize_note){.node = q->graph->nodes[n].name,
            .op_type = q->graph->nodes[n].op_type,
            .precision = tsl_runs_in_int8(q, n) ? TSLIM_DTYPE_INT8 : TSLIM_DTYPE_FLOAT,
            .reason = tsl_runs_in_int8(q, n) ? "" : q->float_reason[n]};
    return TSLIM_OK;
}

static tslim_status add_history(tsl_quantizer *q, const tslim_quantize_options *options) {
    uint32_t n_int8 = 0;
    for (uint32_t n = 0; n < q->n_nodes; n++) n_int8 += tsl_runs_in_int8(q, n);
    const char *line = tsl_arena_format(&q->arena,
        "quantize: %s ranges of %" PRIu64 " samples, %u of %u nodes in INT8, %u excluded",
        tslim_calibration_method_name(q->calibration->method), q->calibration->samples, n_int8, q->n_nodes,
        options->n_exclude);
    TSL_REQUIRE_MEMORY(line, 64);
    return tslim_graph_history_add(q->graph, line);
}

static tslim_status see_values(tsl_quantizer *q, const tslim_quantize_options *options) {
    tsl_seen *seen;
    TSL_TRY(options->keep_channels ? tsl_seen_as_calibrated(q->graph, q->calibration, &q->arena, &seen)
                                   : tsl_equalize(q->graph, q->calibration, &q->arena, &seen));
    q->seen = seen;
    return TSL_VERIFY(q->graph);
}

static tslim_status quantize(tsl_quantizer *q, const tslim_graph *original,
    const tslim_quantize_options *options, tslim_quantize_note **notes) {
    TSL_TRY(tsl_optimize(q->graph, tsl_evaluate_on_cpu, NULL));
    TSL_TRY(find_excluded(q, original, options));
    TSL_TRY(see_values(q, options));
    TSL_TRY(prepare(q));
    TSL_TRY(choose(q));
    TSL_TRY(list_notes(q, notes));
    TSL_TRY(tsl_convert(q));
    if (q->graph->preparation.scale == 0) q->graph->preparation = q->calibration->preparation;
    TSL_TRY(add_history(q, options));
    tsl_graph_set_optimized(q->graph);
    return TSL_VERIFY(q->graph);
}

tslim_status tslim_quantize(tslim_graph *graph, const tslim_calibration *calibration,
    const tslim_quantize_options *given, tslim_quantize_callback callback, void *user) {
    TSL_REQUIRE(graph && calibration, TSLIM_ERROR_INVALID_ARGUMENT, "graph or calibration is NULL");
    TSL_REQUIRE(!graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT,
        "the graph is optimized or quantized already: quantize the model that it was made from");
    tslim_quantize_options options;
    TSL_TRY(read_options(given, &options));
    tsl_quantizer q = {
        .calibration = calibration,
        .symmetric = options.symmetric != 0,
        .keep_biases = options.keep_biases != 0,
    };
    TSL_TRY(tslim_graph_clone(graph, &q.graph));
    tsl_arena_init(&q.arena, graph->ctx);
    tslim_quantize_note *notes = NULL;
    tslim_status status = quantize(&q, graph, &options, &notes);
    if (status == TSLIM_OK) {
        for (uint32_t n = 0; callback && n < q.n_nodes; n++) callback(user, &notes[n]);
        tsl_graph_swap(graph, q.graph);
    }
    tsl_uses_free(&q.uses);
    tsl_arena_clear(&q.arena);
    tslim_graph_destroy(q.graph);
    return status;
}

// ---- Some products only ----

tslim_status tsl_quantize_only(const tslim_graph *optimized, const tslim_calibration *calibration,
    const tsl_seen *seen, const bool *in_int8, tslim_graph **quantized) {
    tsl_quantizer q = {.calibration = calibration, .seen = seen, .allowed = in_int8};
    TSL_TRY(tslim_graph_clone(optimized, &q.graph));
    tsl_arena_init(&q.arena, optimized->ctx);
    tslim_status status = prepare(&q);
    if (status == TSLIM_OK) status = choose(&q);
    if (status == TSLIM_OK) status = tsl_convert(&q);
    if (status == TSLIM_OK) {
        tsl_graph_set_optimized(q.graph);
        *quantized = q.graph;
        q.graph = NULL;
    }
    tsl_uses_free(&q.uses);
    tsl_arena_clear(&q.arena);
    tslim_graph_destroy(q.graph);
    return status;
}

tslim_status tsl_find_int8_products(const tslim_graph *optimized, const tslim_calibration *calibration,
    const tsl_seen *seen, bool *is_product) {
    tsl_quantizer q = {.calibration = calibration, .seen = seen};
    TSL_TRY(tslim_graph_clone(optimized, &q.graph));
    tsl_arena_init(&q.arena, optimized->ctx);
    tslim_status status = prepare(&q);
    const char **reasons = tsl_arena_array(&q.arena, q.n_nodes, sizeof(*reasons));
    if (status == TSLIM_OK && !reasons) status = tsl_no_memory(q.n_nodes * sizeof(*reasons));
    if (status == TSLIM_OK) status = tsl_choose_precision(&q, reasons);
    for (uint32_t n = 0; n < q.n_nodes && status == TSLIM_OK; n++)
        is_product[n] = tsl_runs_in_int8(&q, n) && tsl_is_product(q.graph->nodes[n].op);
    tsl_uses_free(&q.uses);
    tsl_arena_clear(&q.arena);
    tslim_graph_destroy(q.graph);
    return status;
}
