// SPDX-License-Identifier: Apache-2.0
// The rewriting of models that were quantized elsewhere. A value keeps its name in the form in which its
// producer makes it; the other form, where some reader wants it, is made once and shared. What is left over
// of QuantizeLinear and DequantizeLinear with constant parameters becomes the library's own operators, which
// know them without operands.
#include <string.h>

#include "pass/fold_quantized.h"

typedef struct rewriter {
    tsl_quantized_folder *f;
    tslim_graph *graph;
    uint32_t *as_int8; // of each float value: the value that holds it in INT8, or TSL_NONE
    uint32_t *as_float; // of each value that became INT8: the value that holds it in float, or TSL_NONE
    uint32_t *instead; // of each quantized value of the file: the one that is read in its place
} rewriter;

static tslim_status set_form(tslim_graph *graph, uint32_t value, const tsl_quant_form *form) {
    float *scales = tsl_arena_copy(&graph->arena, &form->scale, sizeof(form->scale));
    TSL_REQUIRE_MEMORY(scales, sizeof(*scales));
    graph->values[value].dtype = TSLIM_DTYPE_INT8;
    graph->values[value].quant = (tsl_quant){.scales = scales, .n_scales = 1, .zero_point = form->zero_point};
    return TSLIM_OK;
}

static tslim_status add_twin(
    tslim_graph *graph, uint32_t value, const char *ending, tslim_dtype dtype, uint32_t *twin) {
    const char *name = tsl_arena_format(&graph->arena, "%s_%s", graph->values[value].name, ending);
    TSL_REQUIRE_MEMORY(name, strlen(ending));
    TSL_TRY(tsl_graph_add_value(graph, name, dtype, twin));
    graph->values[*twin].shape = graph->values[value].shape;
    return TSLIM_OK;
}

// Makes node `n` an operator of the library's own with operand `input` alone.
static void become(tslim_graph *graph, uint32_t n, tsl_op op, uint32_t input) {
    tsl_node *node = &graph->nodes[n];
    const tsl_op_info *info = tsl_op_get_info(op);
    node->op = op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs[0] = input;
    node->n_inputs = 1;
    node->attrs.count = 0;
}

// ---- Constants ----

// The constant behind a DequantizeLinear, as INT8 with its parameters.
static tslim_status add_weights(rewriter *r, const tsl_node *dequantizer, uint32_t *id) {
    tslim_graph *graph = r->graph;
    uint32_t source = dequantizer->inputs[0];
    tsl_quant quant;
    TSL_TRY(tsl_read_weights_parameters(graph, dequantizer, &quant));
    TSL_TRY(add_twin(graph, source, "int8", TSLIM_DTYPE_INT8, id));
    tsl_value *value = &graph->values[*id];
    const tsl_value *from = &graph->values[source];
    value->quant = quant;
    if (from->dtype == TSLIM_DTYPE_INT8) {
        tsl_value_set_data(value, from->buffer, from->data, from->bytes);
        return TSLIM_OK;
    }
    size_t bytes = from->bytes;
    const uint8_t *unsigned_data = from->data;
    void *data;
    TSL_TRY(tsl_value_new_data(graph, *id, bytes, &data));
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)data)[i] = unsigned_data[i] ^ 0x80;
    return TSLIM_OK;
}

// ---- The two forms of a value ----

static tslim_status need_int8(rewriter *r, uint32_t value, uint32_t *id) {
    tslim_graph *graph = r->graph;
    if (r->as_int8[value] == TSL_NONE) {
        const tsl_node *dequantizer = tsl_weights_dequantizer(graph, value);
        if (dequantizer) {
            TSL_TRY(add_weights(r, dequantizer, &r->as_int8[value]));
        } else {
            uint32_t node;
            TSL_TRY(add_twin(graph, value, "quantized", TSLIM_DTYPE_INT8, &r->as_int8[value]));
            TSL_TRY(set_form(graph, r->as_int8[value], &r->f->form[value]));
            TSL_TRY(
                tsl_graph_add_node(graph, TSL_OP_QUANTIZE, NULL, 1, &value, 1, &r->as_int8[value], &node));
        }
    }
    *id = r->as_int8[value];
    return TSLIM_OK;
}

// `value` is one of the file's; if it has become INT8, a float twin.
static tslim_status need_float(rewriter *r, uint32_t value, uint32_t *id) {
    tslim_graph *graph = r->graph;
    *id = value;
    if (r->as_int8[value] != value) return TSLIM_OK;
    if (r->as_float[value] == TSL_NONE) {
        uint32_t node;
        TSL_TRY(add_twin(graph, value, "dequantized", TSLIM_DTYPE_FLOAT, &r->as_float[value]));
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_DEQUANTIZE, NULL, 1, &value, 1, &r->as_float[value], &node));
    }
    *id = r->as_float[value];
    return TSLIM_OK;
}

// ---- Nodes ----

// True when the integers that a QuantizeLinear makes are read by DequantizeLinear alone, with the same
// parameters: then nobody sees what type they have.
static bool is_inner(const rewriter *r, uint32_t n) {
    const tsl_quantized_folder *f = r->f;
    uint32_t q = r->graph->nodes[n].outputs[0];
    if (tsl_graph_is_output(r->graph, q)) return false;
    for (uint32_t u = f->uses.first[q]; u < f->uses.first[q + 1]; u++) {
        uint32_t reader = f->uses.nodes[u];
        if (r->graph->nodes[reader].op != TSL_OP_DEQUANTIZE_LINEAR ||
            !tsl_same_form(&f->parameters[reader], &f->parameters[n]))
            return false;
    }
    return true;
}

static tslim_status rewrite_quantize(rewriter *r, uint32_t n) {
    tslim_graph *graph = r->graph;
    const tsl_quant_form *form = &r->f->parameters[n];
    uint32_t value = graph->nodes[n].inputs[0], q = graph->nodes[n].outputs[0], as_int8 = r->as_int8[value];
    if (!tsl_has_form(form) || !is_inner(r, n)) return need_float(r, value, &graph->nodes[n].inputs[0]);
    bool same = tsl_same_form(&r->f->form[value], form);
    if (as_int8 != TSL_NONE && same) {
        r->instead[q] = as_int8;
        tsl_graph_remove_node(graph, n);
        return TSLIM_OK;
    }
    TSL_TRY(set_form(graph, q, form));
    become(graph, n, TSL_OP_QUANTIZE, as_int8 != TSL_NONE ? as_int8 : value);
    if (same) r->as_int8[value] = q;
    return TSLIM_OK;
}

static tslim_status rewrite_dequantize(rewriter *r, uint32_t n) {
    tslim_graph *graph = r->graph;
    const tsl_quant_form *form = &r->f->parameters[n];
    uint32_t q = graph->nodes[n].inputs[0], value = graph->nodes[n].outputs[0], instead = r->instead[q];
    const tsl_value *source = &graph->values[instead];
    if (!tsl_has_form(form) || source->dtype != TSLIM_DTYPE_INT8 || !source->quant.scales) return TSLIM_OK;
    r->as_int8[value] = instead;
    become(graph, n, TSL_OP_DEQUANTIZE, instead);
    return TSLIM_OK;
}

static tslim_status rewrite_inputs(rewriter *r, uint32_t n) {
    tslim_graph *graph = r->graph;
    for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++) {
        uint32_t value = graph->nodes[n].inputs[i], id = value;
        if (value == TSL_NONE) continue;
        if (r->f->int8[n] && tsl_quantized_role_of(r->f, &graph->nodes[n], i) != TSL_ROLE_OTHER)
            TSL_TRY(need_int8(r, value, &id));
        else
            TSL_TRY(need_float(r, value, &id));
        graph->nodes[n].inputs[i] = id;
    }
    return TSLIM_OK;
}

// An output without a form is stored in float.
static tslim_status rewrite_outputs(rewriter *r, uint32_t n) {
    for (uint32_t i = 0; i < r->graph->nodes[n].n_outputs; i++) {
        uint32_t value = r->graph->nodes[n].outputs[i];
        if (value == TSL_NONE || !tsl_has_form(&r->f->form[value])) continue;
        TSL_TRY(set_form(r->graph, value, &r->f->form[value]));
        r->as_int8[value] = value;
    }
    return TSLIM_OK;
}

static tslim_status rewrite_node(rewriter *r, uint32_t n) {
    switch (r->graph->nodes[n].op) {
    case TSL_OP_QUANTIZE_LINEAR:
        return rewrite_quantize(r, n);
    case TSL_OP_DEQUANTIZE_LINEAR:
        return rewrite_dequantize(r, n);
    default:
        TSL_TRY(rewrite_inputs(r, n));
        return r->f->int8[n] ? rewrite_outputs(r, n) : TSLIM_OK;
    }
}

tslim_status tsl_quantized_rewrite(tsl_quantized_folder *f) {
    rewriter r = {.f = f, .graph = f->graph};
    uint32_t **arrays[] = {&r.as_int8, &r.as_float, &r.instead};
    for (size_t a = 0; a < 3; a++) {
        *arrays[a] = tsl_arena_array(&f->arena, f->n_values, sizeof(uint32_t));
        TSL_REQUIRE_MEMORY(*arrays[a], f->n_values * sizeof(uint32_t));
        for (uint32_t v = 0; v < f->n_values; v++) (*arrays[a])[v] = a == 2 ? v : TSL_NONE;
    }
    for (uint32_t n = 0; n < f->n_nodes; n++) TSL_TRY(rewrite_node(&r, n));
    return TSLIM_OK;
}
