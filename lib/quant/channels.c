// SPDX-License-Identifier: Apache-2.0
// Streaming statistics of each channel of one value.
#include "quant/channels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define HALF (TSL_CHANNEL_BINS / 2)
#define LEVELS 127

tsl_channels *tsl_channels_create(tsl_arena *arena, uint32_t count) {
    tsl_channels *c = tsl_arena_alloc(arena, sizeof(*c));
    if (!c) return NULL;
    c->count = count;
    c->channels = tsl_arena_array(arena, count, sizeof(*c->channels));
    if (!c->channels) return NULL;
    for (uint32_t i = 0; i < count; i++) c->channels[i].exponent = TSL_OBSERVER_MIN_EXPONENT;
    return c;
}

// ---- Counting ----

static void grow(tsl_channel *c, int exponent) {
    if (exponent <= c->exponent) return;
    int shift = exponent - c->exponent;
    c->exponent = exponent;
    uint64_t joined[TSL_CHANNEL_BINS] = {0};
    // Positions are signed: -1 is the bin below zero, and stays so.
    for (int i = -HALF; i < HALF; i++)
        joined[HALF + (shift < 16 ? (int)floor(ldexp(i, -shift)) : i < 0 ? -1 : 0)] += c->bins[HALF + i];
    memcpy(c->bins, joined, sizeof(joined));
}

static void include(tsl_channel *c, float minimum, float maximum) {
    int exponent;
    (void)frexpf(fmaxf(-minimum, maximum), &exponent);
    if (tsl_channel_elements(c) == 0) {
        c->minimum = minimum;
        c->maximum = maximum;
    }
    c->minimum = fminf(c->minimum, minimum);
    c->maximum = fmaxf(c->maximum, maximum);
    if (minimum != 0 || maximum != 0) grow(c, exponent);
}

static void add_row(tsl_channel *c, const float *values, size_t count, size_t step) {
    float lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        float x = values[i * step];
        if (!(fabsf(x) <= FLT_MAX)) continue;
        lo = x < lo ? x : lo;
        hi = x > hi ? x : hi;
    }
    if (lo > hi) return;
    include(c, lo + 0.0f, hi + 0.0f);
    float bins_per_unit = ldexpf(HALF, -c->exponent);
    for (size_t i = 0; i < count; i++) {
        float x = values[i * step];
        if (x == 0)
            c->zeros++;
        else if (fabsf(x) <= FLT_MAX) {
            int bin = HALF + (int)floorf(x * bins_per_unit);
            // -2^exponent itself cannot be; what is too small to scale can round to it.
            c->bins[bin < 0 ? 0 : bin]++;
        }
    }
}

void tsl_channels_add(tsl_channels *c, const float *values, size_t outer, size_t inner) {
    if (inner == 1) { // channels side by side
        for (uint32_t i = 0; i < c->count; i++) add_row(&c->channels[i], values + i, outer, c->count);
        return;
    }
    for (size_t o = 0; o < outer; o++)
        for (uint32_t i = 0; i < c->count; i++)
            add_row(&c->channels[i], values + (o * c->count + i) * inner, inner, 1);
}

void tsl_channels_merge(tsl_channels *channels, const tsl_channels *other) {
    for (uint32_t i = 0; i < channels->count; i++) {
        tsl_channel *c = &channels->channels[i], from = other->channels[i];
        if (tsl_channel_elements(&from) == 0) continue;
        include(c, from.minimum, from.maximum);
        grow(&from, c->exponent);
        grow(c, from.exponent);
        c->zeros += from.zeros;
        for (uint32_t b = 0; b < TSL_CHANNEL_BINS; b++) c->bins[b] += from.bins[b];
    }
}

// ---- Asking ----

uint64_t tsl_channel_elements(const tsl_channel *c) {
    uint64_t count = c->zeros;
    for (uint32_t i = 0; i < TSL_CHANNEL_BINS; i++) count += c->bins[i];
    return count;
}

static double bin_width(const tsl_channel *c) {
    return ldexp(1.0 / HALF, c->exponent);
}

// The middle of bin i, within what was seen.
static double bin_middle(const tsl_channel *c, int i) {
    double middle = (i - HALF + 0.5) * bin_width(c);
    return fmin(fmax(middle, (double)c->minimum), (double)c->maximum);
}

void tsl_channel_moments(const tsl_channel *c, double *mean, double *square) {
    double sum = 0, squares = 0, count = (double)c->zeros;
    for (int i = 0; i < TSL_CHANNEL_BINS; i++) {
        double n = (double)c->bins[i], middle = bin_middle(c, i);
        if (n == 0) continue;
        count += n;
        sum += n * middle;
        squares += n * middle * middle;
    }
    *mean = count > 0 ? sum / count : 0;
    *square = count > 0 ? squares / count : 0;
}

// Of squares, over all elements.
static double error_at(const tsl_channel *c, double threshold) {
    double step = threshold / LEVELS, error = 0;
    for (int i = 0; i < TSL_CHANNEL_BINS; i++) {
        if (c->bins[i] == 0) continue;
        double beyond = fmax(fabs(bin_middle(c, i)) - threshold, 0);
        error += (double)c->bins[i] * (step * step / 12 + beyond * beyond);
    }
    return error;
}

float tsl_channel_threshold(const tsl_channel *c) {
    double largest = fmax(-(double)c->minimum, (double)c->maximum), best = largest, least = INFINITY;
    for (int i = 0; i < 32; i++) { // down to a sixteenth
        double candidate = largest * exp2(-i / 8.0), error = error_at(c, candidate);
        if (error >= least) continue;
        least = error;
        best = candidate;
    }
    return (float)best;
}

// ---- Many channels as one value ----

// The counts of one bin spread evenly over the observer's bins between a and b, which are in units of those.
// What is left of rounding goes to the last one.
static void spread(tsl_observer *o, double a, double b, uint64_t count) {
    if (a > b) {
        double swap = a;
        a = b;
        b = swap;
    }
    a = fmin(fmax(a, 0), TSL_OBSERVER_BINS - 1);
    b = fmin(fmax(b, a), TSL_OBSERVER_BINS);
    size_t first = (size_t)a, last = (size_t)fmin(b, TSL_OBSERVER_BINS - 1);
    uint64_t left = count;
    for (size_t i = first; i < last && b > a; i++) {
        double part = (fmin((double)i + 1, b) - fmax((double)i, a)) / (b - a);
        uint64_t n = (uint64_t)(part * (double)count);
        n = n < left ? n : left;
        o->bins[i] += n;
        left -= n;
    }
    o->bins[last] += left;
}

static void add_scaled(tsl_observer *o, const tsl_channel *c, double factor) {
    double unit = ldexp(TSL_OBSERVER_BINS, -o->exponent) * factor, width = bin_width(c);
    o->zeros += c->zeros;
    o->count += c->zeros;
    for (int i = 0; i < TSL_CHANNEL_BINS; i++) {
        if (c->bins[i] == 0) continue;
        double from = fmax((i - HALF) * width, (double)c->minimum);
        double to = fmin((i - HALF + 1) * width, (double)c->maximum);
        spread(o, fabs(from) * unit, fabs(to) * unit, c->bins[i]);
        o->count += c->bins[i];
    }
}

void tsl_channels_observe_scaled(const tsl_channels *channels, const float *factors, tsl_observer *o) {
    tsl_observer_init(o);
    for (uint32_t i = 0; i < channels->count; i++) {
        const tsl_channel *c = &channels->channels[i];
        if (tsl_channel_elements(c) == 0) continue;
        o->minimum = fminf(o->minimum, c->minimum * factors[i]);
        o->maximum = fmaxf(o->maximum, c->maximum * factors[i]);
    }
    int exponent;
    (void)frexpf(tsl_observer_largest(o), &exponent);
    if (tsl_observer_largest(o) > 0 && exponent > o->exponent) o->exponent = exponent;
    for (uint32_t i = 0; i < channels->count; i++) add_scaled(o, &channels->channels[i], (double)factors[i]);
    o->average_minimum = (double)o->minimum;
    o->average_maximum = (double)o->maximum;
    o->batches = 1;
}
