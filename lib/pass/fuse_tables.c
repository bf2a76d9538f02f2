// SPDX-License-Identifier: Apache-2.0
// In INT8 a function of one value is a table of 256 bytes, and a chain of functions is again one: HardSwish,
// times a number, plus a number. The node that makes the chain's operand looks its results up while they are
// still in the nearest cache. The tables are found by running the nodes themselves over all values that a
// byte can have, so that the result is the same to the bit.
#include <string.h>

#include "pass/pass.h"

#define TABLE_SIZE 256

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
    bool fits = y && is_quantized(x) && is_quantized(y) && same_dims(&x->shape, &y->shape);
    return fits ? argument : TSL_NONE;
}

// A copy of node `n` whose argument is the constant of all bytes; evaluated and removed again.
static tslim_status run_over_bytes(
    const table_fuser *f, uint32_t n, uint32_t argument, uint8_t table[TABLE_SIZE]) {
    static const int64_t dims[4] = {1, 1, 1, TABLE_SIZE};
    tslim_graph *graph = f->graph;
    uint32_t bytes, result, copy;
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, NULL, TSLIM_DTYPE_INT8, 4, dims, &bytes, &data));
    for (int i = 0; i < TABLE_SIZE; i++) ((uint8_t *)data)[i] = (uint8_t)i;
    graph->values[bytes].quant = graph->values[argument].quant;
    TSL_TRY(tsl_graph_add_value(graph, NULL, TSLIM_DTYPE_INT8, &result));
    tsl_shape_set(&graph->values[result].shape, 4, dims);
    graph->values[result].quant = graph->values[graph->nodes[n].outputs[0]].quant;
    const tsl_node *node = &graph->nodes[n];
    TSL_TRY(tsl_graph_add_node(graph, node->op, NULL, node->n_inputs, node->inputs, 1, &result, &copy));
    node = &graph->nodes[n]; // the array may have moved
    graph->nodes[copy].attrs = node->attrs;
    graph->nodes[copy].epilogue = node->epilogue;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == argument) graph->nodes[copy].inputs[i] = bytes;
    tslim_status status = f->evaluate(f->user, graph, copy);
    tsl_graph_remove_node(graph, copy);
    if (status == TSLIM_OK) memcpy(table, graph->values[result].data, TABLE_SIZE);
    return status;
}

// The node that makes the argument takes over the function's place.
static tslim_status fuse(table_fuser *f, uint32_t n) {
    tslim_graph *graph = f->graph;
    uint32_t argument = find_argument(graph, &graph->nodes[n]);
    if (argument == TSL_NONE || tsl_single_use(graph, &f->uses, argument) != n) return TSLIM_OK;
    uint32_t p = graph->values[argument].producer;
    if (p == TSL_NONE || !can_carry(&graph->nodes[p]) || graph->nodes[p].n_outputs != 1) return TSLIM_OK;
    uint8_t next[TABLE_SIZE];
    tslim_status status = run_over_bytes(f, n, argument, next);
    if (status == TSLIM_ERROR_UNSUPPORTED) return TSLIM_OK; // who lowers the node will say so
    TSL_TRY(status);
    uint8_t *table = tsl_arena_alloc(&graph->arena, TABLE_SIZE);
    TSL_REQUIRE_MEMORY(table, TABLE_SIZE);
    tsl_epilogue *epilogue = &graph->nodes[p].epilogue;
    if (!epilogue->table) epilogue->table_quant = graph->values[argument].quant;
    for (int i = 0; i < TABLE_SIZE; i++) table[i] = next[epilogue->table ? epilogue->table[i] : i];
    epilogue->table = table;
    uint32_t output = graph->nodes[n].outputs[0];
    tsl_graph_remove_node(graph, n);
    graph->nodes[p].outputs[0] = output;
    graph->values[output].producer = p;
    return TSLIM_OK;
}

tslim_status tsl_pass_fuse_tables(tslim_graph *graph, tsl_evaluate_node evaluate, void *user) {
    table_fuser f = {.graph = graph, .evaluate = evaluate, .user = user};
    TSL_TRY(tsl_uses_find(graph, &f.uses));
    tslim_status status = TSLIM_OK;
    uint32_t n_nodes = graph->n_nodes; // the copies come behind
    for (uint32_t n = 0; n < n_nodes && status == TSLIM_OK; n++) status = fuse(&f, n);
    tsl_uses_free(&f.uses);
    TSL_TRY(status);
    return tsl_graph_compact(graph);
}
