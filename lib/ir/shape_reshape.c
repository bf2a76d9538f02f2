// SPDX-License-Identifier: Apache-2.0
// Shapes of operators that only give the same elements other dims.
#include "ir/shape_functions.h"

tslim_status tsl_shape_flatten(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    tsl_shape out;
    TSL_TRY(tsl_shape_unknown_dims(&out, 2));
    if (!x.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    int64_t given = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    uint32_t axis = x.rank; // the axis may be behind the last dim
    if (given != (int64_t)x.rank) TSL_TRY(tsl_normalize_axis(given, x.rank, &axis));
    const uint32_t bounds[3] = {0, axis, x.rank};
    for (uint32_t i = 0; i < 2; i++) {
        TSL_TRY(tsl_shape_product(&x, bounds[i], bounds[i + 1], &out.dims[i]));
        // A single dim among ones keeps its symbol.
        int64_t known = 1;
        uint32_t unknown = 0, which = 0;
        for (uint32_t d = bounds[i]; d < bounds[i + 1]; d++) {
            if (x.dims[d] >= 0)
                known = x.dims[d] == 1 ? known : 0;
            else if (unknown++ == 0)
                which = d;
        }
        if (out.dims[i] < 0 && known == 1 && unknown == 1) out.symbols[i] = x.symbols[which];
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Reshape ----

typedef struct target {
    tsl_shape out;
    int32_t inferred; // which dim is -1; -1: none
    uint32_t copied; // mask of dims taken over from the input
} target;

static tslim_status read_target(const tsl_numbers *wanted, const tsl_shape *x, bool allow_zero, target *t) {
    *t = (target){.out.known = true, .inferred = -1};
    for (int64_t i = 0; i < wanted->count; i++) {
        int64_t dim = tsl_numbers_int(wanted, i);
        TSL_REQUIRE(dim >= -1, TSLIM_ERROR_INVALID_ARGUMENT, "target dim %" PRId64 " is %" PRId64, i, dim);
        TSL_TRY(tsl_shape_append(&t->out, dim, NULL));
        if (dim == -1) {
            TSL_REQUIRE(t->inferred < 0, TSLIM_ERROR_INVALID_ARGUMENT,
                "target dims %d and %" PRId64 " are both -1", t->inferred, i);
            t->inferred = (int32_t)i;
        }
        if (dim != 0 || allow_zero) continue;
        TSL_REQUIRE(!x->known || i < (int64_t)x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "target dim %" PRId64 " is taken over from an input of rank %u", i, x->rank);
        if (x->known)
            tsl_shape_copy_dim(&t->out, (uint32_t)i, x, (uint32_t)i);
        else
            t->out.dims[i] = -1;
        t->copied |= 1u << i;
    }
    return TSLIM_OK;
}

// What remains of the input when the dims that are taken over as they are, are left out on both sides: the
// product of the known dims, and how many are not known (and one of them).
typedef struct remainder {
    int64_t known;
    uint32_t unknown, which;
} remainder;

static tslim_status find_remainder(const tsl_shape *shape, uint32_t left_out, remainder *r) {
    *r = (remainder){.known = 1};
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (left_out >> i & 1) continue;
        if (shape->dims[i] < 0) {
            r->unknown++;
            r->which = i;
        } else {
            TSL_REQUIRE(tsl_mul_i64(r->known, shape->dims[i], &r->known), TSLIM_ERROR_LIMIT,
                "a tensor of more than 2^63 elements");
        }
    }
    return TSLIM_OK;
}

static tslim_status does_not_fit(const tsl_shape *x, const tsl_numbers *wanted) {
    char text[TSL_SHAPE_TEXT], target_text[TSL_SHAPE_TEXT];
    int64_t dims[TSLIM_MAX_RANK];
    for (int64_t i = 0; i < wanted->count; i++) dims[i] = tsl_numbers_int(wanted, i);
    size_t used = 0;
    target_text[0] = 0;
    for (int64_t i = 0; i < wanted->count && used < sizeof(target_text); i++) {
        int length =
            snprintf(target_text + used, sizeof(target_text) - used, "%s%" PRId64, i ? "," : "", dims[i]);
        used += length > 0 ? (size_t)length : 0;
    }
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "input %s does not fit the target shape %s",
        tsl_shape_format(x, text, sizeof(text)), target_text);
}

tslim_status tsl_shape_reshape(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    tsl_numbers wanted;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &wanted));
    target t;
    if (!wanted.known) {
        TSL_TRY(tsl_shape_unknown_dims(&t.out, wanted.count));
        return tsl_set_output(graph, node, 0, input->dtype, &t.out);
    }
    TSL_TRY(read_target(&wanted, &x, tsl_attrs_int(&node->attrs, TSL_ATTR_allowzero, 0) != 0, &t));
    if (!x.known) return tsl_set_output(graph, node, 0, input->dtype, &t.out);

    // A dim of 0 that is taken over counts: left out, a -1 beside it could not be told from any other number.
    remainder in, out;
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < t.out.rank; i++)
        if ((t.copied >> i & 1) && x.dims[i] != 0) left_out |= 1u << i;
    TSL_TRY(find_remainder(&x, left_out, &in));
    TSL_TRY(find_remainder(&t.out, left_out | (t.inferred >= 0 ? 1u << t.inferred : 0), &out));
    if (t.inferred < 0) {
        bool fits = in.unknown || in.known == out.known;
        return fits ? tsl_set_output(graph, node, 0, input->dtype, &t.out) : does_not_fit(&x, &wanted);
    }
    uint32_t dim = (uint32_t)t.inferred;
    if (in.unknown == 0) {
        if (out.known == 0 || in.known % out.known != 0) return does_not_fit(&x, &wanted);
        tsl_shape_set_dim(&t.out, dim, in.known / out.known);
    } else if (in.unknown == 1 && in.known == out.known) {
        tsl_shape_copy_dim(&t.out, dim, &x, in.which);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &t.out);
}

// ---- Dims of 1 ----

tslim_status tsl_shape_squeeze(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    tsl_numbers axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, 1, &axes));
    tsl_shape out = {0};
    if (!x.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    uint32_t mask = 0;
    if (axes.known) TSL_TRY(tsl_axes_mask(&axes, x.rank, &mask));
    bool any = !axes.present;
    if (axes.present && !axes.known) {
        int64_t rank = axes.count < 0 ? -1 : tsl_max_i64((int64_t)x.rank - axes.count, 0);
        TSL_TRY(tsl_shape_unknown_dims(&out, rank));
        return tsl_set_output(graph, node, 0, input->dtype, &out);
    }
    for (uint32_t i = 0; i < x.rank; i++) {
        TSL_REQUIRE(!(mask >> i & 1) || tsl_dims_agree(x.dims[i], 1), TSLIM_ERROR_INVALID_ARGUMENT,
            "axis %u to be removed has %" PRId64 " indices", i, x.dims[i]);
        if (any && x.dims[i] < 0) return tsl_set_output(graph, node, 0, input->dtype, &(tsl_shape){0});
        if ((mask >> i & 1) || (any && x.dims[i] == 1)) continue;
        tsl_shape_copy_dim(&out, out.rank++, &x, i);
    }
    out.known = true;
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_unsqueeze(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    tsl_numbers axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, 1, &axes));
    TSL_REQUIRE(axes.present, TSLIM_ERROR_INVALID_ARGUMENT, "axes are missing");
    tsl_shape out = {0};
    if (!x.known || axes.count < 0) return tsl_set_output(graph, node, 0, input->dtype, &out);
    TSL_REQUIRE(axes.count <= TSLIM_MAX_RANK, TSLIM_ERROR_LIMIT, "%" PRId64 " axes to insert", axes.count);
    TSL_TRY(tsl_shape_unknown_dims(&out, (int64_t)x.rank + axes.count));
    if (!axes.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    uint32_t mask, from = 0;
    TSL_TRY(tsl_axes_mask(&axes, out.rank, &mask));
    for (uint32_t i = 0; i < out.rank; i++) {
        if (mask >> i & 1)
            tsl_shape_set_dim(&out, i, 1);
        else
            tsl_shape_copy_dim(&out, i, &x, from++);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}
