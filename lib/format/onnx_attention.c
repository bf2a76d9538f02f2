// SPDX-License-Identifier: Apache-2.0
// Attention and what stands around it in ONNX Runtime's transformers, as what they compute (onnxruntime's
// docs/ContribOperators.md): one product for all heads, masks as sums, softmax of scores.
#include "format/onnx_attention.h"

#include <float.h>
#include <string.h>

#include "format/onnx_expand.h"

// ---- Pieces ----

static tsl_node *last_node(tsl_expander *e) {
    return &e->graph->nodes[e->graph->n_nodes - 1];
}

static tslim_status add_ints(
    tsl_expander *e, uint32_t rank, int64_t count, const int64_t *ints, uint32_t *id) {
    void *data;
    TSL_TRY(tsl_graph_add_constant(e->graph, "numbers", TSLIM_DTYPE_INT64, rank, &count, id, &data));
    memcpy(data, ints, (size_t)count * sizeof(*ints));
    return TSLIM_OK;
}

// An operator whose numbers were an attribute before opset `since` and are an operand from then on.
static tslim_status with_ints(tsl_expander *e, tsl_op op, tsl_attr_id attr, uint32_t since, uint32_t x,
    int64_t count, const int64_t *ints, uint32_t *result) {
    uint32_t operand = TSL_NONE;
    if (e->graph->opset >= since) TSL_TRY(add_ints(e, 1, count, ints, &operand));
    TSL_TRY(tsl_expand_before(e, op, x, operand, result));
    return operand == TSL_NONE ? tsl_node_set_ints(e->graph, last_node(e), attr, ints, (size_t)count)
                               : TSLIM_OK;
}

static tslim_status unsqueeze(
    tsl_expander *e, uint32_t x, int64_t count, const int64_t *axes, uint32_t *result) {
    return with_ints(e, TSL_OP_UNSQUEEZE, TSL_ATTR_axes, 13, x, count, axes, result);
}

static tslim_status cast(tsl_expander *e, uint32_t x, tslim_dtype to, uint32_t *result) {
    TSL_TRY(tsl_expand_before(e, TSL_OP_CAST, x, TSL_NONE, result));
    return tsl_node_set_int(e->graph, last_node(e), TSL_ATTR_to, (int64_t)to);
}

static tslim_status three(tsl_expander *e, tsl_op op, uint32_t a, uint32_t b, uint32_t c, uint32_t *result) {
    TSL_TRY(tsl_expand_before(e, op, a, b, result));
    return tsl_node_add_input(e->graph, last_node(e), c);
}

// A dim as a scalar, or as a list of one.
static tslim_status dim_of(tsl_expander *e, uint32_t x, int64_t axis, bool list, uint32_t *result) {
    uint32_t shape, index;
    TSL_TRY(tsl_expand_before(e, TSL_OP_SHAPE, x, TSL_NONE, &shape));
    TSL_TRY(add_ints(e, list ? 1 : 0, 1, &axis, &index));
    return tsl_expand_before(e, TSL_OP_GATHER, shape, index, result);
}

// 0, 1, ... as many as dim `axis` of x.
static tslim_status count_along(tsl_expander *e, uint32_t x, int64_t axis, uint32_t *result) {
    uint32_t from, to, step;
    TSL_TRY(add_ints(e, 0, 1, &(int64_t){0}, &from));
    TSL_TRY(add_ints(e, 0, 1, &(int64_t){1}, &step));
    TSL_TRY(dim_of(e, x, axis, false, &to));
    return three(e, TSL_OP_RANGE, from, to, step, result);
}

// ---- Masks: what is added to the scores ----

static tslim_status add_where_false(tsl_expander *e, uint32_t kept, float filter, uint32_t *scores) {
    uint32_t zero, number, mask;
    TSL_TRY(tsl_expand_number(e, 0, &zero));
    TSL_TRY(tsl_expand_number(e, filter, &number));
    TSL_TRY(three(e, TSL_OP_WHERE, kept, zero, number, &mask));
    return tsl_expand_before(e, TSL_OP_ADD, *scores, mask, scores);
}

// Of lengths, or of bools as integers for each batch and key, or batch, query and key.
static tslim_status add_mask(tsl_expander *e, uint32_t mask, uint32_t keys, uint32_t *scores) {
    const tsl_shape *shape = &e->graph->values[mask].shape;
    const uint32_t rank = shape->rank;
    TSL_REQUIRE(shape->known && rank >= 1 && rank <= 3, TSLIM_ERROR_UNSUPPORTED, "a mask of %u dims",
        shape->known ? rank : 0);
    uint32_t kept;
    if (rank == 1) {
        uint32_t lengths, positions;
        TSL_TRY(cast(e, mask, TSLIM_DTYPE_INT64, &lengths));
        TSL_TRY(unsqueeze(e, lengths, 1, &(int64_t){1}, &lengths));
        TSL_TRY(count_along(e, keys, 1, &positions));
        TSL_TRY(tsl_expand_before(e, TSL_OP_LESS, positions, lengths, &kept));
    } else {
        TSL_TRY(cast(e, mask, TSLIM_DTYPE_BOOL, &kept));
    }
    TSL_TRY(unsqueeze(e, kept, rank == 3 ? 1 : 2, (const int64_t[]){1, 2}, &kept));
    return add_where_false(e, kept, tsl_expand_float(e, "mask_filter_value", -10000), scores);
}

// No query looks at keys behind it.
static tslim_status add_order(tsl_expander *e, uint32_t queries, uint32_t keys, uint32_t *scores) {
    uint32_t rows, columns, later, kept;
    TSL_TRY(count_along(e, queries, 1, &rows));
    TSL_TRY(unsqueeze(e, rows, 1, &(int64_t){1}, &rows));
    TSL_TRY(count_along(e, keys, 1, &columns));
    TSL_TRY(tsl_expand_before(e, TSL_OP_GREATER, columns, rows, &later));
    TSL_TRY(tsl_expand_before(e, TSL_OP_NOT, later, TSL_NONE, &kept));
    return add_where_false(e, kept, -FLT_MAX, scores);
}

// ---- Attention ----

typedef struct attention {
    uint32_t q, k, v; // [batch, length, heads * width]
    uint32_t mask, bias; // of the scores; TSL_NONE: none
} attention;

static tslim_status split_heads(tsl_expander *e, uint32_t *x, bool transposed) {
    const int64_t dims[4] = {0, 0, tsl_expand_int(e, "num_heads", 0), -1};
    TSL_REQUIRE(dims[2] > 0, TSLIM_ERROR_BAD_FILE, "%lld heads", (long long)dims[2]);
    uint32_t shape;
    TSL_TRY(add_ints(e, 1, 4, dims, &shape));
    TSL_TRY(tsl_expand_before(e, TSL_OP_RESHAPE, *x, shape, x));
    TSL_TRY(tsl_expand_before(e, TSL_OP_TRANSPOSE, *x, TSL_NONE, x));
    const int64_t perm[2][4] = {{0, 2, 1, 3}, {0, 2, 3, 1}};
    return tsl_node_set_ints(e->graph, last_node(e), TSL_ATTR_perm, perm[transposed], 4);
}

static tslim_status scale_scores(tsl_expander *e, uint32_t q, uint32_t *scores) {
    const float scale = tsl_expand_float(e, "scale", 0);
    uint32_t number;
    if (scale != 0) {
        TSL_TRY(tsl_expand_number(e, scale, &number));
        return tsl_expand_before(e, TSL_OP_MUL, *scores, number, scores);
    }
    TSL_TRY(dim_of(e, q, 3, false, &number));
    TSL_TRY(cast(e, number, TSLIM_DTYPE_FLOAT, &number));
    TSL_TRY(tsl_expand_before(e, TSL_OP_SQRT, number, TSL_NONE, &number));
    return tsl_expand_before(e, TSL_OP_DIV, *scores, number, scores);
}

static tslim_status attend(tsl_expander *e, const attention *a) {
    uint32_t q = a->q, k = a->k, v = a->v, scores, shape;
    TSL_TRY(split_heads(e, &q, false));
    TSL_TRY(split_heads(e, &k, true));
    TSL_TRY(split_heads(e, &v, false));
    TSL_TRY(tsl_expand_before(e, TSL_OP_MATMUL, q, k, &scores));
    TSL_TRY(scale_scores(e, q, &scores));
    if (a->mask != TSL_NONE) TSL_TRY(add_mask(e, a->mask, a->k, &scores));
    if (tsl_expand_int(e, "unidirectional", 0)) TSL_TRY(add_order(e, a->q, a->k, &scores));
    if (a->bias != TSL_NONE) TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, scores, a->bias, &scores));
    TSL_TRY(tsl_expand_before(e, TSL_OP_SOFTMAX, scores, TSL_NONE, &scores));
    TSL_TRY(tsl_node_set_int(e->graph, last_node(e), TSL_ATTR_axis, 3));
    TSL_TRY(tsl_expand_before(e, TSL_OP_MATMUL, scores, v, &v));
    TSL_TRY(tsl_expand_before(e, TSL_OP_TRANSPOSE, v, TSL_NONE, &v));
    TSL_TRY(tsl_node_set_ints(e->graph, last_node(e), TSL_ATTR_perm, (const int64_t[]){0, 2, 1, 3}, 4));
    TSL_TRY(add_ints(e, 1, 3, (const int64_t[]){0, 0, -1}, &shape));
    return tsl_expand_become(e, TSL_OP_RESHAPE, 2, (uint32_t[]){v, shape});
}

// Three parts of the last axis of x, or of each list: `sizes` NULL: of equal size.
static tslim_status split_in_three(
    tsl_expander *e, uint32_t x, int64_t axis, const int64_t *sizes, uint32_t parts[3]) {
    uint32_t operand = TSL_NONE, added;
    for (int i = 0; i < 3; i++) TSL_TRY(tsl_expand_value(e, &parts[i]));
    if (e->graph->opset >= 13) TSL_TRY(add_ints(e, 1, 3, sizes, &operand));
    TSL_TRY(tsl_graph_add_node(e->graph, TSL_OP_SPLIT, NULL, operand == TSL_NONE ? 1 : 2,
        (const uint32_t[]){x, operand}, 3, parts, &added));
    TSL_TRY(tsl_node_set_int(e->graph, last_node(e), TSL_ATTR_axis, axis));
    return operand == TSL_NONE ? tsl_node_set_ints(e->graph, last_node(e), TSL_ATTR_split, sizes, 3)
                               : TSLIM_OK;
}

// x, weights of all three, their bias, mask, past, bias of scores: past values are not known here.
tslim_status tsl_onnx_expand_attention(tsl_expander *e) {
    const uint32_t *in = e->inputs;
    if (in[4] != TSL_NONE || in[6] != TSL_NONE || tsl_expand_int(e, "do_rotary", 0)) return TSLIM_OK;
    TSL_REQUIRE(in[0] != TSL_NONE && in[1] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an operand is absent");
    const tsl_shape *weights = &e->graph->values[in[1]].shape;
    const tsl_attr *given = tsl_expand_attr(e, "qkv_hidden_sizes");
    TSL_REQUIRE(weights->known && weights->rank == 2 && weights->dims[1] > 0, TSLIM_ERROR_UNSUPPORTED,
        "weights of unknown size");
    int64_t sizes[3] = {weights->dims[1] / 3, weights->dims[1] / 3, weights->dims[1] / 3};
    if (given && given->type == TSL_ATTR_TYPE_INTS && given->count == 3)
        memcpy(sizes, given->ints, sizeof(sizes));
    uint32_t all, parts[3];
    TSL_TRY(tsl_expand_before(e, TSL_OP_MATMUL, in[0], in[1], &all));
    if (in[2] != TSL_NONE) TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, all, in[2], &all));
    TSL_TRY(split_in_three(e, all, 2, sizes, parts));
    return attend(e, &(attention){parts[0], parts[1], parts[2], in[3], in[5]});
}

// query, key, value, bias of all three, mask of keys, bias of scores, past: each of three dims.
tslim_status tsl_onnx_expand_multi_head_attention(tsl_expander *e) {
    const uint32_t *in = e->inputs;
    if (in[1] == TSL_NONE || in[2] == TSL_NONE || in[6] != TSL_NONE || in[7] != TSL_NONE) return TSLIM_OK;
    attention a = {in[0], in[1], in[2], in[4], in[5]};
    uint32_t *operands[3] = {&a.q, &a.k, &a.v}, parts[3];
    for (int i = 0; i < 3; i++) { // of four dims: heads apart already
        TSL_REQUIRE(*operands[i] != TSL_NONE, TSLIM_ERROR_BAD_FILE, "operand %d is absent", i);
        const tsl_shape *shape = &e->graph->values[*operands[i]].shape;
        if (shape->known && shape->rank != 3) return TSLIM_OK;
    }
    if (in[3] != TSL_NONE) {
        const tsl_shape *bias = &e->graph->values[in[3]].shape;
        TSL_REQUIRE(bias->known && bias->rank == 1 && bias->dims[0] > 0, TSLIM_ERROR_UNSUPPORTED,
            "a bias of unknown size");
        // Queries and keys have one size; values what is left: equal, unless their own size is known.
        const tsl_shape *v = &e->graph->values[a.v].shape;
        int64_t last = v->known && v->dims[2] > 0 ? v->dims[2] : bias->dims[0] / 3;
        const int64_t first = (bias->dims[0] - last) / 2;
        TSL_TRY(split_in_three(e, in[3], 0, (const int64_t[]){first, first, last}, parts));
        for (int i = 0; i < 3; i++)
            TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, *operands[i], parts[i], operands[i]));
    }
    return attend(e, &a);
}

// ---- Embeddings ----

// ids, segments, tables of words, positions and segments, scale, shift, mask, positions; outputs: result,
// lengths, sum.
tslim_status tsl_onnx_expand_embeddings(tsl_expander *e) {
    const uint32_t *in = e->inputs;
    tslim_graph *graph = e->graph;
    uint32_t sum, other, size, added, lengths = TSL_NONE, total = TSL_NONE;
    if (graph->nodes[e->n].n_outputs > 1) lengths = graph->nodes[e->n].outputs[1];
    if (graph->nodes[e->n].n_outputs > 2) total = graph->nodes[e->n].outputs[2];
    if (lengths != TSL_NONE && in[7] == TSL_NONE) return TSLIM_OK;
    TSL_REQUIRE(in[0] != TSL_NONE && in[2] != TSL_NONE && in[3] != TSL_NONE, TSLIM_ERROR_BAD_FILE,
        "an operand is absent");
    graph->nodes[e->n].n_outputs = 1;
    TSL_TRY(tsl_expand_before(e, TSL_OP_GATHER, in[2], in[0], &sum));
    if (in[8] != TSL_NONE) {
        TSL_TRY(tsl_expand_before(e, TSL_OP_GATHER, in[3], in[8], &other));
    } else {
        TSL_TRY(count_along(e, in[0], 1, &size));
        TSL_TRY(tsl_expand_before(e, TSL_OP_GATHER, in[3], size, &other));
    }
    TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, sum, other, &sum));
    if (in[1] != TSL_NONE && in[4] != TSL_NONE) {
        TSL_TRY(tsl_expand_before(e, TSL_OP_GATHER, in[4], in[1], &other));
        TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, sum, other, &sum));
    }
    if (lengths != TSL_NONE) {
        TSL_TRY(with_ints(e, TSL_OP_REDUCE_SUM, TSL_ATTR_axes, 13, in[7], 1, &(int64_t){1}, &other));
        TSL_TRY(tsl_node_set_int(graph, last_node(e), TSL_ATTR_keepdims, 0));
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_IDENTITY, NULL, 1, &other, 1, &lengths, &added));
        // Masks are told apart by their rank, and files leave it out.
        if (!graph->values[lengths].shape.known)
            tsl_shape_set(&graph->values[lengths].shape, 1, (const int64_t[]){-1});
    }
    if (total != TSL_NONE)
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_IDENTITY, NULL, 1, &sum, 1, &total, &added));
    TSL_TRY(tsl_expand_become(e, TSL_OP_LAYER_NORMALIZATION, 3, (uint32_t[]){sum, in[5], in[6]}));
    return tsl_node_set_float(
        graph, &graph->nodes[e->n], TSL_ATTR_epsilon, tsl_expand_float(e, "epsilon", 1e-12f));
}

// ---- Normalization without a mean ----

// x / sqrt(mean(x * x) + epsilon) * scale
static tslim_status normalize(tsl_expander *e, uint32_t x, uint32_t scale) {
    uint32_t square, mean, number, root, quotient;
    TSL_REQUIRE(scale != TSL_NONE, TSLIM_ERROR_BAD_FILE, "the scale is absent");
    TSL_TRY(tsl_expand_before(e, TSL_OP_MUL, x, x, &square));
    TSL_TRY(with_ints(e, TSL_OP_REDUCE_MEAN, TSL_ATTR_axes, 18, square, 1, &(int64_t){-1}, &mean));
    TSL_TRY(tsl_expand_number(e, tsl_expand_float(e, "epsilon", 1e-5f), &number));
    TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, mean, number, &mean));
    TSL_TRY(tsl_expand_before(e, TSL_OP_SQRT, mean, TSL_NONE, &root));
    TSL_TRY(tsl_expand_before(e, TSL_OP_DIV, x, root, &quotient));
    return tsl_expand_become(e, TSL_OP_MUL, 2, (uint32_t[]){quotient, scale});
}

tslim_status tsl_onnx_expand_simplified_normalization(tsl_expander *e) {
    if (tsl_expand_int(e, "axis", -1) != -1) return TSLIM_OK;
    return normalize(e, e->inputs[0], e->inputs[1]);
}

// Of the sum of operands 0, 1 and 3, which is output 3.
tslim_status tsl_onnx_expand_skip_simplified_normalization(tsl_expander *e) {
    tslim_graph *graph = e->graph;
    const tsl_node *node = &graph->nodes[e->n];
    uint32_t sum, added, total = node->n_outputs > 3 ? node->outputs[3] : TSL_NONE;
    for (uint32_t i = 1; i < 3 && i < node->n_outputs; i++)
        if (node->outputs[i] != TSL_NONE) return TSLIM_OK;
    graph->nodes[e->n].n_outputs = 1;
    TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, e->inputs[0], e->inputs[1], &sum));
    if (e->inputs[3] != TSL_NONE) TSL_TRY(tsl_expand_before(e, TSL_OP_ADD, sum, e->inputs[3], &sum));
    if (total != TSL_NONE)
        TSL_TRY(tsl_graph_add_node(graph, TSL_OP_IDENTITY, NULL, 1, &sum, 1, &total, &added));
    return normalize(e, sum, e->inputs[2]);
}
