// SPDX-License-Identifier: Apache-2.0
// The functions of one value, in double precision: for tables, for doubles, and to measure the quick ones
// against.
#ifndef TSL_CPU_FUNCTION_H
#define TSL_CPU_FUNCTION_H

#include "backend.h"

typedef struct tsl_function {
    tsl_op op;
    double alpha, beta; // as in tsl_unary_f32_args
    double lo, hi; // the result is clamped to these; NaN stays NaN
} tsl_function;

// Reads the attributes of a step. Clip's bounds are the caller's affair where they are operands.
void tsl_function_init(tsl_function *function, const tsl_step *step);
double tsl_function_value(const tsl_function *function, double x);
// Whether unary_f32 of the dispatch table has it.
bool tsl_function_is_vector(tsl_op op);

#endif
