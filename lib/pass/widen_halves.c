// SPDX-License-Identifier: Apache-2.0
// Half-precision models run in float: every float16 or bfloat16 value between the graph's ends becomes float,
// with a Cast where a half comes in and one where it goes out. Kernels of half types would be slower on
// processors without such arithmetic, and less exact; all fusions work as for a float model. What asks for a
// half by itself (a Cast to one, a node with a `dtype` or with a tensor among its attributes, an operator
// that is not known) still makes one.
#include <string.h>

#include "ir/shape_infer.h"
#include "pass/pass.h"

#define ONNX_FLOAT 1 // of TensorProto.DataType

typedef struct widening {
    tslim_graph *graph;
    uint32_t n_values, n_nodes; // of the graph as it was
    uint32_t *wide; // the float value in place of a half one; TSL_NONE for others
} widening;

static bool is_half(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_FLOAT16 || dtype == TSLIM_DTYPE_BFLOAT16;
}

// Types of its results are its own affair.
static bool chooses_types(const tsl_node *node) {
    if (node->op == TSL_OP_UNKNOWN || node->op == TSL_OP_CAST) return true;
    for (uint32_t a = 0; a < node->attrs.count; a++) {
        const tsl_attr *attr = &node->attrs.items[a];
        bool plain = attr->type == TSL_ATTR_TYPE_FLOAT || attr->type == TSL_ATTR_TYPE_INT ||
                     attr->type == TSL_ATTR_TYPE_STRING || attr->type == TSL_ATTR_TYPE_FLOATS ||
                     attr->type == TSL_ATTR_TYPE_INTS || attr->type == TSL_ATTR_TYPE_STRINGS;
        if (!plain || strcmp(attr->name, "dtype") == 0) return true;
    }
    return false;
}

static tslim_status add_value(widening *w, uint32_t like, tslim_dtype dtype, uint32_t *id) {
    TSL_TRY(tsl_graph_add_value(w->graph, w->graph->values[like].name, dtype, id));
    w->graph->values[*id].shape = w->graph->values[like].shape;
    return TSLIM_OK;
}

static tslim_status add_cast(widening *w, uint32_t from, uint32_t to) {
    uint32_t index;
    TSL_TRY(tsl_graph_add_node(w->graph, TSL_OP_CAST, w->graph->values[to].name, 1, &from, 1, &to, &index));
    tslim_dtype dtype = w->graph->values[to].dtype; // the library's numbers are ONNX's
    return tsl_node_set_int(w->graph, &w->graph->nodes[index], TSL_ATTR_to, (int64_t)dtype);
}

static tslim_status widen_value(widening *w, uint32_t v) {
    const tsl_value *value = &w->graph->values[v];
    if (!is_half(value->dtype)) return TSLIM_OK;
    uint32_t producer = value->producer;
    bool stays = producer == TSL_NONE || chooses_types(&w->graph->nodes[producer]);
    if (stays) {
        TSL_TRY(add_value(w, v, TSLIM_DTYPE_FLOAT, &w->wide[v]));
        return add_cast(w, v, w->wide[v]);
    }
    if (!tsl_graph_is_output(w->graph, v)) {
        w->graph->values[v].dtype = TSLIM_DTYPE_FLOAT;
        w->wide[v] = v;
        return TSLIM_OK;
    }
    TSL_TRY(add_value(w, v, TSLIM_DTYPE_FLOAT, &w->wide[v]));
    tsl_node *node = &w->graph->nodes[producer];
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] == v) node->outputs[i] = w->wide[v];
    w->graph->values[w->wide[v]].producer = producer;
    return add_cast(w, w->wide[v], v);
}

// Ordinary nodes read floats; the others get a half where it has become one.
static tslim_status rewire(widening *w, uint32_t n, const tslim_dtype *before) {
    bool chooses = chooses_types(&w->graph->nodes[n]);
    for (uint32_t i = 0; i < w->graph->nodes[n].n_inputs; i++) {
        uint32_t v = w->graph->nodes[n].inputs[i];
        if (v == TSL_NONE || v >= w->n_values || w->wide[v] == TSL_NONE) continue;
        uint32_t instead = w->wide[v];
        if (chooses && is_half(w->graph->values[v].dtype)) continue;
        if (chooses) {
            TSL_TRY(add_value(w, v, before[v], &instead));
            TSL_TRY(add_cast(w, v, instead));
        }
        w->graph->nodes[n].inputs[i] = instead;
    }
    return TSLIM_OK;
}

static tslim_status widen(widening *w, tslim_dtype *before) {
    for (uint32_t v = 0; v < w->n_values; v++) {
        w->wide[v] = TSL_NONE;
        before[v] = w->graph->values[v].dtype;
    }
    for (uint32_t v = 0; v < w->n_values; v++) TSL_TRY(widen_value(w, v));
    for (uint32_t n = 0; n < w->n_nodes; n++) TSL_TRY(rewire(w, n, before));
    return tsl_graph_sort(w->graph);
}

// Types of values between the ends are not always written in a file.
static tslim_status find_halves(tslim_graph *graph, bool *found) {
    *found = false;
    for (uint32_t v = 0; v < graph->n_values && !*found; v++) *found = is_half(graph->values[v].dtype);
    for (uint32_t n = 0; n < graph->n_nodes && !*found; n++)
        *found = is_half((tslim_dtype)tsl_attrs_int(&graph->nodes[n].attrs, TSL_ATTR_to, ONNX_FLOAT));
    if (*found) TSL_TRY(tsl_pass_infer_and_fold(graph, NULL, NULL));
    return TSLIM_OK;
}

tslim_status tsl_pass_widen_halves(tslim_graph *graph) {
    bool found;
    TSL_TRY(find_halves(graph, &found));
    if (!found) return TSLIM_OK;
    widening w = {.graph = graph, .n_values = graph->n_values, .n_nodes = graph->n_nodes};
    size_t wide_bytes = w.n_values * sizeof(*w.wide), before_bytes = w.n_values * sizeof(tslim_dtype);
    w.wide = tsl_allocate(graph->ctx, wide_bytes);
    tslim_dtype *before = tsl_allocate(graph->ctx, before_bytes);
    tslim_status status = w.wide && before ? widen(&w, before) : tsl_no_memory(wide_bytes);
    tsl_free(graph->ctx, w.wide, wide_bytes);
    tsl_free(graph->ctx, before, before_bytes);
    return status;
}
