// SPDX-License-Identifier: Apache-2.0
// Shapes of LSTM, GRU and RNN.
#include "ir/shape_functions.h"

static tslim_status require_rank_3(const tsl_value *value) {
    char text[TSL_SHAPE_TEXT];
    TSL_TRY(tsl_require_type(value, TSL_TYPES_FLOAT));
    TSL_REQUIRE(!value->shape.known || value->shape.rank == 3, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s, not of rank 3", value->name, tsl_shape_format(&value->shape, text, sizeof(text)));
    return TSLIM_OK;
}

// W is directions x gates * hidden x input, R is directions x gates * hidden x hidden.
static tslim_status check_weights(const tslim_graph *graph, const tsl_node *node, int64_t directions) {
    const tsl_value *x = tsl_node_input(graph, node, 0), *w = tsl_node_input(graph, node, 1),
                    *r = tsl_node_input(graph, node, 2);
    if (!x->shape.known || !w->shape.known || !r->shape.known) return TSLIM_OK;
    const int64_t *wd = w->shape.dims, *rd = r->shape.dims;
    int64_t gates = node->op == TSL_OP_LSTM ? 4 : node->op == TSL_OP_GRU ? 3 : 1, rows = -1;
    bool small = rd[2] < 0 || tsl_mul_i64(rd[2], gates, &rows);
    bool fits = small && tsl_dims_agree(wd[0], directions) && tsl_dims_agree(rd[0], directions) &&
                tsl_dims_agree(wd[1], rows) && tsl_dims_agree(rd[1], rows) &&
                tsl_dims_agree(wd[2], x->shape.dims[2]);
    char x_text[TSL_SHAPE_TEXT], w_text[TSL_SHAPE_TEXT], r_text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT,
        "W %s and R %s do not fit input %s, %" PRId64 " directions and %" PRId64 " gates",
        tsl_shape_format(&w->shape, w_text, sizeof(w_text)),
        tsl_shape_format(&r->shape, r_text, sizeof(r_text)),
        tsl_shape_format(&x->shape, x_text, sizeof(x_text)), directions, gates);
    return TSLIM_OK;
}

tslim_status tsl_shape_recurrent(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *x = tsl_node_input(graph, node, 0), *r = tsl_node_input(graph, node, 2);
    for (uint32_t i = 0; i < 3; i++) TSL_TRY(require_rank_3(tsl_node_input(graph, node, i)));
    const char *direction = tsl_attrs_string(&node->attrs, TSL_ATTR_direction, "forward");
    const int64_t directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    TSL_TRY(check_weights(graph, node, directions));
    const bool batch_first = tsl_attrs_int(&node->attrs, TSL_ATTR_layout, 0) != 0;
    tsl_shape y = {.known = true, .rank = 4}, last = {.known = true, .rank = 3};
    for (uint32_t i = 0; i < 4; i++) tsl_shape_set_dim(&y, i, -1);
    if (x->shape.known)
        for (uint32_t i = 0; i < 2; i++) // time and batch
            tsl_shape_copy_dim(&y, i == 0 || batch_first ? i : 2, &x->shape, i);
    tsl_shape_set_dim(&y, batch_first ? 2 : 1, directions);
    if (r->shape.known) tsl_shape_set_dim(&y, 3, r->shape.dims[2]);
    tsl_shape_copy_dim(&last, 0, &y, batch_first ? 0 : 1);
    tsl_shape_copy_dim(&last, 1, &y, 2);
    tsl_shape_copy_dim(&last, 2, &y, 3);
    TSL_TRY(tsl_set_output(graph, node, 0, x->dtype, &y));
    for (uint32_t i = 1; i < node->n_outputs; i++) TSL_TRY(tsl_set_output(graph, node, i, x->dtype, &last));
    return TSLIM_OK;
}
