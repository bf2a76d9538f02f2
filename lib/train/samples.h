// SPDX-License-Identifier: Apache-2.0
// Batches of a dataset, shuffled for training or in order for validation.
#ifndef TSL_TRAIN_SAMPLES_H
#define TSL_TRAIN_SAMPLES_H

#include <tinyslim/train.h>

#include "base/arena.h"
#include "base/status.h"

#define TSL_MAX_ARRAYS 64

// Some samples: one tensor an array of the dataset, whose leading dim is `count`.
typedef struct tsl_batch {
    uint32_t n_arrays;
    tslim_tensor arrays[TSL_MAX_ARRAYS];
    size_t rows[TSL_MAX_ARRAYS]; // bytes of one sample
    int64_t *labels; // NULL: none
    uint64_t *samples; // which they are
    uint32_t count; // never more than what was asked for
} tsl_batch;

typedef struct tsl_samples {
    tslim_dataset *dataset;
    tsl_arena arena;
    tsl_batch batch; // the current one
    tsl_batch window; // samples in memory, only if they are shuffled
    uint32_t *order; // of the window's samples
    uint64_t seed, total, next; // `next` sample to be read into a window, or in order
    uint64_t first; // of the window
    uint32_t size, window_size, at; // samples of a batch, of a full window; the next place in `order`
    uint64_t epoch;
} tsl_samples;

// `types`: of each array, FLOAT or the dataset's own. With `memory_bytes` 0 batches come in order, the last
// one may be shorter; else windows of at most so many bytes (at least one batch) are shuffled, and what is
// left of the last is skipped.
tslim_status tsl_samples_init(tsl_samples *samples, tslim_context *ctx, tslim_dataset *dataset,
    const tslim_dtype *types, uint32_t batch, uint64_t memory_bytes, uint64_t seed);
void tsl_samples_clear(tsl_samples *samples); // a zeroed one is allowed

// How many batches an epoch has.
uint64_t tsl_samples_batches(const tsl_samples *samples);
// Starts an epoch (from 0): its order depends on the seed and its number alone.
void tsl_samples_begin(tsl_samples *samples, uint64_t epoch);
// The next batch into samples->batch. Not to be called more often than there are batches.
tslim_status tsl_samples_next(tsl_samples *samples);

// A seed of its own for each of many uses of one.
uint64_t tsl_mix_seed(uint64_t seed, uint64_t a, uint64_t b);

#endif
