// SPDX-License-Identifier: Apache-2.0
// Packing the constants of a graph into the order that kernels read, and back.
#include <string.h>

#include "plan/describe.h"
#include "plan/model.h"

typedef tslim_status (*operand_function)(
    tslim_graph *graph, const tsl_backend *backend, uint32_t node, uint32_t input, const tsl_uses *uses);

static tslim_status for_each_constant_operand(
    tslim_graph *graph, const tsl_backend *backend, operand_function function) {
    tsl_uses uses;
    TSL_TRY(tsl_uses_find(graph, &uses));
    tslim_status status = TSLIM_OK;
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++)
        for (uint32_t i = 1; i < graph->nodes[n].n_inputs && status == TSLIM_OK; i++) {
            const tsl_value *value = tsl_node_input(graph, &graph->nodes[n], i);
            if (value && tsl_value_is_constant(value)) status = function(graph, backend, n, i, &uses);
        }
    tsl_uses_free(&uses);
    return status;
}

static void make_request(const tslim_graph *graph, uint32_t n, uint32_t i, tsl_pack_request *request) {
    const tsl_node *node = &graph->nodes[n];
    *request = (tsl_pack_request){.op = node->op, .attrs = &node->attrs, .input_index = i};
    tsl_describe_value(&graph->values[node->inputs[i]], &request->weights);
}

// A file says of its weights that they are packed; only here is it known what that means for this operand.
static tslim_status require_packed(
    const tslim_graph *graph, const tsl_node *node, uint32_t i, tsl_packing packing, size_t bytes) {
    const tsl_value *value = &graph->values[node->inputs[i]];
    TSL_REQUIRE(value->packing == packing, TSLIM_ERROR_BAD_FILE,
        "node '%s': operand %u is packed for another operator", node->name, i);
    TSL_REQUIRE(value->bytes == bytes, TSLIM_ERROR_BAD_FILE,
        "node '%s': operand %u has %zu bytes, packed as it is it needs %zu", node->name, i, value->bytes,
        bytes);
    return TSLIM_OK;
}

static tslim_status pack_operand(
    tslim_graph *graph, const tsl_backend *backend, uint32_t n, uint32_t i, const tsl_uses *uses) {
    tsl_pack_request request;
    make_request(graph, n, i, &request);
    tsl_packing packing;
    size_t bytes;
    TSL_TRY(backend->packed_size(&request, &packing, &bytes));
    uint32_t id = graph->nodes[n].inputs[i];
    if (graph->values[id].packing != TSL_PACKING_NONE)
        return require_packed(graph, &graph->nodes[n], i, packing, bytes);
    if (packing == TSL_PACKING_NONE) return TSLIM_OK;
    // Others may need the plain order, or another packing.
    if (tsl_uses_count(uses, id) > 1 || tsl_graph_is_output(graph, id)) {
        uint32_t copy;
        TSL_TRY(tsl_graph_add_value(graph, graph->values[id].name, graph->values[id].dtype, &copy));
        graph->values[copy].shape = graph->values[id].shape;
        graph->values[copy].quant = graph->values[id].quant;
        graph->nodes[n].inputs[i] = id = copy;
    }
    tsl_buffer *packed = tsl_buffer_create(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(packed, bytes);
    backend->pack(&request, packed->data);
    tsl_value_set_data(&graph->values[id], packed, packed->data, bytes);
    tsl_buffer_release(packed);
    graph->values[id].packing = packing;
    return TSLIM_OK;
}

static tslim_status unpack_operand(
    tslim_graph *graph, const tsl_backend *backend, uint32_t n, uint32_t i, const tsl_uses *uses) {
    (void)uses;
    uint32_t id = graph->nodes[n].inputs[i];
    tsl_value *value = &graph->values[id];
    if (value->packing == TSL_PACKING_NONE) return TSLIM_OK;
    tsl_pack_request request;
    make_request(graph, n, i, &request);
    tsl_packing packing;
    size_t packed_bytes;
    TSL_TRY(backend->packed_size(&request, &packing, &packed_bytes));
    TSL_TRY(require_packed(graph, &graph->nodes[n], i, packing, packed_bytes));
    request.weights.packing = TSL_PACKING_NONE;
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(graph->ctx, &value->shape, &elements));
    size_t bytes = (size_t)elements * tslim_dtype_size(value->dtype);
    tsl_buffer *plain = tsl_buffer_create(graph->ctx, bytes);
    TSL_REQUIRE_MEMORY(plain, bytes);
    backend->unpack(&request, value->data, plain->data);
    tsl_value_set_data(value, plain, plain->data, bytes);
    tsl_buffer_release(plain);
    value->packing = TSL_PACKING_NONE;
    return TSLIM_OK;
}

// Packing what unpacking gives must give the same bytes: padding of zeros, and sums that are those of the
// weights.
static tslim_status check_operand(
    tslim_graph *graph, const tsl_backend *backend, uint32_t n, uint32_t i, const tsl_uses *uses) {
    const tsl_value *value = &graph->values[graph->nodes[n].inputs[i]];
    if (value->packing == TSL_PACKING_NONE) return TSLIM_OK;
    tsl_buffer *stored = tsl_buffer_retain(value->buffer);
    const void *data = value->data;
    size_t bytes = value->bytes;
    tslim_status status = unpack_operand(graph, backend, n, i, uses);
    if (status == TSLIM_OK) status = pack_operand(graph, backend, n, i, uses);
    // An operand that several nodes share is packed for the first of them in a copy of its own.
    value = &graph->values[graph->nodes[n].inputs[i]];
    if (status == TSLIM_OK && memcmp(value->data, data, bytes) != 0)
        status = tsl_fail(TSLIM_ERROR_BAD_FILE,
            "node '%s': operand %u is not packed as its %zu bytes should be", graph->nodes[n].name, i, bytes);
    tsl_buffer_release(stored);
    return status;
}

tslim_status tsl_graph_check_packed(const tslim_graph *graph, const tsl_backend *backend) {
    tslim_graph *copy;
    TSL_TRY(tslim_graph_clone(graph, &copy));
    tslim_status status = for_each_constant_operand(copy, backend, check_operand);
    tslim_graph_destroy(copy);
    return status;
}

tslim_status tsl_graph_pack_weights(tslim_graph *graph, const tsl_backend *backend) {
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(tsl_graph_pack_weights(graph->bodies[i], backend));
    TSL_TRY(for_each_constant_operand(graph, backend, pack_operand));
    return tsl_graph_compact(graph);
}

tslim_status tsl_graph_unpack_weights(tslim_graph *graph, const tsl_backend *backend) {
    for (uint32_t i = 0; i < graph->n_bodies; i++)
        TSL_TRY(tsl_graph_unpack_weights(graph->bodies[i], backend));
    return for_each_constant_operand(graph, backend, unpack_operand);
}
