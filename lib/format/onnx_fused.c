// SPDX-License-Identifier: Apache-2.0
// Fused operators become what they stand for. What they compute is in onnxruntime's docs/ContribOperators.md.
#include "format/onnx_fused.h"

#include <string.h>

#include "format/onnx_attention.h"

// ---- Activations ----

static tslim_status expand_gelu(tsl_expander *e) {
    uint32_t x = e->inputs[0];
    if (e->inputs[1] != TSL_NONE) TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, x, e->inputs[1], &x));
    return tsl_expand_become(e, TSL_OP_GELU, 1, &x);
}

static tslim_status expand_fast_gelu(tsl_expander *e) {
    TSL_TRY(expand_gelu(e));
    return tsl_node_set_string(e->graph, &e->graph->nodes[e->n], TSL_ATTR_approximate, "tanh");
}

// x * sigmoid(alpha x)
static tslim_status expand_quick_gelu(tsl_expander *e) {
    uint32_t x = e->inputs[0], scaled = x, gate, alpha;
    float number = tsl_expand_float(e, "alpha", 1.702f);
    if (number != 1) {
        TSL_TRY(tsl_expand_number(e, number, &alpha));
        TSL_TRY(tsl_expand_before(e, TSL_OP_MUL, x, alpha, &scaled));
    }
    TSL_TRY(tsl_expand_before(e, TSL_OP_SIGMOID, scaled, TSL_NONE, &gate));
    return tsl_expand_become(e, TSL_OP_MUL, 2, (uint32_t[]){x, gate});
}

// The result goes through a function named by an attribute, with up to two numbers.
static tslim_status activate(tsl_expander *e, const char *name, const float *numbers, size_t count) {
    static const struct {
        const char *name;
        tsl_op op;
        tsl_attr_id attrs[2];
    } functions[] = {
        {"Relu", TSL_OP_RELU, {TSL_ATTR_UNKNOWN, TSL_ATTR_UNKNOWN}},
        {"Tanh", TSL_OP_TANH, {TSL_ATTR_UNKNOWN, TSL_ATTR_UNKNOWN}},
        {"Sigmoid", TSL_OP_SIGMOID, {TSL_ATTR_UNKNOWN, TSL_ATTR_UNKNOWN}},
        {"HardSwish", TSL_OP_HARD_SWISH, {TSL_ATTR_UNKNOWN, TSL_ATTR_UNKNOWN}},
        {"LeakyRelu", TSL_OP_LEAKY_RELU, {TSL_ATTR_alpha, TSL_ATTR_UNKNOWN}},
        {"HardSigmoid", TSL_OP_HARD_SIGMOID, {TSL_ATTR_alpha, TSL_ATTR_beta}},
        {"Clip", TSL_OP_CLIP, {TSL_ATTR_min, TSL_ATTR_max}},
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcmp(name, functions[i].name) != 0) continue;
        uint32_t added;
        TSL_TRY(tsl_expand_finish(e, functions[i].op, TSL_NONE, &added));
        bool operands = functions[i].op == TSL_OP_CLIP && e->graph->opset >= 11;
        for (size_t k = 0; k < 2 && k < count && functions[i].attrs[k] != TSL_ATTR_UNKNOWN; k++) {
            tsl_node *node = &e->graph->nodes[added];
            uint32_t bound;
            if (!operands) {
                TSL_TRY(tsl_node_set_float(e->graph, node, functions[i].attrs[k], numbers[k]));
                continue;
            }
            TSL_TRY(tsl_expand_number(e, numbers[k], &bound));
            TSL_TRY(tsl_node_add_input(e->graph, &e->graph->nodes[added], bound));
        }
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "activation '%.40s'", name);
}

static const char *activation_name(const tsl_expander *e) {
    const tsl_attr *attr = tsl_expand_attr(e, "activation");
    return attr && attr->type == TSL_ATTR_TYPE_STRING ? attr->s : "";
}

// ---- Products ----

// Keeps the attributes, which are those of ONNX's operator and a few more that writing must not repeat.
static tslim_status become_with_attrs(
    tsl_expander *e, tsl_op op, uint32_t n_inputs, const char *const *without) {
    TSL_TRY(tsl_expand_become(e, op, n_inputs, e->inputs));
    tsl_attrs kept = {.items = tsl_arena_array(&e->graph->arena, e->attrs.count, sizeof(tsl_attr))};
    TSL_REQUIRE_MEMORY(kept.items, e->attrs.count * sizeof(tsl_attr));
    for (uint32_t i = 0; i < e->attrs.count; i++) {
        bool keep = true;
        for (const char *const *name = without; *name; name++)
            keep = keep && strcmp(e->attrs.items[i].name, *name) != 0;
        if (keep) kept.items[kept.count++] = e->attrs.items[i];
    }
    e->graph->nodes[e->n].attrs = kept;
    return TSLIM_OK;
}

// act(Conv(x, w, b) + z)
static tslim_status expand_conv(tsl_expander *e) {
    static const char *const without[] = {"activation", "activation_params", NULL};
    const tsl_attr *params = tsl_expand_attr(e, "activation_params");
    bool floats = params && params->type == TSL_ATTR_TYPE_FLOATS;
    uint32_t added;
    TSL_TRY(become_with_attrs(e, TSL_OP_CONV, e->inputs[2] == TSL_NONE ? 2 : 3, without));
    if (*activation_name(e))
        TSL_TRY(activate(e, activation_name(e), floats ? params->floats : NULL, floats ? params->count : 0));
    return e->inputs[3] == TSL_NONE ? TSLIM_OK : tsl_expand_finish(e, TSL_OP_ADD, e->inputs[3], &added);
}

static tslim_status expand_gemm(tsl_expander *e) {
    static const char *const without[] = {
        "activation", "activation_alpha", "activation_beta", "activation_gamma", NULL};
    const tsl_attr *alpha = tsl_expand_attr(e, "activation_alpha");
    const float numbers[2] = {
        tsl_expand_float(e, "activation_alpha", 0), tsl_expand_float(e, "activation_beta", 0)};
    TSL_TRY(become_with_attrs(e, TSL_OP_GEMM, e->inputs[2] == TSL_NONE ? 2 : 3, without));
    return *activation_name(e) ? activate(e, activation_name(e), numbers, alpha ? 2 : 0) : TSLIM_OK;
}

// The last two axes change places. The rank must be known.
static tslim_status transpose(tsl_expander *e, uint32_t *x) {
    const tsl_shape *shape = &e->graph->values[*x].shape;
    const uint32_t rank = shape->rank;
    TSL_REQUIRE(
        shape->known && rank >= 2, TSLIM_ERROR_UNSUPPORTED, "an operand to transpose of unknown rank");
    int64_t perm[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
    TSL_TRY(tsl_expand_before(e, TSL_OP_TRANSPOSE, *x, TSL_NONE, x));
    return tsl_node_set_ints(e->graph, &e->graph->nodes[e->graph->n_nodes - 1], TSL_ATTR_perm, perm, rank);
}

// Where a rank is not known before shapes are inferred, Einsum says the same.
static tslim_status expand_matmul(tsl_expander *e) {
    uint32_t operands[2] = {e->inputs[0], e->inputs[1]}, number, added;
    bool transposed[2] = {tsl_expand_int(e, "transA", 0) != 0, tsl_expand_int(e, "transB", 0) != 0},
         known = true;
    TSL_REQUIRE(tsl_expand_int(e, "transBatchA", 0) == 0 && tsl_expand_int(e, "transBatchB", 0) == 0,
        TSLIM_ERROR_UNSUPPORTED, "transposed batches");
    for (uint32_t i = 0; i < 2; i++) {
        TSL_REQUIRE(operands[i] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "operand %u is absent", i);
        known = known && (!transposed[i] || e->graph->values[operands[i]].shape.known);
    }
    if (known) {
        for (uint32_t i = 0; i < 2; i++)
            if (transposed[i]) TSL_TRY(transpose(e, &operands[i]));
        TSL_TRY(tsl_expand_become(e, TSL_OP_MATMUL, 2, operands));
    } else {
        const char *equation = tsl_arena_format(
            &e->graph->arena, "...%s,...%s->...mn", transposed[0] ? "km" : "mk", transposed[1] ? "nk" : "kn");
        TSL_REQUIRE_MEMORY(equation, 1);
        TSL_TRY(tsl_expand_become(e, TSL_OP_EINSUM, 2, operands));
        TSL_TRY(tsl_node_set_string(e->graph, &e->graph->nodes[e->n], TSL_ATTR_equation, equation));
    }
    float alpha = tsl_expand_float(e, "alpha", 1);
    if (alpha == 1) return TSLIM_OK;
    TSL_TRY(tsl_expand_number(e, alpha, &number));
    return tsl_expand_finish(e, TSL_OP_MUL, number, &added);
}

// ---- Normalization ----

// LayerNormalization of the sum of operands 0, 1 and `bias`; the sum itself is output 3.
static tslim_status expand_skip_normalization(tsl_expander *e) {
    tslim_graph *graph = e->graph;
    float epsilon = tsl_expand_float(e, "epsilon", 1e-12f);
    uint32_t sum, total = graph->nodes[e->n].n_outputs > 3 ? graph->nodes[e->n].outputs[3] : TSL_NONE;
    for (uint32_t i = 1; i < 3 && i < graph->nodes[e->n].n_outputs; i++) // mean and deviation, for training
        if (graph->nodes[e->n].outputs[i] != TSL_NONE) return TSLIM_OK;
    TSL_REQUIRE(
        e->inputs[0] != TSL_NONE && e->inputs[1] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    graph->nodes[e->n].n_outputs = 1;
    TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, e->inputs[0], e->inputs[1], &sum));
    if (e->inputs[4] != TSL_NONE) TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, sum, e->inputs[4], &sum));
    if (total != TSL_NONE) {
        uint32_t added;
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_IDENTITY, NULL, 1, &sum, 1, &total, &added));
    }
    TSL_TRY(tsl_expand_become(e, TSL_OP_LAYER_NORMALIZATION, e->inputs[3] == TSL_NONE ? 2 : 3,
        (uint32_t[]){sum, e->inputs[2], e->inputs[3]}));
    return tsl_node_set_float(graph, &graph->nodes[e->n], TSL_ATTR_epsilon, epsilon);
}

// ---- All nodes ----

#define MICROSOFT "com.microsoft"

tslim_status tsl_onnx_expand_fused(tslim_graph *graph) {
    static const tsl_expansion rules[] = {
        {MICROSOFT, "Gelu", TSL_OP_GELU, 1, 1, expand_gelu},
        {MICROSOFT, "BiasGelu", TSL_OP_GELU, 2, 1, expand_gelu},
        {MICROSOFT, "FastGelu", TSL_OP_GELU, 2, 1, expand_fast_gelu},
        {MICROSOFT, "QuickGelu", TSL_OP_MUL, 1, 1, expand_quick_gelu},
        {MICROSOFT, "FusedConv", TSL_OP_CONV, 4, 1, expand_conv},
        {MICROSOFT, "FusedGemm", TSL_OP_GEMM, 3, 1, expand_gemm},
        {MICROSOFT, "FusedMatMul", TSL_OP_MATMUL, 2, 1, expand_matmul},
        {MICROSOFT, "Attention", TSL_OP_RESHAPE, 7, 1, tsl_onnx_expand_attention},
        {MICROSOFT, "MultiHeadAttention", TSL_OP_RESHAPE, 8, 1, tsl_onnx_expand_multi_head_attention},
        {MICROSOFT, "EmbedLayerNormalization", TSL_OP_LAYER_NORMALIZATION, 9, 3, tsl_onnx_expand_embeddings},
        {MICROSOFT, "SimplifiedLayerNormalization", TSL_OP_MUL, 2, 1,
            tsl_onnx_expand_simplified_normalization},
        {"", "SimplifiedLayerNormalization", TSL_OP_MUL, 2, 1, tsl_onnx_expand_simplified_normalization},
        {MICROSOFT, "SkipSimplifiedLayerNormalization", TSL_OP_MUL, 4, 4,
            tsl_onnx_expand_skip_simplified_normalization},
        {MICROSOFT, "SkipLayerNormalization", TSL_OP_LAYER_NORMALIZATION, 5, 4, expand_skip_normalization},
    };
    return tsl_expand_nodes(graph, rules, sizeof(rules) / sizeof(rules[0]));
}
