// SPDX-License-Identifier: Apache-2.0
// Images in memory: loading by content, resizing, channel order.
#include "data/image.h"

#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "base/file.h"

tslim_status tsl_image_create(
    tslim_context *ctx, uint32_t height, uint32_t width, uint32_t channels, tsl_image *image) {
    size_t pixels, bytes;
    bool fits = tsl_mul_size(height, width, &pixels) && tsl_mul_size(pixels, channels, &bytes);
    TSL_REQUIRE(fits && bytes <= ctx->limits.elements, TSLIM_ERROR_LIMIT,
        "an image of %" PRIu32 " x %" PRIu32 " x %" PRIu32 " has more than %" PRIu64 " elements", height,
        width, channels, ctx->limits.elements);
    TSL_REQUIRE(
        bytes > 0, TSLIM_ERROR_BAD_FILE, "an image of %" PRIu32 " x %" PRIu32 " pixels", height, width);
    *image = (tsl_image){.ctx = ctx, .height = height, .width = width, .channels = channels, .bytes = bytes};
    image->pixels = tsl_allocate(ctx, bytes);
    TSL_REQUIRE_MEMORY(image->pixels, bytes);
    return TSLIM_OK;
}

void tsl_image_clear(tsl_image *image) {
    if (image->pixels) tsl_free(image->ctx, image->pixels, image->bytes);
    image->pixels = NULL;
}

tslim_status tsl_image_load(tslim_context *ctx, const char *path, tsl_image *image) {
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const unsigned char jpeg[3] = {0xff, 0xd8, 0xff};
    tsl_buffer *file;
    TSL_TRY(tsl_file_map(ctx, path, &file));
    tslim_status status;
    memset(image, 0, sizeof *image);
    if (file->size >= sizeof png && memcmp(file->data, png, sizeof png) == 0) {
        status = tsl_png_decode(ctx, file->data, file->size, image);
    } else if (file->size >= sizeof jpeg && memcmp(file->data, jpeg, sizeof jpeg) == 0) {
        status = tsl_jpeg_decode(ctx, file->data, file->size, image);
    } else {
        status = tsl_fail(TSLIM_ERROR_BAD_FILE, "neither PNG nor JPEG");
    }
    tsl_buffer_release(file);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "%s", path);
}

// Where target pixel `index` looks in a row of `source` pixels: between `low` and `high`, at `weight` of the
// way.
typedef struct tap {
    uint32_t low, high;
    float weight;
} tap;

static tap find_tap(uint32_t index, uint32_t source, uint32_t target) {
    double position = ((double)index + 0.5) * source / target - 0.5;
    if (position < 0) position = 0;
    tap result = {.low = (uint32_t)position};
    if (result.low > source - 1) result.low = source - 1;
    result.high = result.low + 1 < source ? result.low + 1 : result.low;
    result.weight = (float)(position - result.low);
    return result;
}

void tsl_image_resize(const tsl_image *source, uint32_t height, uint32_t width, uint8_t *pixels) {
    size_t channels = source->channels, row_bytes = source->width * channels;
    for (uint32_t y = 0; y < height; ++y) {
        tap row = find_tap(y, source->height, height);
        const uint8_t *upper = source->pixels + row.low * row_bytes,
                      *lower = source->pixels + row.high * row_bytes;
        for (uint32_t x = 0; x < width; ++x) {
            tap column = find_tap(x, source->width, width);
            for (size_t c = 0; c < channels; ++c) {
                size_t left = column.low * channels + c, right = column.high * channels + c;
                float above = (float)upper[left] + column.weight * (float)(upper[right] - upper[left]);
                float below = (float)lower[left] + column.weight * (float)(lower[right] - lower[left]);
                *pixels++ = (uint8_t)(above + row.weight * (below - above) + 0.5F);
            }
        }
    }
}

void tsl_image_swap_red_blue(tsl_image *image) {
    for (size_t i = 0; i + 2 < image->bytes; i += 3) {
        uint8_t red = image->pixels[i];
        image->pixels[i] = image->pixels[i + 2];
        image->pixels[i + 2] = red;
    }
}

void tsl_image_to_gray(tsl_image *image) {
    size_t pixels = (size_t)image->height * image->width;
    for (size_t i = 0; i < pixels; ++i) {
        const uint8_t *rgb = image->pixels + 3 * i;
        image->pixels[i] = (uint8_t)((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    }
    image->channels = 1; // `bytes` stays: it is what was allocated
}
