// SPDX-License-Identifier: Apache-2.0
// Normalization of groups of elements: each group is brought to mean 0 and variance 1, then scaled and
// shifted. Layer, instance, group and mean-variance normalization differ in which axes make a group and in
// where scale and shift come from.
#ifndef TSL_CPU_NORMALIZATION_H
#define TSL_CPU_NORMALIZATION_H

#include "cpu/operator.h"

// A walk over some axes of a row-major tensor, the last one fastest.
typedef struct tsl_axes_walk {
    uint32_t count;
    int64_t dims[TSLIM_MAX_RANK], strides[TSLIM_MAX_RANK];
    int64_t total; // of elements
} tsl_axes_walk;

// A group is `segments` runs of `length` elements that lie side by side.
typedef struct tsl_normalization {
    const tsl_cpu_functions *functions;
    tsl_axes_walk groups, segments;
    int64_t length;
    double epsilon;
    bool epsilon_outside; // added to the standard deviation, not to the variance
    bool by_element; // scale and shift have an element for each of a segment's; else one for each segment:
    int64_t period, group_step, segment_step; // number (group % period) * group_step + segment * segment_step
    bool has_scale, has_shift; // operands 1 and 2
    bool has_mean, has_inverse; // outputs 1 and 2: each group's mean and 1 / standard deviation
} tsl_normalization;

// The groups are those elements that agree in all axes outside of `mask` (bit a: axis a is within a group).
void tsl_normalization_set_axes(tsl_normalization *s, uint32_t rank, const int64_t *dims, uint32_t mask);
// BatchNormalization by the statistics of its own input, and any of doubles (cpu/batch_training.c).
tslim_status tsl_batch_training_prepare(tsl_prepare *p, tsl_kernel *kernel);

tslim_status tsl_normalization_run(const tsl_run *run);

#endif
