// SPDX-License-Identifier: Apache-2.0
// An observer sees every element of a value go by and keeps what a range is chosen from: the extremes, and a
// histogram of absolute values. Its size is fixed, and what it holds does not depend on the order or the
// division of the data.
#ifndef TSL_QUANT_OBSERVER_H
#define TSL_QUANT_OBSERVER_H

#include <tinyslim/calibration.h>

#include "base/context.h"

#define TSL_OBSERVER_BINS 4096
// The range of the histogram stays within what floats can scale exactly.
#define TSL_OBSERVER_MIN_EXPONENT (-100)
#define TSL_OBSERVER_MAX_EXPONENT 128

// Counts of 53 bits and less survive a JSON file.
typedef struct tsl_observer {
    uint64_t count; // of finite elements, zeros included
    uint64_t zeros; // exact ones; they are not in the bins
    uint64_t invalid; // NaN and infinities, counted and otherwise left out
    float minimum, maximum; // 0 and 0 before the first element
    // Of each batch's extremes, momentum 0.9.
    double average_minimum, average_maximum;
    uint64_t batches;
    // Bins are of equal width and cover [0, 2^exponent). The exponent is the least that holds the largest
    // absolute value: when it grows by one, pairs of bins are joined, which gives the same counts as if it
    // had been so before.
    int exponent;
    uint64_t bins[TSL_OBSERVER_BINS];
} tsl_observer;

void tsl_observer_init(tsl_observer *observer);
// One batch of elements.
void tsl_observer_add(tsl_observer *observer, const float *values, size_t count);
void tsl_observer_merge(tsl_observer *observer, const tsl_observer *other);

static inline float tsl_observer_largest(const tsl_observer *observer) {
    return -observer->minimum > observer->maximum ? -observer->minimum : observer->maximum;
}

// What INT8 has to hold of a value: `below` zero and `above` it, both at least 0. Symmetric INT8 has 127
// steps of T / 127 on either side; asymmetric INT8 has 255 between -min(T, below) and min(T, above).
typedef struct tsl_span {
    float below, above;
    bool symmetric;
} tsl_span;

// All that was seen.
tsl_span tsl_observer_span(const tsl_observer *observer, bool symmetric);

// The largest absolute value T that INT8 should keep of a span, by a method's measure. Never more than the
// largest seen; 0 when nothing but zeros were seen. NO_MEMORY only.
tslim_status tsl_observer_threshold(tslim_context *ctx, const tsl_observer *observer, tsl_span span,
    tslim_calibration_method method, double percentile, float *threshold);

#endif
