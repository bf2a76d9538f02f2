// SPDX-License-Identifier: Apache-2.0
// From a graph for inference to one for training: see trainable.h.
#include "train/trainable.h"

#include <string.h>

#include "format/onnx_opset.h"

typedef enum role { ROLE_NONE, ROLE_VECTOR, ROLE_WEIGHTS, ROLE_STATISTIC } role;

typedef struct maker {
    tslim_graph *graph;
    const tsl_trainable_options *options;
    uint8_t *roles; // of each value
    uint32_t *input; // of each value: which graph input it became
} maker;

static bool is_weights(const tslim_graph *graph, uint32_t value) {
    if (value == TSL_NONE) return false;
    const tsl_value *v = &graph->values[value];
    return tsl_value_is_constant(v) && (v->dtype == TSLIM_DTYPE_FLOAT || v->dtype == TSLIM_DTYPE_DOUBLE) &&
           v->bytes > 0;
}

static void mark(maker *m, uint32_t value, role as) {
    if (is_weights(m->graph, value) && as > m->roles[value]) m->roles[value] = (uint8_t)as;
}

// One number for each index of a single axis.
static bool is_vector(const tsl_shape *shape) {
    uint32_t long_dims = 0;
    for (uint32_t i = 0; i < shape->rank; i++) long_dims += shape->dims[i] != 1;
    return long_dims == 1;
}

// The scale or bias of a normalization or product that is written as several nodes: it follows a product, the
// division by a deviation, or another such vector. Other vectors are numbers of the architecture.
static void mark_arithmetic(maker *m, const tsl_node *node) {
    const tslim_graph *graph = m->graph;
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t vector = node->inputs[i], other = node->inputs[1 - i];
        if (!is_weights(graph, vector) || other == TSL_NONE || !is_vector(&graph->values[vector].shape))
            continue;
        const uint32_t producer = graph->values[other].producer;
        if (producer == TSL_NONE) continue;
        const tsl_node *before = &graph->nodes[producer];
        bool follows = before->op == TSL_OP_CONV || before->op == TSL_OP_CONV_TRANSPOSE ||
                       before->op == TSL_OP_GEMM || before->op == TSL_OP_MATMUL || before->op == TSL_OP_DIV;
        for (uint32_t k = 0; !follows && k < 2 && (before->op == TSL_OP_ADD || before->op == TSL_OP_MUL); k++)
            follows = before->inputs[k] != TSL_NONE && m->roles[before->inputs[k]] == ROLE_VECTOR;
        if (follows) mark(m, vector, ROLE_VECTOR);
    }
}

static void mark_node(maker *m, const tsl_node *node) {
    switch (node->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        for (uint32_t i = 0; i < node->n_inputs && i < 3; i++)
            mark(m, node->inputs[i], i < 2 ? ROLE_WEIGHTS : ROLE_VECTOR);
        return;
    case TSL_OP_BATCH_NORMALIZATION:
        for (uint32_t i = 1; i < 3; i++) mark(m, node->inputs[i], ROLE_VECTOR);
        if (m->options->freeze_statistics || !is_weights(m->graph, node->inputs[3]) ||
            !is_weights(m->graph, node->inputs[4]))
            return;
        for (uint32_t i = 3; i < 5; i++) mark(m, node->inputs[i], ROLE_STATISTIC);
        return;
    case TSL_OP_LAYER_NORMALIZATION:
    case TSL_OP_INSTANCE_NORMALIZATION:
    case TSL_OP_GROUP_NORMALIZATION:
        for (uint32_t i = 1; i < node->n_inputs && i < 3; i++) mark(m, node->inputs[i], ROLE_VECTOR);
        return;
    case TSL_OP_PRELU:
        mark(m, node->inputs[1], ROLE_VECTOR);
        return;
    case TSL_OP_ADD:
    case TSL_OP_SUB:
    case TSL_OP_MUL:
    case TSL_OP_DIV:
        mark_arithmetic(m, node);
        return;
    default:
        return;
    }
}

// Constants with a role become inputs, in the order of their values.
static tslim_status make_inputs(maker *m, uint32_t count) {
    tslim_graph *graph = m->graph;
    uint32_t *inputs = tsl_arena_array(&graph->arena, (size_t)graph->n_inputs + count, sizeof(*inputs));
    TSL_REQUIRE_MEMORY(inputs, count * sizeof(*inputs));
    if (graph->n_inputs > 0) memcpy(inputs, graph->inputs, graph->n_inputs * sizeof(*inputs));
    graph->inputs = inputs;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        if (m->roles[v] == ROLE_NONE) continue;
        tsl_value_set_data(&graph->values[v], NULL, NULL, 0);
        m->input[v] = graph->n_inputs;
        graph->inputs[graph->n_inputs++] = v;
    }
    return TSLIM_OK;
}

static tslim_status train_batch_normalization(maker *m, uint32_t n, tsl_trainable *t) {
    tslim_graph *graph = m->graph;
    uint32_t *outputs = tsl_arena_array(&graph->arena, 3, sizeof(*outputs));
    TSL_REQUIRE_MEMORY(outputs, 3 * sizeof(*outputs));
    outputs[0] = graph->nodes[n].outputs[0];
    for (uint32_t i = 1; i < 3; i++) {
        const uint32_t running = graph->nodes[n].inputs[i + 2];
        TSL_TRY(tsl_graph_add_value(
            graph, graph->values[running].name, graph->values[running].dtype, &outputs[i]));
        graph->values[outputs[i]].shape = graph->values[running].shape;
        graph->values[outputs[i]].producer = n;
        t->statistics[t->n_statistics++] =
            (tsl_statistic){graph->values[running].name, m->input[running], outputs[i]};
    }
    graph->nodes[n].outputs = outputs;
    graph->nodes[n].n_outputs = 3;
    if (m->options->momentum > 0)
        TSL_TRY(tsl_node_set_float(graph, &graph->nodes[n], TSL_ATTR_momentum, m->options->momentum));
    return tsl_node_set_int(graph, &graph->nodes[n], TSL_ATTR_training_mode, 1);
}

static bool is_trained_normalization(const maker *m, const tsl_node *node) {
    if (node->op != TSL_OP_BATCH_NORMALIZATION || m->options->freeze_statistics) return false;
    return m->roles[node->inputs[3]] == ROLE_STATISTIC && m->roles[node->inputs[4]] == ROLE_STATISTIC;
}

static tslim_status make(maker *m, tsl_trainable *t) {
    tslim_graph *graph = m->graph;
    for (uint32_t n = 0; n < graph->n_nodes; n++) mark_node(m, &graph->nodes[n]);
    uint32_t parameters = 0, others = 0, normalizations = 0;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        parameters += m->roles[v] == ROLE_WEIGHTS || m->roles[v] == ROLE_VECTOR;
        others += m->roles[v] == ROLE_STATISTIC;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        normalizations += is_trained_normalization(m, &graph->nodes[n]);
    t->parameter_bytes = parameters * sizeof(*t->parameters);
    t->statistic_bytes = 2 * (size_t)normalizations * sizeof(*t->statistics);
    t->parameters = tsl_allocate(t->ctx, t->parameter_bytes);
    t->statistics = tsl_allocate(t->ctx, t->statistic_bytes);
    TSL_REQUIRE_MEMORY(t->parameters && t->statistics ? t : NULL, t->parameter_bytes + t->statistic_bytes);
    TSL_TRY(make_inputs(m, parameters + others));
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (m->roles[v] == ROLE_WEIGHTS || m->roles[v] == ROLE_VECTOR)
            t->parameters[t->n_parameters++] =
                (tsl_parameter){graph->values[v].name, m->input[v], m->roles[v] == ROLE_WEIGHTS};
    const uint32_t n_nodes = graph->n_nodes;
    for (uint32_t n = 0; n < n_nodes; n++)
        if (is_trained_normalization(m, &graph->nodes[n])) TSL_TRY(train_batch_normalization(m, n, t));
    return TSL_VERIFY(graph);
}

tslim_status tsl_make_trainable(
    tslim_graph *graph, const tsl_trainable_options *options, tsl_trainable *trainable) {
    const tsl_trainable_options usual = {0};
    *trainable = (tsl_trainable){.ctx = graph->ctx};
    TSL_REQUIRE(
        !graph->optimized, TSLIM_ERROR_INVALID_ARGUMENT, "the graph is optimized, and can only be run");
    if (graph->opset < 13) { // gradients have nodes that older opsets lack
        TSL_TRY(tsl_onnx_raise_opset(graph, 13));
        TSL_TRY(tsl_graph_sort(graph));
    }
    tslim_context *ctx = graph->ctx;
    const size_t values = graph->n_values;
    maker m = {.graph = graph,
        .options = options ? options : &usual,
        .roles = tsl_allocate_zeroed(ctx, values),
        .input = tsl_allocate_zeroed(ctx, values * sizeof(uint32_t))};
    tslim_status status = TSLIM_OK;
    if (!m.roles || !m.input)
        status = tsl_no_memory(values * (1 + sizeof(uint32_t)));
    else
        status = make(&m, trainable);
    tsl_free(ctx, m.input, values * sizeof(uint32_t));
    tsl_free(ctx, m.roles, values);
    if (status != TSLIM_OK) tsl_trainable_free(trainable);
    return status;
}

void tsl_trainable_free(tsl_trainable *trainable) {
    if (!trainable->ctx) return;
    tsl_free(trainable->ctx, trainable->parameters, trainable->parameter_bytes);
    tsl_free(trainable->ctx, trainable->statistics, trainable->statistic_bytes);
    *trainable = (tsl_trainable){0};
}
