// SPDX-License-Identifier: Apache-2.0
// Indices of several axes at once, for GatherND and ScatterND: the last dim of `indices` holds tuples, each
// of which picks a slice of a row-major tensor.
#ifndef TSL_CPU_TUPLES_H
#define TSL_CPU_TUPLES_H

#include "cpu/index.h"

typedef struct tsl_tuples {
    uint32_t length, first_axis; // the axes that a tuple picks
    int64_t dims[TSLIM_MAX_RANK], strides[TSLIM_MAX_RANK]; // of these; in elements
    size_t slice; // elements that a tuple picks
} tsl_tuples;

// INVALID_ARGUMENT when the tuples are longer than there are axes from `first_axis` on.
tslim_status tsl_tuples_init(const tsl_prepare *p, const tsl_tensor *data, const tsl_tensor *indices,
    uint32_t first_axis, tsl_tuples *t);
tslim_status tsl_tuples_check(const tsl_tuples *t, const tsl_tensor *indices);

// Where tuple `i` points to, in elements; after tsl_tuples_check.
static inline int64_t tsl_tuples_offset(const tsl_tuples *t, const tsl_tensor *indices, int64_t i) {
    int64_t offset = 0, index[TSLIM_MAX_RANK];
    const int64_t size = (int64_t)tslim_dtype_size(indices->dtype);
    tsl_load_ints(indices->dtype, (const uint8_t *)indices->data + i * t->length * size, (ptrdiff_t)size,
        t->length, index);
    for (uint32_t d = 0; d < t->length; d++)
        offset += (index[d] < 0 ? index[d] + t->dims[d] : index[d]) * t->strides[d];
    return offset;
}

#endif
