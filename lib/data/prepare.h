// SPDX-License-Identifier: Apache-2.0
// From 8-bit pixels to a network's input: layout, scale, mean and standard deviation.
#ifndef TSL_DATA_PREPARE_H
#define TSL_DATA_PREPARE_H

#include "data/source.h"

typedef struct tsl_preparer {
    tslim_input_preparation preparation;
    uint32_t channels;
    size_t pixels; // of one image
    bool source_interleaved; // the source has the channels of a pixel side by side
    bool target_interleaved;
    // What comes out: float where the preparation has a scale, bytes where not.
    tslim_dtype dtype;
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
} tsl_preparer;

// INVALID_ARGUMENT names a field out of range.
tslim_status tsl_preparation_check(const tslim_input_preparation *preparation);

// True when rows of that source go through a preparer.
bool tsl_preparer_wanted(const tsl_source *source, const tslim_input_preparation *preparation);
tslim_status tsl_preparer_init(
    tsl_preparer *preparer, const tsl_source *source, const tslim_input_preparation *preparation);

// One image; `dtype` of the result is FLOAT, or UINT8 where the preparation has no scale.
void tsl_prepare_row(const tsl_preparer *preparer, const uint8_t *row, tslim_dtype dtype, void *result);

#endif
