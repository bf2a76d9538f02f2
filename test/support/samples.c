// SPDX-License-Identifier: Apache-2.0
// Random samples through the callback of a dataset.
#include "support/samples.h"

#include <string.h>

#include "base/rng.h"

static tslim_status fill(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    tsl_rng rng;
    tsl_rng_seed(&rng, index);
    for (uint32_t i = 0; i < n_inputs; i++) {
        float *data = inputs[i].data;
        for (size_t k = 0; k < inputs[i].bytes / sizeof(float); k++) data[k] = (float)tsl_rng_normal(&rng);
    }
    if (label) *label = (int64_t)(index % 5);
    return TSLIM_OK;
}

tslim_dataset *samples_create(
    tslim_context *ctx, const char *input, uint64_t count, uint32_t rank, const int64_t *dims) {
    tslim_tensor_info info = {.name = input, .dtype = TSLIM_DTYPE_FLOAT, .rank = rank};
    memcpy(info.dims, dims, rank * sizeof(*dims));
    tslim_dataset *dataset = NULL;
    tslim_dataset_from_callback(ctx, count, &info, 1, true, fill, NULL, &dataset);
    return dataset;
}
