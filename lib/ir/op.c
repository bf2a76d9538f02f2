// SPDX-License-Identifier: Apache-2.0
// The table of operators, from ops.def.
#include "ir/op.h"

#include <string.h>

static const tsl_op_info infos[TSL_OP_COUNT] = {
    [TSL_OP_UNKNOWN] = {.name = "?", .domain = "", .max_inputs = UINT8_MAX, .max_outputs = UINT8_MAX},
#define TSL_OP(                                                                                              \
    id, name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, rule, shape, cpu, diff)        \
    [TSL_OP_##id] = {name, domain, min_opset, max_opset, min_in, max_in, min_out, max_out, TSL_RULE_##rule},
#include "ir/ops.def"
#undef TSL_OP
};

const tsl_op_info *tsl_op_get_info(tsl_op op) {
    return &infos[(unsigned)op < TSL_OP_COUNT ? op : TSL_OP_UNKNOWN];
}

tsl_op tsl_op_find(const char *domain, const char *name) {
    for (unsigned op = 1; op < TSL_OP_COUNT; op++)
        if (strcmp(infos[op].name, name) == 0 && strcmp(infos[op].domain, domain) == 0) return (tsl_op)op;
    return TSL_OP_UNKNOWN;
}
