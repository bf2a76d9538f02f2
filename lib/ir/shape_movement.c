// SPDX-License-Identifier: Apache-2.0
// Shapes of operators that move elements: transposes, concatenation, parts, padding, repetition.
#include "ir/shape_functions.h"

tslim_status tsl_shape_transpose(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    size_t count;
    const int64_t *perm = tsl_attrs_ints(&node->attrs, TSL_ATTR_perm, &count);
    tsl_shape out = {.known = x.known, .rank = x.rank};
    if (!x.known && perm)
        TSL_TRY(tsl_shape_unknown_dims(&out, (int64_t)tsl_min_i64((int64_t)count, INT32_MAX)));
    TSL_REQUIRE(!perm || count == out.rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "perm has %zu numbers for a tensor of rank %u", count, out.rank);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < out.rank; i++) {
        int64_t from = perm ? perm[i] : (int64_t)(out.rank - 1 - i);
        TSL_REQUIRE(from >= 0 && from < (int64_t)out.rank && !(seen >> from & 1),
            TSLIM_ERROR_INVALID_ARGUMENT,
            "perm holds %" PRId64 ", which is out of range or there twice (rank %u)", from, out.rank);
        seen |= 1u << from;
        if (x.known) tsl_shape_copy_dim(&out, i, &x, (uint32_t)from);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Concat and Split ----

// Takes over what another operand knows of a dim that they share.
static bool merge_dim(tsl_shape *out, uint32_t i, const tsl_shape *other) {
    if (!tsl_dims_agree(out->dims[i], other->dims[i])) return false;
    if (out->dims[i] < 0 && (other->dims[i] >= 0 || !out->symbols[i])) tsl_shape_copy_dim(out, i, other, i);
    return true;
}

tslim_status tsl_shape_concat(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *first = tsl_node_input(graph, node, 0);
    tsl_shape out = first->shape;
    TSL_REQUIRE(tsl_attrs_find(&node->attrs, TSL_ATTR_axis), TSLIM_ERROR_INVALID_ARGUMENT, "axis is missing");
    uint32_t axis = 0;
    if (out.known)
        TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0), out.rank, &axis));
    bool known = out.known;
    for (uint32_t n = 1; n < node->n_inputs; n++) {
        const tsl_value *input = tsl_node_input(graph, node, n);
        const tsl_shape *x = &input->shape;
        TSL_TRY(tsl_require_same_type(graph, node, 0, n));
        known = known && x->known;
        if (!known) continue;
        bool fits = x->rank == out.rank;
        for (uint32_t i = 0; fits && i < out.rank; i++) {
            if (i != axis) {
                fits = merge_dim(&out, i, x);
                continue;
            }
            int64_t sum = -1;
            TSL_REQUIRE(out.dims[i] < 0 || x->dims[i] < 0 || tsl_add_i64(out.dims[i], x->dims[i], &sum),
                TSLIM_ERROR_LIMIT, "dim %u of the result is over 2^63", i);
            tsl_shape_set_dim(&out, i, sum);
        }
        char a[TSL_SHAPE_TEXT], b[TSL_SHAPE_TEXT];
        TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' (%s) and '%s' (%s) do not fit along axis %u",
            first->name, tsl_shape_format(&first->shape, a, sizeof(a)), input->name,
            tsl_shape_format(x, b, sizeof(b)), axis);
    }
    if (!known) out = (tsl_shape){0};
    return tsl_set_output(graph, node, 0, first->dtype, &out);
}

// Checks that the parts make up the whole.
static tslim_status check_parts(const tsl_numbers *sizes, uint32_t n_outputs, int64_t whole) {
    TSL_REQUIRE(sizes->count == (int64_t)n_outputs, TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " sizes for %u results", sizes->count, n_outputs);
    int64_t sum = 0;
    for (int64_t i = 0; i < sizes->count; i++) {
        int64_t size = tsl_numbers_int(sizes, i);
        TSL_REQUIRE(size >= 0 && tsl_add_i64(sum, size, &sum), TSLIM_ERROR_INVALID_ARGUMENT,
            "part %" PRId64 " has size %" PRId64, i, size);
    }
    TSL_REQUIRE(tsl_dims_agree(whole, sum), TSLIM_ERROR_INVALID_ARGUMENT,
        "parts of %" PRId64 " together do not make up an axis of %" PRId64, sum, whole);
    return TSLIM_OK;
}

tslim_status tsl_shape_split(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tslim_dtype dtype = input->dtype;
    tsl_shape out = input->shape;
    tsl_numbers sizes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_split, 1, &sizes));
    uint32_t axis = 0;
    if (out.known)
        TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0), out.rank, &axis));
    int64_t whole = out.known ? out.dims[axis] : -1, count = node->n_outputs;
    if (sizes.known) TSL_TRY(check_parts(&sizes, node->n_outputs, whole));
    int64_t wanted = tsl_attrs_int(&node->attrs, TSL_ATTR_num_outputs, count);
    TSL_REQUIRE(wanted == count, TSLIM_ERROR_INVALID_ARGUMENT, "num_outputs is %" PRId64 ", but there are %u",
        wanted, node->n_outputs);
    // Equal parts; from opset 18 on the last may be smaller.
    int64_t part = whole < 0 ? -1 : whole / count + (whole % count != 0);
    int64_t last = whole < 0 ? -1 : whole - part * (count - 1);
    TSL_REQUIRE(sizes.present || last == part || (graph->opset >= 18 && last >= 0),
        TSLIM_ERROR_INVALID_ARGUMENT, "an axis of %" PRId64 " does not split into %u equal parts", whole,
        node->n_outputs);
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        int64_t size = sizes.known     ? tsl_numbers_int(&sizes, i)
                       : sizes.present ? -1
                       : i + 1 < count ? part
                                       : last;
        if (out.known) tsl_shape_set_dim(&out, axis, size);
        TSL_TRY(tsl_set_output(graph, node, i, dtype, &out));
    }
    return TSLIM_OK;
}

// ---- Slice ----

// The number of elements from start to end (either may be negative or far outside) by step.
static int64_t slice_length(int64_t dim, int64_t start, int64_t end, int64_t step) {
    if (dim == 0) return 0;
    int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? dim : dim - 1;
    if (start < 0) start = start < -dim ? -1 : start + dim; // one before the first is enough to be clamped
    if (end < 0) end = end < -dim ? -1 : end + dim;
    start = tsl_max_i64(step > 0 ? 0 : -1, tsl_min_i64(start, highest));
    if (step < 0 && start < 0) start = 0; // ONNX: clamped to the first element
    end = tsl_max_i64(lowest, tsl_min_i64(end, highest + (step < 0)));
    uint64_t span =
        step > 0 ? (end > start ? (uint64_t)(end - start) : 0) : (start > end ? (uint64_t)(start - end) : 0);
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    return (int64_t)(span / by + (span % by != 0));
}

typedef struct slice_operands {
    tsl_numbers starts, ends, axes, steps;
} slice_operands;

static tslim_status find_slice_operands(const tslim_graph *graph, const tsl_node *node, slice_operands *s) {
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_starts, 1, &s->starts));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_ends, 2, &s->ends));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_axes, 3, &s->axes));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 4, &s->steps));
    TSL_REQUIRE(
        s->starts.present && s->ends.present, TSLIM_ERROR_INVALID_ARGUMENT, "starts or ends are missing");
    const tsl_numbers *all[] = {&s->starts, &s->ends, &s->axes, &s->steps};
    for (uint32_t i = 1; i < 4; i++)
        TSL_REQUIRE(!all[i]->present || tsl_dims_agree(s->starts.count, all[i]->count),
            TSLIM_ERROR_INVALID_ARGUMENT,
            "lists of %" PRId64 " and %" PRId64 " numbers, of starts and of operand %u", s->starts.count,
            all[i]->count, i + 1);
    return TSLIM_OK;
}

static tslim_status slice_dim(const slice_operands *s, int64_t i, uint32_t axis, tsl_shape *out) {
    bool known = s->starts.known && s->ends.known && (!s->steps.present || s->steps.known);
    int64_t step = s->steps.known ? tsl_numbers_int(&s->steps, i) : 1;
    TSL_REQUIRE(step != 0, TSLIM_ERROR_INVALID_ARGUMENT, "the step along axis %u is 0", axis);
    int64_t dim = out->dims[axis];
    int64_t start = known ? tsl_numbers_int(&s->starts, i) : 0,
            end = known ? tsl_numbers_int(&s->ends, i) : 0;
    if (known && start == 0 && end >= INT32_MAX && step == 1 && dim < 0) return TSLIM_OK; // all of it
    tsl_shape_set_dim(out, axis, known && dim >= 0 ? slice_length(dim, start, end, step) : -1);
    return TSLIM_OK;
}

tslim_status tsl_shape_slice(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    slice_operands s;
    TSL_TRY(find_slice_operands(graph, node, &s));
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    if ((s.axes.present && !s.axes.known) || s.starts.count < 0) {
        TSL_TRY(tsl_shape_unknown_dims(&out, out.rank));
        return tsl_set_output(graph, node, 0, input->dtype, &out);
    }
    uint32_t mask;
    if (s.axes.present) TSL_TRY(tsl_axes_mask(&s.axes, out.rank, &mask));
    TSL_REQUIRE(s.starts.count <= (int64_t)out.rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " starts for a tensor of rank %u", s.starts.count, out.rank);
    for (int64_t i = 0; i < s.starts.count; i++) {
        uint32_t axis = (uint32_t)i;
        if (s.axes.present) TSL_TRY(tsl_normalize_axis(tsl_numbers_int(&s.axes, i), out.rank, &axis));
        TSL_TRY(slice_dim(&s, i, axis, &out));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Pad ----

static tslim_status pad_dim(tsl_shape *out, uint32_t axis, int64_t before, int64_t after, const char *mode) {
    int64_t dim = out->dims[axis], padded;
    if (before == 0 && after == 0) return TSLIM_OK;
    if (dim < 0) {
        out->symbols[axis] = NULL;
        return TSLIM_OK;
    }
    bool fits = tsl_add_i64(dim, before, &padded) && tsl_add_i64(padded, after, &padded) && padded >= 0;
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "pads %" PRId64 " and %" PRId64 " for dim %u of %" PRId64,
        before, after, axis, dim);
    // Reflection cannot take what is not there.
    int64_t most = tsl_max_i64(before, after);
    TSL_REQUIRE(strcmp(mode, "reflect") != 0 || most < dim, TSLIM_ERROR_INVALID_ARGUMENT,
        "reflection of %" PRId64 " elements of dim %u, which has %" PRId64, most, axis, dim);
    TSL_REQUIRE(strcmp(mode, "edge") != 0 || most <= 0 || dim > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "dim %u is empty and has no edge", axis);
    tsl_shape_set_dim(out, axis, padded);
    return TSLIM_OK;
}

tslim_status tsl_shape_pad(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    tsl_numbers pads, axes;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_pads, 1, &pads));
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 3, &axes));
    TSL_REQUIRE(pads.present, TSLIM_ERROR_INVALID_ARGUMENT, "pads are missing");
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    if (!pads.known || (axes.present && !axes.known)) {
        TSL_TRY(tsl_shape_unknown_dims(&out, out.rank));
        return tsl_set_output(graph, node, 0, input->dtype, &out);
    }
    uint32_t mask;
    int64_t count = axes.present ? axes.count : (int64_t)out.rank;
    if (axes.present) TSL_TRY(tsl_axes_mask(&axes, out.rank, &mask));
    TSL_REQUIRE(pads.count == 2 * count, TSLIM_ERROR_INVALID_ARGUMENT, "%" PRId64 " pads, not %" PRId64,
        pads.count, 2 * count);
    const char *mode = tsl_attrs_string(&node->attrs, TSL_ATTR_mode, "constant");
    for (int64_t i = 0; i < count; i++) {
        uint32_t axis = (uint32_t)i;
        if (axes.present) TSL_TRY(tsl_normalize_axis(tsl_numbers_int(&axes, i), out.rank, &axis));
        TSL_TRY(pad_dim(&out, axis, tsl_numbers_int(&pads, i), tsl_numbers_int(&pads, i + count), mode));
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

// ---- Picking and repeating ----

tslim_status tsl_shape_gather(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *data = tsl_node_input(graph, node, 0), *indices = tsl_node_input(graph, node, 1);
    const tsl_shape x = data->shape, index = indices->shape;
    TSL_TRY(tsl_require_type(indices, TSL_TYPES_INDEX));
    tsl_shape out = {.known = x.known && index.known};
    if (!out.known) return tsl_set_output(graph, node, 0, data->dtype, &out);
    uint32_t axis;
    TSL_TRY(tsl_normalize_axis(tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 0), x.rank, &axis));
    for (uint32_t i = 0; i < axis; i++) TSL_TRY(tsl_shape_append(&out, x.dims[i], x.symbols[i]));
    for (uint32_t i = 0; i < index.rank; i++)
        TSL_TRY(tsl_shape_append(&out, index.dims[i], index.symbols[i]));
    for (uint32_t i = axis + 1; i < x.rank; i++) TSL_TRY(tsl_shape_append(&out, x.dims[i], x.symbols[i]));
    return tsl_set_output(graph, node, 0, data->dtype, &out);
}

tslim_status tsl_shape_expand(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    const tsl_shape x = input->shape;
    tsl_numbers wanted;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &wanted));
    tsl_shape target, out = {0};
    TSL_TRY(tsl_shape_unknown_dims(&target, wanted.count));
    for (uint32_t i = 0; wanted.known && i < target.rank; i++) {
        target.dims[i] = tsl_numbers_int(&wanted, i);
        TSL_REQUIRE(target.dims[i] >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "target dim %u is %" PRId64, i,
            target.dims[i]);
    }
    TSL_TRY(tsl_shape_broadcast(&x, &target, &out));
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}

tslim_status tsl_shape_tile(tslim_graph *graph, const tsl_node *node) {
    const tsl_value *input = tsl_node_input(graph, node, 0);
    tsl_shape out = input->shape;
    tsl_numbers repeats;
    TSL_TRY(tsl_find_ints(graph, node, TSL_ATTR_UNKNOWN, 1, &repeats));
    if (!out.known) return tsl_set_output(graph, node, 0, input->dtype, &out);
    TSL_REQUIRE(tsl_dims_agree(repeats.count, out.rank), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRId64 " repeats for a tensor of rank %u", repeats.count, out.rank);
    for (uint32_t i = 0; i < out.rank; i++) {
        int64_t times = repeats.known ? tsl_numbers_int(&repeats, i) : -1, dim = -1;
        if (times == 1) continue;
        TSL_REQUIRE(!repeats.known || times >= 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "dim %u is repeated %" PRId64 " times", i, times);
        TSL_REQUIRE(times < 0 || out.dims[i] < 0 || tsl_mul_i64(out.dims[i], times, &dim), TSLIM_ERROR_LIMIT,
            "dim %u of %" PRId64 " is repeated %" PRId64 " times", i, out.dims[i], times);
        tsl_shape_set_dim(&out, i, times == 0 ? 0 : dim);
    }
    return tsl_set_output(graph, node, 0, input->dtype, &out);
}
