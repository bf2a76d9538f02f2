// SPDX-License-Identifier: Apache-2.0
// Runs one node on constants. The same kernels as in a session, so that folding changes no result.
#include "plan/evaluate_node.h"

#include <string.h>

#include "backend.h"
#include "ir/shape_infer.h"
#include "plan/describe.h"

// Beyond this a folded constant costs more memory than it saves time.
#define LARGEST_FOLDED_BYTES ((size_t)256 << 20)
// Products of large constants are for a run, not for loading: a file of a few bytes can ask for them.
#define MOST_FOLDED_MACS ((uint64_t)1 << 30)

typedef struct evaluation {
    tsl_arena arena;
    tsl_tensor *inputs, *outputs;
    tsl_kernel kernel;
} evaluation;

static tslim_status allocate_output(tslim_graph *graph, uint32_t id) {
    const tsl_value *value = &graph->values[id];
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(graph->ctx, &value->shape, &elements));
    size_t bytes = (size_t)elements * tslim_dtype_size(value->dtype);
    TSL_REQUIRE(bytes <= LARGEST_FOLDED_BYTES, TSLIM_ERROR_UNSUPPORTED, "a constant of %zu bytes", bytes);
    void *data;
    return tsl_value_new_data(graph, id, bytes, &data);
}

static void take_found_sizes(tslim_graph *graph, const tsl_node *node, const tsl_tensor *outputs) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        tsl_value *value = tsl_node_output(graph, node, i);
        if (!value) continue;
        tsl_shape_set(&value->shape, outputs[i].rank, outputs[i].dims);
        value->bytes = (size_t)tsl_tensor_elements(&outputs[i]) * tslim_dtype_size(value->dtype);
    }
}

static tslim_status run_node(tslim_graph *graph, const tsl_node *node, evaluation *e) {
    e->inputs = tsl_arena_array(&e->arena, node->n_inputs, sizeof(tsl_tensor));
    e->outputs = tsl_arena_array(&e->arena, node->n_outputs, sizeof(tsl_tensor));
    TSL_REQUIRE_MEMORY(e->inputs && e->outputs ? e : NULL, sizeof(tsl_tensor));
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != TSL_NONE) tsl_describe_value(&graph->values[node->inputs[i]], &e->inputs[i]);
    if (tsl_op_finds_shape(node->op)) TSL_TRY(tsl_shape_bound(graph, node));
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] == TSL_NONE) continue;
        TSL_TRY(allocate_output(graph, node->outputs[i]));
        tsl_describe_value(&graph->values[node->outputs[i]], &e->outputs[i]);
    }
    tsl_step step;
    tsl_describe_step(graph, node, e->inputs, e->outputs, &step);
    TSL_TRY(tsl_cpu_backend.prepare(graph->ctx, graph->ctx->isa, &step, &e->arena, &e->kernel));
    TSL_REQUIRE(e->kernel.macs <= MOST_FOLDED_MACS, TSLIM_ERROR_UNSUPPORTED, "%llu multiply-adds",
        (unsigned long long)e->kernel.macs);
    TSL_REQUIRE(e->kernel.scratch_bytes <= LARGEST_FOLDED_BYTES, TSLIM_ERROR_UNSUPPORTED,
        "scratch memory of %zu bytes", e->kernel.scratch_bytes);
    uint8_t *scratch = tsl_arena_alloc_aligned(&e->arena, e->kernel.scratch_bytes);
    TSL_REQUIRE_MEMORY(scratch, e->kernel.scratch_bytes);
    tsl_run run = {.ctx = graph->ctx,
        .kernel = &e->kernel,
        .inputs = e->inputs,
        .outputs = e->outputs,
        .found = e->outputs,
        .scratch = scratch};
    TSL_TRY(e->kernel.run(&run));
    if (tsl_op_finds_shape(node->op)) take_found_sizes(graph, node, e->outputs);
    return TSLIM_OK;
}

tslim_status tsl_evaluate_on_cpu(void *user, tslim_graph *graph, uint32_t index) {
    (void)user;
    const tsl_node *node = &graph->nodes[index];
    evaluation e = {0};
    tsl_arena_init(&e.arena, graph->ctx);
    tslim_status status = run_node(graph, node, &e);
    tsl_arena_clear(&e.arena);
    if (status == TSLIM_OK) return TSLIM_OK;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE) tsl_value_set_data(&graph->values[node->outputs[i]], NULL, NULL, 0);
    status = tsl_fail_prefix(status, "node '%s' (%s)", node->name, node->op_type);
    if (status == TSLIM_ERROR_UNSUPPORTED && tsl_op_finds_shape(node->op)) // its size is open again
        TSL_TRY(tsl_infer_node(graph, index));
    return status;
}
