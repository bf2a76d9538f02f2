// SPDX-License-Identifier: Apache-2.0
#include "support/node_builder.h"

#include <string.h>

bool node_builder_init(node_builder *builder, uint32_t opset) {
    *builder = (node_builder){0};
    if (tslim_context_create(NULL, &builder->ctx) != TSLIM_OK) return false;
    if (tsl_graph_create(builder->ctx, &builder->graph) != TSLIM_OK) return false;
    builder->graph->opset = opset;
    return true;
}

void node_builder_free(node_builder *builder) {
    tslim_graph_destroy(builder->graph);
    tslim_context_destroy(builder->ctx);
}

static uint32_t remember(node_builder *builder, uint32_t id) {
    if (builder->n_inputs < BUILDER_MAX_INPUTS) builder->inputs[builder->n_inputs++] = id;
    return id;
}

uint32_t node_builder_value(node_builder *builder, tslim_dtype dtype, uint32_t rank, const int64_t *dims) {
    static const char *const symbols[TSLIM_MAX_RANK] = {"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"};
    uint32_t id;
    if (tsl_graph_add_value(builder->graph, "x", dtype, &id) != TSLIM_OK) return remember(builder, TSL_NONE);
    tsl_shape *shape = &builder->graph->values[id].shape;
    tsl_shape_set(shape, rank, dims);
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] < 0) shape->symbols[i] = symbols[i];
    return remember(builder, id);
}

static uint32_t add_list(node_builder *builder, tslim_dtype dtype, size_t count, const void *values) {
    uint32_t id;
    void *data;
    int64_t dims[1] = {(int64_t)count};
    if (tsl_graph_add_constant(builder->graph, "list", dtype, 1, dims, &id, &data) != TSLIM_OK)
        return remember(builder, TSL_NONE);
    if (count) memcpy(data, values, count * tslim_dtype_size(dtype));
    return remember(builder, id);
}

uint32_t node_builder_ints(node_builder *builder, size_t count, const int64_t *values) {
    return add_list(builder, TSLIM_DTYPE_INT64, count, values);
}

uint32_t node_builder_floats(node_builder *builder, size_t count, const float *values) {
    return add_list(builder, TSLIM_DTYPE_FLOAT, count, values);
}

uint32_t node_builder_absent(node_builder *builder) {
    return remember(builder, TSL_NONE);
}

tsl_node *node_builder_add(node_builder *builder, tsl_op op, uint32_t n_outputs) {
    uint32_t outputs[BUILDER_MAX_INPUTS];
    for (uint32_t i = 0; i < n_outputs && i < BUILDER_MAX_INPUTS; i++)
        if (tsl_graph_add_value(builder->graph, "y", TSLIM_DTYPE_NONE, &outputs[i]) != TSLIM_OK) return NULL;
    if (tsl_graph_add_node(builder->graph, op, "node", builder->n_inputs, builder->inputs, n_outputs, outputs,
            &builder->node) != TSLIM_OK)
        return NULL;
    return &builder->graph->nodes[builder->node];
}
