// SPDX-License-Identifier: Apache-2.0
// What follows a product's sum before it is stored: a function of it, then a line for each channel. Plans
// only: models and files have these as nodes of their own.
#ifndef TSL_IR_CHAIN_H
#define TSL_IR_CHAIN_H

#include "ir/attr.h"
#include "ir/op.h"

// a = clamp(f(t), lo, hi) of the sum t, and of that factor[c] * a + shift[c] for channel c.
typedef struct tsl_chain {
    tsl_op op; // f; TSL_OP_CLIP where there are only the bounds
    tsl_attrs attrs; // of f
    float lo, hi; // -inf and +inf where open
    const double *factor, *shift; // of each of n_channels
    uint32_t n_channels;
} tsl_chain;

#endif
