// SPDX-License-Identifier: Apache-2.0
// Which channels of the original are left in the pruned network: told by a plan, or found by looking for the
// original's filters, front to back, so that the channels that a layer reads are known before those it makes.
#include <string.h>

#include "prune/repair.h"

enum { UNKNOWN = 0, KEPT = 1, REMOVED = 2 };

// ---- By weights ----

typedef struct matcher {
    tsl_repair *repair;
    const tsl_atoms *atoms;
    uint8_t *state; // by root
} matcher;

static uint8_t state_of(const matcher *m, const uint32_t *array, size_t index) {
    if (!array || array[index] == TSL_ATOM_FIXED) return KEPT;
    uint32_t root = m->atoms->parent[array[index]];
    return m->atoms->reason[root] ? KEPT : m->state[root];
}

// The weights of the pruned network that the layer's weights became: those that the node of this name reads.
static const tsl_value *find_pruned(const matcher *m, const tsl_layer *layer) {
    const tslim_graph *teacher = m->atoms->graph, *graph = m->repair->graph;
    const tsl_node *node = &teacher->nodes[layer->node];
    uint32_t found = tsl_graph_find_node(graph, node->name);
    if (found == TSL_NONE) return NULL;
    for (uint32_t i = 0; i < node->n_inputs && i < graph->nodes[found].n_inputs; i++)
        if (node->inputs[i] == layer->weight) return tsl_node_input(graph, &graph->nodes[found], i);
    return NULL;
}

// One filter of the teacher, without what it reads of removed channels, against one of the pruned network.
// Axes are walked by an odometer; the output axis stands still.
static bool same_filter(
    const matcher *m, const tsl_layer *layer, const tsl_value *pruned, size_t theirs, size_t ours) {
    const tsl_value *weight = &m->atoms->graph->values[layer->weight];
    const tsl_value_axes *axes = &m->atoms->axes[layer->weight];
    uint32_t rank = weight->shape.rank;
    int64_t index[TSLIM_MAX_RANK] = {0}, cut[TSLIM_MAX_RANK] = {0};
    size_t size = tslim_dtype_size(weight->dtype);
    for (;;) {
        bool kept = true;
        size_t from = 0, to = 0;
        for (uint32_t a = 0; a < rank; a++) {
            bool output = a == layer->weight_axis;
            kept = kept && (output || state_of(m, axes->atoms[a], (size_t)index[a]) == KEPT);
            from = from * (size_t)weight->shape.dims[a] + (output ? theirs : (size_t)index[a]);
            to = to * (size_t)pruned->shape.dims[a] + (output ? ours : (size_t)cut[a]);
        }
        if (kept && (to * size >= pruned->bytes || memcmp((const uint8_t *)weight->data + from * size,
                                                       (const uint8_t *)pruned->data + to * size, size) != 0))
            return false;
        uint32_t a = rank;
        while (a-- > 0) {
            if (a == layer->weight_axis) continue;
            if (state_of(m, axes->atoms[a], (size_t)index[a]) == KEPT) cut[a]++;
            if (++index[a] < weight->shape.dims[a]) break;
            index[a] = cut[a] = 0;
        }
        if (a == UINT32_MAX) return true;
    }
}

// The filters that stay are in their old order: each is the next one of the teacher's that is the same.
static tslim_status match_layer(matcher *m, const tsl_layer *layer) {
    const tsl_node *node = &m->atoms->graph->nodes[layer->node];
    const tsl_value *weight = &m->atoms->graph->values[layer->weight], *pruned = find_pruned(m, layer);
    size_t n_out = (size_t)weight->shape.dims[layer->weight_axis];
    bool open = false;
    for (size_t i = 0; i < n_out; i++) open |= state_of(m, layer->out, i) == UNKNOWN;
    TSL_REQUIRE(pruned, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s' of the original is not in the pruned model",
        node->name);
    char text[2][128];
    TSL_REQUIRE(tsl_value_is_constant(pruned) && pruned->dtype == weight->dtype &&
                    pruned->shape.rank == weight->shape.rank,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s' has weights of %s, the original's are %s", node->name,
        tsl_shape_format(&pruned->shape, text[0], sizeof(text[0])),
        tsl_shape_format(&weight->shape, text[1], sizeof(text[1])));
    if (!open) return TSLIM_OK;
    size_t ours = 0, left = (size_t)pruned->shape.dims[layer->weight_axis];
    for (size_t theirs = 0; theirs < n_out; theirs++) {
        uint8_t known = state_of(m, layer->out, theirs);
        bool same =
            known != REMOVED && ours < left && (known == KEPT || same_filter(m, layer, pruned, theirs, ours));
        ours += same;
        if (known == UNKNOWN) m->state[m->atoms->parent[layer->out[theirs]]] = same ? KEPT : REMOVED;
    }
    TSL_REQUIRE(ours == left, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %zu of its %zu filters are the original's, then one is not: a model that was trained or "
        "repaired since it was pruned needs the plan",
        node->name, ours, left);
    return TSLIM_OK;
}

static tslim_status match_by_weights(tsl_repair *repair, uint8_t *removed) {
    matcher m = {.repair = repair, .atoms = repair->atoms};
    size_t bytes = (size_t)repair->atoms->n_atoms + 1;
    m.state = tsl_allocate_zeroed(repair->ctx, bytes);
    TSL_REQUIRE_MEMORY(m.state, bytes);
    tslim_status status = TSLIM_OK;
    for (uint32_t l = 0; status == TSLIM_OK && l < repair->atoms->n_layers; l++)
        if (repair->atoms->layers[l].weight != TSL_NONE) status = match_layer(&m, &repair->atoms->layers[l]);
    for (uint32_t a = 0; status == TSLIM_OK && a < repair->atoms->n_atoms; a++)
        removed[a] = m.state[a] == REMOVED;
    tsl_free(repair->ctx, m.state, bytes);
    return status;
}

// ---- Together ----

// The shape of one sample for each input.
static tslim_status sample_shapes(tsl_repair *repair, tslim_input_shape **result, uint32_t *n_shapes) {
    const tslim_graph *teacher = repair->teacher;
    tslim_input_shape *shapes =
        tsl_arena_array(&repair->arena, (size_t)teacher->n_inputs + 1, sizeof(*shapes));
    TSL_REQUIRE_MEMORY(shapes, teacher->n_inputs * sizeof(*shapes));
    tsl_runner_options options = {.batch = 1};
    tsl_runner runner;
    TSL_TRY(tsl_runner_init(&runner, teacher, repair->dataset, &options));
    for (uint32_t i = 0; i < runner.n_inputs; i++) {
        const tslim_tensor *data = &runner.data[runner.sources[i]];
        shapes[i] = (tslim_input_shape){.name = teacher->values[teacher->inputs[i]].name, .rank = data->rank};
        memcpy(shapes[i].dims, data->dims, sizeof(shapes[i].dims));
    }
    *n_shapes = runner.n_inputs;
    *result = shapes;
    tsl_runner_clear(&runner);
    return TSLIM_OK;
}

tslim_status tsl_repair_find_channels(tsl_repair *repair) {
    tslim_input_shape *shapes;
    uint32_t n_shapes;
    TSL_TRY(sample_shapes(repair, &shapes, &n_shapes));
    TSL_TRY(tslim_channel_groups_find(repair->teacher, shapes, n_shapes, &repair->groups));
    repair->atoms = repair->groups->atoms;
    repair->removed = tsl_arena_array(&repair->arena, (size_t)repair->atoms->n_atoms + 1, 1);
    TSL_REQUIRE_MEMORY(repair->removed, repair->atoms->n_atoms);
    return TSLIM_OK;
}

tslim_status tsl_repair_match(tsl_repair *repair) {
    TSL_TRY(tsl_repair_find_channels(repair));
    return repair->options->plan ? tsl_plan_match(repair->options->plan, repair->groups, repair->removed)
                                 : match_by_weights(repair, repair->removed);
}

tslim_status tsl_repair_kept(tsl_repair *repair, const char *node, const char *value, bool last_axis,
    uint32_t width, uint32_t **kept) {
    const tsl_atoms *atoms = repair->atoms;
    uint32_t id = tsl_graph_find_value(atoms->graph, value);
    TSL_REQUIRE(id != TSL_NONE && tsl_graph_find_value(repair->teacher, value) != TSL_NONE,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s' makes '%s', which the original does not have", node, value);
    const tsl_shape *shape = &atoms->graph->values[id].shape;
    uint32_t axis = last_axis ? shape->rank - 1 : 1;
    TSL_REQUIRE(shape->known && axis < shape->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' of the original has no axis of channels", value);
    uint32_t dim = (uint32_t)shape->dims[axis], count = 0;
    const uint32_t *array = atoms->axes[id].atoms[axis];
    *kept = tsl_arena_array(&repair->arena, (size_t)dim + 1, sizeof(**kept));
    TSL_REQUIRE_MEMORY(*kept, dim * sizeof(**kept));
    for (uint32_t i = 0; i < dim; i++)
        if (!array || array[i] == TSL_ATOM_FIXED || !repair->removed[atoms->parent[array[i]]])
            (*kept)[count++] = i;
    TSL_REQUIRE(count == width, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s' makes %u channels; of the original's %u, %u should be left", node, width, dim, count);
    return TSLIM_OK;
}
