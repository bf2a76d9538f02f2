// SPDX-License-Identifier: Apache-2.0
// A source of rows of one shape and type: an array file, or a folder of images. A dataset is one source an
// input.
#ifndef TSL_DATA_SOURCE_H
#define TSL_DATA_SOURCE_H

#include <tinyslim/graph.h>

#include "base/context.h"
#include "base/status.h"

typedef struct tsl_source tsl_source;

struct tsl_source {
    // Rows first to first+count-1 (within `count`), one after the other, in the machine's byte order.
    tslim_status (*read)(tsl_source *source, uint64_t first, uint32_t count, void *rows);
    void (*destroy)(tsl_source *source);
    tslim_context *ctx;
    const char *path; // the source's own copy
    const char *name; // of the input; "" where the file has none. The source's own copy
    uint64_t count;
    tslim_dtype dtype;
    uint32_t rank; // of one row
    int64_t dims[TSLIM_MAX_RANK];
    size_t row_bytes;
    bool images; // rows are pixels: H x W, or H x W x C
};

// Sets rank, dims and row_bytes; LIMIT when a row has more elements than the context allows.
tslim_status tsl_source_set_shape(tsl_source *source, uint32_t rank, const int64_t *dims);

// NPY and IDX files (gzipped or not), told apart by their content.
tslim_status tsl_array_source_open(tslim_context *ctx, const char *path, tsl_source **source);

// True when the file begins as a ZIP archive does.
tslim_status tsl_archive_detect(tslim_context *ctx, const char *path, bool *archive);

// Every array of an NPZ file, in its order. `sources` holds up to `capacity`; more is an error.
tslim_status tsl_archive_sources_open(
    tslim_context *ctx, const char *path, tsl_source **sources, uint32_t capacity, uint32_t *n_sources);

// PNG and JPEG files of a folder in the order of their names, as H x W x C bytes in the preparation's size
// and channel order.
tslim_status tsl_folder_source_open(
    tslim_context *ctx, const char *path, const tslim_input_preparation *preparation, tsl_source **source);

#endif
