// SPDX-License-Identifier: Apache-2.0
// Functions of one value that follow each other, HardSwish, times a number, plus a number, are one function:
// in INT8 one table. Rounded at its end alone it loses less than rounded after each step.
#include "quant/quantizer.h"

// Of the value before a chain: each of them looks at all.
#define MOST_READERS 8

static bool is_one_number(const tsl_value *value) {
    return value && tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
           value->bytes == sizeof(float) && value->packing == TSL_PACKING_NONE;
}

// The operand of which the node is a function; TSL_NONE when it is none.
static uint32_t find_argument(const tslim_graph *graph, const tsl_node *node) {
    bool binary = node->op == TSL_OP_ADD || node->op == TSL_OP_SUB || node->op == TSL_OP_MUL;
    bool unary = node->op == TSL_OP_SILU || (node->op >= TSL_OP_RELU && node->op <= TSL_OP_NOT);
    if (node->n_outputs != 1 || node->epilogue.residual >= 0) return TSL_NONE;
    if (unary) return node->inputs[0];
    if (!binary || node->n_inputs != 2) return TSL_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        const tsl_value *x = tsl_node_input(graph, node, i), *y = tsl_node_output(graph, node, 0);
        const tsl_value *number = tsl_node_input(graph, node, 1 - i);
        if (x && y && !tsl_value_is_constant(x) && is_one_number(number) &&
            number->shape.rank <= x->shape.rank)
            return node->inputs[i];
    }
    return TSL_NONE;
}

static bool is_function(const tsl_quantizer *q, uint32_t node) {
    return tsl_runs_in_int8(q, node) && find_argument(q->graph, &q->graph->nodes[node]) != TSL_NONE;
}

// The only reader, where that is a function; TSL_NONE otherwise.
static uint32_t next_function(const tsl_quantizer *q, uint32_t node) {
    uint32_t value = q->graph->nodes[node].outputs[0];
    if (tsl_graph_is_output(q->graph, value) || tsl_uses_count(&q->uses, value) != 1) return TSL_NONE;
    uint32_t reader = q->uses.nodes[q->uses.first[value]];
    return is_function(q, reader) ? reader : TSL_NONE;
}

// True where every reader of a value takes it in INT8: then nothing but the table needs the chain.
static bool only_int8_readers(const tsl_quantizer *q, uint32_t value) {
    if (tsl_graph_is_output(q->graph, value)) return false;
    for (uint32_t u = q->uses.first[value]; u < q->uses.first[value + 1]; u++)
        if (!tsl_runs_in_int8(q, q->uses.nodes[u])) return false;
    return true;
}

// The value before a chain is read in INT8 by all others: it is dequantized for this chain alone.
static bool can_start(const tsl_quantizer *q, uint32_t value) {
    if (tsl_uses_count(&q->uses, value) > MOST_READERS || !only_int8_readers(q, value)) return false;
    for (uint32_t u = q->uses.first[value]; u < q->uses.first[value + 1]; u++)
        if (q->chain[q->uses.nodes[u]] != TSL_CHAIN_NONE) return false;
    return true;
}

// ---- Behind a product ----

// A node of a chain that starts at an INT8 product, which then keeps its sums in float: constants for each
// channel are no matter.
static uint32_t chain_after(const tsl_quantizer *q, uint32_t value) {
    if (tsl_graph_is_output(q->graph, value) || tsl_uses_count(&q->uses, value) != 1) return TSL_NONE;
    uint32_t reader = q->uses.nodes[q->uses.first[value]];
    if (!tsl_runs_in_int8(q, reader)) return TSL_NONE;
    return tsl_function_argument(q->graph, &q->graph->nodes[reader]) == value ? reader : TSL_NONE;
}

static bool has_channel_constant(const tsl_quantizer *q, uint32_t n) {
    const tsl_node *node = &q->graph->nodes[n];
    return tsl_function_argument(q->graph, node) != find_argument(q->graph, node);
}

// Functions that a product computes on its sums about as quickly as it looks up a table.
static bool is_quick(tsl_op op) {
    return op == TSL_OP_HARD_SWISH || op == TSL_OP_HARD_SIGMOID || op == TSL_OP_LEAKY_RELU ||
           op == TSL_OP_ADD || op == TSL_OP_SUB || op == TSL_OP_MUL;
}

// Where a table would not do, because functions are not the same for all channels, or where all are quick:
// rounded once, at the end, they lose less.
static void find_product_chain(tsl_quantizer *q, uint32_t product) {
    uint32_t nodes[TSL_LONGEST_CHAIN], length = 0;
    bool by_channel = false, quick = true;
    for (uint32_t at = chain_after(q, q->graph->nodes[product].outputs[0]);
         at != TSL_NONE && length < TSL_LONGEST_CHAIN; at = chain_after(q, q->graph->nodes[at].outputs[0])) {
        nodes[length++] = at;
        by_channel |= has_channel_constant(q, at);
        quick &= is_quick(q->graph->nodes[at].op);
    }
    if (length == 0 || (!by_channel && !quick)) return;
    for (uint32_t i = 0; i < length; i++) q->chain[nodes[i]] = TSL_CHAIN_INSIDE;
    q->to_float[product] = true;
    if (only_int8_readers(q, q->graph->nodes[nodes[length - 1]].outputs[0]))
        q->chain[nodes[length - 1]] = TSL_CHAIN_LAST;
}

void tsl_find_chains(tsl_quantizer *q) {
    for (uint32_t n = 0; n < q->n_nodes; n++)
        if (tsl_runs_in_int8(q, n) && tsl_is_product(q->graph->nodes[n].op)) find_product_chain(q, n);
    for (uint32_t n = 0; n < q->n_nodes; n++) {
        if (q->chain[n] != TSL_CHAIN_NONE || !is_function(q, n)) continue;
        uint32_t last = n, length = 1;
        for (uint32_t next; length < TSL_LONGEST_CHAIN && (next = next_function(q, last)) != TSL_NONE;
             length++)
            last = next;
        if (length < 2 || !can_start(q, find_argument(q->graph, &q->graph->nodes[n])) ||
            !only_int8_readers(q, q->graph->nodes[last].outputs[0]))
            continue;
        for (uint32_t at = n; at != last; at = next_function(q, at)) q->chain[at] = TSL_CHAIN_INSIDE;
        q->chain[n] = TSL_CHAIN_FIRST;
        q->chain[last] = TSL_CHAIN_LAST;
    }
}
