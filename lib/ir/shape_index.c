// SPDX-License-Identifier: Apache-2.0
// Shapes of operators that pick, place and order elements by index.
#include "ir/shape_functions.h"

static tslim_status require_same_rank(const tsl_value *a, const tsl_value *b) {
    TSL_REQUIRE(!a->shape.known || !b->shape.known || a->shape.rank == b->shape.rank,
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, but '%s' has rank %u", a->name, a->shape.rank,
        b->name, b->shape.rank);
    return TSLIM_OK;
}

static tslim_status read_axis(
    const tsl_node *node, const tsl_value *data, int64_t default_axis, uint32_t *axis) {
    *axis = 0;
    if (!data->shape.known) return TSLIM_OK;
    TSL_REQUIRE(data->shape.rank > 0, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is a scalar", data->name);
    return tsl_normalize_axis(
        tsl_attrs_int(&node->attrs, TSL_ATTR_axis, default_axis), data->shape.rank, axis);
}

// No axis of `part` but one may be longer than the same of `whole`.
static tslim_status require_inside(const tsl_value *part, const tsl_value *whole, uint32_t axis) {
    const tsl_shape *p = &part->shape, *w = &whole->shape;
    for (uint32_t i = 0; p->known && w->known && i < p->rank; i++)
        TSL_REQUIRE(i == axis || p->dims[i] < 0 || w->dims[i] < 0 || p->dims[i] <= w->dims[i],
            TSLIM_ERROR_INVALID_ARGUMENT, "dim %u of '%s' is %" PRId64 ", more than the %" PRId64 " of '%s'",
            i, part->name, p->dims[i], w->dims[i], whole->name);
    return TSLIM_OK;
}

// ---- Gathering ----

tslim_status tsl_shape_gather_elements(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *data = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    const tsl_shape out = indices->shape;
    uint32_t axis;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_INDEX));
    TSL_TRY(require_same_rank(data, indices));
    TSL_TRY(read_axis(node, data, 0, &axis));
    TSL_TRY(require_inside(indices, data, axis));
    return tsl_set_output(graph, node, 0, data->dtype, &out);
}

// The last dim of indices picks that many axes of data, after the batch axes that both share.
tslim_status tsl_shape_gather_nd(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *data = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    const tsl_shape x = data->shape, index = indices->shape;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_INDEX));
    int64_t batch = tsl_attrs_int(&node->attrs, TSL_ATTR_batch_dims, 0);
    tsl_shape out = {0};
    if (!x.known || !index.known || index.rank == 0 || index.dims[index.rank - 1] < 0) {
        TSL_REQUIRE(
            !index.known || index.rank > 0, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is a scalar", indices->name);
        return tsl_set_output(graph, node, 0, data->dtype, &out);
    }
    int64_t picked = index.dims[index.rank - 1];
    TSL_REQUIRE(batch >= 0 && batch < (int64_t)index.rank && picked >= 1 && picked <= (int64_t)x.rank - batch,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " batch dims and indices of %" PRId64 " numbers for a tensor of rank %u", batch, picked,
        x.rank);
    for (uint32_t i = 0; i < (uint32_t)batch; i++)
        TSL_REQUIRE(tsl_dims_agree(x.dims[i], index.dims[i]), TSLIM_ERROR_INVALID_ARGUMENT,
            "batch dim %u is %" PRId64 " in '%s' and %" PRId64 " in '%s'", i, x.dims[i], data->name,
            index.dims[i], indices->name);
    out.known = true;
    for (uint32_t i = 0; i + 1 < index.rank; i++)
        TSL_TRY(tsl_shape_append(&out, index.dims[i], index.symbols[i]));
    for (uint32_t i = (uint32_t)(batch + picked); i < x.rank; i++)
        TSL_TRY(tsl_shape_append(&out, x.dims[i], x.symbols[i]));
    return tsl_set_output(graph, node, 0, data->dtype, &out);
}

// ---- Scattering ----

static tslim_status check_reduction(const tsl_node *node) {
    const char *r = tsl_attrs_string(&node->attrs, TSL_ATTR_reduction, "none");
    bool known = strcmp(r, "none") == 0 || strcmp(r, "add") == 0 || strcmp(r, "mul") == 0 ||
                 strcmp(r, "max") == 0 || strcmp(r, "min") == 0;
    TSL_REQUIRE(known, TSLIM_ERROR_INVALID_ARGUMENT, "reduction '%.40s'", r);
    return TSLIM_OK;
}

tslim_status tsl_shape_scatter_elements(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *data = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    const tsl_value *updates = tsl_node_input(graph, node, 2);
    const tsl_shape out = data->shape;
    uint32_t axis;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_INDEX));
    TSL_TRY(tsl_require_same_type(graph, node, 0, 2));
    TSL_TRY(require_same_rank(data, indices));
    TSL_TRY(require_same_rank(indices, updates));
    TSL_TRY(check_reduction(node));
    TSL_TRY(read_axis(node, data, 0, &axis));
    TSL_TRY(require_inside(indices, data, axis));
    const tsl_shape *i = &indices->shape, *u = &updates->shape;
    for (uint32_t d = 0; i->known && u->known && d < i->rank; d++)
        TSL_REQUIRE(tsl_dims_agree(i->dims[d], u->dims[d]), TSLIM_ERROR_INVALID_ARGUMENT,
            "dim %u is %" PRId64 " in '%s' and %" PRId64 " in '%s'", d, i->dims[d], indices->name, u->dims[d],
            updates->name);
    return tsl_set_output(graph, node, 0, data->dtype, &out);
}

// updates: the dims of indices without the last, then those of data that an index does not pick.
tslim_status tsl_shape_scatter_nd(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *data = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    const tsl_value *updates = tsl_node_input(graph, node, 2);
    const tsl_shape out = data->shape, *i = &indices->shape, *u = &updates->shape;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_INDEX));
    TSL_TRY(tsl_require_same_type(graph, node, 0, 2));
    TSL_TRY(check_reduction(node));
    TSL_REQUIRE(!i->known || i->rank > 0, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is a scalar", indices->name);
    if (!out.known || !i->known || i->dims[i->rank - 1] < 0)
        return tsl_set_output(graph, node, 0, data->dtype, &out);
    int64_t picked = i->dims[i->rank - 1];
    TSL_REQUIRE(picked <= (int64_t)out.rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "indices of %" PRId64 " numbers for a tensor of rank %u", picked, out.rank);
    tsl_shape wanted = {.known = true};
    for (uint32_t d = 0; d + 1 < i->rank; d++) TSL_TRY(tsl_shape_append(&wanted, i->dims[d], NULL));
    for (uint32_t d = (uint32_t)picked; d < out.rank; d++)
        TSL_TRY(tsl_shape_append(&wanted, out.dims[d], NULL));
    bool fits = !u->known || u->rank == wanted.rank;
    for (uint32_t d = 0; u->known && fits && d < u->rank; d++)
        fits = tsl_dims_agree(u->dims[d], wanted.dims[d]);
    char a[TSL_SHAPE_TEXT], b[TSL_SHAPE_TEXT];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, not %s", updates->name,
        tsl_shape_format(u, a, sizeof(a)), tsl_shape_format(&wanted, b, sizeof(b)));
    return tsl_set_output(graph, node, 0, data->dtype, &out);
}

// ---- Along an axis ----

tslim_status tsl_shape_top_k(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tslim_dtype dtype = input->dtype;
    tsl_shape out = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_NUMBER));
    tsl_numbers k;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_k, 1, &k));
    TSL_REQUIRE(k.present && tsl_dims_agree(k.count, 1), TSLIM_ERROR_INVALID_ARGUMENT, "k is not one number");
    if (out.known) {
        uint32_t axis;
        TSL_TRY(read_axis(node, input, -1, &axis));
        int64_t count = k.known ? tsl_numbers_int(&k, 0) : -1, dim = out.dims[axis];
        TSL_REQUIRE(!k.known || (count >= 0 && (dim < 0 || count <= dim)), TSLIM_ERROR_INVALID_ARGUMENT,
            "the first %" PRId64 " of the %" PRId64 " elements of axis %u", count, dim, axis);
        tsl_shape_set_dim(&out, axis, count);
    }
    TSL_TRY(tsl_set_output_exact(graph, node, 0, dtype, &out));
    return tsl_set_output_exact(graph, node, 1, TSLIM_DTYPE_INT64, &out);
}

tslim_status tsl_shape_one_hot(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *indices = tsl_node_input(graph, node, 0), *values = tsl_node_input(graph, node, 2);
    const tsl_shape x = indices->shape;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_NUMBER));
    tsl_numbers depth;
    TSL_TRY(tsl_numbers_find(
        graph, node, TSL_ATTR_UNKNOWN, 1, TSL_TYPES_INDEX | TSL_TYPE(FLOAT) | TSL_TYPE(DOUBLE), &depth));
    TSL_REQUIRE(tsl_dims_agree(depth.count, 1), TSLIM_ERROR_INVALID_ARGUMENT, "depth is not one number");
    const tsl_shape *v = &values->shape;
    TSL_REQUIRE(!v->known || (v->rank == 1 && tsl_dims_agree(v->dims[0], 2)), TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is not a pair", values->name);
    tsl_shape out = {.known = x.known};
    if (!x.known) return tsl_set_output_exact(graph, node, 0, values->dtype, &out);
    uint32_t axis;
    TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, -1), x.rank + 1, &axis));
    int64_t length = -1;
    if (depth.known) {
        double number = tsl_numbers_real(&depth, 0);
        TSL_REQUIRE(number >= 0 && number < 0x1p62, TSLIM_ERROR_INVALID_ARGUMENT, "depth is %g", number);
        length = (int64_t)number;
    }
    for (uint32_t i = 0; i <= x.rank; i++) {
        if (i == axis) TSL_TRY(tsl_shape_append(&out, length, NULL));
        if (i < x.rank) TSL_TRY(tsl_shape_append(&out, x.dims[i], x.symbols[i]));
    }
    return tsl_set_output_exact(graph, node, 0, values->dtype, &out);
}

tslim_status tsl_shape_cum_sum(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape out = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_NUMBER));
    tsl_numbers axis;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &axis));
    TSL_REQUIRE(tsl_dims_agree(axis.count, 1), TSLIM_ERROR_INVALID_ARGUMENT, "axis is not one number");
    uint32_t unused;
    if (out.known && axis.known) TSL_TRY(tsl_normalize_axis(tsl_numbers_int(&axis, 0), out.rank, &unused));
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_reverse_sequence(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0), *lengths = tsl_node_input(graph, node, 1);
    const tsl_shape out = input->shape;
    TSL_TRY(tsl_require_type(lengths, TSL_TYPE(INT64)));
    int64_t batch = tsl_attrs_int(&node->attrs, TSL_ATTR_batch_axis, 1);
    int64_t time = tsl_attrs_int(&node->attrs, TSL_ATTR_time_axis, 0);
    TSL_REQUIRE((batch == 0 && time == 1) || (batch == 1 && time == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "batch axis %" PRId64 " and time axis %" PRId64 " are not 0 and 1", batch, time);
    TSL_REQUIRE(!out.known || out.rank >= 2, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, not 2 or more",
        input->name, out.rank);
    const tsl_shape *l = &lengths->shape;
    TSL_REQUIRE(!l->known || (l->rank == 1 && (!out.known || tsl_dims_agree(l->dims[0], out.dims[batch]))),
        TSLIM_ERROR_INVALID_ARGUMENT, "'%s' does not hold one length for each batch", lengths->name);
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// One column for each n-gram: the largest of ngram_indexes and one.
tslim_status tsl_shape_tf_idf(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    TSL_TRY(tsl_require_type(input, TSL_TYPES_INDEX));
    size_t count;
    const int64_t *indexes = tsl_attrs_ints(&node->attrs, TSL_ATTR_ngram_indexes, &count);
    TSL_REQUIRE(indexes && count > 0, TSLIM_ERROR_INVALID_ARGUMENT, "ngram_indexes are missing");
    int64_t columns = 0;
    for (size_t i = 0; i < count; i++) {
        TSL_REQUIRE(indexes[i] >= 0 && indexes[i] < INT32_MAX, TSLIM_ERROR_INVALID_ARGUMENT,
            "number %zu of ngram_indexes is %" PRId64, i, indexes[i]);
        columns = tsl_max_i64(columns, indexes[i] + 1);
    }
    tsl_shape out = {.known = x.known};
    if (!x.known) return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_FLOAT, &out);
    TSL_REQUIRE(x.rank == 1 || x.rank == 2, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' has rank %u, not 1 or 2",
        input->name, x.rank);
    if (x.rank == 2) TSL_TRY(tsl_shape_append(&out, x.dims[0], x.symbols[0]));
    TSL_TRY(tsl_shape_append(&out, columns, NULL));
    return tsl_set_output_exact(graph, node, 0, TSLIM_DTYPE_FLOAT, &out);
}
