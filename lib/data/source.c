// SPDX-License-Identifier: Apache-2.0
// What all sources share.
#include "data/source.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"

tslim_status tsl_source_set_shape(tsl_source *source, uint32_t rank, const int64_t *dims) {
    size_t elements = 1;
    bool fits = rank < TSLIM_MAX_RANK; // a batch has one dim more
    for (uint32_t i = 0; fits && i < rank; ++i) {
        TSL_REQUIRE(dims[i] > 0, TSLIM_ERROR_BAD_FILE, "%s: dim %" PRIu32 " of a sample is %" PRId64,
            source->path, i, dims[i]);
        fits = tsl_mul_size(elements, (size_t)dims[i], &elements) && elements <= source->ctx->limits.elements;
    }
    TSL_REQUIRE(fits && tsl_mul_size(elements, tslim_dtype_size(source->dtype), &source->row_bytes),
        TSLIM_ERROR_LIMIT, "%s: a sample of rank %" PRIu32 " is over %" PRIu64 " elements or %d dims",
        source->path, rank, source->ctx->limits.elements, TSLIM_MAX_RANK - 1);
    source->rank = rank;
    if (rank > 0) memcpy(source->dims, dims, rank * sizeof *dims);
    return TSLIM_OK;
}
