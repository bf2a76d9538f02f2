// SPDX-License-Identifier: Apache-2.0
// Where resampling reads: shared by Resize and its gradient.
#ifndef TSL_CPU_RESIZE_H
#define TSL_CPU_RESIZE_H

#include "cpu/operator.h"

#define TSL_RESIZE_MAX_TAPS 4

// How the attributes say to find the source of a result index.
typedef struct tsl_resize_rule {
    const char *coordinates, *nearest; // nearest "simple": opset 10 and Upsample
    uint32_t taps; // along an axis: 1 (nearest), 2 (linear) or 4 (cubic)
    float scale[TSLIM_MAX_RANK];
    float cubic_a;
    bool exclude_outside;
} tsl_resize_rule;

// Where one axis reads: `taps` indices and weights for each index of the result.
typedef struct tsl_resize_axis {
    uint32_t taps;
    int64_t in, out;
    const int64_t *index;
    const float *weight;
} tsl_resize_axis;

// From x to y. UNSUPPORTED names what is not known.
tslim_status tsl_resize_read(
    const tsl_prepare *p, const tsl_tensor *x, const tsl_tensor *y, tsl_resize_rule *rule);
tslim_status tsl_resize_axis_prepare(const tsl_prepare *p, const tsl_resize_rule *rule, uint32_t axis,
    int64_t in, int64_t out, tsl_resize_axis *result);

#endif
