// SPDX-License-Identifier: Apache-2.0
// Pictures in files: PNG and JPEG, decoded to R, G, B bytes.
#ifndef TSL_DATA_IMAGE_H
#define TSL_DATA_IMAGE_H

#include "base/context.h"
#include "base/status.h"

typedef struct tsl_image {
    tslim_context *ctx;
    uint32_t height, width;
    uint32_t channels; // side by side
    uint8_t *pixels;
    size_t bytes;
} tsl_image;

// Memory for an image of that size; LIMIT over the context's limit of elements.
tslim_status tsl_image_create(
    tslim_context *ctx, uint32_t height, uint32_t width, uint32_t channels, tsl_image *image);
void tsl_image_clear(tsl_image *image);

// Decodes a PNG or JPEG file, the content decides which: 3 channels, 8 bits, no alpha. The path is in every
// message.
tslim_status tsl_image_load(tslim_context *ctx, const char *path, tsl_image *image);

// The decoders, on a whole file in memory. Messages lack the path.
tslim_status tsl_png_decode(tslim_context *ctx, const void *data, size_t bytes, tsl_image *image);
tslim_status tsl_jpeg_decode(tslim_context *ctx, const void *data, size_t bytes, tsl_image *image);

// Bilinear, sampled at pixel centres and rounded to nearest; without smoothing, as most training pipelines do
// it.
void tsl_image_resize(const tsl_image *source, uint32_t height, uint32_t width, uint8_t *pixels);

// In place: 3 channels to B, G, R order, or to one channel of luma (ITU-R BT.601).
void tsl_image_swap_red_blue(tsl_image *image);
void tsl_image_to_gray(tsl_image *image);

#endif
