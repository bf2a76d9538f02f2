// SPDX-License-Identifier: Apache-2.0
// All three are one thing: the image is read at other places of the source.
#include "train/augment.h"

#include <math.h>

bool tsl_augment_wanted(const tslim_train_options *options) {
    return options->flip || options->shift > 0 || options->crop > 0;
}

tsl_augment_view tsl_augment_draw(
    const tslim_train_options *options, tsl_rng *rng, int64_t height, int64_t width) {
    tsl_augment_view view = {.height_scale = 1, .width_scale = 1};
    if (options->flip) view.flip = tsl_rng_below(rng, 2) == 1;
    if (options->crop > 0) {
        view.height_scale = options->crop + (1 - options->crop) * tsl_rng_uniform(rng);
        view.width_scale = options->crop + (1 - options->crop) * tsl_rng_uniform(rng);
        view.top = (1 - view.height_scale) * (double)height * tsl_rng_uniform(rng);
        view.left = (1 - view.width_scale) * (double)width * tsl_rng_uniform(rng);
    }
    if (options->shift > 0) {
        const uint64_t places = 2 * (uint64_t)options->shift + 1;
        view.top += (double)tsl_rng_below(rng, places) - options->shift;
        view.left += (double)tsl_rng_below(rng, places) - options->shift;
    }
    return view;
}

// The two pixels around a place, and how much of the second.
typedef struct place {
    int64_t first, second;
    float part;
} place;

static place find_place(double start, double scale, int64_t index, int64_t size) {
    double at = start + ((double)index + 0.5) * scale - 0.5, last = (double)(size - 1);
    at = at < 0 ? 0 : at > last ? last : at;
    int64_t first = (int64_t)floor(at);
    return (place){first, first + 1 < size ? first + 1 : first, (float)(at - (double)first)};
}

void tsl_augment_image(const tsl_augment_view *view, int64_t channels, int64_t height, int64_t width,
    bool interleaved, const float *source, float *result) {
    const int64_t pixel = interleaved ? channels : 1, row = width * pixel,
                  plane = interleaved ? 1 : height * width;
    for (int64_t y = 0; y < height; y++) {
        const place v = find_place(view->top, view->height_scale, y, height);
        for (int64_t x = 0; x < width; x++) {
            const place h = find_place(view->left, view->width_scale, view->flip ? width - 1 - x : x, width);
            const float *a = source + v.first * row, *b = source + v.second * row;
            float *to = result + y * row + x * pixel;
            for (int64_t c = 0; c < channels; c++) {
                const int64_t p = h.first * pixel + c * plane, q = h.second * pixel + c * plane;
                const float above = a[p] + h.part * (a[q] - a[p]), below = b[p] + h.part * (b[q] - b[p]);
                to[c * plane] = above + v.part * (below - above);
            }
        }
    }
}
