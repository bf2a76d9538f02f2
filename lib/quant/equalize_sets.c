// SPDX-License-Identifier: Apache-2.0
// Which values have their channels scaled together.
#include <math.h>
#include <string.h>

#include "pass/pass.h"
#include "quant/equalize.h"
#include "quant/product.h"

typedef struct finder {
    const tslim_graph *graph;
    tsl_uses uses;
    tsl_channel_set *sets;
} finder;

uint32_t tsl_channel_set_root(const tsl_channel_set *sets, uint32_t value) {
    while (sets[value].parent != value) value = sets[value].parent;
    return value;
}

bool tsl_channel_set_usable(const tsl_channel_set *s) {
    return !s->blocked && s->n_sinks > 0 && s->channels > 1 && s->channels <= TSL_MOST_CHANNELS;
}

static tsl_channel_set *root_of(finder *f, uint32_t value) {
    tsl_channel_set *sets = f->sets;
    while (sets[value].parent != value) value = sets[value].parent = sets[sets[value].parent].parent;
    return &sets[value];
}

static void block(finder *f, uint32_t value) {
    if (value != TSL_NONE) root_of(f, value)->blocked = true;
}

static void block_all(finder *f, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) block(f, node->inputs[i]);
    for (uint32_t i = 0; i < node->n_outputs; i++) block(f, node->outputs[i]);
}

static void set_channels(tsl_channel_set *s, size_t channels, bool last) {
    if (channels == 0 || channels > TSL_MOST_CHANNELS ||
        (s->channels != 0 && (s->channels != channels || s->channels_last != last)))
        s->blocked = true;
    s->channels = (uint32_t)(channels > TSL_MOST_CHANNELS ? 0 : channels);
    s->channels_last = last;
}

static void join(finder *f, uint32_t a, uint32_t b) {
    tsl_channel_set *to = root_of(f, a), *from = root_of(f, b);
    if (to == from) return;
    if (to->channels == 0) {
        to->channels = from->channels;
        to->channels_last = from->channels_last;
    }
    to->blocked |=
        from->blocked ||
        (from->channels != 0 && (from->channels != to->channels || from->channels_last != to->channels_last));
    if (from->ceiling != to->ceiling) {
        to->blocked |= isfinite(from->ceiling) && isfinite(to->ceiling);
        to->ceiling = fminf(from->ceiling, to->ceiling);
    }
    to->n_sinks += from->n_sinks;
    to->inserts |= from->inserts;
    from->parent = to->parent;
}

// ---- Functions of one value ----

static bool is_channel_constant(const tsl_value *value, const tsl_shape *shape) {
    if (!value || !tsl_value_is_constant(value) || value->dtype != TSLIM_DTYPE_FLOAT ||
        value->packing != TSL_PACKING_NONE || !value->shape.known || value->shape.rank > shape->rank)
        return false;
    uint32_t wide = 0;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        int64_t dim = value->shape.dims[i];
        uint32_t axis = shape->rank - value->shape.rank + i;
        if (dim == 1) continue;
        if (dim != shape->dims[axis] || (axis != 1 && axis + 1 != shape->rank)) return false;
        wide++;
    }
    return wide <= 1;
}

uint32_t tsl_function_argument(const tslim_graph *graph, const tsl_node *node) {
    bool binary = node->op == TSL_OP_ADD || node->op == TSL_OP_SUB || node->op == TSL_OP_MUL;
    bool unary = node->op == TSL_OP_SILU || (node->op >= TSL_OP_RELU && node->op <= TSL_OP_NOT);
    if (node->n_outputs != 1 || node->epilogue.residual >= 0) return TSL_NONE;
    if (unary && node->op != TSL_OP_PRELU) return node->inputs[0];
    if (!binary || node->n_inputs != 2) return TSL_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        const tsl_value *x = tsl_node_input(graph, node, i);
        if (!x || tsl_value_is_constant(x) || !x->shape.known) continue;
        if (is_channel_constant(tsl_node_input(graph, node, 1 - i), &x->shape)) return node->inputs[i];
    }
    return TSL_NONE;
}

static bool is_product_op(tsl_op op) {
    return op == TSL_OP_CONV || op == TSL_OP_CONV_TRANSPOSE || op == TSL_OP_GEMM || op == TSL_OP_MATMUL;
}

uint32_t tsl_chain_product(const tslim_graph *graph, const tsl_uses *uses, uint32_t value) {
    for (uint32_t length = 0; length <= 8; length++) {
        uint32_t p = graph->values[value].producer;
        if (p == TSL_NONE) return TSL_NONE;
        if (is_product_op(graph->nodes[p].op)) return p;
        value = tsl_function_argument(graph, &graph->nodes[p]);
        if (value == TSL_NONE || tsl_uses_count(uses, value) != 1 || tsl_graph_is_output(graph, value))
            return TSL_NONE;
    }
    return TSL_NONE;
}

// ---- What each node does to factors ----

// A clamp at 0 does not mind; one from above becomes the set's ceiling.
static void visit_clamp(finder *f, const tsl_node *node) {
    const tsl_epilogue *e = &node->epilogue;
    tsl_channel_set *s = root_of(f, node->outputs[0]);
    if (!e->clamp) return;
    if (e->lo != 0 && isfinite(e->lo)) s->blocked = true;
    if (!isfinite(e->hi)) return;
    if (e->hi <= 0 || (isfinite(s->ceiling) && s->ceiling != e->hi)) s->blocked = true;
    s->ceiling = e->hi;
}

static void visit_product(finder *f, const tsl_node *node) {
    tsl_product p;
    if (!tsl_product_read(f->graph, node, &p)) {
        block_all(f, node);
        return;
    }
    tsl_channel_set *in = root_of(f, node->inputs[0]);
    set_channels(in, p.groups * p.n_in, p.channels_last);
    in->n_sinks++;
    uint32_t output = node->outputs[0];
    set_channels(root_of(f, output), p.groups * p.n_out, p.channels_last);
    if (node->epilogue.residual >= 0) join(f, output, node->inputs[node->epilogue.residual]);
    visit_clamp(f, node);
}

static bool same_channels(const finder *f, uint32_t a, uint32_t b) {
    const tsl_shape *x = &f->graph->values[a].shape, *y = &f->graph->values[b].shape;
    return x->known && y->known && x->rank == y->rank && x->rank >= 3 && x->dims[1] > 0 &&
           x->dims[1] == y->dims[1];
}

// Functions of planes: each channel by itself, and homogeneous.
static void visit_planes(finder *f, const tsl_node *node) {
    uint32_t in = node->inputs[0], out = node->outputs[0];
    if (!same_channels(f, in, out) || node->n_outputs != 1) {
        block_all(f, node);
        return;
    }
    join(f, in, out);
    set_channels(root_of(f, in), (size_t)f->graph->values[in].shape.dims[1], false);
}

static bool same_shape(const tslim_graph *graph, uint32_t a, uint32_t b) {
    const tsl_shape *x = &graph->values[a].shape, *y = &graph->values[b].shape;
    if (!x->known || !y->known || x->rank != y->rank) return false;
    for (uint32_t i = 0; i < x->rank; i++)
        if (x->dims[i] != y->dims[i] && x->dims[i] >= 0 && y->dims[i] >= 0) return false;
    for (uint32_t i = 0; i < x->rank; i++) // 1 against what is not known may be broadcast
        if (x->dims[i] != y->dims[i] && (x->dims[i] == 1 || y->dims[i] == 1)) return false;
    return true;
}

static bool is_activation(const finder *f, uint32_t value) {
    return value != TSL_NONE && !tsl_value_is_constant(&f->graph->values[value]);
}

static void visit_sum(finder *f, const tsl_node *node) {
    uint32_t a = node->inputs[0], b = node->inputs[1];
    if (!is_activation(f, a) || !is_activation(f, b) || !same_shape(f->graph, a, b)) {
        block_all(f, node);
        return;
    }
    join(f, a, b);
    join(f, a, node->outputs[0]);
    visit_clamp(f, node);
}

// One number for each plane.
static bool is_gate(const tsl_shape *gate, const tsl_shape *x) {
    if (!gate->known || !x->known || gate->rank != x->rank || gate->rank < 3) return false;
    for (uint32_t i = 2; i < gate->rank; i++)
        if (gate->dims[i] != 1) return false;
    bool larger = false;
    for (uint32_t i = 2; i < x->rank; i++) larger |= x->dims[i] != 1;
    return larger && gate->dims[1] == x->dims[1];
}

// A value times its gate, as in squeeze-excite blocks: the factor passes, the gate has none.
static void visit_gate(finder *f, const tsl_node *node) {
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t x = node->inputs[i], gate = node->inputs[1 - i];
        if (!is_activation(f, x) || !is_activation(f, gate) ||
            !is_gate(&f->graph->values[gate].shape, &f->graph->values[x].shape))
            continue;
        block(f, gate);
        join(f, x, node->outputs[0]);
        visit_clamp(f, node);
        return;
    }
    block_all(f, node);
}

// A multiplication can be put behind a function that ends a chain from a product: then that is one step.
static void visit_function(finder *f, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) block(f, node->inputs[i]);
    uint32_t output = node->outputs[0];
    if (node->epilogue.clamp || tsl_chain_product(f->graph, &f->uses, output) == TSL_NONE)
        block(f, output);
    else
        root_of(f, output)->inserts = true;
}

static bool pads_with_zero(const tslim_graph *graph, const tsl_node *node) {
    const tsl_value *filling = tsl_node_input(graph, node, 2);
    float value = tsl_attrs_float(&node->attrs, TSL_ATTR_value, 0);
    if (filling && !tsl_constant_scalar(filling, &value)) return false;
    return value == 0 && strcmp(tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "constant"), "constant") == 0;
}

static void visit(finder *f, const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        visit_product(f, node);
        return;
    case TSL_OP_RELU:
    case TSL_OP_LEAKY_RELU:
        if (f->graph->values[node->inputs[0]].shape.rank >= 3)
            visit_planes(f, node);
        else
            visit_function(f, node);
        return;
    case TSL_OP_PAD:
        if (!pads_with_zero(f->graph, node)) {
            block_all(f, node);
            return;
        }
        visit_planes(f, node);
        return;
    case TSL_OP_MAX_POOL:
    case TSL_OP_AVERAGE_POOL:
    case TSL_OP_GLOBAL_AVERAGE_POOL:
    case TSL_OP_GLOBAL_MAX_POOL:
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
        visit_planes(f, node);
        return;
    default:
        break;
    }
    if (tsl_function_argument(f->graph, node) != TSL_NONE)
        visit_function(f, node);
    else if (node->op == TSL_OP_ADD || node->op == TSL_OP_SUB)
        visit_sum(f, node);
    else if (node->op == TSL_OP_MUL)
        visit_gate(f, node);
    else
        block_all(f, node);
}

static void find(finder *f) {
    const tslim_graph *graph = f->graph;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tsl_value *value = &graph->values[v];
        f->sets[v] = (tsl_channel_set){.parent = v, .ceiling = INFINITY};
        f->sets[v].blocked = value->dtype != TSLIM_DTYPE_FLOAT || !value->shape.known ||
                             value->producer == TSL_NONE || tsl_graph_is_output(graph, v);
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) visit(f, &graph->nodes[n]);
}

tslim_status tsl_channel_sets_find(const tslim_graph *graph, tsl_channel_set *sets) {
    finder f = {.graph = graph, .sets = sets};
    TSL_TRY(tsl_uses_find(graph, &f.uses));
    find(&f);
    tsl_uses_free(&f.uses);
    return TSLIM_OK;
}
