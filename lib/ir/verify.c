// SPDX-License-Identifier: Apache-2.0
// The rules of graph.h, checked one by one: after import, because files are hostile, and in debug builds
// after every pass.
#include <inttypes.h>
#include <string.h>

#include "ir/bodies.h"

// Inputs, or outputs, of a graph: they are looked through for each node.
#define MOST_ENDS 4096

static tslim_status check_constant(const tslim_graph *graph, const tsl_value *value, tslim_status code) {
    const unsigned char *begin = value->buffer->data, *data = value->data;
    size_t size = tslim_dtype_size(value->dtype), buffer_bytes = value->buffer->size;
    TSL_REQUIRE(size > 0, code, "constant '%s' is of type %s", value->name, tslim_dtype_name(value->dtype));
    TSL_REQUIRE(value->producer == TSL_NONE, code, "constant '%s' has a producer", value->name);
    bool inside =
        value->bytes == 0 ||
        (data && (uintptr_t)data >= (uintptr_t)begin && (uintptr_t)data - (uintptr_t)begin <= buffer_bytes &&
            value->bytes <= buffer_bytes - ((uintptr_t)data - (uintptr_t)begin));
    TSL_REQUIRE(inside, code, "constant '%s' of %zu bytes is not within its buffer of %zu", value->name,
        value->bytes, buffer_bytes);
    TSL_REQUIRE(
        (uintptr_t)data % size == 0, code, "constant '%s' is not aligned to %zu bytes", value->name, size);
    uint64_t elements;
    tslim_status status = tsl_shape_elements(graph->ctx, &value->shape, &elements);
    if (status != TSLIM_OK)
        return tsl_fail_prefix(status == TSLIM_ERROR_LIMIT ? status : code, "constant '%s'", value->name);
    if (value->packing != TSL_PACKING_NONE) return TSLIM_OK; // the size is the backend's affair
    uint64_t needed;
    TSL_REQUIRE(!__builtin_mul_overflow(elements, (uint64_t)size, &needed) && needed == value->bytes, code,
        "constant '%s' has %zu bytes for %" PRIu64 " elements of %zu", value->name, value->bytes, elements,
        size);
    return TSLIM_OK;
}

// Packed weights are read by kernels of products and recurrences alone, and whoever changes weights wants
// them in plain order. Their size is known to the backend: it is checked before anything reads them
// (plan/pack_weights.c).
static tslim_status check_packed_operand(
    const tslim_graph *graph, const tsl_node *node, uint32_t i, tslim_status code) {
    const tsl_value *value = &graph->values[node->inputs[i]];
    if (value->packing == TSL_PACKING_NONE) return TSLIM_OK;
    bool is_product = node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE ||
                      node->op == TSL_OP_GEMM || node->op == TSL_OP_MATMUL;
    bool is_recurrent =
        node->op == TSL_OP_LSTM || node->op == TSL_OP_GRU || node->op == TSL_OP_RNN; // W and R
    bool is_packable = (is_product && i == 1) || (is_recurrent && (i == 1 || i == 2));
    TSL_REQUIRE(is_packable && graph->optimized, code, "operand %u of node '%s' (%s), '%s', is packed", i,
        node->name, node->op_type, value->name);
    return TSLIM_OK;
}

static tslim_status check_quant(const tsl_value *value, tslim_status code) {
    const tsl_quant *quant = &value->quant;
    if (!quant->scales) return TSLIM_OK;
    int32_t lowest = value->dtype == TSLIM_DTYPE_UINT8 ? 0 : value->dtype == TSLIM_DTYPE_INT8 ? -128 : 0;
    int32_t highest = value->dtype == TSLIM_DTYPE_UINT8 ? 255 : value->dtype == TSLIM_DTYPE_INT8 ? 127 : 0;
    TSL_REQUIRE(quant->zero_point >= lowest && quant->zero_point <= highest, code,
        "value '%s' (%s) has zero point %d", value->name, tslim_dtype_name(value->dtype), quant->zero_point);
    TSL_REQUIRE(!quant->zero_points || (value->dtype == TSLIM_DTYPE_INT8 && tsl_value_is_constant(value)),
        code, "value '%s' has several zero points", value->name);
    if (quant->n_scales == 1) return TSLIM_OK;
    const tsl_shape *shape = &value->shape;
    TSL_REQUIRE(
        quant->n_scales > 0 && shape->known && quant->axis >= 0 && (uint32_t)quant->axis < shape->rank, code,
        "value '%s' has %u scales along axis %d", value->name, quant->n_scales, quant->axis);
    TSL_REQUIRE(shape->dims[quant->axis] == (int64_t)quant->n_scales, code,
        "value '%s' has %u scales for %" PRId64 " indices of axis %d", value->name, quant->n_scales,
        shape->dims[quant->axis], quant->axis);
    return TSLIM_OK;
}

static tslim_status check_value(const tslim_graph *graph, uint32_t id, tslim_status code) {
    const tsl_value *value = &graph->values[id];
    TSL_REQUIRE(value->name && *value->name, code, "value %u has no name", id);
    TSL_REQUIRE(tsl_name_map_get(&graph->value_names, value->name) == id, code,
        "the name '%s' is another value's", value->name);
    TSL_REQUIRE(value->shape.rank <= graph->ctx->limits.rank && value->shape.rank <= TSLIM_MAX_RANK,
        TSLIM_ERROR_LIMIT, "value '%s' has rank %u, the limit is %u", value->name, value->shape.rank,
        graph->ctx->limits.rank);
    for (uint32_t i = 0; i < value->shape.rank; i++)
        TSL_REQUIRE(value->shape.dims[i] >= -1, code, "dim %u of value '%s' is %" PRId64, i, value->name,
            value->shape.dims[i]);
    TSL_REQUIRE(value->producer == TSL_NONE || value->producer < graph->n_nodes, code,
        "value '%s' is made by node %u of %u", value->name, value->producer, graph->n_nodes);
    TSL_TRY(check_quant(value, code));
    return tsl_value_is_constant(value) ? check_constant(graph, value, code) : TSLIM_OK;
}

static tslim_status check_outputs(
    const tslim_graph *graph, uint32_t index, uint8_t *available, tslim_status code) {
    const tsl_node *node = &graph->nodes[index];
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        uint32_t id = node->outputs[i];
        if (id == TSL_NONE) continue;
        TSL_REQUIRE(
            id < graph->n_values, code, "node '%s' makes value %u of %u", node->name, id, graph->n_values);
        const tsl_value *value = &graph->values[id];
        TSL_REQUIRE(value->producer == index && !available[id], code,
            "node '%s' makes '%s', which something else makes too", node->name, value->name);
        available[id] = 1;
    }
    return TSLIM_OK;
}

static tslim_status check_inputs(
    const tslim_graph *graph, const tsl_node *node, const uint8_t *available, tslim_status code) {
    const tsl_op_info *info = tsl_op_get_info(node->op);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        uint32_t id = node->inputs[i];
        TSL_REQUIRE(id != TSL_NONE || node->op == TSL_OP_UNKNOWN || i >= info->min_inputs, code,
            "operand %u of node '%s' (%s) is absent", i, node->name, node->op_type);
        if (id == TSL_NONE) continue;
        TSL_REQUIRE(
            id < graph->n_values, code, "node '%s' reads value %u of %u", node->name, id, graph->n_values);
        TSL_REQUIRE(available[id], code, "node '%s' reads '%s' before it is made", node->name,
            graph->values[id].name);
        TSL_TRY(check_packed_operand(graph, node, i, code));
    }
    return TSLIM_OK;
}

static tslim_status check_counts(const tsl_node *node, tslim_status code) {
    if (node->op == TSL_OP_UNKNOWN) return TSLIM_OK;
    const tsl_op_info *info = tsl_op_get_info(node->op);
    TSL_REQUIRE(node->n_inputs >= info->min_inputs &&
                    (info->max_inputs == UINT8_MAX || node->n_inputs <= info->max_inputs),
        code, "node '%s' (%s) has %u operands, not %u to %u", node->name, node->op_type, node->n_inputs,
        info->min_inputs, info->max_inputs);
    TSL_REQUIRE(node->n_outputs >= info->min_outputs &&
                    (info->max_outputs == UINT8_MAX || node->n_outputs <= info->max_outputs),
        code, "node '%s' (%s) has %u results, not %u to %u", node->name, node->op_type, node->n_outputs,
        info->min_outputs, info->max_outputs);
    return TSLIM_OK;
}

// The residual is the last operand, behind those that ONNX has; the others have no place for one.
static tslim_status check_epilogue(const tsl_node *node, tslim_status code) {
    const tsl_epilogue *e = &node->epilogue;
    bool is_product = node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE ||
                      node->op == TSL_OP_GEMM || node->op == TSL_OP_MATMUL;
    TSL_REQUIRE(
        e->residual < 0 || (is_product && e->residual >= 2 && (uint32_t)e->residual + 1 == node->n_inputs &&
                               node->inputs[e->residual] != TSL_NONE),
        code, "node '%s' adds operand %d of %u", node->name, e->residual, node->n_inputs);
    TSL_REQUIRE(!is_product || node->n_inputs <= 3 || e->residual >= 0, code,
        "node '%s' (%s) has %u operands", node->name, node->op_type, node->n_inputs);
    TSL_REQUIRE(!e->clamp || e->lo <= e->hi, code, "node '%s' clamps to %g..%g", node->name, (double)e->lo,
        (double)e->hi);
    return TSLIM_OK;
}

static tslim_status check_node(
    const tslim_graph *graph, uint32_t index, tsl_name_map *names, uint8_t *available, tslim_status code) {
    const tsl_node *node = &graph->nodes[index];
    TSL_REQUIRE(node->name && *node->name && node->op_type && node->domain, code,
        "node %u has no name or operator", index);
    TSL_REQUIRE(
        tsl_name_map_get(names, node->name) == TSL_NAME_ABSENT, code, "two nodes are named '%s'", node->name);
    if (!tsl_name_map_set(names, node->name, index)) return tsl_no_memory(sizeof(tsl_name_slot));
    TSL_REQUIRE((unsigned)node->op < TSL_OP_COUNT, code, "node '%s' has operator number %d", node->name,
        (int)node->op);
    TSL_TRY(check_counts(node, code));
    TSL_TRY(check_inputs(graph, node, available, code));
    TSL_TRY(check_outputs(graph, index, available, code));
    TSL_TRY(check_epilogue(node, code));
    for (uint32_t i = 0; i < node->attrs.count; i++) {
        const tsl_attr *attr = &node->attrs.items[i];
        if (attr->type != TSL_ATTR_TYPE_TENSOR) continue;
        TSL_REQUIRE(attr->i >= 0 && attr->i < (int64_t)graph->n_values &&
                        tsl_value_is_constant(&graph->values[attr->i]) &&
                        graph->values[attr->i].packing == TSL_PACKING_NONE,
            code, "attribute %s of node '%s' is value %" PRId64 ", not a constant", attr->name, node->name,
            attr->i);
    }
    return TSLIM_OK;
}

// What is there before any node runs.
static tslim_status mark_sources(const tslim_graph *graph, uint8_t *available, tslim_status code) {
    TSL_REQUIRE(graph->n_inputs <= MOST_ENDS && graph->n_outputs <= MOST_ENDS, TSLIM_ERROR_LIMIT,
        "%u inputs and %u outputs, the limit is %d", graph->n_inputs, graph->n_outputs, MOST_ENDS);
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        uint32_t id = graph->inputs[i];
        TSL_REQUIRE(id < graph->n_values, code, "graph input %u is value %u of %u", i, id, graph->n_values);
        const tsl_value *value = &graph->values[id];
        TSL_REQUIRE(value->producer == TSL_NONE, code, "graph input '%s' is made by a node", value->name);
        TSL_REQUIRE(!available[id], code, "'%s' is a graph input twice", value->name);
        available[id] = 1;
    }
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (tsl_value_is_constant(&graph->values[v])) available[v] = 1;
    return TSLIM_OK;
}

static tslim_status check_graph(
    const tslim_graph *graph, tsl_name_map *names, uint8_t *available, tslim_status code) {
    for (uint32_t v = 0; v < graph->n_values; v++) TSL_TRY(check_value(graph, v, code));
    TSL_TRY(mark_sources(graph, available, code));
    for (uint32_t n = 0; n < graph->n_nodes; n++) TSL_TRY(check_node(graph, n, names, available, code));
    for (uint32_t v = 0; v < graph->n_values; v++) // a producer that does not know of its value
        TSL_REQUIRE(graph->values[v].producer == TSL_NONE || available[v], code,
            "node '%s' does not make value '%s'", graph->nodes[graph->values[v].producer].name,
            graph->values[v].name);
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        uint32_t id = graph->outputs[i];
        TSL_REQUIRE(id < graph->n_values, code, "graph output %u is value %u of %u", i, id, graph->n_values);
        TSL_REQUIRE(available[id] && graph->values[id].packing == TSL_PACKING_NONE, code,
            "graph output '%s' is made by nobody", graph->values[id].name);
    }
    return tsl_bodies_verify(graph, code);
}

tslim_status tsl_graph_verify(const tslim_graph *graph, tslim_status status) {
    uint8_t *available = tsl_allocate_zeroed(graph->ctx, graph->n_values);
    TSL_REQUIRE_MEMORY(available, graph->n_values);
    tsl_name_map names;
    tsl_name_map_init(&names, graph->ctx);
    tslim_status result = check_graph(graph, &names, available, status);
    tsl_name_map_clear(&names);
    tsl_free(graph->ctx, available, graph->n_values);
    return result;
}
