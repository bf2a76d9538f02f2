// SPDX-License-Identifier: Apache-2.0
// A dataset of random images for one input, the same for the same index.
#ifndef TEST_SUPPORT_SAMPLES_H
#define TEST_SUPPORT_SAMPLES_H

#include <tinyslim/dataset.h>

// `count` samples of dims (without the batch), normally distributed, labels below 5. NULL on failure.
tslim_dataset *samples_create(
    tslim_context *ctx, const char *input, uint64_t count, uint32_t rank, const int64_t *dims);

#endif
