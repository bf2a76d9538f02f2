// SPDX-License-Identifier: Apache-2.0
// The chain of a step's epilogue as kernels want it.
#ifndef TSL_CPU_FINISH_H
#define TSL_CPU_FINISH_H

#include "cpu/cpu.h"

// What the results of a product become.
typedef struct tsl_finish_shape {
    size_t groups, n, padded; // output channels of one group, and rounded up to panels
    double y_scale; // of an INT8 output; 1 for float
    double y_zero;
    float lo, hi; // the last clamp, in steps of the output
} tsl_finish_shape;

// UNSUPPORTED for another number of channels. *finish has numbers for [group][padded].
tslim_status tsl_finish_prepare(
    const tsl_prepare *p, const tsl_chain *chain, const tsl_finish_shape *shape, tsl_finish **finish);

// A chain that multipliers, bias and bounds of an INT8 product can take over: no function but bounds, which a
// line of positive slope does not part from their place.
bool tsl_chain_is_line(const tsl_chain *chain);

// Where the line takes one of the chain's bounds, which is the same in all channels.
double tsl_chain_bound(const tsl_chain *chain, float bound);

// The chain of floats that lie in memory already: `rows` rows of n channels, row i at c + i * step bytes.
void tsl_finish_rows(const tsl_finish *finish, float *c, ptrdiff_t step, size_t rows, size_t n);

#endif
