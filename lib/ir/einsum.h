// SPDX-License-Identifier: Apache-2.0
// The equation of Einsum, read for operands of given ranks.
#ifndef TSL_IR_EINSUM_H
#define TSL_IR_EINSUM_H

#include "base/status.h"
#include "ir/tensor.h"

// Labels: A-Z, a-z, then the dims of an ellipsis, of which the last one is always the last label.
enum {
    TSL_EINSUM_LETTERS = 52,
    TSL_EINSUM_LABELS = TSL_EINSUM_LETTERS + TSLIM_MAX_RANK,
    TSL_EINSUM_OPERANDS = 16
};

// The label of each axis.
typedef struct tsl_einsum_term {
    uint32_t rank;
    uint8_t labels[TSLIM_MAX_RANK];
} tsl_einsum_term;

typedef struct tsl_einsum {
    uint32_t n_operands;
    tsl_einsum_term operands[TSL_EINSUM_OPERANDS];
    tsl_einsum_term output;
} tsl_einsum;

// INVALID_ARGUMENT says what is wrong with the equation; LIMIT for more operands or dims than fit.
tslim_status tsl_einsum_read(
    const char *equation, uint32_t n_operands, const uint32_t *ranks, tsl_einsum *einsum);

#endif
