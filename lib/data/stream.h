// SPDX-License-Identifier: Apache-2.0
// A stream of bytes: a part of a file as it is, or inflated on the way. Memory does not depend on its length.
#ifndef TSL_DATA_STREAM_H
#define TSL_DATA_STREAM_H

#include "base/context.h"
#include "base/status.h"

typedef struct tsl_stream tsl_stream;

typedef enum tsl_stream_encoding {
    TSL_STREAM_PLAIN = 0,
    TSL_STREAM_GZIP = 1, // one or more gzip members (RFC 1952)
    TSL_STREAM_DEFLATE = 2 // raw deflate data (RFC 1951), as in a ZIP archive
} tsl_stream_encoding;

// Opens bytes offset to offset+length-1 of a regular file; `length` UINT64_MAX: up to its end. `path` is
// copied.
tslim_status tsl_stream_open(tslim_context *ctx, const char *path, tsl_stream_encoding encoding,
    uint64_t offset, uint64_t length, tsl_stream **stream);

// NULL is allowed.
void tsl_stream_close(tsl_stream *stream);

// Fills `data` with the bytes from `position` of the decoded stream. Going back in an encoded one starts
// anew. BAD_FILE when it ends before, or cannot be decoded.
tslim_status tsl_stream_read_at(tsl_stream *stream, uint64_t position, void *data, size_t bytes);

// Bytes in all; UINT64_MAX where only decoding can tell.
uint64_t tsl_stream_size(const tsl_stream *stream);

const char *tsl_stream_path(const tsl_stream *stream);

#endif
