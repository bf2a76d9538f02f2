// SPDX-License-Identifier: Apache-2.0
// Pooling over any window: MaxPool, AveragePool and their global forms are one function.
#ifndef TSL_CPU_POOL_H
#define TSL_CPU_POOL_H

#include "cpu/operator.h"

// `window` has in and out filled; operands are of rank 3 or 4, or (global) of any rank with row-major planes.
tslim_status tsl_pool_prepare(
    tsl_prepare *p, tsl_kernel *kernel, const tsl_window *window, bool maximum, bool count_include_pad);

#endif
