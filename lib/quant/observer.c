// SPDX-License-Identifier: Apache-2.0
// Streaming statistics of one value.
#include "quant/observer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define MOMENTUM 0.9

void tsl_observer_init(tsl_observer *observer) {
    memset(observer, 0, sizeof(*observer));
    observer->exponent = TSL_OBSERVER_MIN_EXPONENT;
}

// The least exponent with |largest| < 2^exponent.
static int exponent_for(float largest) {
    int exponent;
    (void)frexpf(largest, &exponent);
    if (largest == 0 || exponent < TSL_OBSERVER_MIN_EXPONENT) return TSL_OBSERVER_MIN_EXPONENT;
    return exponent;
}

// Joining 2^n bins at a time is the same as joining pairs n times: each bin goes to its index shifted right
// by n.
static void grow(tsl_observer *observer, int exponent) {
    if (exponent <= observer->exponent) return;
    int shift = exponent - observer->exponent;
    observer->exponent = exponent;
    for (size_t i = 1; i < TSL_OBSERVER_BINS; i++) {
        uint64_t count = observer->bins[i];
        observer->bins[i] = 0;
        observer->bins[shift < 16 ? i >> shift : 0] += count;
    }
}

static bool is_finite(float value) {
    return fabsf(value) <= FLT_MAX;
}

// The extremes and the number of finite elements.
static size_t find_extremes(const float *values, size_t count, float *minimum, float *maximum) {
    float lo = INFINITY, hi = -INFINITY;
    size_t finite = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_finite(values[i])) continue;
        lo = values[i] < lo ? values[i] : lo;
        hi = values[i] > hi ? values[i] : hi;
        finite++;
    }
    *minimum = lo + 0.0f; // -0 becomes 0: the order of the elements leaves no trace
    *maximum = hi + 0.0f;
    return finite;
}

// One batch's extremes join those of the others.
static void include_extremes(tsl_observer *o, float minimum, float maximum) {
    if (o->count == 0) {
        o->minimum = minimum;
        o->maximum = maximum;
    }
    o->minimum = fminf(o->minimum, minimum);
    o->maximum = fmaxf(o->maximum, maximum);
}

static void count_elements(tsl_observer *o, const float *values, size_t count) {
    float bins_per_unit = ldexpf(TSL_OBSERVER_BINS, -o->exponent);
    uint64_t zeros = 0;
    for (size_t i = 0; i < count; i++) {
        float magnitude = fabsf(values[i]);
        if (magnitude == 0)
            zeros++;
        else if (magnitude <= FLT_MAX)
            o->bins[(size_t)(magnitude * bins_per_unit)]++;
    }
    o->zeros += zeros;
}

void tsl_observer_add(tsl_observer *o, const float *values, size_t count) {
    float minimum, maximum;
    size_t finite = find_extremes(values, count, &minimum, &maximum);
    o->invalid += count - finite;
    if (finite == 0) return;
    include_extremes(o, minimum, maximum);
    grow(o, exponent_for(tsl_observer_largest(o)));
    o->count += finite;
    count_elements(o, values, count);
    double kept = o->batches == 0 ? 0 : MOMENTUM;
    o->average_minimum = kept * o->average_minimum + (1 - kept) * (double)minimum;
    o->average_maximum = kept * o->average_maximum + (1 - kept) * (double)maximum;
    o->batches++;
}

void tsl_observer_merge(tsl_observer *o, const tsl_observer *other) {
    o->invalid += other->invalid;
    if (other->count == 0) return;
    include_extremes(o, other->minimum, other->maximum);
    grow(o, other->exponent);
    int shift = o->exponent - other->exponent;
    for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) o->bins[shift < 16 ? i >> shift : 0] += other->bins[i];
    o->count += other->count;
    o->zeros += other->zeros;
    double share = (double)other->batches / (double)(o->batches + other->batches);
    o->average_minimum += share * (other->average_minimum - o->average_minimum);
    o->average_maximum += share * (other->average_maximum - o->average_maximum);
    o->batches += other->batches;
}
