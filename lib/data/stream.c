// SPDX-License-Identifier: Apache-2.0
// Bytes of a file, plain or inflated by zlib, at any position: forward reading decodes each byte once.
#include "data/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/checked.h"
#include "data/memory.h"

#define TSL_STREAM_BUFFER 65536

struct tsl_stream {
    tslim_context *ctx;
    char *path;
    size_t path_bytes;
    int file;
    tsl_stream_encoding encoding;
    uint64_t offset; // where the encoded bytes begin in the file
    uint64_t length; // how many there are
    // Decoding only:
    bool inflating; // `inflater` is set up
    bool at_member_end; // a gzip member has ended; another may follow
    uint64_t position; // of the next decoded byte
    uint64_t encoded_read; // encoded bytes handed to zlib so far
    z_stream inflater;
    unsigned char input[TSL_STREAM_BUFFER];
    unsigned char skipped[TSL_STREAM_BUFFER];
};

static voidpf zlib_allocate(voidpf user, uInt items, uInt size) {
    size_t bytes;
    return tsl_mul_size(items, size, &bytes) ? tsl_sized_allocate(user, bytes) : NULL;
}

static void zlib_free(voidpf user, voidpf memory) {
    tsl_sized_free(user, memory);
}

void tsl_stream_close(tsl_stream *stream) {
    if (!stream) return;
    if (stream->inflating) inflateEnd(&stream->inflater);
    if (stream->file >= 0) close(stream->file);
    tsl_free(stream->ctx, stream->path, stream->path_bytes);
    tsl_free(stream->ctx, stream, sizeof *stream);
}

// Finds the end of the encoded bytes, and checks that they are in the file.
static tslim_status find_extent(tsl_stream *stream) {
    struct stat about;
    if (fstat(stream->file, &about) != 0) {
        return tsl_fail(TSLIM_ERROR_IO, "%s: %s", stream->path, strerror(errno));
    }
    TSL_REQUIRE(S_ISREG(about.st_mode), TSLIM_ERROR_IO, "%s: not a regular file", stream->path);
    uint64_t size = (uint64_t)about.st_size;
    TSL_REQUIRE(stream->offset <= size, TSLIM_ERROR_BAD_FILE,
        "%s: data at byte %" PRIu64 " of a file of %" PRIu64, stream->path, stream->offset, size);
    if (stream->length == UINT64_MAX) stream->length = size - stream->offset;
    TSL_REQUIRE(stream->length <= size - stream->offset, TSLIM_ERROR_BAD_FILE,
        "%s: %" PRIu64 " bytes at %" PRIu64 " of a file of %" PRIu64, stream->path, stream->length,
        stream->offset, size);
    return TSLIM_OK;
}

tslim_status tsl_stream_open(tslim_context *ctx, const char *path, tsl_stream_encoding encoding,
    uint64_t offset, uint64_t length, tsl_stream **result) {
    tslim_status status;
    tsl_stream *stream = tsl_allocate_zeroed(ctx, sizeof *stream);
    TSL_REQUIRE_MEMORY(stream, sizeof *stream);
    stream->ctx = ctx;
    stream->file = -1;
    stream->encoding = encoding;
    stream->offset = offset;
    stream->length = length;
    stream->path_bytes = strlen(path) + 1;
    stream->path = tsl_allocate(ctx, stream->path_bytes);
    if (!stream->path) {
        status = tsl_no_memory(stream->path_bytes);
        goto fail;
    }
    memcpy(stream->path, path, stream->path_bytes);
    stream->file = open(path, O_RDONLY | O_CLOEXEC);
    TSL_REQUIRE_GOTO(stream->file >= 0, TSLIM_ERROR_IO, "%s: %s", path, strerror(errno));
    TSL_TRY_GOTO(find_extent(stream));
    *result = stream;
    return TSLIM_OK;
fail:
    tsl_stream_close(stream);
    return status;
}

// Reads up to `bytes` encoded bytes; fewer only at the end.
static tslim_status read_encoded(
    tsl_stream *stream, uint64_t position, void *data, size_t bytes, size_t *read) {
    *read = 0;
    while (*read < bytes) {
        ssize_t got = pread(
            stream->file, (char *)data + *read, bytes - *read, (off_t)(stream->offset + position + *read));
        if (got < 0 && errno == EINTR) continue;
        TSL_REQUIRE(got >= 0, TSLIM_ERROR_IO, "%s: %s", stream->path, strerror(errno));
        if (got == 0) break;
        *read += (size_t)got;
    }
    return TSLIM_OK;
}

static tslim_status fail_truncated(const tsl_stream *stream) {
    return tsl_fail(TSLIM_ERROR_BAD_FILE, "%s: ends before its data does", stream->path);
}

static tslim_status restart(tsl_stream *stream) {
    int code;
    if (stream->inflating) {
        code = inflateReset(&stream->inflater);
    } else {
        stream->inflater.zalloc = zlib_allocate;
        stream->inflater.zfree = zlib_free;
        stream->inflater.opaque = stream->ctx;
        code = inflateInit2(
            &stream->inflater, stream->encoding == TSL_STREAM_GZIP ? MAX_WBITS + 16 : -MAX_WBITS);
    }
    if (code == Z_MEM_ERROR) return tsl_no_memory(TSL_STREAM_BUFFER);
    TSL_REQUIRE(code == Z_OK, TSLIM_ERROR_INTERNAL, "%s: zlib does not start: %d", stream->path, code);
    stream->inflating = true;
    stream->at_member_end = false;
    stream->position = 0;
    stream->encoded_read = 0;
    stream->inflater.next_in = stream->input;
    stream->inflater.avail_in = 0;
    return TSLIM_OK;
}

static tslim_status fill_input(tsl_stream *stream) {
    uint64_t left = stream->length - stream->encoded_read;
    size_t wanted = left < TSL_STREAM_BUFFER ? (size_t)left : TSL_STREAM_BUFFER;
    size_t got;
    TSL_TRY(read_encoded(stream, stream->encoded_read, stream->input, wanted, &got));
    if (got == 0) return fail_truncated(stream);
    stream->encoded_read += got;
    stream->inflater.next_in = stream->input;
    stream->inflater.avail_in = (uInt)got;
    return TSLIM_OK;
}

// Decodes the next `bytes` bytes.
static tslim_status inflate_next(tsl_stream *stream, void *data, size_t bytes) {
    z_stream *inflater = &stream->inflater;
    unsigned char *out = data;
    while (bytes > 0) {
        if (inflater->avail_in == 0) TSL_TRY(fill_input(stream));
        if (stream->at_member_end) {
            if (stream->encoding != TSL_STREAM_GZIP || inflateReset(inflater) != Z_OK)
                return fail_truncated(stream);
            stream->at_member_end = false;
        }
        uInt room = bytes < (1U << 30) ? (uInt)bytes : 1U << 30;
        inflater->next_out = out;
        inflater->avail_out = room;
        int code = inflate(inflater, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR) return tsl_no_memory(TSL_STREAM_BUFFER);
        TSL_REQUIRE(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR, TSLIM_ERROR_BAD_FILE,
            "%s: compressed data is damaged: %s", stream->path,
            inflater->msg ? inflater->msg : "unknown error");
        size_t made = room - inflater->avail_out;
        out += made;
        bytes -= made;
        stream->position += made;
        stream->at_member_end = code == Z_STREAM_END;
    }
    return TSLIM_OK;
}

tslim_status tsl_stream_read_at(tsl_stream *stream, uint64_t position, void *data, size_t bytes) {
    if (stream->encoding == TSL_STREAM_PLAIN) {
        size_t got;
        if (position > stream->length || bytes > stream->length - position) return fail_truncated(stream);
        TSL_TRY(read_encoded(stream, position, data, bytes, &got));
        return got == bytes ? TSLIM_OK : fail_truncated(stream);
    }
    // A failure leaves the decoder somewhere between: the next call then starts anew.
    tslim_status status = TSLIM_OK;
    if (!stream->inflating || position < stream->position) status = restart(stream);
    while (status == TSLIM_OK && stream->position < position) {
        uint64_t ahead = position - stream->position;
        status = inflate_next(
            stream, stream->skipped, ahead < TSL_STREAM_BUFFER ? (size_t)ahead : TSL_STREAM_BUFFER);
    }
    if (status == TSLIM_OK) status = inflate_next(stream, data, bytes);
    if (status != TSLIM_OK) stream->position = UINT64_MAX;
    return status;
}

uint64_t tsl_stream_size(const tsl_stream *stream) {
    return stream->encoding == TSL_STREAM_PLAIN ? stream->length : UINT64_MAX;
}

const char *tsl_stream_path(const tsl_stream *stream) {
    return stream->path;
}
