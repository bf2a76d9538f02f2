// SPDX-License-Identifier: Apache-2.0
// Graphs with something in them changed, and graphs of random operators. They are written by the library's
// own writer, which writes what it is given: so the checksums are right, and it is the content that is
// hostile.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/tslim.h"
#include "fuzz/mutations.h"
#include "fuzz/plausible.h"

static uint32_t below(tsl_rng *rng, uint64_t bound) {
    return (uint32_t)tsl_rng_below(rng, bound);
}

static int64_t strange_number(tsl_rng *rng) {
    static const int64_t numbers[] = {-1, 0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 64, 255, 256, 1000, 65535,
        65536, 1 << 20, INT32_MAX, (int64_t)INT32_MAX + 1, UINT32_MAX, (int64_t)1 << 40, INT64_MAX, INT64_MIN,
        -2, -3, -100};
    return numbers[below(rng, sizeof(numbers) / sizeof(*numbers))];
}

static int64_t small_number(tsl_rng *rng) {
    return (int64_t)below(rng, 8) - 2;
}

static int64_t any_number(tsl_rng *rng) {
    return below(rng, 8) == 0 ? strange_number(rng) : small_number(rng);
}

static tslim_dtype any_dtype(tsl_rng *rng) {
    static const tslim_dtype dtypes[] = {TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_INT64,
        TSLIM_DTYPE_INT8, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_INT32, TSLIM_DTYPE_BOOL, TSLIM_DTYPE_DOUBLE,
        TSLIM_DTYPE_FLOAT16, TSLIM_DTYPE_BFLOAT16, TSLIM_DTYPE_UINT16, TSLIM_DTYPE_INT16, TSLIM_DTYPE_UINT32,
        TSLIM_DTYPE_UINT64, TSLIM_DTYPE_NONE};
    return dtypes[below(rng, sizeof(dtypes) / sizeof(*dtypes))];
}

static tsl_op any_op(tsl_rng *rng) {
    return (tsl_op)(1 + below(rng, TSL_OP_COUNT - 1));
}

// ---- Attributes ----

static const char *any_word(tsl_rng *rng) {
    static const char *const words[] = {"", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "constant",
        "reflect", "edge", "wrap", "nearest", "linear", "cubic", "half_pixel", "pytorch_half_pixel",
        "align_corners", "asymmetric", "tf_crop_and_resize", "floor", "ceil", "round_prefer_floor", "DCR",
        "CRD", "stretch", "not_larger", "tanh", "x"};
    return words[below(rng, sizeof(words) / sizeof(*words))];
}

static tslim_status set_any_attribute(tsl_rng *rng, tslim_graph *graph, tsl_node *node) {
    tsl_attr_id id = (tsl_attr_id)(1 + below(rng, TSL_ATTR_COUNT - 1));
    int64_t ints[10];
    switch (below(rng, 8)) {
    case 0:
    case 1:
        return tsl_node_set_int(graph, node, id, any_number(rng));
    case 2:
        return tsl_node_set_float(graph, node, id, (float)any_number(rng) / 2);
    case 3:
        return tsl_node_set_string(graph, node, id, any_word(rng));
    default:
        for (int i = 0; i < 10; i++) ints[i] = any_number(rng);
        return tsl_node_set_ints(graph, node, id, ints, below(rng, 10));
    }
}

// ---- Values ----

static tslim_status give_data(tsl_rng *rng, tslim_graph *graph, uint32_t id, size_t bytes) {
    tsl_value *value = &graph->values[id];
    size_t size = tslim_dtype_size(value->dtype), kept = value->bytes < bytes ? value->bytes : bytes;
    tsl_buffer *buffer = tsl_buffer_create(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(buffer, bytes);
    unsigned char *data = buffer->data;
    memset(data, 0, bytes);
    if (kept && value->data) memcpy(data, value->data, kept);
    for (size_t i = 0; !value->data && size && i + size <= bytes; i += size) {
        float real = (float)any_number(rng) / 2;
        int64_t number = any_number(rng);
        memcpy(data + i, value->dtype == TSLIM_DTYPE_FLOAT ? (void *)&real : (void *)&number, size);
    }
    tsl_value_set_data(value, buffer, data, bytes);
    tsl_buffer_release(buffer);
    return TSLIM_OK;
}

static tslim_status set_scales(tsl_rng *rng, tslim_graph *graph, tsl_value *value, uint32_t count) {
    float *scales = tsl_arena_array(&graph->arena, count, sizeof(*scales));
    TSL_REQUIRE_MEMORY(scales, count * sizeof(*scales));
    for (uint32_t i = 0; i < count; i++) scales[i] = (float)(1 + below(rng, 9)) / 64;
    if (below(rng, 16) == 0 && count)
        scales[0] = (const float[]){0, -1, NAN, INFINITY, 1e-45f, 3e38f}[below(rng, 6)];
    value->quant.scales = scales;
    value->quant.n_scales = count;
    return TSLIM_OK;
}

static tslim_status change_value(tsl_rng *rng, tslim_graph *graph) {
    uint32_t id = below(rng, graph->n_values);
    tsl_value *value = &graph->values[id];
    uint32_t dim = below(rng, value->shape.rank + 1u) % TSLIM_MAX_RANK;
    switch (below(rng, 14)) {
    case 0:
    case 1:
    case 2:
        value->shape.dims[dim] = strange_number(rng);
        return TSLIM_OK;
    case 3:
        value->shape.dims[dim] += small_number(rng);
        return TSLIM_OK;
    case 4:
        value->shape.rank = below(rng, TSLIM_MAX_RANK + 1);
        return TSLIM_OK;
    case 5:
        value->shape.known = !value->shape.known;
        return TSLIM_OK;
    case 6:
        value->dtype = any_dtype(rng);
        return TSLIM_OK;
    case 7:
        value->packing = (tsl_packing)below(rng, 4);
        return TSLIM_OK;
    case 8:
        return give_data(rng, graph, id, value->bytes / 2 + below(rng, value->bytes + 65));
    case 9:
        tsl_value_set_data(value, NULL, NULL, 0);
        return TSLIM_OK;
    case 10:
        return set_scales(rng, graph, value, below(rng, 20));
    case 11:
        value->quant.axis = (int32_t)any_number(rng);
        return TSLIM_OK;
    case 12:
        value->quant.zero_point = (int32_t)strange_number(rng);
        return TSLIM_OK;
    default: // two dims exchanged: the same bytes in another shape
        if (value->shape.rank > 1) {
            int64_t first = value->shape.dims[0];
            value->shape.dims[0] = value->shape.dims[dim % value->shape.rank];
            value->shape.dims[dim % value->shape.rank] = first;
        }
        return TSLIM_OK;
    }
}

// ---- Nodes ----

static tslim_status change_node(tsl_rng *rng, tslim_graph *graph) {
    if (graph->n_nodes == 0) return TSLIM_OK;
    tsl_node *node = &graph->nodes[below(rng, graph->n_nodes)];
    uint32_t any_value =
        below(rng, graph->n_values + 2u) - 1u; // one too few and one too many are tried as well
    const tsl_op_info *info = tsl_op_get_info(any_op(rng));
    switch (below(rng, 12)) {
    case 0:
    case 1:
        if (node->n_inputs) node->inputs[below(rng, node->n_inputs)] = any_value;
        return TSLIM_OK;
    case 2:
        return tsl_node_add_input(graph, node, any_value);
    case 3:
        node->n_inputs -= node->n_inputs > 0;
        return TSLIM_OK;
    case 4:
        node->op_type = info->name;
        node->domain = info->domain;
        return TSLIM_OK;
    case 5:
        if (node->n_outputs) node->outputs[0] = any_value;
        return TSLIM_OK;
    case 6:
        node->n_outputs = 0;
        return TSLIM_OK;
    case 7:
        if (node->attrs.count) node->attrs.count--;
        return TSLIM_OK;
    case 8:
        node->epilogue.residual = (int32_t)below(rng, 5) - 1;
        return TSLIM_OK;
    case 9:
        node->epilogue.clamp = true;
        node->epilogue.lo = (float)small_number(rng);
        node->epilogue.hi = below(rng, 8) ? node->epilogue.lo + (float)below(rng, 4) : NAN;
        return TSLIM_OK;
    case 10:
        node->n_captured = below(rng, node->n_inputs + 1u);
        return TSLIM_OK;
    default:
        return set_any_attribute(rng, graph, node);
    }
}

static void change_number_in_list(tsl_rng *rng, tslim_graph *graph) {
    if (graph->n_nodes == 0) return;
    const tsl_attrs *attrs = &graph->nodes[below(rng, graph->n_nodes)].attrs;
    if (attrs->count == 0) return;
    tsl_attr *attr = &attrs->items[below(rng, attrs->count)];
    if (attr->type == TSL_ATTR_TYPE_GRAPH) attr->i = below(rng, graph->n_bodies + 2u);
    if (attr->type == TSL_ATTR_TYPE_INT) attr->i = strange_number(rng);
    if (attr->type != TSL_ATTR_TYPE_INTS || attr->count == 0) return;
    int64_t *copy = tsl_arena_copy(&graph->arena, attr->ints, attr->count * sizeof(*copy));
    if (!copy) return;
    copy[below(rng, attr->count)] = strange_number(rng);
    attr->ints = copy;
}

static tslim_status change_graph(tsl_rng *rng, tslim_graph *graph) {
    if (graph->n_bodies > 0 && below(rng, 2))
        return change_graph(rng, graph->bodies[below(rng, graph->n_bodies)]);
    switch (below(rng, 20)) {
    case 0:
        graph->opset = below(rng, 24);
        return TSLIM_OK;
    case 1:
        graph->outputs[below(rng, graph->n_outputs)] = below(rng, graph->n_values);
        return TSLIM_OK;
    case 2:
        if (graph->n_inputs) graph->inputs[below(rng, graph->n_inputs)] = below(rng, graph->n_values);
        return TSLIM_OK;
    case 3:
        graph->optimized = !graph->optimized;
        return TSLIM_OK;
    case 4:
    case 5:
        change_number_in_list(rng, graph);
        return TSLIM_OK;
    default:
        return below(rng, 2) ? change_value(rng, graph) : change_node(rng, graph);
    }
}

static bool write(const tslim_graph *graph, const char *scratch, fuzz_bytes *file) {
    return tsl_tslim_write(graph, scratch) == TSLIM_OK && fuzz_read_file(scratch, file);
}

bool fuzz_mutate_graph(tsl_rng *rng, const fuzz_bytes *seed, const char *scratch, fuzz_bytes *file) {
    tslim_context *context;
    tslim_graph *graph;
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    bool made = false;
    if (tslim_graph_load_memory(context, seed->data, seed->size, &graph) == TSLIM_OK) {
        uint32_t changes = 1 + below(rng, 3);
        tslim_status status = TSLIM_OK;
        for (uint32_t i = 0; i < changes && status == TSLIM_OK; i++) status = change_graph(rng, graph);
        made = status == TSLIM_OK && write(graph, scratch, file);
        tslim_graph_destroy(graph);
    }
    tslim_context_destroy(context);
    return made;
}

// ---- Random operators ----

typedef struct maker {
    tsl_rng *rng;
    tslim_graph *graph;
    uint32_t inputs[24], n_inputs;
    uint32_t last; // the newest value
    int64_t dims[TSLIM_MAX_RANK]; // of the first value; others are often like it
    uint32_t rank;
} maker;

static void choose_shape(maker *m, bool list, tsl_shape *shape) {
    static const int64_t sizes[] = {1, 1, 2, 3, 4, 4, 8, 16, 17, 0};
    int64_t dims[TSLIM_MAX_RANK];
    uint32_t kind = below(m->rng, 8), rank = list ? 1 : below(m->rng, 6);
    for (uint32_t i = 0; i < TSLIM_MAX_RANK; i++) dims[i] = sizes[below(m->rng, 10)];
    if (!list && kind < 3) { // the same, but for a dim
        rank = m->rank;
        memcpy(dims, m->dims, sizeof(dims));
        if (kind == 0 && rank) dims[below(m->rng, rank)] = sizes[below(m->rng, 10)];
    }
    if (kind == 3 && m->rank > 1) { // one number a channel, or a list as long as the rank
        rank = 1;
        dims[0] = below(m->rng, 2) ? m->dims[1] : m->rank;
    }
    tsl_shape_set(shape, rank, dims);
}

static uint32_t add_operand(maker *m, bool first) {
    uint32_t id;
    tslim_dtype dtype = TSLIM_DTYPE_FLOAT;
    bool list = !first && below(m->rng, 4) == 0;
    if (list)
        dtype = TSLIM_DTYPE_INT64;
    else if (below(m->rng, 3) == 0)
        dtype = any_dtype(m->rng);
    if (tsl_graph_add_value(m->graph, NULL, dtype, &id) != TSLIM_OK) return TSL_NONE;
    tsl_value *value = &m->graph->values[id];
    choose_shape(m, list, &value->shape);
    if (first) {
        if (below(m->rng, 2)) value->shape.rank = 4;
        m->rank = value->shape.rank;
        memcpy(m->dims, value->shape.dims, sizeof(m->dims));
    }
    bool bytes_type = dtype == TSLIM_DTYPE_INT8 || dtype == TSLIM_DTYPE_UINT8;
    if (bytes_type && below(m->rng, 2)) {
        uint32_t axis = below(m->rng, value->shape.rank + 1u);
        bool many = axis < value->shape.rank && below(m->rng, 2);
        set_scales(m->rng, m->graph, value, many ? (uint32_t)value->shape.dims[axis] : 1);
        value->quant.axis = many ? (int32_t)axis : 0;
        if (below(m->rng, 3) == 0) value->quant.zero_point = (int32_t)below(m->rng, 256) - 128;
    }
    uint64_t elements;
    bool constant = (list || below(m->rng, first ? 6 : 2) == 0) &&
                    tsl_shape_elements(m->graph->ctx, &value->shape, &elements) == TSLIM_OK;
    if (constant) {
        give_data(m->rng, m->graph, id, (size_t)elements * tslim_dtype_size(dtype));
        if (below(m->rng, 64) == 0) value->packing = (tsl_packing)below(m->rng, 3);
    } else if (m->n_inputs < 24) {
        m->inputs[m->n_inputs++] = id;
    }
    return id;
}

static bool add_node(maker *m) {
    tsl_op op = any_op(m->rng);
    const tsl_op_info *info = tsl_op_get_info(op);
    uint32_t most = info->max_inputs < info->min_inputs + 4u ? info->max_inputs : info->min_inputs + 4u;
    uint32_t n_inputs = info->min_inputs + below(m->rng, most - info->min_inputs + 1u), inputs[8], outputs[4],
             index;
    for (uint32_t i = 0; i < n_inputs; i++) {
        uint32_t kind = below(m->rng, 12);
        inputs[i] = i == 0 && m->last != TSL_NONE        ? m->last
                    : kind == 0 && m->last != TSL_NONE   ? m->last
                    : kind == 1 && i >= info->min_inputs ? TSL_NONE
                                                         : add_operand(m, m->last == TSL_NONE && i == 0);
    }
    uint32_t n_outputs = info->min_outputs + (info->max_outputs > info->min_outputs ? below(m->rng, 3) : 0);
    if (n_outputs > info->max_outputs) n_outputs = info->max_outputs;
    for (uint32_t i = 0; i < n_outputs; i++) {
        if (tsl_graph_add_value(m->graph, NULL, TSLIM_DTYPE_NONE, &outputs[i]) != TSLIM_OK) return false;
        tsl_value *value = &m->graph->values[outputs[i]];
        if (below(m->rng, 16) == 0) { // quantized results, and types that may be wrong
            value->dtype = any_dtype(m->rng);
            if (value->dtype == TSLIM_DTYPE_INT8 || value->dtype == TSLIM_DTYPE_UINT8)
                set_scales(m->rng, m->graph, value, 1);
        }
    }
    if (tsl_graph_add_node(m->graph, op, NULL, n_inputs, inputs, n_outputs, outputs, &index) != TSLIM_OK)
        return false;
    uint32_t n_attributes = below(m->rng, 9);
    for (uint32_t i = 0; i < n_attributes; i++) set_any_attribute(m->rng, m->graph, &m->graph->nodes[index]);
    tsl_epilogue *epilogue = &m->graph->nodes[index].epilogue;
    if (below(m->rng, 8) == 0) *epilogue = (tsl_epilogue){.residual = -1, .clamp = true, .lo = 0, .hi = 6};
    if (below(m->rng, 8) == 0 && n_inputs) epilogue->residual = (int32_t)below(m->rng, n_inputs);
    m->last = n_outputs ? outputs[below(m->rng, n_outputs)] : TSL_NONE;
    return true;
}

bool fuzz_random_operators(tsl_rng *rng, const char *scratch, fuzz_bytes *file) {
    tslim_context *context;
    maker m = {.rng = rng, .last = TSL_NONE};
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    bool made = tsl_graph_create(context, &m.graph) == TSLIM_OK;
    if (made) {
        m.graph->opset = below(rng, 3) ? 17 : 7 + below(rng, 15);
        m.graph->optimized = below(rng, 8) == 0;
        uint32_t n_nodes = 1 + below(rng, 3);
        for (uint32_t i = 0; i < n_nodes && made; i++) made = add_node(&m);
        m.graph->inputs = m.inputs;
        m.graph->n_inputs = m.n_inputs;
        m.graph->outputs = &m.last;
        m.graph->n_outputs = 1;
        made = made && m.last != TSL_NONE && write(m.graph, scratch, file);
        tslim_graph_destroy(m.graph);
    }
    tslim_context_destroy(context);
    return made;
}

// ---- One operator that may well run ----

bool fuzz_plausible_operator(tsl_rng *rng, const char *scratch, fuzz_bytes *file) {
    tslim_context *context;
    tslim_graph *graph;
    uint32_t inputs[8], output;
    if (fuzz_context_create(&context) != TSLIM_OK) return false;
    bool made = tsl_graph_create(context, &graph) == TSLIM_OK;
    if (made) {
        graph->opset = below(rng, 3) ? 17 : 13 + below(rng, 9);
        made = fuzz_add_plausible_node(rng, graph, inputs, &graph->n_inputs, &output);
        graph->inputs = inputs;
        graph->outputs = &output;
        graph->n_outputs = 1;
        if (made && below(rng, 2) == 0) made = change_graph(rng, graph) == TSLIM_OK;
        made = made && write(graph, scratch, file);
        tslim_graph_destroy(graph);
    }
    tslim_context_destroy(context);
    return made;
}
