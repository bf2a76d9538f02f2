// SPDX-License-Identifier: Apache-2.0
// Checking and loading of indices: see index.h.
#include "cpu/index.h"

#include <inttypes.h>

static void load(const tsl_tensor *indices, int64_t first, int64_t step, size_t count, int64_t *values) {
    const int64_t size = (int64_t)tslim_dtype_size(indices->dtype);
    tsl_load_ints(indices->dtype, (const uint8_t *)indices->data + first * size, (ptrdiff_t)(step * size),
        count, values);
}

tslim_status tsl_check_indices(
    const tsl_tensor *indices, int64_t first, int64_t step, uint32_t axis, int64_t dim) {
    const int64_t elements = tsl_tensor_elements(indices);
    int64_t block[TSL_BLOCK];
    while (first < elements) {
        int64_t left = (elements - first + step - 1) / step;
        size_t n = left < TSL_BLOCK ? (size_t)left : TSL_BLOCK;
        load(indices, first, step, n, block);
        int64_t low = 0, high = 0;
        for (size_t i = 0; i < n; i++) {
            low = block[i] < low ? block[i] : low;
            high = block[i] > high ? block[i] : high;
        }
        for (size_t i = 0; (low < -dim || high >= dim) && i < n; i++)
            TSL_REQUIRE(block[i] >= -dim && block[i] < dim, TSLIM_ERROR_INVALID_ARGUMENT,
                "index %" PRId64 " at position %" PRId64 " is out of range: axis %u has %" PRId64 " elements",
                block[i], first + (int64_t)i * step, axis, dim);
        first += (int64_t)n * step;
    }
    return TSLIM_OK;
}

void tsl_load_indices(
    const tsl_tensor *indices, int64_t first, int64_t step, size_t count, int64_t dim, int64_t *values) {
    load(indices, first, step, count, values);
    for (size_t i = 0; i < count; i++) values[i] += values[i] < 0 ? dim : 0;
}
