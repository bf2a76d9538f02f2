// SPDX-License-Identifier: Apache-2.0
// Builds the masked network beside the pruned one and runs both.
#include "support/pruning_proof.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/specialize.h"
#include "prune/plan.h"

static uint8_t *choose_units(
    const tslim_channel_groups *groups, double ratio, tsl_rng *rng, pruning_proof *proof) {
    uint8_t *removed = calloc((size_t)groups->atoms->n_atoms + 1, 1);
    for (uint32_t g = 0; removed && g < groups->n_groups; g++) {
        const tsl_group *group = &groups->groups[g];
        if (group->reason) continue;
        proof->n_prunable++;
        uint32_t wanted = (uint32_t)(group->n_units * ratio), left = group->n_units;
        if (wanted == 0) wanted = 1;
        if (wanted >= left) wanted = left - 1;
        for (uint32_t i = 0; i < group->n_units && wanted; i++, left--) {
            if (tsl_rng_below(rng, left) >= wanted) continue;
            removed[group->units[i]] = 1;
            proof->n_removed++;
            wanted--;
        }
    }
    return removed;
}

// Multiplies what the layer reads by 0 or 1, channel by channel.
static tslim_status mask_input(
    tslim_graph *graph, const tsl_atoms *atoms, const tsl_layer *layer, const uint8_t *removed, bool spoil) {
    const tsl_node *specialized = &atoms->graph->nodes[layer->node];
    uint32_t slot = specialized->inputs[0] == layer->in_value ? 0 : 1,
             node = atoms->original_node[layer->node];
    uint32_t rank = atoms->graph->values[layer->in_value].shape.rank, mask, masked, mul;
    int64_t dims[TSLIM_MAX_RANK];
    void *data;
    for (uint32_t axis = 0; axis < rank; axis++) dims[axis] = axis == layer->in_axis ? layer->n_in : 1;
    TSL_TRY(tsl_graph_add_constant(graph, "mask", TSLIM_DTYPE_FLOAT, rank, dims, &mask, &data));
    for (uint32_t i = 0; i < layer->n_in; i++)
        ((float *)data)[i] = layer->in[i] == TSL_ATOM_FIXED || !removed[atoms->parent[layer->in[i]]];
    for (uint32_t i = 0; spoil && i < layer->n_in; i++) ((float *)data)[i] = 1;
    TSL_TRY(tsl_graph_add_value(graph, "masked", TSLIM_DTYPE_FLOAT, &masked));
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_MUL, "mask", 2,
        (const uint32_t[]){graph->nodes[node].inputs[slot], mask}, 1, &masked, &mul));
    graph->nodes[node].inputs[slot] = masked;
    return TSLIM_OK;
}

static tslim_status mask_graph(
    const tslim_channel_groups *groups, const uint8_t *removed, bool spoil, tslim_graph *graph) {
    const tsl_atoms *atoms = groups->atoms;
    for (uint32_t l = 0; l < atoms->n_layers; l++) {
        const tsl_layer *layer = &atoms->layers[l];
        if (layer->depthwise || tsl_atoms_kept(atoms, layer->in, layer->n_in, removed) == layer->n_in)
            continue;
        TSL_TRY(mask_input(graph, atoms, layer, removed, spoil));
    }
    return tsl_graph_sort(graph);
}

// ---- Running both ----

typedef struct run {
    tslim_session *session;
    tslim_tensor *outputs;
    uint32_t n_outputs;
} run;

static tslim_status run_graph(const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes,
    const tslim_tensor *inputs, uint32_t n_inputs, run *r) {
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = shapes;
    options.n_shapes = n_shapes;
    TSL_TRY(tslim_session_create(graph, &options, &r->session));
    r->n_outputs = tslim_session_output_count(r->session);
    r->outputs = calloc(r->n_outputs, sizeof(*r->outputs));
    return tslim_session_run(r->session, inputs, n_inputs, r->outputs, r->n_outputs);
}

static tslim_status make_inputs(const tsl_atoms *atoms, tsl_rng *rng, tslim_tensor *inputs) {
    for (uint32_t i = 0; i < atoms->graph->n_inputs; i++) {
        const tsl_value *value = &atoms->graph->values[atoms->graph->inputs[i]];
        uint64_t elements;
        TSL_TRY(tsl_shape_elements(atoms->ctx, &value->shape, &elements));
        inputs[i] = (tslim_tensor){
            .dtype = value->dtype, .rank = value->shape.rank, .bytes = elements * sizeof(float)};
        memcpy(inputs[i].dims, value->shape.dims, sizeof(inputs[i].dims));
        float *data = inputs[i].data = malloc(inputs[i].bytes + 1);
        for (uint64_t e = 0; e < elements; e++) data[e] = (float)tsl_rng_normal(rng);
    }
    return TSLIM_OK;
}

static double output_error(const tslim_tensor *a, const tslim_tensor *b) {
    if (a->rank != b->rank || memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) != 0) return INFINITY;
    size_t count = 1;
    double largest = 0, difference = 0;
    for (uint32_t d = 0; d < a->rank; d++) count *= (size_t)a->dims[d];
    for (size_t i = 0; i < count; i++) {
        double x = ((const float *)a->data)[i], y = ((const float *)b->data)[i];
        if (isnan(x) != isnan(y)) return INFINITY;
        if (isnan(x)) continue;
        largest = fmax(largest, fabs(x));
        difference = fmax(difference, fabs(x - y));
    }
    return difference > 0 ? difference / largest : 0;
}

static tslim_status compare(const tslim_graph *masked, const tslim_graph *pruned, const tsl_atoms *atoms,
    const tslim_input_shape *shapes, uint32_t n_shapes, tsl_rng *rng, pruning_proof *proof) {
    uint32_t n_inputs = atoms->graph->n_inputs;
    tslim_tensor *inputs = calloc((size_t)n_inputs + 1, sizeof(*inputs));
    run a = {0}, b = {0};
    tslim_status status = make_inputs(atoms, rng, inputs);
    if (status == TSLIM_OK) status = run_graph(masked, shapes, n_shapes, inputs, n_inputs, &a);
    if (status == TSLIM_OK) status = run_graph(pruned, shapes, n_shapes, inputs, n_inputs, &b);
    for (uint32_t i = 0; status == TSLIM_OK && i < a.n_outputs; i++)
        if (a.outputs[i].dtype == TSLIM_DTYPE_FLOAT)
            proof->error = fmax(proof->error, output_error(&a.outputs[i], &b.outputs[i]));
    tslim_session_destroy(a.session);
    tslim_session_destroy(b.session);
    free(a.outputs);
    free(b.outputs);
    for (uint32_t i = 0; i < n_inputs; i++) free(inputs[i].data);
    free(inputs);
    return status;
}

// The sums that plans are made with, against what is measured.
static tslim_status check_foretold(const tslim_graph *graph, tslim_graph *pruned,
    const tslim_channel_groups *groups, const uint8_t *removed, const tslim_input_shape *shapes,
    uint32_t n_shapes) {
    tslim_graph_totals before = {.struct_size = sizeof(before)}, after = before;
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = tslim_graph_measure(copy, shapes, n_shapes, &before);
    tslim_graph_destroy(copy);
    TSL_TRY(status);
    TSL_TRY(tslim_graph_measure(pruned, shapes, n_shapes, &after));
    uint8_t *none = calloc((size_t)groups->atoms->n_atoms + 1, 1);
    uint64_t gone = tsl_groups_macs(groups, none) - tsl_groups_macs(groups, removed);
    free(none);
    TSL_REQUIRE(after.macs + gone == before.macs, TSLIM_ERROR_INTERNAL,
        "%" PRIu64 " MACs are left of %" PRIu64 ", but %" PRIu64 " were to go", after.macs, before.macs,
        gone);
    return TSLIM_OK;
}

static tslim_status prove(const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes,
    double ratio, uint64_t seed, bool spoil, pruning_proof *proof) {
    tsl_rng rng;
    tslim_channel_groups *groups;
    tslim_graph *masked = NULL, *pruned = NULL;
    *proof = (pruning_proof){0};
    tsl_rng_seed(&rng, seed);
    TSL_TRY(tslim_channel_groups_find(graph, shapes, n_shapes, &groups));
    uint8_t *removed = choose_units(groups, ratio, &rng, proof);
    tslim_status status = removed ? tslim_graph_clone(graph, &masked) : tsl_no_memory(1);
    if (status == TSLIM_OK) status = mask_graph(groups, removed, spoil, masked);
    if (status == TSLIM_OK) status = tslim_graph_clone(graph, &pruned);
    if (status == TSLIM_OK) status = tsl_prune_removed(pruned, groups, removed);
    if (status == TSLIM_OK) status = check_foretold(graph, pruned, groups, removed, shapes, n_shapes);
    if (status == TSLIM_OK) status = compare(masked, pruned, groups->atoms, shapes, n_shapes, &rng, proof);
    free(removed);
    tslim_graph_destroy(masked);
    tslim_graph_destroy(pruned);
    tslim_channel_groups_destroy(groups);
    return status;
}

tslim_status prove_pruning(const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes,
    double ratio, uint64_t seed, pruning_proof *proof) {
    return prove(graph, shapes, n_shapes, ratio, seed, false, proof);
}

tslim_status spoil_pruning_proof(
    const tslim_graph *graph, double ratio, uint64_t seed, pruning_proof *proof) {
    return prove(graph, NULL, 0, ratio, seed, true, proof);
}
