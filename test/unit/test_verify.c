// SPDX-License-Identifier: Apache-2.0
// The verifier: a sound graph passes, and each rule, broken alone, is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ir/graph.h"
#include "support/small_network.h"

static uint32_t first_constant(const tslim_graph *graph) {
    uint32_t id = 0;
    while (!tsl_value_is_constant(&graph->values[id])) id++;
    return id;
}

static uint32_t find_op(const tslim_graph *graph, tsl_op op) {
    uint32_t n = 0;
    while (graph->nodes[n].op != op) n++;
    return n;
}

static void break_value_name(tslim_graph *g) {
    g->values[2].name = "";
}
static void break_value_name_twice(tslim_graph *g) {
    g->values[2].name = g->values[1].name;
}
static void break_rank(tslim_graph *g) {
    g->values[g->inputs[0]].shape.rank = TSLIM_MAX_RANK + 1;
}
static void break_dim(tslim_graph *g) {
    g->values[g->inputs[0]].shape.dims[1] = -2;
}
static void break_producer(tslim_graph *g) {
    g->values[g->nodes[0].outputs[0]].producer = g->n_nodes;
}
static void break_wrong_producer(tslim_graph *g) {
    g->values[g->nodes[0].outputs[0]].producer = 1;
}
static void break_constant_size(tslim_graph *g) {
    g->values[first_constant(g)].bytes -= 4;
}
static void break_constant_shape(tslim_graph *g) {
    g->values[first_constant(g)].shape.dims[0] = -1;
}
static void break_constant_type(tslim_graph *g) {
    g->values[first_constant(g)].dtype = TSLIM_DTYPE_STRING;
}
static void break_constant_producer(tslim_graph *g) {
    g->values[first_constant(g)].producer = 0;
}
static void break_constant_place(tslim_graph *g) {
    tsl_value *value = &g->values[first_constant(g)];
    value->data = (const char *)value->data + 4;
}
static void break_constant_alignment(tslim_graph *g) {
    tsl_value *value = &g->values[first_constant(g)];
    value->data = (const char *)value->data + 2;
    value->shape.dims[0] = 1; // smaller, so that it still lies within its buffer
    value->bytes = 4;
    for (uint32_t i = 0; i < value->shape.rank; i++) value->shape.dims[i] = 1;
}
static void break_scales(tslim_graph *g) {
    static const float scales[2] = {1, 2};
    g->values[first_constant(g)].quant = (tsl_quant){.scales = scales, .n_scales = 2, .axis = 0};
}
static void break_scale_axis(tslim_graph *g) {
    static const float scales[2] = {1, 2};
    g->values[first_constant(g)].quant = (tsl_quant){.scales = scales, .n_scales = 2, .axis = -1};
}
static void break_node_name(tslim_graph *g) {
    g->nodes[1].name = g->nodes[0].name;
}
static void break_node_op(tslim_graph *g) {
    g->nodes[1].op = TSL_OP_COUNT;
}
static void break_input_count(tslim_graph *g) {
    g->nodes[0].n_inputs = 1;
}
static void break_input_absent(tslim_graph *g) {
    g->nodes[0].inputs[1] = TSL_NONE;
}
static void break_input_range(tslim_graph *g) {
    g->nodes[0].inputs[1] = g->n_values;
}
static void break_order(tslim_graph *g) {
    g->nodes[0].inputs[0] = g->outputs[0];
}
static void break_output_range(tslim_graph *g) {
    g->nodes[0].outputs[0] = g->n_values;
}
static void break_output_twice(tslim_graph *g) {
    g->nodes[1].outputs[0] = g->nodes[0].outputs[0];
}
static void break_output_count(tslim_graph *g) {
    g->nodes[g->n_nodes - 1].n_outputs = 0;
}
static void break_residual(tslim_graph *g) {
    g->nodes[0].epilogue.residual = 2;
}
static void break_clamp(tslim_graph *g) {
    g->nodes[0].epilogue = (tsl_epilogue){.residual = -1, .clamp = true, .lo = 1.0f};
}
static void break_graph_input(tslim_graph *g) {
    g->inputs[0] = g->n_values;
}
static void break_graph_input_made(tslim_graph *g) {
    g->inputs[0] = g->outputs[0];
}
static void break_graph_output(tslim_graph *g) {
    g->outputs[0] = g->n_values;
}
static void break_attr(tslim_graph *g) {
    tsl_attr *attr = &g->nodes[find_op(g, TSL_OP_CONV)].attrs.items[0];
    attr->type = TSL_ATTR_TYPE_TENSOR;
    attr->i = g->inputs[0];
}
// A value that says a node makes it, and the node does not know.
static void break_unmade(tslim_graph *g) {
    uint32_t id;
    assert_int_equal(tsl_graph_add_value(g, "orphan", TSLIM_DTYPE_FLOAT, &id), TSLIM_OK);
    g->values[id].producer = 0;
}
static void break_output_unmade(tslim_graph *g) {
    assert_int_equal(tsl_graph_add_value(g, "orphan", TSLIM_DTYPE_FLOAT, &g->outputs[0]), TSLIM_OK);
}

static const struct {
    void (*break_rule)(tslim_graph *graph);
    const char *message;
} rules[] = {
    {break_value_name, "value 2 has no name"},
    {break_value_name_twice, "is another value's"},
    {break_rank, "has rank 9"},
    {break_dim, "dim 1 of value 'input' is -2"},
    {break_producer, "is made by node"},
    {break_wrong_producer, "which something else makes too"},
    {break_constant_size, "bytes for"},
    {break_constant_shape, "is not known"},
    {break_constant_type, "is of type string"},
    {break_constant_producer, "has a producer"},
    {break_constant_place, "is not within its buffer"},
    {break_constant_alignment, "is not aligned to 4 bytes"},
    {break_scales, "2 scales for"},
    {break_scale_axis, "2 scales along axis -1"},
    {break_node_name, "two nodes are named"},
    {break_node_op, "has operator number"},
    {break_input_count, "has 1 operands, not 2 to 4"},
    {break_input_absent, "operand 1 of node"},
    {break_input_range, "reads value"},
    {break_order, "before it is made"},
    {break_output_range, "makes value"},
    {break_output_twice, "which something else makes too"},
    {break_output_count, "has 0 results"},
    {break_residual, "adds operand 2 of 2"},
    {break_clamp, "clamps to 1..0"},
    {break_graph_input, "graph input 0 is value"},
    {break_graph_input_made, "is made by a node"},
    {break_graph_output, "graph output 0 is value"},
    {break_attr, "not a constant"},
    {break_unmade, "does not make value 'orphan'"},
    {break_output_unmade, "graph output 'orphan' is made by nobody"},
};

static void test_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        tslim_context *ctx;
        tslim_graph *graph;
        assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
        assert_int_equal(small_network_create(ctx, 1, &graph), TSLIM_OK);
        assert_int_equal(tsl_graph_verify(graph, TSLIM_ERROR_BAD_FILE), TSLIM_OK);
        rules[i].break_rule(graph);
        tslim_status status = tsl_graph_verify(graph, TSLIM_ERROR_BAD_FILE);
        if (status == TSLIM_OK) fail_msg("rule %zu (%s) is not checked", i, rules[i].message);
        if (!strstr(tsl_message(), rules[i].message))
            fail_msg("rule %zu: '%s' is not in '%s'", i, rules[i].message, tsl_message());
        assert_true(status == TSLIM_ERROR_BAD_FILE || rules[i].break_rule == break_rank);
        tslim_graph_destroy(graph);
        tslim_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
