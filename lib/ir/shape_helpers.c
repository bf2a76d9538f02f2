// SPDX-License-Identifier: Apache-2.0
// What the shape functions share: types, outputs, and numbers that are attributes in one opset and operands
// in another.
#include "ir/shape_functions.h"

// ---- Types ----

bool tsl_node_is_quantized(const tslim_graph *graph, const tsl_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const tsl_value *input = tsl_node_input(graph, node, i);
        if (input && tsl_value_is_quantized(input)) return true;
    }
    return false;
}

tslim_status tsl_require_type(const tsl_value *value, tsl_types types) {
    unsigned dtype = (unsigned)value->dtype;
    if (dtype == TSLIM_DTYPE_NONE) return TSLIM_OK;
    if (tsl_value_is_quantized(value) && (types & TSL_TYPES_FLOAT)) return TSLIM_OK;
    const char *wanted = types == TSL_TYPE(BOOL)       ? "bool"
                         : types == TSL_TYPES_UNSIGNED ? "an unsigned integer type"
                         : !(types & TSL_TYPES_FLOAT)  ? "an integer type"
                         : !(types & TSL_TYPES_SIGNED) ? "a float type"
                                                       : "a type of numbers";
    TSL_REQUIRE(dtype < 32 && (types >> dtype & 1), TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, not %s",
        value->name, tslim_dtype_name(value->dtype), wanted);
    return TSLIM_OK;
}

tslim_status tsl_require_same_type(const tslim_graph *graph, const tsl_node *node, uint32_t a, uint32_t b) {
    const tsl_value *x = tsl_node_input(graph, node, a), *y = tsl_node_input(graph, node, b);
    if (x->dtype == y->dtype || x->dtype == TSLIM_DTYPE_NONE || y->dtype == TSLIM_DTYPE_NONE) return TSLIM_OK;
    bool x_fits = tsl_value_is_quantized(x) || x->dtype == TSLIM_DTYPE_FLOAT;
    bool y_fits = tsl_value_is_quantized(y) || y->dtype == TSLIM_DTYPE_FLOAT;
    TSL_REQUIRE(x_fits && y_fits, TSLIM_ERROR_INVALID_ARGUMENT, "'%s' is %s, but '%s' is %s", x->name,
        tslim_dtype_name(x->dtype), y->name, tslim_dtype_name(y->dtype));
    return TSLIM_OK;
}

// ---- Outputs ----

static tslim_status check_size(const tslim_graph *graph, const tsl_shape *shape) {
    if (!shape->known) return TSLIM_OK;
    TSL_REQUIRE(shape->rank <= graph->ctx->limits.rank, TSLIM_ERROR_LIMIT,
        "a result of rank %u, the limit is %u", shape->rank, graph->ctx->limits.rank);
    tsl_shape smallest = *shape; // dims that are not known yet may turn out to be 1
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0) smallest.dims[i] = 1;
    uint64_t elements;
    return tsl_shape_elements(graph->ctx, &smallest, &elements);
}

tslim_status tsl_set_output_exact(
    tslim_graph *graph, const tsl_node *node, uint32_t index, tslim_dtype dtype, const tsl_shape *shape) {
    tsl_value *output = tsl_node_output(graph, node, index);
    if (!output) return TSLIM_OK;
    TSL_TRY(check_size(graph, shape));
    tsl_value_set_dtype(output, dtype);
    output->shape = *shape;
    return TSLIM_OK;
}

tslim_status tsl_set_output(
    tslim_graph *graph, const tsl_node *node, uint32_t index, tslim_dtype dtype, const tsl_shape *shape) {
    const tsl_value *output = tsl_node_output(graph, node, index);
    if (output && tsl_node_is_quantized(graph, node) &&
        (output->dtype == TSLIM_DTYPE_INT8 || output->dtype == TSLIM_DTYPE_UINT8 ||
            output->dtype == TSLIM_DTYPE_FLOAT))
        dtype = output->dtype;
    return tsl_set_output_exact(graph, node, index, dtype, shape);
}

// ---- Shapes ----

tslim_status tsl_shape_append(tsl_shape *shape, int64_t dim, const char *symbol) {
    TSL_REQUIRE(
        shape->rank < TSLIM_MAX_RANK, TSLIM_ERROR_LIMIT, "a result of more than %d dims", TSLIM_MAX_RANK);
    shape->dims[shape->rank] = dim;
    shape->symbols[shape->rank] = dim < 0 ? symbol : NULL;
    shape->rank++;
    return TSLIM_OK;
}

tslim_status tsl_shape_unknown_dims(tsl_shape *shape, int64_t rank) {
    TSL_REQUIRE(rank <= TSLIM_MAX_RANK, TSLIM_ERROR_LIMIT, "a result of %" PRId64 " dims, the limit is %d",
        rank, TSLIM_MAX_RANK);
    *shape = (tsl_shape){.known = rank >= 0};
    for (int64_t i = 0; i < rank; i++) shape->dims[shape->rank++] = -1;
    return TSLIM_OK;
}

bool tsl_shape_stretches_to(const tsl_shape *from, const tsl_shape *to) {
    if (!from->known || !to->known) return true;
    if (from->rank > to->rank) return false;
    uint32_t skip = to->rank - from->rank;
    for (uint32_t i = 0; i < from->rank; i++)
        if (from->dims[i] != 1 && !tsl_dims_agree(from->dims[i], to->dims[i + skip])) return false;
    return true;
}

tslim_status tsl_shape_product(const tsl_shape *shape, uint32_t begin, uint32_t end, int64_t *product) {
    bool unknown = false, zero = false;
    int64_t result = 1;
    for (uint32_t i = begin; i < end; i++) {
        if (shape->dims[i] < 0)
            unknown = true;
        else if (shape->dims[i] == 0)
            zero = true;
        else
            TSL_REQUIRE(tsl_mul_i64(result, shape->dims[i], &result), TSLIM_ERROR_LIMIT,
                "the product of dims %u to %u is over 2^63", begin, end - 1);
    }
    *product = zero ? 0 : unknown ? -1 : result;
    return TSLIM_OK;
}

// ---- Numbers ----

static void find_attr_numbers(const tsl_node *node, tsl_attr_id id, tsl_numbers *numbers) {
    const tsl_attr *attr = id == TSL_ATTR_UNKNOWN ? NULL : tsl_attrs_find(&node->attrs, id);
    if (!attr) return;
    if (attr->type == TSL_ATTR_TYPE_INTS)
        *numbers =
            (tsl_numbers){true, true, (int64_t)attr->count, (const void *)attr->ints, TSLIM_DTYPE_INT64};
    else if (attr->type == TSL_ATTR_TYPE_INT)
        *numbers = (tsl_numbers){true, true, 1, (const void *)&attr->i, TSLIM_DTYPE_INT64};
    else if (attr->type == TSL_ATTR_TYPE_FLOATS)
        *numbers =
            (tsl_numbers){true, true, (int64_t)attr->count, (const void *)attr->floats, TSLIM_DTYPE_FLOAT};
}

tslim_status tsl_numbers_find(const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr,
    uint32_t input, tsl_types types, tsl_numbers *numbers) {
    *numbers = (tsl_numbers){.count = -1};
    find_attr_numbers(node, attr, numbers);
    if (numbers->present) {
        TSL_REQUIRE(types >> numbers->dtype & 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "attribute %s is of %s numbers", tsl_attr_name(attr), tslim_dtype_name(numbers->dtype));
        return TSLIM_OK;
    }
    const tsl_value *value = tsl_node_input(graph, node, input);
    if (!value) return TSLIM_OK;
    TSL_TRY(tsl_require_type(value, types));
    char text[TSL_SHAPE_TEXT];
    TSL_REQUIRE(!value->shape.known || value->shape.rank <= 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "'%s' is %s, not a list of numbers", value->name,
        tsl_shape_format(&value->shape, text, sizeof(text)));
    numbers->present = true;
    numbers->dtype = value->dtype;
    if (value->shape.known) numbers->count = value->shape.rank == 0 ? 1 : value->shape.dims[0];
    size_t size = tslim_dtype_size(value->dtype);
    if (!tsl_value_is_constant(value) || size == 0 || numbers->count < 0 ||
        value->packing != TSL_PACKING_NONE)
        return TSLIM_OK;
    if ((uint64_t)numbers->count > value->bytes / size) return TSLIM_OK; // the verifier will complain
    numbers->known = true;
    numbers->data = value->data;
    return TSLIM_OK;
}

tslim_status tsl_find_ints(
    const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr, uint32_t input, tsl_numbers *numbers) {
    return tsl_numbers_find(graph, node, attr, input, TSL_TYPES_INDEX, numbers);
}

int64_t tsl_numbers_int(const tsl_numbers *numbers, int64_t index) {
    int64_t wide;
    int32_t narrow;
    if (numbers->dtype == TSLIM_DTYPE_INT64) {
        memcpy(&wide, numbers->data + (size_t)index * sizeof(wide), sizeof(wide));
        return wide;
    }
    memcpy(&narrow, numbers->data + (size_t)index * sizeof(narrow), sizeof(narrow));
    return narrow;
}

double tsl_numbers_real(const tsl_numbers *numbers, int64_t index) {
    float single;
    double wide;
    if (numbers->dtype == TSLIM_DTYPE_FLOAT) {
        memcpy(&single, numbers->data + (size_t)index * sizeof(single), sizeof(single));
        return (double)single;
    }
    if (numbers->dtype != TSLIM_DTYPE_DOUBLE) return (double)tsl_numbers_int(numbers, index);
    memcpy(&wide, numbers->data + (size_t)index * sizeof(wide), sizeof(wide));
    return wide;
}

bool tsl_node_get_ints(const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr, uint32_t input,
    int64_t *values, size_t capacity, size_t *count) {
    tsl_numbers numbers = {0};
    *count = 0;
    find_attr_numbers(node, attr, &numbers);
    if (!numbers.present) {
        const tsl_value *value = tsl_node_input(graph, node, input);
        if (!value || !tsl_value_is_constant(value) || value->packing != TSL_PACKING_NONE ||
            value->shape.rank > 1)
            return false;
        size_t size = tslim_dtype_size(value->dtype);
        numbers =
            (tsl_numbers){true, true, size ? (int64_t)(value->bytes / size) : 0, value->data, value->dtype};
    }
    if (numbers.dtype != TSLIM_DTYPE_INT64 && numbers.dtype != TSLIM_DTYPE_INT32) return false;
    *count = (uint64_t)numbers.count < capacity ? (size_t)numbers.count : capacity;
    for (size_t i = 0; i < *count; i++) values[i] = tsl_numbers_int(&numbers, (int64_t)i);
    return true;
}

tslim_status tsl_axes_mask(const tsl_numbers *axes, uint32_t rank, uint32_t *mask) {
    *mask = 0;
    for (int64_t i = 0; i < axes->count; i++) {
        uint32_t axis;
        TSL_TRY(tsl_normalize_axis(tsl_numbers_int(axes, i), rank, &axis));
        TSL_REQUIRE(!(*mask >> axis & 1), TSLIM_ERROR_INVALID_ARGUMENT, "axis %u is named twice", axis);
        *mask |= 1u << axis;
    }
    return TSLIM_OK;
}
