// SPDX-License-Identifier: Apache-2.0
// The inside of binary.c, for operators that are made of several functions of two values.
#ifndef TSL_CPU_BINARY_H
#define TSL_CPU_BINARY_H

#include "cpu/operator.h"

typedef struct tsl_binary {
    tsl_op op;
    const tsl_cpu_functions *functions;
    tsl_inner_loop loop;
    float lo, hi; // in units of the result
    float a_scale, b_scale, a_zero, b_zero, offset; // INT8
    bool variant; // Mod with fmod=1: the sign of the dividend; BitShift to the left
    const tsl_tensor *a, *b, *y; // of a run
} tsl_binary;

// Finds the inner loop for these types, with the step's clamp; false when there is none.
bool tsl_binary_choose(const tsl_prepare *p, tsl_op op, const tsl_tensor *a, const tsl_tensor *b,
    const tsl_tensor *y, tsl_binary *binary);
// INVALID_ARGUMENT when an integer is divided by zero.
tslim_status tsl_binary_run(tslim_context *ctx, const tsl_binary *binary, const tsl_tensor *a,
    const tsl_tensor *b, const tsl_tensor *y);

#endif
