// SPDX-License-Identifier: Apache-2.0
// The rewriting. A value keeps its name in the form in which its producer makes it; the other form, where
// some reader wants it, is made once by a Quantize or Dequantize node and shared by all such readers. Graph
// inputs and outputs stay float.
#include <string.h>

#include "quant/quantizer.h"

typedef struct converter {
    tsl_quantizer *q;
    tslim_graph *graph;
    uint32_t *as_int8; // of each value: the value that holds it in INT8, or TSL_NONE
    uint32_t *as_float; // the same in float
} converter;

// `value` is stored in INT8 with the scale and zero point that were chosen for `like`.
static tslim_status set_scale(converter *c, uint32_t value, uint32_t like) {
    tslim_graph *graph = c->graph;
    float *scales = tsl_arena_copy(&graph->arena, &c->q->scale[like], sizeof(float));
    TSL_REQUIRE_MEMORY(scales, sizeof(float));
    graph->values[value].dtype = TSLIM_DTYPE_INT8;
    graph->values[value].quant =
        (tsl_quant){.scales = scales, .n_scales = 1, .zero_point = c->q->zero_point[like]};
    return TSLIM_OK;
}

// A value of the same shape; named after the first with an ending.
static tslim_status add_twin(
    tslim_graph *graph, uint32_t value, const char *ending, tslim_dtype dtype, uint32_t *twin) {
    const char *name = tsl_arena_format(&graph->arena, "%s_%s", graph->values[value].name, ending);
    TSL_REQUIRE_MEMORY(name, strlen(ending));
    TSL_TRY(tsl_graph_add_value(graph, name, dtype, twin));
    graph->values[*twin].shape = graph->values[value].shape;
    return TSLIM_OK;
}

// A graph output that an INT8 node makes and INT8 nodes read: the node makes a twin, the output is
// dequantized from it.
static tslim_status split_output(converter *c, uint32_t n, uint32_t output) {
    uint32_t value = c->graph->nodes[n].outputs[output], twin, node;
    TSL_TRY(add_twin(c->graph, value, "quantized", TSLIM_DTYPE_INT8, &twin));
    TSL_TRY(set_scale(c, twin, value));
    c->graph->nodes[n].outputs[output] = twin;
    c->graph->values[twin].producer = n;
    TSL_TRY(tsl_graph_add_node(c->graph, TSL_OP_DEQUANTIZE, NULL, 1, &twin, 1, &value, &node));
    c->as_int8[value] = twin;
    c->as_float[value] = value;
    return TSLIM_OK;
}

// The last function of a chain makes a twin in float, which is rounded to the value.
static tslim_status end_chain(converter *c, uint32_t n) {
    uint32_t value = c->graph->nodes[n].outputs[0], twin, node;
    TSL_TRY(add_twin(c->graph, value, "float", TSLIM_DTYPE_FLOAT, &twin));
    TSL_TRY(set_scale(c, value, value));
    c->graph->nodes[n].outputs[0] = twin;
    c->graph->values[twin].producer = n;
    TSL_TRY(tsl_graph_add_node(c->graph, TSL_OP_QUANTIZE, NULL, 1, &twin, 1, &value, &node));
    c->as_int8[value] = value;
    return TSLIM_OK;
}

// Each value in the form that its producer gives it.
static tslim_status convert_outputs(converter *c, uint32_t n) {
    tsl_chain_place place = c->q->chain[n];
    if (place == TSL_CHAIN_LAST) return end_chain(c, n);
    bool to_float = !tsl_runs_in_int8(c->q, n) || c->q->to_float[n] || place != TSL_CHAIN_NONE;
    for (uint32_t i = 0; i < c->graph->nodes[n].n_outputs; i++) {
        uint32_t value = c->graph->nodes[n].outputs[i];
        if (value == TSL_NONE) continue;
        if (to_float)
            c->as_float[value] = value;
        else if (tsl_graph_is_output(c->graph, value))
            TSL_TRY(split_output(c, n, i));
        else {
            TSL_TRY(set_scale(c, value, value));
            c->as_int8[value] = value;
        }
    }
    return TSLIM_OK;
}

static tslim_status need_int8(converter *c, uint32_t value, uint32_t *id) {
    if (c->as_int8[value] == TSL_NONE) {
        if (tsl_value_is_constant(&c->graph->values[value]))
            TSL_TRY(tsl_quantize_constant(c->graph, value, &c->as_int8[value]));
        else {
            uint32_t node;
            TSL_TRY(add_twin(c->graph, value, "quantized", TSLIM_DTYPE_INT8, &c->as_int8[value]));
            TSL_TRY(set_scale(c, c->as_int8[value], value));
            TSL_TRY(
                tsl_graph_add_node(c->graph, TSL_OP_QUANTIZE, NULL, 1, &value, 1, &c->as_int8[value], &node));
        }
    }
    *id = c->as_int8[value];
    return TSLIM_OK;
}

static tslim_status need_float(converter *c, uint32_t value, uint32_t *id) {
    if (c->as_float[value] == TSL_NONE) {
        uint32_t node;
        TSL_TRY(add_twin(c->graph, value, "dequantized", TSLIM_DTYPE_FLOAT, &c->as_float[value]));
        TSL_TRY(
            tsl_graph_add_node(c->graph, TSL_OP_DEQUANTIZE, NULL, 1, &value, 1, &c->as_float[value], &node));
    }
    *id = c->as_float[value];
    return TSLIM_OK;
}

static tslim_status convert_inputs(converter *c, uint32_t n) {
    bool int8 = tsl_runs_in_int8(c->q, n) && c->q->chain[n] == TSL_CHAIN_NONE;
    uint32_t data = c->graph->nodes[n].inputs[0]; // as it was seen
    for (uint32_t i = 0; i < c->graph->nodes[n].n_inputs; i++) {
        uint32_t value = c->graph->nodes[n].inputs[i], id = value;
        if (value == TSL_NONE) continue;
        if (int8 && tsl_is_data_operand(&c->graph->nodes[n], i))
            TSL_TRY(need_int8(c, value, &id));
        else if (c->as_int8[value] == value)
            TSL_TRY(need_float(c, value, &id));
        c->graph->nodes[n].inputs[i] = id;
    }
    return int8 && tsl_is_product(c->graph->nodes[n].op)
               ? tsl_quantize_weights(c->graph, n, c->q->keep_biases ? NULL : &c->q->seen[data])
               : TSLIM_OK;
}

tslim_status tsl_convert(tsl_quantizer *q) {
    converter c = {.q = q,
        .graph = q->graph,
        .as_int8 = tsl_arena_array(&q->arena, q->n_values, sizeof(uint32_t)),
        .as_float = tsl_arena_array(&q->arena, q->n_values, sizeof(uint32_t))};
    TSL_REQUIRE_MEMORY(c.as_int8 && c.as_float ? q : NULL, q->n_values * sizeof(uint32_t));
    for (uint32_t v = 0; v < q->n_values; v++) {
        c.as_int8[v] = TSL_NONE;
        c.as_float[v] = q->graph->values[v].producer == TSL_NONE ? v : TSL_NONE;
    }
    for (uint32_t n = 0; n < q->n_nodes; n++) TSL_TRY(convert_outputs(&c, n));
    for (uint32_t n = 0; n < q->n_nodes; n++) TSL_TRY(convert_inputs(&c, n));
    TSL_TRY(tsl_graph_compact(q->graph));
    return tsl_graph_sort(q->graph);
}
