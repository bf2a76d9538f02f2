// SPDX-License-Identifier: Apache-2.0
// Single operators on operands of the kind that they take: most run. Changed a little, they get far into the
// kernels.
#include <string.h>

#include "fuzz/plausible.h"

typedef struct recipe {
    tsl_rng *rng;
    tslim_graph *graph;
    tsl_op op;
    uint32_t operands[8], n_operands;
    int64_t dims[TSLIM_MAX_RANK]; // of the first operand
    uint32_t rank;
    tslim_dtype dtype;
    bool failed;
} recipe;

static uint32_t below(recipe *r, uint64_t bound) {
    return (uint32_t)tsl_rng_below(r->rng, bound);
}

static int64_t between(recipe *r, int64_t least, int64_t most) {
    return least + (int64_t)tsl_rng_below(r->rng, (uint64_t)(most - least + 1));
}

static void quantize(recipe *r, tsl_value *value) {
    float *scale = tsl_arena_array(&r->graph->arena, 1, sizeof(*scale));
    if (!scale) return;
    *scale = (float)between(r, 1, 9) / 64;
    value->quant = (tsl_quant){.scales = scale, .n_scales = 1, .zero_point = below(r, 4) ? 0 : (int32_t)between(r, -128, 127)};
}

static void fill(recipe *r, tslim_dtype dtype, void *data, size_t bytes) {
    size_t size = tslim_dtype_size(dtype);
    for (size_t i = 0; size && i + size <= bytes; i += size) {
        float real = (float)between(r, -8, 8) / 8;
        int64_t number = between(r, 0, 3);
        memcpy((char *)data + i, dtype == TSLIM_DTYPE_FLOAT ? (void *)&real : (void *)&number, size);
    }
}

// The next operand: a graph input, or a constant.
static void operand(recipe *r, tslim_dtype dtype, bool constant, uint32_t rank, const int64_t *dims) {
    uint32_t id = TSL_NONE;
    void *data;
    tslim_status status;
    if (constant) {
        status = tsl_graph_add_constant(r->graph, NULL, dtype, rank, dims, &id, &data);
        if (status == TSLIM_OK) fill(r, dtype, data, r->graph->values[id].bytes);
    } else {
        status = tsl_graph_add_value(r->graph, NULL, dtype, &id);
        if (status == TSLIM_OK) tsl_shape_set(&r->graph->values[id].shape, rank, dims);
    }
    r->failed = r->failed || status != TSLIM_OK || r->n_operands >= 8;
    if (r->failed) return;
    if (dtype == TSLIM_DTYPE_INT8) quantize(r, &r->graph->values[id]);
    r->operands[r->n_operands++] = id;
}

static void absent(recipe *r) {
    if (r->n_operands < 8) r->operands[r->n_operands++] = TSL_NONE;
}

static void list(recipe *r, uint32_t count, const int64_t *numbers) {
    int64_t dims[1] = {count};
    bool constant = below(r, 8) != 0; // else what a run says
    operand(r, TSLIM_DTYPE_INT64, constant, 1, dims);
    if (!r->failed && count && constant)
        memcpy((void *)(uintptr_t)r->graph->values[r->operands[r->n_operands - 1]].data, numbers, count * 8);
}

static void first(recipe *r, uint32_t least_rank, uint32_t most_rank) {
    r->rank = (uint32_t)between(r, least_rank, most_rank);
    for (uint32_t i = 0; i < r->rank; i++) r->dims[i] = below(r, 12) ? between(r, 1, i == 1 ? 36 : 9) : 0;
    operand(r, r->dtype, below(r, 8) == 0, r->rank, r->dims);
}

// ---- Operands by operator; attributes come later, when the node is there ----

static void matrix_operands(recipe *r) {
    int64_t m = between(r, 0, 9), k = between(r, 0, 40), n = between(r, 0, 40), a[3] = {2, m, k},
            b[3] = {2, k, n};
    bool batched = r->op == TSL_OP_MATMUL && below(r, 2), constant = below(r, 4) != 0;
    uint32_t skip_a = batched ? 0 : 1, skip_b = batched && below(r, 2) ? 0 : 1;
    operand(r, r->dtype, false, 3 - skip_a, a + skip_a);
    operand(r, r->dtype, constant, 3 - skip_b, b + skip_b);
    if (r->op == TSL_OP_GEMM && below(r, 2)) {
        int64_t c[2] = {below(r, 2) ? m : 1, below(r, 2) ? n : 1};
        uint32_t skip = below(r, 3);
        operand(r, TSLIM_DTYPE_FLOAT, below(r, 2), 2 - skip, c + skip);
    }
}

static void convolution_operands(recipe *r, int64_t *group) {
    int64_t in = between(r, 1, 5), out = between(r, 1, 20);
    *group = below(r, 2) ? 1 : between(r, 1, 18);
    if (below(r, 3) == 0) in = out = 1;
    bool transposed = r->op == TSL_OP_CONV_TRANSPOSE;
    int64_t x[4] = {between(r, 1, 2), in * *group, between(r, 1, 9), between(r, 1, 9)};
    int64_t w[4] = {
        transposed ? in * *group : out * *group, transposed ? out : in, between(r, 1, 4), between(r, 1, 4)};
    int64_t bias[1] = {out * *group};
    uint32_t rank = below(r, 5) ? 4 : 3;
    operand(r, r->dtype, below(r, 12) == 0, rank, x);
    operand(r, r->dtype, below(r, 6) != 0, rank, w);
    if (below(r, 2)) operand(r, TSLIM_DTYPE_FLOAT, below(r, 4) != 0, 1, bias);
}

static void suppression_operands(recipe *r) {
    int64_t boxes[3] = {between(r, 0, 2), between(r, 0, 30), 4},
            scores[3] = {boxes[0], between(r, 0, 3), boxes[1]};
    operand(r, TSLIM_DTYPE_FLOAT, below(r, 8) == 0, 3, boxes);
    operand(r, TSLIM_DTYPE_FLOAT, below(r, 8) == 0, 3, scores);
    for (uint32_t i = below(r, 4); i > 0; i--)
        operand(r, r->n_operands == 2 ? TSLIM_DTYPE_INT64 : TSLIM_DTYPE_FLOAT, below(r, 2), below(r, 2),
            (const int64_t[]){1});
}

static void shape_operands(recipe *r) {
    int64_t numbers[2 * TSLIM_MAX_RANK];
    uint32_t rank = r->rank;
    for (uint32_t i = 0; i < 2 * TSLIM_MAX_RANK; i++) numbers[i] = between(r, 0, 3);
    switch (r->op) {
    case TSL_OP_SLICE:
        for (uint32_t i = 0; i < 2; i++) {
            for (uint32_t d = 0; d < rank; d++) numbers[d] = between(r, -9, 9);
            list(r, rank, numbers);
        }
        if (below(r, 2)) return;
        for (uint32_t d = 0; d < rank; d++) numbers[d] = d;
        list(r, rank, numbers);
        for (uint32_t d = 0; d < rank; d++) numbers[d] = between(r, -2, 2);
        list(r, rank, numbers);
        return;
    case TSL_OP_PAD:
        for (uint32_t i = 0; i < 2 * rank; i++) numbers[i] = between(r, -2, 5);
        list(r, 2 * rank, numbers);
        return;
    case TSL_OP_EXPAND:
        for (uint32_t d = 0; d < rank; d++) numbers[d] = below(r, 2) ? r->dims[d] : 1;
        list(r, rank, numbers);
        return;
    case TSL_OP_RESHAPE:
        numbers[0] = -1;
        numbers[1] = rank > 1 ? r->dims[1] : 1;
        list(r, 2, numbers);
        return;
    case TSL_OP_UNSQUEEZE:
        list(r, 1, numbers);
        return;
    case TSL_OP_RESIZE:
        absent(r);
        absent(r);
        for (uint32_t d = 0; d < rank; d++) numbers[d] = d < 2 ? r->dims[d] : between(r, 1, 20);
        list(r, rank, numbers);
        return;
    default:
        list(r, rank, numbers); // Tile
    }
}

static void other_operands(recipe *r) {
    const tsl_op_info *info = tsl_op_get_info(r->op);
    uint32_t more = info->max_inputs > info->min_inputs ? below(r, 3) : 0;
    uint32_t count = info->min_inputs + more < info->max_inputs ? info->min_inputs + more : info->max_inputs;
    for (uint32_t i = 1; i < count && i < 8; i++) {
        int64_t dims[TSLIM_MAX_RANK], channels[1] = {r->rank > 1 ? r->dims[1] : 1};
        for (uint32_t d = 0; d < r->rank; d++) dims[d] = below(r, 3) ? r->dims[d] : 1;
        bool indices = r->op == TSL_OP_GATHER || r->op == TSL_OP_ARG_MAX;
        bool vector = r->op == TSL_OP_BATCH_NORMALIZATION || r->op == TSL_OP_INSTANCE_NORMALIZATION;
        bool scalar = r->op == TSL_OP_CLIP || r->op == TSL_OP_QUANTIZE_LINEAR ||
                      r->op == TSL_OP_DEQUANTIZE_LINEAR || r->op == TSL_OP_RANGE;
        tslim_dtype dtype = indices ? TSLIM_DTYPE_INT64 : vector ? TSLIM_DTYPE_FLOAT : r->dtype;
        if (vector)
            operand(r, dtype, below(r, 4) != 0, 1, channels);
        else
            operand(r, dtype, below(r, 2), scalar ? 0 : r->rank, dims);
    }
}

// ---- Attributes ----

static void set_ints(recipe *r, tsl_node *node, tsl_attr_id id, uint32_t count, int64_t least, int64_t most) {
    int64_t numbers[TSLIM_MAX_RANK];
    if (below(r, 3) == 0) return;
    for (uint32_t i = 0; i < count && i < TSLIM_MAX_RANK; i++) numbers[i] = between(r, least, most);
    if (tsl_node_set_ints(r->graph, node, id, numbers, count) != TSLIM_OK) r->failed = true;
}

static void set_int(recipe *r, tsl_node *node, tsl_attr_id id, int64_t number) {
    if (tsl_node_set_int(r->graph, node, id, number) != TSLIM_OK) r->failed = true;
}

static void set_attributes(recipe *r, tsl_node *node, int64_t group) {
    static const char *const modes[] = {
        "nearest", "linear", "cubic", "reflect", "edge", "wrap", "constant", "CRD"};
    static const char *const coordinates[] = {
        "half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"};
    const tsl_value *x = tsl_node_input(r->graph, node, 0);
    uint32_t spatial = x && x->shape.rank > 2 ? x->shape.rank - 2 : 0;
    bool pool = node->op == TSL_OP_MAX_POOL || node->op == TSL_OP_AVERAGE_POOL;
    if (node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE || pool) {
        set_ints(r, node, TSL_ATTR_strides, spatial, 1, 3);
        set_ints(r, node, TSL_ATTR_dilations, spatial, 1, 2);
        set_ints(r, node, TSL_ATTR_pads, 2 * spatial, 0, 3);
        if (pool)
            set_ints(r, node, TSL_ATTR_kernel_shape, spatial, 1, 4);
        else
            set_int(r, node, TSL_ATTR_group, group);
        if (pool && below(r, 2)) set_int(r, node, TSL_ATTR_ceil_mode, 1);
        if (pool && below(r, 2)) set_int(r, node, TSL_ATTR_count_include_pad, 1);
        if (node->op == TSL_OP_CONV_TRANSPOSE) set_ints(r, node, TSL_ATTR_output_padding, spatial, 0, 1);
    }
    if (node->op == TSL_OP_GEMM && below(r, 4) == 0) set_int(r, node, TSL_ATTR_transB, 1);
    if (node->op == TSL_OP_TRANSPOSE) set_ints(r, node, TSL_ATTR_perm, r->rank, 0, r->rank ? r->rank - 1 : 0);
    if (below(r, 2)) set_int(r, node, TSL_ATTR_axis, between(r, -(int64_t)r->rank, r->rank));
    if (below(r, 4) == 0) set_int(r, node, TSL_ATTR_keepdims, below(r, 2));
    if (below(r, 4) == 0) set_int(r, node, TSL_ATTR_num_outputs, node->n_outputs);
    set_int(r, node, TSL_ATTR_blocksize, between(r, 1, 3));
    set_int(r, node, TSL_ATTR_to, below(r, 14));
    if (below(r, 2) == 0) return;
    if (tsl_node_set_string(r->graph, node, TSL_ATTR_mode, modes[below(r, 8)]) != TSLIM_OK ||
        tsl_node_set_string(
            r->graph, node, TSL_ATTR_coordinate_transformation_mode, coordinates[below(r, 4)]) != TSLIM_OK)
        r->failed = true;
}

// ---- The node ----

static void choose_operands(recipe *r, int64_t *group) {
    switch (r->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
        convolution_operands(r, group);
        return;
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        matrix_operands(r);
        return;
    case TSL_OP_NON_MAX_SUPPRESSION:
        suppression_operands(r);
        return;
    case TSL_OP_COMPRESS:
        first(r, 0, 4);
        operand(r, TSLIM_DTYPE_BOOL, below(r, 2), 1, (const int64_t[]){between(r, 0, 9)});
        return;
    case TSL_OP_CONSTANT_OF_SHAPE: {
        int64_t dims[3] = {between(r, 0, 9), between(r, 0, 9), between(r, 0, 9)};
        list(r, below(r, 4), dims);
        return;
    }
    default:
        break;
    }
    bool images = tsl_op_get_info(r->op)->layout == TSL_RULE_CHANNELS_LAST;
    first(r, images ? 4 : 0, images ? 4 : 5);
    if (r->op == TSL_OP_SLICE || r->op == TSL_OP_PAD || r->op == TSL_OP_EXPAND || r->op == TSL_OP_RESHAPE ||
        r->op == TSL_OP_TILE || r->op == TSL_OP_UNSQUEEZE || r->op == TSL_OP_RESIZE)
        shape_operands(r);
    else
        other_operands(r);
}

// Half of the nodes are convolutions and products: most code is theirs.
static tsl_op choose_op(recipe *r) {
    static const tsl_op often[] = {TSL_OP_CONV, TSL_OP_CONV_TRANSPOSE, TSL_OP_GEMM, TSL_OP_MATMUL,
        TSL_OP_RESIZE, TSL_OP_MAX_POOL, TSL_OP_AVERAGE_POOL, TSL_OP_SLICE, TSL_OP_PAD, TSL_OP_GATHER,
        TSL_OP_NON_ZERO, TSL_OP_COMPRESS, TSL_OP_UNIQUE, TSL_OP_NON_MAX_SUPPRESSION};
    return below(r, 2) ? often[below(r, sizeof(often) / sizeof(*often))]
                       : (tsl_op)(1 + below(r, TSL_OP_COUNT - 1));
}

bool fuzz_add_plausible_node(
    tsl_rng *rng, tslim_graph *graph, uint32_t *inputs, uint32_t *n_inputs, uint32_t *output) {
    recipe r = {.rng = rng, .graph = graph, .dtype = TSLIM_DTYPE_FLOAT};
    int64_t group = 1;
    r.op = choose_op(&r);
    if (below(&r, 4) == 0)
        r.dtype = (const tslim_dtype[]){TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT64, TSLIM_DTYPE_BOOL,
            TSLIM_DTYPE_DOUBLE, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_INT8}[below(&r, 6)];
    choose_operands(&r, &group);
    uint32_t outputs[4], index, n_outputs = 1;
    if (r.op == TSL_OP_SPLIT || r.op == TSL_OP_UNIQUE) n_outputs = (uint32_t)between(&r, 1, 4);
    for (uint32_t i = 0; i < n_outputs && !r.failed; i++) {
        r.failed = tsl_graph_add_value(graph, NULL, TSLIM_DTYPE_NONE, &outputs[i]) != TSLIM_OK;
        if (r.failed || r.dtype != TSLIM_DTYPE_INT8 || below(&r, 3) == 0) continue;
        graph->values[outputs[i]].dtype = below(&r, 2) ? TSLIM_DTYPE_INT8 : TSLIM_DTYPE_FLOAT;
        if (graph->values[outputs[i]].dtype == TSLIM_DTYPE_INT8) quantize(&r, &graph->values[outputs[i]]);
    }
    if (r.failed || tsl_graph_add_node(
                        graph, r.op, NULL, r.n_operands, r.operands, n_outputs, outputs, &index) != TSLIM_OK)
        return false;
    set_attributes(&r, &graph->nodes[index], group);
    *n_inputs = 0;
    for (uint32_t i = 0; i < r.n_operands; i++)
        if (r.operands[i] != TSL_NONE && !tsl_value_is_constant(&graph->values[r.operands[i]]))
            inputs[(*n_inputs)++] = r.operands[i];
    *output = outputs[0];
    return !r.failed;
}
