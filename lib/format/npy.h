// SPDX-License-Identifier: Apache-2.0
// NPY: one array in a file, as NumPy writes it (numpy.lib.format, versions 1.0 to 3.0).
#ifndef TSL_FORMAT_NPY_H
#define TSL_FORMAT_NPY_H

#include <tinyslim/tensor.h>

#include "base/context.h"
#include "base/status.h"

// So many bytes at the start of a file tell how long its header is.
#define TSL_NPY_PROBE 12

typedef struct tsl_npy_header {
    tslim_dtype dtype;
    bool big_endian; // elements of several bytes are to be swapped
    bool fortran_order; // the first dim varies fastest
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
    size_t bytes; // of the header: where the elements begin
} tsl_npy_header;

bool tsl_npy_detect(const void *data, size_t bytes);

// Bytes of the whole header, from its first TSL_NPY_PROBE bytes.
tslim_status tsl_npy_header_bytes(const unsigned char probe[TSL_NPY_PROBE], size_t *bytes);

// Parses a whole header. BAD_FILE when it is malformed, UNSUPPORTED for structures, objects, text, complex
// numbers and ranks over TSLIM_MAX_RANK. Messages lack the path.
tslim_status tsl_npy_parse(const void *data, size_t bytes, tsl_npy_header *header);

// Writes a tensor, beside the path and renamed. bfloat16, which NumPy does not know, is written as uint16.
tslim_status tsl_npy_save(tslim_context *ctx, const char *path, const tslim_tensor *tensor);

#endif
