// SPDX-License-Identifier: Apache-2.0
// Operators: an enumeration and a table, both made from ops.def.
#ifndef TSL_IR_OP_H
#define TSL_IR_OP_H

#include <stdbool.h>
#include <stdint.h>

typedef enum tsl_op {
    TSL_OP_UNKNOWN = 0, // kept with its op_type, so that it can be named and written back
#define TSL_OP(id, ...) TSL_OP_##id,
#include "ir/ops.def"
#undef TSL_OP
    TSL_OP_COUNT
} tsl_op;

// What layout an operator's 4-D operands want. The plan converts where neighbours disagree.
typedef enum tsl_layout_rule {
    TSL_RULE_ANY, // follows strides: any layout will do, the output takes its first input's
    TSL_RULE_CHANNELS_LAST, // convolution, pooling and the like, on rank 4
    TSL_RULE_ROW_MAJOR // reads and writes plain row-major memory
} tsl_layout_rule;

typedef struct tsl_op_info {
    const char *name; // ONNX's op_type
    const char *domain; // "" is ONNX's own, "tinyslim" the library's
    uint8_t min_opset, max_opset; // the versions whose meaning is implemented
    uint8_t min_inputs, max_inputs; // UINT8_MAX: any number
    uint8_t min_outputs, max_outputs;
    tsl_layout_rule layout;
} tsl_op_info;

const tsl_op_info *tsl_op_get_info(tsl_op op);
// TSL_OP_UNKNOWN when there is none.
tsl_op tsl_op_find(const char *domain, const char *name);

#endif
