// SPDX-License-Identifier: Apache-2.0
// In INT8 a function of one value is a table of 256 bytes, and a chain of functions is again one: HardSwish,
// times a number, plus a number. The node that makes the chain's operand looks its results up while they are
// still in the nearest cache. The tables are found by running the nodes themselves over all values that a
// byte can have, so that the result is the same to the bit. Functions in float between Dequantize and
// Quantize become one table too: that is how a chain is rounded once instead of after each step.
#include <string.h>

#include "pass/pass.h"

#define TABLE_SIZE 256
#define LONGEST_CHAIN 16 // Dequantize and Quantize included

typedef struct table_fuser {
    tslim_graph *graph;
    tsl_uses uses;
    tsl_evaluate_node evaluate;
    void *user;
} table_fuser;

// Products, and functions of one value themselves.
static bool can_carry(const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
    case TSL_OP_SILU:
        return true;
    default:
        return node->op >= TSL_OP_RELU && node->op <= TSL_OP_NOT;
    }
}

static bool is_elementwise(tsl_op op) {
    return (op >= TSL_OP_RELU && op <= TSL_OP_NOT) || (op >= TSL_OP_ADD && op <= TSL_OP_MOD) ||
           op == TSL_OP_SILU;
}

static bool is_quantized(const tsl_value *value) {
    return value->dtype == TSLIM_DTYPE_INT8 && value->quant.scales && value->quant.n_scales == 1;
}

static bool same_dims(const tsl_shape *a, const tsl_shape *b) {
    return a->known && b->known && a->rank == b->rank &&
           memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

static bool is_one_number(const tsl_value *value) {
    return tsl_value_is_constant(value) && value->bytes == tslim_dtype_size(value->dtype) &&
           value->packing == TSL_PACKING_NONE;
}

// The operand of which the node is a function: all others are single constants. TSL_NONE when it is none.
static uint32_t find_argument(const tslim_graph *graph, const tsl_node *node) {
    uint32_t argument = TSL_NONE;
    if (!is_elementwise(node->op) || node->n_outputs != 1 || node->epilogue.residual >= 0 ||
        node->epilogue.table)
        return TSL_NONE;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *value = tsl_node_input(graph, node, i);
        if (!value || is_one_number(value)) continue;
        if (argument != TSL_NONE) return TSL_NONE;
        argument = node->inputs[i];
    }
    if (argument == TSL_NONE) return TSL_NONE;
    const tsl_value *x = &graph->values[argument], *y = tsl_node_output(graph, node, 0);
    return y && same_dims(&x->shape, &y->shape) ? argument : TSL_NONE;
}

static bool is_quantized_function(const tslim_graph *graph, const tsl_node *node, uint32_t argument) {
    return argument != TSL_NONE && is_quantized(&graph->values[argument]) &&
           is_quantized(&graph->values[node->outputs[0]]);
}

// ---- What a function makes of each byte ----

// The constant of all bytes, as the stored numbers of a quantized value.
static tslim_status add_all_bytes(const table_fuser *f, tsl_quant quant, uint32_t *id) {
    static const int64_t dims[4] = {1, 1, 1, TABLE_SIZE};
    void *data;
    TSL_TRY(tsl_graph_add_constant(f->graph, NULL, TSLIM_DTYPE_INT8, 4, dims, id, &data));
    for (int i = 0; i < TABLE_SIZE; i++) ((uint8_t *)data)[i] = (uint8_t)i;
    f->graph->values[*id].quant = quant;
    return TSLIM_OK;
}

// A copy of node `n` with the constant `x` for its argument; evaluated and removed again. `y` is what it
// makes.
static tslim_status evaluate_with(
    const table_fuser *f, uint32_t n, uint32_t argument, uint32_t x, uint32_t *y) {
    tslim_graph *graph = f->graph;
    uint32_t copy;
    const tsl_value *output = &graph->values[graph->nodes[n].outputs[0]];
    TSL_TRY(tsl_graph_add_value(graph, NULL, output->dtype, y));
    graph->values[*y].shape = graph->values[x].shape;
    graph->values[*y].quant = graph->values[graph->nodes[n].outputs[0]].quant;
    const tsl_node *node = &graph->nodes[n];
    TSL_TRY(tsl_graph_add_node(graph, node->op, NULL, node->n_inputs, node->inputs, 1, y, &copy));
    node = &graph->nodes[n]; // the array may have moved
    graph->nodes[copy].attrs = node->attrs;
    graph->nodes[copy].epilogue = node->epilogue;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == argument) graph->nodes[copy].inputs[i] = x;
    tslim_status status = f->evaluate(f->user, graph, copy);
    tsl_graph_remove_node(graph, copy);
    return status;
}

// The table of nodes[0], nodes[1], ... one after the other, where each is the next one's argument.
static tslim_status make_table(const table_fuser *f, const uint32_t *nodes, uint32_t count, uint32_t argument,
    uint8_t table[TABLE_SIZE]) {
    uint32_t x;
    TSL_TRY(add_all_bytes(f, f->graph->values[argument].quant, &x));
    for (uint32_t i = 0; i < count; i++) {
        TSL_TRY(evaluate_with(f, nodes[i], argument, x, &x));
        argument = f->graph->nodes[nodes[i]].outputs[0];
    }
    memcpy(table, f->graph->values[x].data, TABLE_SIZE);
    return TSLIM_OK;
}

// ---- Who looks it up ----

static bool can_take_table(const table_fuser *f, uint32_t value, uint32_t reader) {
    uint32_t p = f->graph->values[value].producer;
    return tsl_single_use(f->graph, &f->uses, value) == reader && p != TSL_NONE &&
           can_carry(&f->graph->nodes[p]) && f->graph->nodes[p].n_outputs == 1;
}

// Node `p`, which makes the argument, looks up its results and makes `output` with that.
static tslim_status append_table(
    const table_fuser *f, uint32_t p, const uint8_t next[TABLE_SIZE], uint32_t output) {
    tslim_graph *graph = f->graph;
    uint8_t *table = tsl_arena_alloc(&graph->arena, TABLE_SIZE);
    TSL_REQUIRE_MEMORY(table, TABLE_SIZE);
    tsl_node *node = &graph->nodes[p];
    tsl_epilogue *epilogue = &node->epilogue;
    if (!epilogue->table) epilogue->table_quant = graph->values[node->outputs[0]].quant;
    for (int i = 0; i < TABLE_SIZE; i++) table[i] = next[epilogue->table ? epilogue->table[i] : i];
    epilogue->table = table;
    node->outputs[0] = output;
    graph->values[output].producer = p;
    return TSLIM_OK;
}

static tslim_status fuse_function(table_fuser *f, uint32_t n) {
    tslim_graph *graph = f->graph;
    uint32_t argument = find_argument(graph, &graph->nodes[n]);
    if (!is_quantized_function(graph, &graph->nodes[n], argument) || !can_take_table(f, argument, n))
        return TSLIM_OK;
    uint8_t table[TABLE_SIZE];
    tslim_status status = make_table(f, &n, 1, argument, table);
    if (status == TSLIM_ERROR_UNSUPPORTED) return TSLIM_OK; // who lowers the node will say so
    TSL_TRY(status);
    uint32_t output = graph->nodes[n].outputs[0];
    tsl_graph_remove_node(graph, n);
    return append_table(f, graph->values[argument].producer, table, output);
}

// ---- Functions between Dequantize and Quantize: rounded once, at the end ----

// Nodes from a Dequantize to the Quantize `n`, in order; their count, 0 when there is no such chain.
static uint32_t find_chain(const table_fuser *f, uint32_t n, uint32_t nodes[LONGEST_CHAIN]) {
    const tslim_graph *graph = f->graph;
    uint32_t count = 0, at = n, argument = graph->nodes[n].inputs[0];
    nodes[LONGEST_CHAIN - ++count] = n;
    while (count < LONGEST_CHAIN) {
        uint32_t producer = graph->values[argument].producer;
        if (producer == TSL_NONE || tsl_single_use(graph, &f->uses, argument) != at) return 0;
        at = producer;
        nodes[LONGEST_CHAIN - ++count] = at;
        const tsl_node *node = &graph->nodes[at];
        if (node->op == TSL_OP_DEQUANTIZE) {
            memmove(nodes, nodes + LONGEST_CHAIN - count, count * sizeof(*nodes));
            return count;
        }
        argument = find_argument(graph, node);
        if (argument == TSL_NONE) return 0;
    }
    return 0;
}

// The chain becomes a table of the node before it, or, where that cannot be, one node with a table.
static tslim_status fuse_chain(table_fuser *f, uint32_t n) {
    tslim_graph *graph = f->graph;
    uint32_t nodes[LONGEST_CHAIN], count = find_chain(f, n, nodes);
    if (count == 0) return TSLIM_OK;
    uint32_t argument = graph->nodes[nodes[0]].inputs[0], output = graph->nodes[n].outputs[0];
    if (!is_quantized(&graph->values[argument]) || !is_quantized(&graph->values[output])) return TSLIM_OK;
    uint8_t table[TABLE_SIZE];
    tslim_status status = make_table(f, nodes, count, argument, table);
    if (status == TSLIM_ERROR_UNSUPPORTED) return TSLIM_OK;
    TSL_TRY(status);
    bool carried = can_take_table(f, argument, nodes[0]);
    uint32_t carrier = carried ? graph->values[argument].producer : n;
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i] != carrier) tsl_graph_remove_node(graph, nodes[i]);
    if (carried) return append_table(f, carrier, table, output);
    // A Clip without bounds hands its operand on to its table.
    const tsl_op_info *info = tsl_op_get_info(TSL_OP_CLIP);
    tsl_node *node = &graph->nodes[n];
    node->op = TSL_OP_CLIP;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs[0] = argument;
    node->epilogue.table_quant = graph->values[argument].quant;
    node->epilogue.table = tsl_arena_copy(&graph->arena, table, sizeof(table));
    TSL_REQUIRE_MEMORY(node->epilogue.table, sizeof(table));
    return TSLIM_OK;
}

tslim_status tsl_pass_fuse_tables(tslim_graph *graph, tsl_evaluate_node evaluate, void *user) {
    table_fuser f = {.graph = graph, .evaluate = evaluate, .user = user};
    TSL_TRY(tsl_uses_find(graph, &f.uses));
    tslim_status status = TSLIM_OK;
    uint32_t n_nodes = graph->n_nodes; // the copies come behind
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++)
        status = graph->nodes[n].op == TSL_OP_QUANTIZE ? fuse_chain(&f, n) : fuse_function(&f, n);
    tsl_uses_free(&f.uses);
    TSL_TRY(status);
    return tsl_graph_compact(graph);
}
