// SPDX-License-Identifier: Apache-2.0
// Samples, streamed: from NPY, NPZ and IDX files, image folders, or a callback. Memory does not grow with the
// number of samples.
#ifndef TINYSLIM_DATASET_H
#define TINYSLIM_DATASET_H

#include <tinyslim/graph.h>

TSLIM_BEGIN_DECLS

typedef struct tslim_dataset tslim_dataset;

/** Set up with tslim_dataset_options_init. */
typedef struct tslim_dataset_options {
    uint32_t struct_size;
    const char *labels; /**< an NPY or IDX file of integers, one a sample; NULL: no labels */
    uint64_t limit; /**< take the first `limit` samples; 0: all */
    /**
     * Applied to samples of 8-bit pixels: image files, IDX images and, where scale is not 0, arrays of H x W,
     * C x H x W or H x W x C bytes. Scale 0: pixels are used as they are. `channels` and the size are for
     * image files; arrays keep theirs. Other samples pass untouched.
     */
    tslim_input_preparation preparation;
} tslim_dataset_options;

TSLIM_API void tslim_dataset_options_init(tslim_dataset_options *options);

/**
 * Opens an `.npy` (N x sample shape), `.npz` (one array an input, by name), IDX file (`.gz` or not; N x H x W
 * of bytes become N x 1 x H x W) or a folder of PNG and JPEG images (in the order of their names).
 * `options` may be NULL.
 */
TSLIM_API tslim_status tslim_dataset_open(
    tslim_context *context, const char *path, const tslim_dataset_options *options, tslim_dataset **dataset);

/** Fills sample `index`: one tensor an input, whose data the callback writes (shapes are as declared). */
typedef tslim_status (*tslim_sample_callback)(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label);

/** Samples from the host's own code. `shapes`: of one sample, without the batch dim. */
TSLIM_API tslim_status tslim_dataset_from_callback(tslim_context *context, uint64_t n_samples,
    const tslim_tensor_info *shapes, uint32_t n_inputs, bool has_labels, tslim_sample_callback callback,
    void *user, tslim_dataset **dataset);

/** NULL is allowed. */
TSLIM_API void tslim_dataset_destroy(tslim_dataset *dataset);

TSLIM_API uint64_t tslim_dataset_count(const tslim_dataset *dataset);
TSLIM_API bool tslim_dataset_has_labels(const tslim_dataset *dataset);
TSLIM_API uint32_t tslim_dataset_input_count(const tslim_dataset *dataset);
/** The shape of one sample of that input, without the batch dim; `name` is "" where the file has none. */
TSLIM_API tslim_status tslim_dataset_input_info(
    const tslim_dataset *dataset, uint32_t index, tslim_tensor_info *info);

/**
 * Reads samples first to first+count-1 into tensors whose leading dim is `count`; the caller gives the
 * memory. A tensor has the samples' element type, or FLOAT, to which those of files are converted. `labels`
 * (count of them) may be NULL. Reading in order is fast; going back in a compressed file starts anew.
 */
TSLIM_API tslim_status tslim_dataset_read(tslim_dataset *dataset, uint64_t first, uint32_t count,
    tslim_tensor *inputs, uint32_t n_inputs, int64_t *labels);

/** Writes a tensor as an NPY file, beside `path` and renamed. bfloat16 is written as uint16. */
TSLIM_API tslim_status tslim_tensor_save_file(
    tslim_context *context, const tslim_tensor *tensor, const char *path);

TSLIM_END_DECLS

#endif
