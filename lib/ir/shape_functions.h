// SPDX-License-Identifier: Apache-2.0
// What the shape functions share: one declaration for each name in ops.def, reading of operands and setting
// of outputs.
#ifndef TSL_IR_SHAPE_FUNCTIONS_H
#define TSL_IR_SHAPE_FUNCTIONS_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "ir/shape_infer.h"

#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    tslim_status tsl_shape_##shape(tslim_graph *graph, const tsl_node *node);
#include "ir/ops.def"
#undef TSL_OP

// Enough for any shape that tsl_shape_format writes.
#define TSL_SHAPE_TEXT 256

// ---- Types: sets of tslim_dtype ----

typedef uint32_t tsl_types;
#define TSL_TYPE(name) ((tsl_types)1 << TSLIM_DTYPE_##name)
#define TSL_TYPES_FLOAT (TSL_TYPE(FLOAT) | TSL_TYPE(DOUBLE) | TSL_TYPE(FLOAT16) | TSL_TYPE(BFLOAT16))
#define TSL_TYPES_SIGNED (TSL_TYPE(INT8) | TSL_TYPE(INT16) | TSL_TYPE(INT32) | TSL_TYPE(INT64))
#define TSL_TYPES_UNSIGNED (TSL_TYPE(UINT8) | TSL_TYPE(UINT16) | TSL_TYPE(UINT32) | TSL_TYPE(UINT64))
#define TSL_TYPES_NUMBER (TSL_TYPES_FLOAT | TSL_TYPES_SIGNED | TSL_TYPES_UNSIGNED)
#define TSL_TYPES_INDEX (TSL_TYPE(INT32) | TSL_TYPE(INT64))

// True for 8-bit integers that stand for real numbers.
static inline bool tsl_value_is_quantized(const tsl_value *value) {
    return (value->dtype == TSLIM_DTYPE_INT8 || value->dtype == TSLIM_DTYPE_UINT8) && value->quant.scales;
}
bool tsl_node_is_quantized(const tslim_graph *graph, const tsl_node *node);

// INVALID_ARGUMENT with the type when it is not one of `types`. Types that are not known (NONE) pass, and so
// do quantized values wherever floats do.
tslim_status tsl_require_type(const tsl_value *value, tsl_types types);
// Two operands of one type; between quantized operands (and beside them) 8-bit integers and floats may meet.
tslim_status tsl_require_same_type(const tslim_graph *graph, const tsl_node *node, uint32_t a, uint32_t b);

// ---- Outputs ----

// Sets shape and type of an output, if the node has it. LIMIT when it is too large. The type of a node with
// quantized operands is the quantizer's choice: what the output has already (8 bits or float) is kept,
// whatever `dtype` says.
tslim_status tsl_set_output(
    tslim_graph *graph, const tsl_node *node, uint32_t index, tslim_dtype dtype, const tsl_shape *shape);
// The same where the operator alone decides on the type (Cast, Shape, ArgMax, comparisons, ...).
tslim_status tsl_set_output_exact(
    tslim_graph *graph, const tsl_node *node, uint32_t index, tslim_dtype dtype, const tsl_shape *shape);

// ---- Shapes ----

// Adds a dim at the end; LIMIT over TSLIM_MAX_RANK.
tslim_status tsl_shape_append(tsl_shape *shape, int64_t dim, const char *symbol);
static inline void tsl_shape_set_dim(tsl_shape *shape, uint32_t index, int64_t dim) {
    shape->dims[index] = dim;
    shape->symbols[index] = NULL;
}
static inline void tsl_shape_copy_dim(
    tsl_shape *to, uint32_t index, const tsl_shape *from, uint32_t from_index) {
    to->dims[index] = from->dims[from_index];
    to->symbols[index] = from->symbols[from_index];
}
// A shape of that rank with no dim known; LIMIT over TSLIM_MAX_RANK.
tslim_status tsl_shape_unknown_dims(tsl_shape *shape, int64_t rank);
// True when the two may be equal: the same, or one of them not known.
static inline bool tsl_dims_agree(int64_t a, int64_t b) {
    return a == b || a < 0 || b < 0;
}
// True when `from` can be stretched to `to` without changing `to`.
bool tsl_shape_stretches_to(const tsl_shape *from, const tsl_shape *to);
// The product of dims begin..end-1: -1 when one is not known (and none is 0); LIMIT when it overflows.
tslim_status tsl_shape_product(const tsl_shape *shape, uint32_t begin, uint32_t end, int64_t *product);

// The result's dims of Conv and ConvTranspose, of MatMul, and of the like by the first two operands; not
// known while those are not.
tslim_status tsl_shape_of_conv(const tslim_graph *graph, const tsl_node *node, tsl_shape *out);
tslim_status tsl_shape_of_matmul(const tslim_graph *graph, const tsl_node *node, tsl_shape *out);

// ---- Numbers that are operands or attributes ----

typedef struct tsl_numbers {
    bool present; // as an attribute or an operand
    bool known; // an attribute or a constant
    int64_t count; // -1: not known
    const unsigned char *data;
    tslim_dtype dtype;
} tsl_numbers;

// Finds the attribute (TSL_ATTR_UNKNOWN: there is none) or else the operand. INVALID_ARGUMENT when its type
// is not of `types` or its rank is over 1.
tslim_status tsl_numbers_find(const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr,
    uint32_t input, tsl_types types, tsl_numbers *numbers);
// As integers: attribute, int64 or int32.
tslim_status tsl_find_ints(
    const tslim_graph *graph, const tsl_node *node, tsl_attr_id attr, uint32_t input, tsl_numbers *numbers);
int64_t tsl_numbers_int(const tsl_numbers *numbers, int64_t index);
double tsl_numbers_real(const tsl_numbers *numbers, int64_t index);

// Known axes as a mask of 0..rank-1; INVALID_ARGUMENT for one out of range or given twice.
tslim_status tsl_axes_mask(const tsl_numbers *axes, uint32_t rank, uint32_t *mask);

#endif
