// SPDX-License-Identifier: Apache-2.0
// Shapes that depend on data: operators whose kernel alone knows how large its result is, and operands whose
// numbers decide on a shape.
#include "ir/bodies.h"
#include "ir/shape_functions.h"

// ---- Operands that must be known before a node can be planned ----

#define OPERAND(i) (1u << (i))

// Bit i: operand i is a list of sizes, axes or bounds that shape function or kernel need as a constant.
static const uint8_t deciding[TSL_OP_COUNT] = {
    [TSL_OP_RESHAPE] = OPERAND(1),
    [TSL_OP_EXPAND] = OPERAND(1),
    [TSL_OP_TILE] = OPERAND(1),
    [TSL_OP_SQUEEZE] = OPERAND(1),
    [TSL_OP_UNSQUEEZE] = OPERAND(1),
    [TSL_OP_SPLIT] = OPERAND(1),
    [TSL_OP_SLICE] = OPERAND(1) | OPERAND(2) | OPERAND(3) | OPERAND(4),
    [TSL_OP_PAD] = OPERAND(1) | OPERAND(3),
    [TSL_OP_RESIZE] = OPERAND(1) | OPERAND(2) | OPERAND(3),
    [TSL_OP_UPSAMPLE] = OPERAND(1),
    [TSL_OP_DROPOUT] = OPERAND(1) | OPERAND(2),
    [TSL_OP_DFT] = OPERAND(1) | OPERAND(2),
    [TSL_OP_STFT] = OPERAND(1) | OPERAND(3),
    [TSL_OP_HANN_WINDOW] = OPERAND(0),
    [TSL_OP_HAMMING_WINDOW] = OPERAND(0),
    [TSL_OP_BLACKMAN_WINDOW] = OPERAND(0),
    [TSL_OP_MEL_WEIGHT_MATRIX] = OPERAND(0) | OPERAND(1),
    [TSL_OP_CONSTANT_OF_SHAPE] = OPERAND(0),
    [TSL_OP_RANGE] = OPERAND(0) | OPERAND(1) | OPERAND(2),
    [TSL_OP_TOP_K] = OPERAND(1),
    [TSL_OP_ONE_HOT] = OPERAND(1),
    [TSL_OP_MAX_UNPOOL] = OPERAND(2),
    [TSL_OP_CENTER_CROP_PAD] = OPERAND(1),
    [TSL_OP_COL2IM] = OPERAND(1) | OPERAND(2),
    [TSL_OP_AFFINE_GRID] = OPERAND(1),
    [TSL_OP_REDUCE_MEAN] = OPERAND(1),
    [TSL_OP_REDUCE_SUM] = OPERAND(1),
    [TSL_OP_REDUCE_MAX] = OPERAND(1),
    [TSL_OP_REDUCE_MIN] = OPERAND(1),
    [TSL_OP_REDUCE_PROD] = OPERAND(1),
    [TSL_OP_REDUCE_L1] = OPERAND(1),
    [TSL_OP_REDUCE_L2] = OPERAND(1),
    [TSL_OP_REDUCE_SUM_SQUARE] = OPERAND(1),
    [TSL_OP_REDUCE_LOG_SUM] = OPERAND(1),
    [TSL_OP_REDUCE_LOG_SUM_EXP] = OPERAND(1),
};

bool tsl_operand_decides(tsl_op op, uint32_t operand) {
    return operand < 8 && (unsigned)op < TSL_OP_COUNT && (deciding[op] >> operand & 1);
}

// ---- Results whose size is found by the run ----

bool tsl_op_finds_shape(tsl_op op) {
    return op == TSL_OP_NON_ZERO || op == TSL_OP_COMPRESS || op == TSL_OP_UNIQUE ||
           op == TSL_OP_NON_MAX_SUPPRESSION;
}

tslim_status tsl_shape_non_zero(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape *x = &tsl_node_input(graph, node, 0)->shape;
    tsl_shape out;
    TSL_TRY(tsl_shape_unknown_dims(&out, 2));
    if (x->known) out.dims[0] = x->rank ? x->rank : 1;
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &out);
}

// `x` with one dim not known, or a list of unknown length.
static tslim_status some_of(
    const tsl_node *node, const tsl_shape *x, tsl_shape *out, bool *has_axis, uint32_t *axis) {
    const tsl_attr *attr = tsl_attrs_find(&node->attrs, TSL_ATTR_axis);
    *has_axis = attr && attr->type == TSL_ATTR_TYPE_INT;
    if (!*has_axis) return tsl_shape_unknown_dims(out, 1);
    *out = *x;
    if (!x->known) return TSLIM_OK;
    TSL_TRY(tsl_normalize_axis(attr->i, x->rank, axis));
    tsl_shape_set_dim(out, *axis, -1);
    return TSLIM_OK;
}

tslim_status tsl_shape_compress(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0);
    TSL_TRY(tsl_require_type(tsl_node_input(graph, node, 1), TSL_TYPE(BOOL)));
    tsl_shape out;
    bool has_axis;
    uint32_t axis;
    TSL_TRY(some_of(node, &x->shape, &out, &has_axis, &axis));
    return tsl_set_output(graph, node, 0, x->dtype, &out);
}

tslim_status tsl_shape_unique(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0);
    const tsl_shape shape = x->shape;
    tsl_shape out, list, inverse;
    bool has_axis;
    uint32_t axis = 0;
    TSL_TRY(some_of(node, &shape, &out, &has_axis, &axis));
    TSL_TRY(tsl_shape_unknown_dims(&list, 1));
    inverse = list;
    if (shape.known && has_axis)
        tsl_shape_copy_dim(&inverse, 0, &shape, axis);
    else if (shape.known)
        TSL_TRY(tsl_shape_product(&shape, 0, shape.rank, &inverse.dims[0]));
    TSL_TRY(tsl_set_output(graph, node, 0, x->dtype, &out));
    TSL_TRY(tsl_set_output_exact(graph, node, 1, TSLIM_DTYPE_INT64, &list));
    TSL_TRY(tsl_set_output_exact(graph, node, 2, TSLIM_DTYPE_INT64, &inverse));
    return tsl_set_output_exact(graph, node, 3, TSLIM_DTYPE_INT64, &list);
}

tslim_status tsl_shape_non_max_suppression(tslim_graph *graph, const tsl_node *node) {
    const tsl_shape *boxes = &tsl_node_input(graph, node, 0)->shape;
    const tsl_shape *scores = &tsl_node_input(graph, node, 1)->shape;
    char a[TSL_SHAPE_TEXT], b[TSL_SHAPE_TEXT];
    bool fits = !boxes->known || (boxes->rank == 3 && tsl_dims_agree(boxes->dims[2], 4));
    fits = fits && (!scores->known || scores->rank == 3);
    if (fits && boxes->known && scores->known)
        fits = tsl_dims_agree(boxes->dims[0], scores->dims[0]) &&
               tsl_dims_agree(boxes->dims[1], scores->dims[2]);
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT,
        "boxes %s and scores %s are not [batch, n, 4] and [batch, classes, n]",
        tsl_shape_format(boxes, a, sizeof(a)), tsl_shape_format(scores, b, sizeof(b)));
    tsl_shape out;
    TSL_TRY(tsl_shape_unknown_dims(&out, 2));
    out.dims[1] = 3;
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_INT64, &out);
}

// ---- The most that they can be ----

// Boxes of each class that are kept: as many as are asked for, if that is known, and no more than there are.
static int64_t kept_boxes(const tslim_graph *graph, const tsl_node *node, int64_t boxes) {
    tsl_numbers most;
    if (!tsl_node_input(graph, node, 2)) return 0;
    if (tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 2, &most) != TSLIM_OK || !most.known || most.count != 1)
        return boxes;
    int64_t count = tsl_numbers_int(&most, 0);
    return count < 0 ? 0 : count < boxes ? count : boxes;
}

// In place of each dim that is not known. Operands have static shapes.
static tslim_status most_rows(const tslim_graph *graph, const tsl_node *node, int64_t *rows) {
    const tsl_shape *x = &tsl_node_input(graph, node, 0)->shape;
    if (node->op != TSL_OP_NON_MAX_SUPPRESSION) {
        const tsl_attr *attr = tsl_attrs_find(&node->attrs, TSL_ATTR_axis);
        uint32_t axis;
        if (node->op == TSL_OP_NON_ZERO || !attr || attr->type != TSL_ATTR_TYPE_INT)
            return tsl_shape_product(x, 0, x->rank, rows);
        TSL_TRY(tsl_normalize_axis(attr->i, x->rank, &axis));
        *rows = x->dims[axis];
        return TSLIM_OK;
    }
    const tsl_shape *scores = &tsl_node_input(graph, node, 1)->shape;
    bool fits = tsl_mul_i64(scores->dims[0], scores->dims[1], rows) &&
                tsl_mul_i64(*rows, kept_boxes(graph, node, x->dims[1]), rows);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "boxes without number");
    return TSLIM_OK;
}

tslim_status tsl_shape_bound(tslim_graph *graph, const tsl_node *node) {
    int64_t rows;
    TSL_TRY(most_rows(graph, node, &rows));
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        tsl_value *output = tsl_node_output(graph, node, i);
        if (!output) continue;
        for (uint32_t d = 0; d < output->shape.rank; d++)
            if (output->shape.dims[d] < 0) tsl_shape_set_dim(&output->shape, d, rows);
        uint64_t elements;
        TSL_TRY(tsl_shape_elements(graph->ctx, &output->shape, &elements));
    }
    return TSLIM_OK;
}
