// SPDX-License-Identifier: Apache-2.0
// Fused operators become what they stand for. What they compute is in onnxruntime's docs/ContribOperators.md.
#include "format/onnx_fused.h"

#include <string.h>

typedef struct expander {
    tslim_graph *graph;
    uint32_t n; // the node at work
    uint32_t inputs[8]; // as it came; TSL_NONE past the last
    tsl_attrs attrs; // as they came
} expander;

// ---- Pieces ----

static tslim_status add_value(expander *e, uint32_t *id) {
    const char *name = tsl_arena_format(&e->graph->arena, "%s_part", e->graph->nodes[e->n].name);
    TSL_REQUIRE_MEMORY(name, 1);
    return tsl_graph_add_value(e->graph, name, TSLIM_DTYPE_NONE, id);
}

static tslim_status add_number(expander *e, float number, uint32_t *id) {
    void *data;
    TSL_TRY(tsl_graph_add_constant(e->graph, "number", TSLIM_DTYPE_FLOAT, 0, NULL, id, &data));
    memcpy(data, &number, sizeof(number));
    return TSLIM_OK;
}

// A new node before the one at work; `b` may be TSL_NONE.
static tslim_status before(expander *e, tsl_op op, uint32_t a, uint32_t b, uint32_t *result) {
    uint32_t added;
    TSL_REQUIRE(a != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    TSL_TRY(add_value(e, result));
    return tsl_graph_add_node(
        e->graph, op, NULL, b == TSL_NONE ? 1 : 2, (uint32_t[]){a, b}, 1, result, &added);
}

// The node becomes `op` of these operands, without attributes.
static tslim_status become(expander *e, tsl_op op, uint32_t n_inputs, const uint32_t *inputs) {
    const tsl_op_info *info = tsl_op_get_info(op);
    for (uint32_t i = 0; i < n_inputs && i < info->min_inputs; i++)
        TSL_REQUIRE(inputs[i] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "operand %u is absent", i);
    uint32_t *copy = tsl_arena_copy(&e->graph->arena, inputs, n_inputs * sizeof(*inputs));
    TSL_REQUIRE_MEMORY(copy, n_inputs * sizeof(*inputs));
    tsl_node *node = &e->graph->nodes[e->n];
    node->op = op;
    node->op_type = info->name;
    node->domain = info->domain;
    node->inputs = copy;
    node->n_inputs = n_inputs;
    node->attrs = (tsl_attrs){0};
    return TSLIM_OK;
}

// The result goes through one more node, whose first operand it becomes; `second` may be TSL_NONE.
static tslim_status finish_with(expander *e, tsl_op op, uint32_t second, uint32_t *added) {
    tslim_graph *graph = e->graph;
    uint32_t result = graph->nodes[e->n].outputs[0], inner;
    TSL_TRY(add_value(e, &inner));
    graph->nodes[e->n].outputs[0] = inner;
    graph->values[inner].producer = e->n;
    return tsl_graph_add_node(
        graph, op, NULL, second == TSL_NONE ? 1 : 2, (uint32_t[]){inner, second}, 1, &result, added);
}

static const tsl_attr *find(const expander *e, const char *name) {
    for (uint32_t i = 0; i < e->attrs.count; i++)
        if (strcmp(e->attrs.items[i].name, name) == 0) return &e->attrs.items[i];
    return NULL;
}
static int64_t int_named(const expander *e, const char *name, int64_t otherwise) {
    const tsl_attr *attr = find(e, name);
    return attr && attr->type == TSL_ATTR_TYPE_INT ? attr->i : otherwise;
}
static float float_named(const expander *e, const char *name, float otherwise) {
    const tsl_attr *attr = find(e, name);
    return attr && attr->type == TSL_ATTR_TYPE_FLOAT ? attr->f : otherwise;
}

// ---- Activations ----

static tslim_status expand_gelu(expander *e) {
    uint32_t x = e->inputs[0];
    if (e->inputs[1] != TSL_NONE) TSL_TRY(before(e, TSL_OP_ADD, x, e->inputs[1], &x));
    return become(e, TSL_OP_GELU, 1, &x);
}

static tslim_status expand_fast_gelu(expander *e) {
    TSL_TRY(expand_gelu(e));
    return tsl_node_set_string(e->graph, &e->graph->nodes[e->n], TSL_ATTR_approximate, "tanh");
}

// x * sigmoid(alpha x)
static tslim_status expand_quick_gelu(expander *e) {
    uint32_t x = e->inputs[0], scaled = x, gate, alpha;
    float number = float_named(e, "alpha", 1.702f);
    if (number != 1) {
        TSL_TRY(add_number(e, number, &alpha));
        TSL_TRY(before(e, TSL_OP_MUL, x, alpha, &scaled));
    }
    TSL_TRY(before(e, TSL_OP_SIGMOID, scaled, TSL_NONE, &gate));
    return become(e, TSL_OP_MUL, 2, (uint32_t[]){x, gate});
}

// The result goes through a function named by an attribute, with up to two numbers.
static tslim_status activate(expander *e, const char *name, const float *numbers, size_t count) {
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
        TSL_TRY(finish_with(e, functions[i].op, TSL_NONE, &added));
        bool operands = functions[i].op == TSL_OP_CLIP && e->graph->opset >= 11;
        for (size_t k = 0; k < 2 && k < count && functions[i].attrs[k] != TSL_ATTR_UNKNOWN; k++) {
            tsl_node *node = &e->graph->nodes[added];
            uint32_t bound;
            if (!operands) {
                TSL_TRY(tsl_node_set_float(e->graph, node, functions[i].attrs[k], numbers[k]));
                continue;
            }
            TSL_TRY(add_number(e, numbers[k], &bound));
            TSL_TRY(tsl_node_add_input(e->graph, &e->graph->nodes[added], bound));
        }
        return TSLIM_OK;
    }
    return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "activation '%.40s'", name);
}

static const char *activation_name(const expander *e) {
    const tsl_attr *attr = find(e, "activation");
    return attr && attr->type == TSL_ATTR_TYPE_STRING ? attr->s : "";
}

// ---- Products ----

// Keeps the attributes, which are those of ONNX's operator and a few more that writing must not repeat.
static tslim_status become_with_attrs(expander *e, tsl_op op, uint32_t n_inputs, const char *const *without) {
    TSL_TRY(become(e, op, n_inputs, e->inputs));
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
static tslim_status expand_conv(expander *e) {
    static const char *const without[] = {"activation", "activation_params", NULL};
    const tsl_attr *params = find(e, "activation_params");
    bool floats = params && params->type == TSL_ATTR_TYPE_FLOATS;
    uint32_t added;
    TSL_TRY(become_with_attrs(e, TSL_OP_CONV, e->inputs[2] == TSL_NONE ? 2 : 3, without));
    if (*activation_name(e))
        TSL_TRY(activate(e, activation_name(e), floats ? params->floats : NULL, floats ? params->count : 0));
    return e->inputs[3] == TSL_NONE ? TSLIM_OK : finish_with(e, TSL_OP_ADD, e->inputs[3], &added);
}

static tslim_status expand_gemm(expander *e) {
    static const char *const without[] = {
        "activation", "activation_alpha", "activation_beta", "activation_gamma", NULL};
    const tsl_attr *alpha = find(e, "activation_alpha");
    const float numbers[2] = {float_named(e, "activation_alpha", 0), float_named(e, "activation_beta", 0)};
    TSL_TRY(become_with_attrs(e, TSL_OP_GEMM, e->inputs[2] == TSL_NONE ? 2 : 3, without));
    return *activation_name(e) ? activate(e, activation_name(e), numbers, alpha ? 2 : 0) : TSLIM_OK;
}

// The last two axes change places. The rank must be known.
static tslim_status transpose(expander *e, uint32_t *x) {
    const tsl_shape *shape = &e->graph->values[*x].shape;
    const uint32_t rank = shape->rank;
    TSL_REQUIRE(
        shape->known && rank >= 2, TSLIM_ERROR_UNSUPPORTED, "an operand to transpose of unknown rank");
    int64_t perm[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
    TSL_TRY(before(e, TSL_OP_TRANSPOSE, *x, TSL_NONE, x));
    return tsl_node_set_ints(e->graph, &e->graph->nodes[e->graph->n_nodes - 1], TSL_ATTR_perm, perm, rank);
}

// Where a rank is not known before shapes are inferred, Einsum says the same.
static tslim_status expand_matmul(expander *e) {
    uint32_t operands[2] = {e->inputs[0], e->inputs[1]}, number, added;
    bool transposed[2] = {int_named(e, "transA", 0) != 0, int_named(e, "transB", 0) != 0}, known = true;
    TSL_REQUIRE(int_named(e, "transBatchA", 0) == 0 && int_named(e, "transBatchB", 0) == 0,
        TSLIM_ERROR_UNSUPPORTED, "transposed batches");
    for (uint32_t i = 0; i < 2; i++) {
        TSL_REQUIRE(operands[i] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "operand %u is absent", i);
        known = known && (!transposed[i] || e->graph->values[operands[i]].shape.known);
    }
    if (known) {
        for (uint32_t i = 0; i < 2; i++)
            if (transposed[i]) TSL_TRY(transpose(e, &operands[i]));
        TSL_TRY(become(e, TSL_OP_MATMUL, 2, operands));
    } else {
        const char *equation = tsl_arena_format(
            &e->graph->arena, "...%s,...%s->...mn", transposed[0] ? "km" : "mk", transposed[1] ? "nk" : "kn");
        TSL_REQUIRE_MEMORY(equation, 1);
        TSL_TRY(become(e, TSL_OP_EINSUM, 2, operands));
        TSL_TRY(tsl_node_set_string(e->graph, &e->graph->nodes[e->n], TSL_ATTR_equation, equation));
    }
    float alpha = float_named(e, "alpha", 1);
    if (alpha == 1) return TSLIM_OK;
    TSL_TRY(add_number(e, alpha, &number));
    return finish_with(e, TSL_OP_MUL, number, &added);
}

// ---- Normalization ----

// LayerNormalization of the sum of operands 0, 1 and `bias`; the sum itself is output 3.
static tslim_status expand_skip_normalization(expander *e) {
    tslim_graph *graph = e->graph;
    float epsilon = float_named(e, "epsilon", 1e-12f);
    uint32_t sum, total = graph->nodes[e->n].n_outputs > 3 ? graph->nodes[e->n].outputs[3] : TSL_NONE;
    TSL_REQUIRE(
        e->inputs[0] != TSL_NONE && e->inputs[1] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    graph->nodes[e->n].n_outputs = 1;
    TSL_TRY(before(e, TSL_OP_ADD, e->inputs[0], e->inputs[1], &sum));
    if (e->inputs[4] != TSL_NONE) TSL_TRY(before(e, TSL_OP_ADD, sum, e->inputs[4], &sum));
    if (total != TSL_NONE) {
        uint32_t added;
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_IDENTITY, NULL, 1, &sum, 1, &total, &added));
    }
    TSL_TRY(become(e, TSL_OP_LAYER_NORMALIZATION, e->inputs[3] == TSL_NONE ? 2 : 3,
        (uint32_t[]){sum, e->inputs[2], e->inputs[3]}));
    return tsl_node_set_float(graph, &graph->nodes[e->n], TSL_ATTR_epsilon, epsilon);
}

// ---- All nodes ----

static const struct {
    const char *op_type;
    uint32_t most_inputs, most_outputs;
    tslim_status (*expand)(expander *e);
} rules[] = {
    {"Gelu", 1, 1, expand_gelu},
    {"BiasGelu", 2, 1, expand_gelu},
    {"FastGelu", 2, 1, expand_fast_gelu},
    {"QuickGelu", 1, 1, expand_quick_gelu},
    {"FusedConv", 4, 1, expand_conv},
    {"FusedGemm", 3, 1, expand_gemm},
    {"FusedMatMul", 2, 1, expand_matmul},
    {"SkipLayerNormalization", 5, 4, expand_skip_normalization},
};

// Outputs 1 and 2, mean and deviation, are for training.
static bool has_plain_outputs(const tsl_node *node, uint32_t most) {
    if (node->n_outputs < 1 || node->n_outputs > most || node->outputs[0] == TSL_NONE) return false;
    for (uint32_t i = 1; i < node->n_outputs && i < 3; i++)
        if (node->outputs[i] != TSL_NONE) return false;
    return true;
}

static tslim_status expand_node(tslim_graph *graph, uint32_t n) {
    const tsl_node *node = &graph->nodes[n];
    if (node->op != TSL_OP_UNKNOWN || strcmp(node->domain, "com.microsoft") != 0) return TSLIM_OK;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(node->op_type, rules[i].op_type) != 0 || node->n_inputs > rules[i].most_inputs ||
            !has_plain_outputs(node, rules[i].most_outputs))
            continue;
        expander e = {.graph = graph, .n = n, .attrs = node->attrs};
        for (uint32_t k = 0; k < 8; k++) e.inputs[k] = k < node->n_inputs ? node->inputs[k] : TSL_NONE;
        tslim_status status = rules[i].expand(&e);
        return status == TSLIM_OK
                   ? status
                   : tsl_fail_prefix(status, "node '%.200s' (%s)", graph->nodes[n].name, rules[i].op_type);
    }
    return TSLIM_OK;
}

tslim_status tsl_onnx_expand_fused(tslim_graph *graph) {
    uint32_t n_nodes = graph->n_nodes; // what is added needs no visit
    for (uint32_t n = 0; n < n_nodes; n++) TSL_TRY(expand_node(graph, n));
    return TSLIM_OK;
}
