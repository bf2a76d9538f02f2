// SPDX-License-Identifier: Apache-2.0
// Walking several tensors of different strides together, with broadcasting. Every elementwise operator and
// every copy is one inner loop handed to tsl_iterate: layouts, slices and broadcasting are this file's affair
// alone.
#ifndef TSL_CPU_ITERATE_H
#define TSL_CPU_ITERATE_H

#include "base/context.h"
#include "ir/tensor.h"

#define TSL_ITERATION_MAX_OPERANDS 4

typedef struct tsl_iteration {
    uint32_t n_operands, rank; // rank >= 1
    int64_t dims[TSLIM_MAX_RANK]; // outermost first; the last is the inner loop
    ptrdiff_t strides[TSL_ITERATION_MAX_OPERANDS][TSLIM_MAX_RANK]; // bytes; 0 where an operand is broadcast
    uint8_t *data[TSL_ITERATION_MAX_OPERANDS];
    int64_t block; // elements that one step of the inner loop stands for: 1, or what took a dim off
} tsl_iteration;

// The inner loop: element i of operand k lies at data[k] + i * strides[k].
typedef void (*tsl_inner_loop)(
    const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count);

// Operand 0 (the result) gives the dims; the others are broadcast to it by numpy's rule. Dims are sorted by
// the strides of operand 0 and merged where all operands allow it, so that dense tensors in the same layout,
// whichever it is, become one long loop.
void tsl_iteration_init(tsl_iteration *iteration, const tsl_tensor *const *operands, uint32_t n_operands);

// Where the innermost dim is `most` elements or fewer, which lie side by side in every operand, it is taken
// off: each step of the inner loop is then such a row. A call for each short row costs more than what is done
// with it.
bool tsl_iteration_take_row(tsl_iteration *iteration, const size_t *element_sizes, int64_t most);

// Runs the loop over everything, in threads where it is worth it.
void tsl_iterate(tslim_context *ctx, const tsl_iteration *iteration, tsl_inner_loop loop, const void *user);

#endif
