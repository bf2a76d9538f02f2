// SPDX-License-Identifier: Apache-2.0
// Images as they might have been taken as well: mirrored, moved, cut out.
#ifndef TSL_TRAIN_AUGMENT_H
#define TSL_TRAIN_AUGMENT_H

#include <tinyslim/train.h>

#include "base/rng.h"

// Which part of the source becomes the image, along both sides.
typedef struct tsl_augment_view {
    bool flip;
    double top, left; // of the part, in pixels of the source
    double height_scale, width_scale; // pixels of the source for one of the image
} tsl_augment_view;

bool tsl_augment_wanted(const tslim_train_options *options);

// Draws a view. How many numbers are drawn depends on the options alone.
tsl_augment_view tsl_augment_draw(
    const tslim_train_options *options, tsl_rng *rng, int64_t height, int64_t width);

// Images of `channels` planes of height x width, or interleaved. `result` and `source` are apart. Between
// pixels it interpolates linearly; outside the source lies its edge.
void tsl_augment_image(const tsl_augment_view *view, int64_t channels, int64_t height, int64_t width,
    bool interleaved, const float *source, float *result);

#endif
