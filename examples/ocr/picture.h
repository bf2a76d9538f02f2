// SPDX-License-Identifier: Apache-2.0
// Pictures as floats, and what happens to a document on its way to a camera.
#ifndef OCR_PICTURE_H
#define OCR_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random.h"

// `planes` images of width x height, one after the other.
typedef struct picture {
    int width, height, planes;
    float *pixels;
} picture;

// False when memory is short. Pixels are 0.
bool picture_create(picture *p, int width, int height, int planes);
void picture_destroy(picture *p);

static inline float *picture_at(const picture *p, int plane, int x, int y) {
    return &p->pixels[((size_t)plane * (size_t)p->height + (size_t)y) * (size_t)p->width + (size_t)x];
}

// Around the centre; what comes from outside is 0. Positive angles (in degrees) turn counterclockwise.
bool picture_rotate(picture *p, double degrees);
// By a Gaussian of this deviation, in pixels.
bool picture_blur(picture *p, double deviation);
// By area and linear interpolation, to another size.
bool picture_resize(const picture *from, picture *to, int width, int height);

// A coverage (one plane, 0 to 1) in ink on paper: three planes, 0 to 255, with a tint, uneven light, stains
// and noise. `least` and `most`: the contrast between the two. `noise`: the largest deviation.
bool picture_paint(
    ocr_random *random, const picture *coverage, double least, double most, double noise, picture *painted);

// Rounded, with the three channels of a pixel side by side.
void picture_to_bytes(const picture *p, uint8_t *bytes);
// Compressed as JPEG and back, in place: width x height x 3 bytes. False when libjpeg fails.
bool picture_compress(uint8_t *bytes, int width, int height, int quality);

#endif
