// SPDX-License-Identifier: Apache-2.0
// Pixels become (pixel * scale - mean) / std, with channels where the network wants them. Each channel has
// only 256 possible results, so they are looked up.
#include "data/prepare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_IMAGE_CHANNELS 4

tslim_status tsl_preparation_check(const tslim_input_preparation *preparation) {
    const tslim_input_preparation *p = preparation;
    TSL_REQUIRE(isfinite(p->scale), TSLIM_ERROR_INVALID_ARGUMENT, "preparation: scale is not a number");
    TSL_REQUIRE(p->layout <= 1, TSLIM_ERROR_INVALID_ARGUMENT, "preparation: layout %" PRIu32 " is not 0 or 1",
        p->layout);
    TSL_REQUIRE(p->channels <= 2, TSLIM_ERROR_INVALID_ARGUMENT,
        "preparation: channels %" PRIu32 " is not 0 to 2", p->channels);
    TSL_REQUIRE((p->height == 0) == (p->width == 0), TSLIM_ERROR_INVALID_ARGUMENT,
        "preparation: size %" PRIu32 " x %" PRIu32 " is half set", p->height, p->width);
    if (p->scale == 0.0F) return TSLIM_OK;
    TSL_REQUIRE(p->n_channels >= 1 && p->n_channels <= MAX_IMAGE_CHANNELS, TSLIM_ERROR_INVALID_ARGUMENT,
        "preparation: %" PRIu32 " means and deviations are not 1 to %d", p->n_channels, MAX_IMAGE_CHANNELS);
    for (uint32_t c = 0; c < p->n_channels; ++c) {
        TSL_REQUIRE(isfinite(p->mean[c]), TSLIM_ERROR_INVALID_ARGUMENT,
            "preparation: mean of channel %" PRIu32 " is not a number", c);
        TSL_REQUIRE(isfinite(p->std[c]) && p->std[c] != 0.0F, TSLIM_ERROR_INVALID_ARGUMENT,
            "preparation: deviation of channel %" PRIu32 " is 0 or not a number", c);
    }
    return TSLIM_OK;
}

bool tsl_preparer_wanted(const tsl_source *source, const tslim_input_preparation *preparation) {
    return source->dtype == TSLIM_DTYPE_UINT8 && (source->images || preparation->scale != 0.0F);
}

static bool is_channel_count(int64_t dim) {
    return dim == 1 || dim == 3 || dim == 4;
}

// Where the channels of a row are. Arrays with a channel dim first are taken so, unless only the last can be
// one.
static tslim_status find_channels(tsl_preparer *preparer, const tsl_source *source) {
    const int64_t *dims = source->dims;
    preparer->channels = 1;
    if (source->rank == 3) {
        bool last = source->images || (is_channel_count(dims[2]) && !is_channel_count(dims[0]));
        int64_t channels = last ? dims[2] : dims[0];
        TSL_REQUIRE(channels >= 1 && channels <= MAX_IMAGE_CHANNELS, TSLIM_ERROR_INVALID_ARGUMENT,
            "%s: samples of %" PRId64 " x %" PRId64 " x %" PRId64 " bytes are not images of 1 to %d channels",
            source->path, dims[0], dims[1], dims[2], MAX_IMAGE_CHANNELS);
        preparer->source_interleaved = last;
        preparer->channels = (uint32_t)channels;
    }
    preparer->pixels = source->row_bytes / preparer->channels;
    return TSLIM_OK;
}

static void set_target_shape(tsl_preparer *preparer, const tsl_source *source) {
    if (source->rank == 1) {
        preparer->rank = 1;
        preparer->dims[0] = source->dims[0];
        return;
    }
    bool first = source->rank == 3 && !preparer->source_interleaved; // channels
    int64_t height = source->dims[first ? 1 : 0], width = source->dims[first ? 2 : 1];
    preparer->rank = 3;
    preparer->dims[preparer->target_interleaved ? 2 : 0] = preparer->channels;
    preparer->dims[preparer->target_interleaved ? 0 : 1] = height;
    preparer->dims[preparer->target_interleaved ? 1 : 2] = width;
}

tslim_status tsl_preparer_init(
    tsl_preparer *preparer, const tsl_source *source, const tslim_input_preparation *preparation) {
    memset(preparer, 0, sizeof *preparer);
    preparer->preparation = *preparation;
    TSL_REQUIRE(source->rank >= 1 && source->rank <= 3, TSLIM_ERROR_INVALID_ARGUMENT,
        "%s: samples of rank %" PRIu32 " are not images: scale, mean and deviation apply to rank 1 to 3",
        source->path, source->rank);
    TSL_TRY(find_channels(preparer, source));
    preparer->target_interleaved = preparation->layout == 1;
    bool scaled = preparation->scale != 0.0F;
    TSL_REQUIRE(!scaled || preparation->n_channels == 1 || preparation->n_channels == preparer->channels,
        TSLIM_ERROR_INVALID_ARGUMENT,
        "%s: means and deviations of %" PRIu32 " channels for images of %" PRIu32, source->path,
        preparation->n_channels, preparer->channels);
    preparer->dtype = scaled ? TSLIM_DTYPE_FLOAT : TSLIM_DTYPE_UINT8;
    set_target_shape(preparer, source);
    return TSLIM_OK;
}

static void fill_table(const tsl_preparer *preparer, uint32_t channel, float table[256]) {
    const tslim_input_preparation *p = &preparer->preparation;
    uint32_t c = p->n_channels == 1 ? 0 : channel;
    for (int pixel = 0; pixel < 256; ++pixel) {
        float value = (float)pixel;
        table[pixel] = p->scale == 0.0F ? value : (value * p->scale - p->mean[c]) / p->std[c];
    }
}

void tsl_prepare_row(const tsl_preparer *preparer, const uint8_t *row, tslim_dtype dtype, void *result) {
    size_t channels = preparer->channels, pixels = preparer->pixels;
    size_t source_step = preparer->source_interleaved ? channels : 1;
    size_t target_step = preparer->target_interleaved ? channels : 1;
    for (size_t c = 0; c < channels; ++c) {
        const uint8_t *source = row + (preparer->source_interleaved ? c : c * pixels);
        size_t target = preparer->target_interleaved ? c : c * pixels;
        if (dtype == TSLIM_DTYPE_UINT8) {
            uint8_t *bytes = (uint8_t *)result + target;
            for (size_t i = 0; i < pixels; ++i) bytes[i * target_step] = source[i * source_step];
        } else {
            float table[256];
            fill_table(preparer, (uint32_t)c, table);
            float *floats = (float *)result + target;
            for (size_t i = 0; i < pixels; ++i) floats[i * target_step] = table[source[i * source_step]];
        }
    }
}
