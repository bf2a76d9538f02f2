// SPDX-License-Identifier: Apache-2.0
// What calibration keeps of each channel of a value: the extremes and a coarse histogram of signed values.
// Like an observer's, its size is fixed, and what it holds does not depend on the order or the division of
// the data.
#ifndef TSL_QUANT_CHANNELS_H
#define TSL_QUANT_CHANNELS_H

#include "base/arena.h"
#include "base/status.h"
#include "quant/observer.h"

#define TSL_CHANNEL_BINS 128
// Values of more channels (fully connected layers behind feature maps) are not watched by channel.
#define TSL_MOST_CHANNELS 4096

typedef struct tsl_channel {
    float minimum, maximum; // 0 and 0 before the first element
    // Bins are of equal width and cover [-2^exponent, 2^exponent); the exponent is the least that holds all
    // that was seen. Exact zeros are counted apart.
    int exponent;
    uint64_t zeros;
    uint64_t bins[TSL_CHANNEL_BINS];
} tsl_channel;

typedef struct tsl_channels {
    uint32_t count;
    tsl_channel *channels;
} tsl_channels;

// All empty, in the arena; NULL when memory is short.
tsl_channels *tsl_channels_create(tsl_arena *arena, uint32_t count);
// Elements are [outer][count][inner].
void tsl_channels_add(tsl_channels *channels, const float *values, size_t outer, size_t inner);
void tsl_channels_merge(tsl_channels *channels, const tsl_channels *other); // of as many channels

uint64_t tsl_channel_elements(const tsl_channel *channel);
// The mean, and the mean of squares.
void tsl_channel_moments(const tsl_channel *channel, double *mean, double *square);
// The largest absolute value worth keeping when the channel has 127 steps of its own on either side of zero:
// least squared error of rounding and clipping.
float tsl_channel_threshold(const tsl_channel *channel);
// An observer of all channels' elements, each channel times its factor (over 0).
void tsl_channels_observe_scaled(const tsl_channels *channels, const float *factors, tsl_observer *observer);

#endif
