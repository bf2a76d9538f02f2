// SPDX-License-Identifier: Apache-2.0
// Operands that hold indices, which may count from the end: all are checked before anything is read or
// written by them.
#ifndef TSL_CPU_INDEX_H
#define TSL_CPU_INDEX_H

#include "cpu/operator.h"

// int32 or int64; row-major.
static inline bool tsl_is_index(const tsl_tensor *t) {
    return t->dtype == TSLIM_DTYPE_INT64 || t->dtype == TSLIM_DTYPE_INT32;
}

// Elements `first`, `first` + step, ... of `indices` are within -dim..dim-1; else INVALID_ARGUMENT names the
// first that is not, its position, the axis and its size.
tslim_status tsl_check_indices(
    const tsl_tensor *indices, int64_t first, int64_t step, uint32_t axis, int64_t dim);

// `count` (at most TSL_BLOCK) indices, those that count from the end as they count from the start.
void tsl_load_indices(
    const tsl_tensor *indices, int64_t first, int64_t step, size_t count, int64_t dim, int64_t *values);

#endif
