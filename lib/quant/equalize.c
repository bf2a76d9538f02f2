// SPDX-License-Identifier: Apache-2.0
// Puts the factors of channel sets into the graph: into the weights of products on both sides, into the
// constants of a Mul or Add at the end of a chain of functions, or as a new Mul behind it.
#include "quant/equalize.h"

#include <math.h>
#include <string.h>

#include "quant/product.h"

// The noise must become smaller by these factors: a multiplication behind a function is work, one within
// weights is none.
#define LEAST_GAIN_INSERTED 4
#define LEAST_GAIN_FOLDED 1.02

typedef struct equalizer {
    tslim_graph *graph;
    const tslim_calibration *calibration;
    tsl_arena *arena;
    tsl_channel_set *sets; // of the values before
    uint32_t n_values, n_nodes; // before
    tsl_uses uses; // before
    float **factors; // of each root that is scaled
} equalizer;

static const float *factors_of(const equalizer *e, uint32_t value) {
    return value < e->n_values ? e->factors[tsl_channel_set_root(e->sets, value)] : NULL;
}

// ---- Functions ----

// `from` (one number, or one for each channel; NULL: 1) times the factors, as a constant that broadcasts
// along the channels of `like`.
static tslim_status add_factors(
    equalizer *e, uint32_t like, const float *from, size_t step, const char *name, uint32_t *id) {
    const tsl_channel_set *set = &e->sets[tsl_channel_set_root(e->sets, like)];
    const float *factors = factors_of(e, like);
    uint32_t rank = set->channels_last ? 1 : e->graph->values[like].shape.rank - 1;
    int64_t dims[TSLIM_MAX_RANK] = {(int64_t)set->channels, 1, 1, 1, 1, 1, 1, 1};
    void *data;
    TSL_TRY(tsl_graph_add_constant(e->graph, name, TSLIM_DTYPE_FLOAT, rank, dims, id, &data));
    for (uint32_t i = 0; i < set->channels; i++)
        ((float *)data)[i] = (from ? from[i * step] : 1) * factors[i];
    return TSLIM_OK;
}

// Multiplies constant operand `operand` of node n.
static tslim_status scale_constant(equalizer *e, uint32_t n, uint32_t operand, uint32_t like) {
    const tsl_value *old = &e->graph->values[e->graph->nodes[n].inputs[operand]];
    uint32_t id;
    TSL_TRY(add_factors(e, like, old->data, old->bytes == sizeof(float) ? 0 : 1, old->name, &id));
    e->graph->nodes[n].inputs[operand] = id;
    return TSLIM_OK;
}

// Which operand of a Mul or Add is its constant; TSL_NONE where it is no such node.
static uint32_t constant_operand(const equalizer *e, uint32_t n, tsl_op op) {
    if (n == TSL_NONE || e->graph->nodes[n].op != op || e->graph->nodes[n].n_inputs != 2) return TSL_NONE;
    uint32_t argument = tsl_function_argument(e->graph, &e->graph->nodes[n]);
    if (argument == TSL_NONE) return TSL_NONE;
    return e->graph->nodes[n].inputs[0] == argument ? 1 : 0;
}

// A Mul between `value` (of a node before the rewriting) and its readers.
static tslim_status insert_mul(equalizer *e, uint32_t value, uint32_t like) {
    uint32_t inputs[2] = {TSL_NONE, TSL_NONE}, node, before;
    TSL_TRY(add_factors(e, like, NULL, 0, NULL, &inputs[1]));
    TSL_TRY(tsl_graph_add_value(e->graph, NULL, TSLIM_DTYPE_FLOAT, &before));
    e->graph->values[before].shape = e->graph->values[value].shape;
    uint32_t producer = e->graph->values[value].producer;
    e->graph->nodes[producer].outputs[0] = before;
    e->graph->values[before].producer = producer;
    inputs[0] = before;
    return tsl_graph_add_node(e->graph, TSL_OP_MUL, NULL, 2, inputs, 1, &value, &node);
}

// The function whose result is `value` makes it times the factors.
static tslim_status scale_function(equalizer *e, uint32_t value) {
    uint32_t n = e->graph->values[value].producer;
    uint32_t factor = constant_operand(e, n, TSL_OP_MUL), addend = constant_operand(e, n, TSL_OP_ADD);
    if (factor != TSL_NONE) return scale_constant(e, n, factor, value);
    if (addend == TSL_NONE) return insert_mul(e, value, value);
    TSL_TRY(scale_constant(e, n, addend, value));
    uint32_t argument = e->graph->nodes[n].inputs[1 - addend], p = e->graph->values[argument].producer;
    factor = tsl_uses_count(&e->uses, argument) == 1 ? constant_operand(e, p, TSL_OP_MUL) : TSL_NONE;
    return factor != TSL_NONE ? scale_constant(e, p, factor, value) : insert_mul(e, argument, value);
}

// ---- All ----

static bool is_source_product(const equalizer *e, const tsl_node *node, const float **out) {
    *out = node->n_outputs == 1 && node->outputs[0] != TSL_NONE ? factors_of(e, node->outputs[0]) : NULL;
    return *out;
}

static tslim_status scale_node(equalizer *e, uint32_t n) {
    const tsl_node *node = &e->graph->nodes[n];
    tsl_product p;
    const float *out;
    bool scaled = is_source_product(e, node, &out);
    if (tsl_product_read(e->graph, node, &p)) {
        const float *in = node->inputs[0] != TSL_NONE ? factors_of(e, node->inputs[0]) : NULL;
        return in || out ? tsl_product_scale(e->graph, n, in, out) : TSLIM_OK;
    }
    uint32_t argument = tsl_function_argument(e->graph, node);
    if (!scaled || argument == TSL_NONE || factors_of(e, argument)) return TSLIM_OK;
    return scale_function(e, node->outputs[0]);
}

// Under another name: it no longer compares with the float model's.
static tslim_status rename_value(equalizer *e, uint32_t value, uint32_t *id) {
    tslim_graph *graph = e->graph;
    const char *name = tsl_arena_format(&graph->arena, "%s_equalized", graph->values[value].name);
    TSL_REQUIRE_MEMORY(name, strlen(graph->values[value].name));
    TSL_TRY(tsl_graph_add_value(graph, name, TSLIM_DTYPE_FLOAT, id));
    graph->values[*id].shape = graph->values[value].shape;
    uint32_t p = graph->values[value].producer;
    for (uint32_t i = 0; i < graph->nodes[p].n_outputs; i++)
        if (graph->nodes[p].outputs[i] == value) graph->nodes[p].outputs[i] = *id;
    graph->values[*id].producer = p;
    graph->values[value].producer = TSL_NONE;
    tsl_graph_replace_uses(graph, value, *id);
    return TSLIM_OK;
}

static tslim_status choose(equalizer *e) {
    for (uint32_t root = 0; root < e->n_values; root++) {
        const tsl_channel_set *set = &e->sets[root];
        if (set->parent != root || !tsl_channel_set_usable(set)) continue;
        float *factors = tsl_arena_array(e->arena, set->channels, sizeof(float));
        TSL_REQUIRE_MEMORY(factors, set->channels * sizeof(float));
        double gain;
        TSL_TRY(tsl_choose_factors(e->graph, e->calibration, e->arena, e->sets, root, factors, &gain));
        if (gain >= (set->inserts ? LEAST_GAIN_INSERTED : LEAST_GAIN_FOLDED)) e->factors[root] = factors;
    }
    return TSLIM_OK;
}

static tslim_status see_scaled(
    equalizer *e, const char *name, const tsl_channels *channels, const float *factors, tsl_seen *seen) {
    tsl_observer *observer = tsl_arena_alloc(e->arena, sizeof(*observer));
    TSL_REQUIRE_MEMORY(observer, sizeof(*observer));
    tsl_channels_observe_scaled(channels, factors, observer);
    observer->invalid = tsl_calibration_find(e->calibration, name)->invalid;
    *seen = (tsl_seen){.observer = observer, .channels = channels, .factors = factors};
    return TSLIM_OK;
}

static tslim_status rename_all(equalizer *e, const char **names) {
    for (uint32_t v = 0; v < e->n_values; v++) {
        uint32_t id = v;
        if (factors_of(e, v) && e->graph->values[v].producer != TSL_NONE) TSL_TRY(rename_value(e, v, &id));
        names[v] = e->graph->values[id].name;
    }
    TSL_TRY(tsl_graph_compact(e->graph));
    return tsl_graph_sort(e->graph);
}

// `before` are the names by which values were calibrated, `now` those of the same values in the graph.
static tslim_status fill_seen(
    equalizer *e, const char *const *before, const char *const *now, tsl_seen **seen) {
    TSL_TRY(tsl_seen_as_calibrated(e->graph, e->calibration, e->arena, seen));
    for (uint32_t v = 0; v < e->n_values; v++) {
        const tsl_channels *channels = tsl_calibration_find_channels(e->calibration, before[v]);
        uint32_t id = tsl_graph_find_value(e->graph, now[v]);
        if (factors_of(e, v) && channels && id != TSL_NONE)
            TSL_TRY(see_scaled(e, before[v], channels, factors_of(e, v), &(*seen)[id]));
    }
    return TSLIM_OK;
}

static tslim_status equalize(equalizer *e, tsl_seen **seen) {
    const char **before = tsl_arena_array(e->arena, e->n_values, sizeof(*before));
    const char **now = tsl_arena_array(e->arena, e->n_values, sizeof(*now));
    TSL_REQUIRE_MEMORY(before && now ? before : NULL, e->n_values * sizeof(*now));
    for (uint32_t v = 0; v < e->n_values; v++) before[v] = e->graph->values[v].name;
    TSL_TRY(tsl_channel_sets_find(e->graph, e->sets));
    TSL_TRY(tsl_uses_find(e->graph, &e->uses));
    TSL_TRY(choose(e));
    for (uint32_t n = 0; n < e->n_nodes; n++) TSL_TRY(scale_node(e, n));
    TSL_TRY(rename_all(e, now));
    return fill_seen(e, before, now, seen);
}

tslim_status tsl_seen_as_calibrated(
    const tslim_graph *graph, const tslim_calibration *calibration, tsl_arena *arena, tsl_seen **seen) {
    *seen = tsl_arena_array(arena, graph->n_values, sizeof(**seen));
    TSL_REQUIRE_MEMORY(*seen, graph->n_values * sizeof(**seen));
    for (uint32_t v = 0; v < graph->n_values; v++)
        (*seen)[v] = (tsl_seen){.observer = tsl_calibration_find(calibration, graph->values[v].name),
            .channels = tsl_calibration_find_channels(calibration, graph->values[v].name)};
    return TSLIM_OK;
}

tslim_status tsl_equalize(
    tslim_graph *graph, const tslim_calibration *calibration, tsl_arena *arena, tsl_seen **seen) {
    equalizer e = {.graph = graph,
        .calibration = calibration,
        .arena = arena,
        .n_values = graph->n_values,
        .n_nodes = graph->n_nodes};
    e.sets = tsl_arena_array(arena, e.n_values, sizeof(*e.sets));
    e.factors = tsl_arena_array(arena, e.n_values, sizeof(*e.factors));
    TSL_REQUIRE_MEMORY(e.sets && e.factors ? arena : NULL, e.n_values * sizeof(*e.sets));
    tslim_status status = equalize(&e, seen);
    tsl_uses_free(&e.uses);
    return status;
}
