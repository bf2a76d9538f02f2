// SPDX-License-Identifier: Apache-2.0
// The layers that repair can change: found in the graph, read as linear maps, written back.
#include <math.h>
#include <string.h>

#include "pass/pass.h"
#include "prune/repair.h"

// ---- Finding ----

static bool has_weights(tsl_op op) {
    return op == TSL_OP_CONV || op == TSL_OP_CONV_TRANSPOSE || op == TSL_OP_GEMM || op == TSL_OP_MATMUL;
}

static bool channels_first(tsl_op op) {
    return op == TSL_OP_CONV || op == TSL_OP_CONV_TRANSPOSE;
}

static const float *floats_of(const tsl_value *value, size_t count) {
    bool right = value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
                 value->packing == TSL_PACKING_NONE && value->bytes == count * sizeof(float);
    return right ? value->data : NULL;
}

// Why the layer's form cannot be repaired; NULL when it can. Fills the site's sizes.
static const char *read_form(const tslim_graph *graph, const tsl_uses *uses, tsl_repair_site *site) {
    const tsl_node *node = &graph->nodes[site->node];
    const tsl_value *weights = tsl_node_input(graph, node, 1);
    if (!weights || !tsl_value_is_constant(weights)) return "its weights are computed";
    if (weights->dtype != TSLIM_DTYPE_FLOAT || weights->packing != TSL_PACKING_NONE)
        return "its weights are not plain float32";
    if (tsl_uses_count(uses, node->inputs[1]) != 1) return "its weights are used elsewhere too";
    if (!tsl_node_input(graph, node, 0) || tsl_value_is_constant(tsl_node_input(graph, node, 0)))
        return "its input is constant";
    const int64_t *dims = weights->shape.dims;
    int64_t group = channels_first(node->op) ? tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1) : 1;
    int64_t taps = 1, depth, width;
    if (channels_first(node->op) ? weights->shape.rank < 3 : weights->shape.rank != 2)
        return "its weights have another rank";
    for (uint32_t i = 2; i < weights->shape.rank; i++) taps *= dims[i];
    if (node->op == TSL_OP_CONV) {
        width = dims[0];
        depth = dims[1] * taps;
    } else if (node->op == TSL_OP_CONV_TRANSPOSE) {
        width = dims[1] * group;
        depth = group > 0 ? dims[0] / group * taps : 0;
    } else {
        bool transposed = node->op == TSL_OP_GEMM && tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0;
        width = dims[transposed ? 0 : 1];
        depth = dims[transposed ? 1 : 0];
        if (node->op == TSL_OP_GEMM && (tsl_attrs_int(&node->attrs, TSL_ATTR_transA, 0) != 0 ||
                                           tsl_attrs_float(&node->attrs, TSL_ATTR_alpha, 1) != 1 ||
                                           tsl_attrs_float(&node->attrs, TSL_ATTR_beta, 1) != 1))
            return "it is a Gemm with factors or a transposed input";
    }
    if (group < 1 || width < 1 || depth < 1 || width % group != 0 || width > UINT32_MAX / 2 ||
        depth > UINT32_MAX / 2)
        return "its weights have another form";
    site->group = (uint32_t)group;
    site->width = (uint32_t)width;
    site->depth = (uint32_t)depth;
    return NULL;
}

// A constant with one number for each channel of a value of this kind, or one for all: [1, C, 1, 1] and the
// like for convolutions, [C] for products.
static bool is_channel_constant(const tsl_value *value, bool first, uint32_t width) {
    if (!floats_of(value, width)) return false;
    uint32_t wide = 0, axis = 0;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        if (value->shape.dims[i] == 1) continue;
        wide++;
        axis = value->shape.rank - 1 - i; // counted from the end
    }
    return width == 1 || (wide == 1 && (first ? axis >= 1 : axis == 0));
}

static bool read_bias(const tslim_graph *graph, const tsl_uses *uses, tsl_repair_site *site) {
    const tsl_node *node = &graph->nodes[site->node];
    site->bias_node = TSL_NONE;
    if (node->op != TSL_OP_MATMUL) {
        const tsl_value *bias = tsl_node_input(graph, node, 2);
        site->bias_node = site->node;
        site->bias_slot = 2;
        if (bias) {
            bool row = floats_of(bias, site->width) &&
                       bias->shape.dims[bias->shape.rank ? bias->shape.rank - 1 : 0] == site->width;
            return row;
        }
    }
    uint32_t reader = tsl_single_use(graph, uses, site->own);
    if (reader == TSL_NONE || graph->nodes[reader].op != TSL_OP_ADD) return true;
    const tsl_node *add = &graph->nodes[reader];
    uint32_t slot = add->inputs[0] == site->own ? 1 : 0;
    if (!is_channel_constant(tsl_node_input(graph, add, slot), channels_first(node->op), site->width))
        return true;
    site->bias_node = reader;
    site->bias_slot = slot;
    site->own = add->outputs[0];
    return true;
}

static void read_batch_norm(const tslim_graph *graph, const tsl_uses *uses, tsl_repair_site *site) {
    uint32_t reader = tsl_single_use(graph, uses, site->own);
    if (reader == TSL_NONE || !channels_first(graph->nodes[site->node].op)) return;
    const tsl_node *node = &graph->nodes[reader];
    if (node->op != TSL_OP_BATCH_NORMALIZATION || node->n_outputs != 1 || node->inputs[0] != site->own ||
        tsl_attrs_int(&node->attrs, TSL_ATTR_training_mode, 0) != 0)
        return;
    for (uint32_t i = 1; i < 5; i++)
        if (!floats_of(tsl_node_input(graph, node, i), site->width)) return;
    site->batch_norm = reader;
    site->own = node->outputs[0];
}

// A Relu or Clip that alone reads the value.
static void read_bounds(
    const tslim_graph *graph, const tsl_uses *uses, uint32_t value, float *lo, float *hi) {
    uint32_t reader = tsl_single_use(graph, uses, value);
    if (reader != TSL_NONE && tsl_clip_bounds(graph, &graph->nodes[reader], lo, hi)) return;
    *lo = -INFINITY;
    *hi = INFINITY;
}

// Whether the original has both values, of one shape: nothing is broadcast.
static bool same_shape(const tsl_atoms *atoms, const char *a, const char *b) {
    uint32_t x = tsl_graph_find_value(atoms->graph, a), y = tsl_graph_find_value(atoms->graph, b);
    if (x == TSL_NONE || y == TSL_NONE) return false;
    const tsl_shape *first = &atoms->graph->values[x].shape, *second = &atoms->graph->values[y].shape;
    bool same = first->known && second->known && first->rank == second->rank;
    for (uint32_t i = 0; same && i < first->rank; i++) same = first->dims[i] == second->dims[i];
    return same;
}

static void read_residual(const tsl_repair *repair, const tsl_uses *uses, tsl_repair_site *site) {
    const tslim_graph *graph = repair->graph;
    uint32_t reader = tsl_single_use(graph, uses, site->own);
    if (reader == TSL_NONE || graph->nodes[reader].op != TSL_OP_ADD) return;
    const tsl_node *add = &graph->nodes[reader];
    uint32_t other = add->inputs[add->inputs[0] == site->own ? 1 : 0];
    if (other == TSL_NONE || other == site->own || tsl_value_is_constant(&graph->values[other])) return;
    if (!same_shape(repair->atoms, graph->values[other].name, graph->values[site->own].name)) return;
    site->sum = add->outputs[0];
    site->other = other;
    read_bounds(graph, uses, site->sum, &site->sum_lo, &site->sum_hi);
}

static void read_site(const tsl_repair *repair, const tsl_uses *uses, tsl_repair_site *site) {
    const tslim_graph *graph = repair->graph;
    const tsl_node *node = &graph->nodes[site->node];
    site->skip = read_form(graph, uses, site);
    if (site->skip) return;
    site->input = node->inputs[0];
    site->own = node->outputs[0];
    if (!read_bias(graph, uses, site)) {
        site->skip = "its bias is not one constant for each channel";
        return;
    }
    read_batch_norm(graph, uses, site);
    read_bounds(graph, uses, site->own, &site->lo, &site->hi);
    read_residual(repair, uses, site);
}

tslim_status tsl_repair_find_sites(tsl_repair *repair) {
    const tslim_graph *graph = repair->graph;
    repair->sites = tsl_arena_array(&repair->arena, (size_t)graph->n_nodes + 1, sizeof(*repair->sites));
    repair->site_of = tsl_arena_array(&repair->arena, (size_t)graph->n_nodes + 1, sizeof(*repair->site_of));
    TSL_REQUIRE_MEMORY(
        repair->sites && repair->site_of ? repair->sites : NULL, graph->n_nodes * sizeof(*repair->sites));
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        repair->site_of[n] = TSL_NONE;
        if (!has_weights(graph->nodes[n].op)) continue;
        const tsl_value *weights = tsl_node_input(graph, &graph->nodes[n], 1);
        if (graph->nodes[n].op == TSL_OP_MATMUL && weights && !tsl_value_is_constant(weights)) continue;
        tsl_repair_site *site = &repair->sites[repair->n_sites];
        *site = (tsl_repair_site){
            .node = n, .batch_norm = TSL_NONE, .bias_node = TSL_NONE, .sum = TSL_NONE, .other = TSL_NONE};
        read_site(repair, &uses, site);
        repair->site_of[n] = repair->n_sites++;
    }
    tsl_uses_free(&uses);
    return TSLIM_OK;
}

// ---- Reading and writing ----

// Where weight `i` of output channel `o` lies.
static size_t weight_index(const tslim_graph *graph, const tsl_repair_site *site, size_t o, size_t i) {
    const tsl_node *node = &graph->nodes[site->node];
    const int64_t *dims = graph->values[node->inputs[1]].shape.dims;
    if (node->op == TSL_OP_CONV_TRANSPOSE) {
        size_t per_group = (size_t)dims[1], channels = (size_t)dims[0] / site->group;
        size_t taps = site->depth / channels;
        size_t in = o / per_group * channels + i / taps;
        return (in * per_group + o % per_group) * taps + i % taps;
    }
    bool rows = node->op == TSL_OP_CONV ||
                (node->op == TSL_OP_GEMM && tsl_attrs_int(&node->attrs, TSL_ATTR_transB, 0) != 0);
    return rows ? o * site->depth + i : i * site->width + o;
}

typedef struct norm {
    const float *gamma, *beta, *mean, *variance;
    double epsilon;
} norm;

static norm read_norm(const tslim_graph *graph, const tsl_repair_site *site) {
    const tsl_node *node = &graph->nodes[site->batch_norm];
    const float *p[4];
    for (uint32_t i = 0; i < 4; i++) p[i] = graph->values[node->inputs[i + 1]].data;
    return (norm){p[0], p[1], p[2], p[3], (double)tsl_attrs_float(&node->attrs, TSL_ATTR_epsilon, 1e-5f)};
}

static double norm_scale(const norm *n, size_t channel) {
    double scale = (double)n->gamma[channel] / sqrt((double)n->variance[channel] + n->epsilon);
    return isfinite(scale) ? scale : 0;
}

static const float *bias_data(const tslim_graph *graph, const tsl_repair_site *site) {
    if (site->bias_node == TSL_NONE) return NULL;
    const tsl_value *bias = tsl_node_input(graph, &graph->nodes[site->bias_node], site->bias_slot);
    return bias ? bias->data : NULL;
}

tslim_status tsl_repair_read_weights(
    const tsl_repair *repair, const tsl_repair_site *site, tsl_repair_weights *w) {
    const tslim_graph *graph = repair->graph;
    const float *from = graph->values[graph->nodes[site->node].inputs[1]].data;
    const float *bias = bias_data(graph, site);
    w->bytes = ((size_t)site->width * site->depth + site->width) * sizeof(double);
    w->weights = tsl_allocate(repair->ctx, w->bytes);
    TSL_REQUIRE_MEMORY(w->weights, w->bytes);
    w->bias = w->weights + (size_t)site->width * site->depth;
    norm n = {0};
    if (site->batch_norm != TSL_NONE) n = read_norm(graph, site);
    for (size_t o = 0; o < site->width; o++) {
        double scale = n.gamma ? norm_scale(&n, o) : 1;
        for (size_t i = 0; i < site->depth; i++)
            w->weights[o * site->depth + i] = scale * (double)from[weight_index(graph, site, o, i)];
        w->bias[o] = scale * (bias ? (double)bias[o] : 0);
        if (n.gamma) w->bias[o] += (double)n.beta[o] - scale * (double)n.mean[o];
    }
    return TSLIM_OK;
}

static uint32_t count_readers(const tslim_graph *graph, uint32_t value) {
    uint32_t count = tsl_graph_is_output(graph, value);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++) count += graph->nodes[n].inputs[i] == value;
    return count;
}

// Memory for new numbers of a constant operand, which keeps its name; one that others read too is left to
// them. *data holds the old numbers at first.
static tslim_status own_constant(
    tslim_graph *graph, uint32_t node, uint32_t slot, uint32_t width, float **data) {
    while (graph->nodes[node].n_inputs <= slot)
        TSL_TRY(tsl_node_add_input(graph, &graph->nodes[node], TSL_NONE));
    uint32_t old = graph->nodes[node].inputs[slot], id = old;
    void *fresh;
    if (old == TSL_NONE) {
        TSL_TRY(tsl_graph_add_constant(
            graph, graph->nodes[node].name, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){width}, &id, &fresh));
    } else {
        tsl_buffer *kept = tsl_buffer_retain(graph->values[old].buffer);
        const void *numbers = graph->values[old].data;
        size_t bytes = graph->values[old].bytes;
        tslim_status status =
            count_readers(graph, old) == 1
                ? tsl_value_new_data(graph, old, bytes, &fresh)
                : tsl_graph_add_constant(graph, graph->values[old].name, TSLIM_DTYPE_FLOAT,
                      graph->values[old].shape.rank, graph->values[old].shape.dims, &id, &fresh);
        if (status == TSLIM_OK) memcpy(fresh, numbers, bytes);
        tsl_buffer_release(kept);
        TSL_TRY(status);
    }
    graph->nodes[node].inputs[slot] = id;
    *data = fresh;
    return TSLIM_OK;
}

// The normalization's own statistics become true of what the layer makes now; gamma and beta give what they
// gave. A channel that had no scale gets one.
static tslim_status write_norm(tsl_repair *repair, const tsl_repair_site *site, const tsl_repair_weights *w,
    const double *mean, const double *deviation, double *scales) {
    norm n = read_norm(repair->graph, site); // until its constants are replaced
    const float *bias = bias_data(repair->graph, site);
    double largest = 0;
    for (size_t o = 0; o < site->width; o++) {
        scales[o] = norm_scale(&n, o);
        largest = fmax(largest, fabs(scales[o]));
    }
    float *p[4];
    for (uint32_t i = 0; i < 4; i++)
        TSL_TRY(own_constant(repair->graph, site->batch_norm, i + 1, site->width, &p[i]));
    for (size_t o = 0; o < site->width; o++) {
        if (fabs(scales[o]) <= 1e-4 * largest) scales[o] = largest > 0 ? largest : 1;
        double variance = deviation[o] * deviation[o] / (scales[o] * scales[o]);
        p[0][o] = (float)(scales[o] * sqrt(variance + n.epsilon));
        p[1][o] = (float)mean[o];
        p[2][o] = (float)((mean[o] - w->bias[o]) / scales[o] + (bias ? (double)bias[o] : 0));
        p[3][o] = (float)variance;
    }
    return TSLIM_OK;
}

static tslim_status write_weights(
    tsl_repair *repair, const tsl_repair_site *site, const tsl_repair_weights *w, const double *scales) {
    tslim_graph *graph = repair->graph;
    float *to;
    // Nobody else reads the weights: they keep their name.
    uint32_t id = graph->nodes[site->node].inputs[1];
    void *data;
    TSL_TRY(tsl_value_new_data(graph, id, graph->values[id].bytes, &data));
    to = data;
    for (size_t o = 0; o < site->width; o++)
        for (size_t i = 0; i < site->depth; i++)
            to[weight_index(graph, site, o, i)] = (float)(w->weights[o * site->depth + i] / scales[o]);
    if (site->batch_norm != TSL_NONE || site->bias_node == TSL_NONE) return TSLIM_OK;
    TSL_TRY(own_constant(graph, site->bias_node, site->bias_slot, site->width, &to));
    for (size_t o = 0; o < site->width; o++) to[o] = (float)w->bias[o];
    return TSLIM_OK;
}

tslim_status tsl_repair_write_weights(tsl_repair *repair, const tsl_repair_site *site,
    const tsl_repair_weights *weights, const double *mean, const double *deviation) {
    size_t bytes = site->width * sizeof(double);
    double *scales = tsl_allocate(repair->ctx, bytes);
    TSL_REQUIRE_MEMORY(scales, bytes);
    for (size_t o = 0; o < site->width; o++) scales[o] = 1;
    tslim_status status = TSLIM_OK;
    if (site->batch_norm != TSL_NONE) status = write_norm(repair, site, weights, mean, deviation, scales);
    if (status == TSLIM_OK) status = write_weights(repair, site, weights, scales);
    tsl_free(repair->ctx, scales, bytes);
    return status;
}
