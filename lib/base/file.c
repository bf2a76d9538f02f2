// SPDX-License-Identifier: Apache-2.0
// Mapping files, and writing them so that a reader sees the old file or the whole new one.
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/status.h"

static tslim_status io_error(const char *what, const char *path) {
    int error = errno;
    return tsl_fail(TSLIM_ERROR_IO, "cannot %s '%s': %s", what, path, strerror(error));
}

static tslim_status map_descriptor(tslim_context *ctx, const char *path, int fd, tsl_buffer **buffer) {
    struct stat info;
    if (fstat(fd, &info) != 0) return io_error("look at", path);
    TSL_REQUIRE(S_ISREG(info.st_mode), TSLIM_ERROR_IO, "'%s' is not a regular file", path);
    TSL_REQUIRE((uint64_t)info.st_size <= ctx->limits.file_bytes && (uint64_t)info.st_size <= SIZE_MAX,
        TSLIM_ERROR_LIMIT, "'%s' has %lld bytes, the limit is %llu", path, (long long)info.st_size,
        (unsigned long long)ctx->limits.file_bytes);
    tsl_buffer *b = tsl_buffer_borrow(ctx, "", 0);
    TSL_REQUIRE_MEMORY(b, sizeof(*b));
    if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            tslim_status status = io_error("map", path);
            tsl_buffer_release(b);
            return status;
        }
        b->data = data;
        b->size = (size_t)info.st_size;
        b->kind = TSL_BUFFER_MAPPED;
    }
    *buffer = b;
    return TSLIM_OK;
}

tslim_status tsl_file_map(tslim_context *ctx, const char *path, tsl_buffer **buffer) {
    // A pipe would be waited for, for ever.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return io_error("open", path);
    tslim_status status = map_descriptor(ctx, path, fd, buffer);
    close(fd);
    return status;
}

struct tsl_file_writer {
    tslim_context *ctx;
    FILE *stream;
    uint64_t position;
    size_t size; // of this allocation
    char *temporary;
    char path[]; // and the temporary name after it
};

tslim_status tsl_file_writer_open(tslim_context *ctx, const char *path, tsl_file_writer **result) {
    static const char ending[] = ".XXXXXX";
    size_t length = strlen(path);
    TSL_REQUIRE(
        length > 0 && length < 4096, TSLIM_ERROR_INVALID_ARGUMENT, "a path of %zu characters", length);
    size_t size = sizeof(tsl_file_writer) + 2 * length + 1 + sizeof(ending);
    tsl_file_writer *writer = tsl_allocate_zeroed(ctx, size);
    TSL_REQUIRE_MEMORY(writer, size);
    writer->ctx = ctx;
    writer->size = size;
    memcpy(writer->path, path, length + 1);
    writer->temporary = writer->path + length + 1;
    memcpy(writer->temporary, path, length);
    memcpy(writer->temporary + length, ending, sizeof(ending));

    int fd = mkstemp(writer->temporary);
    if (fd < 0) {
        tslim_status status = io_error("create a file beside", path);
        tsl_free(ctx, writer, size);
        return status;
    }
    mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(fd, 0666 & ~mask); // mkstemp made it private
    writer->stream = fdopen(fd, "wb");
    if (!writer->stream) {
        close(fd);
        tsl_file_writer_abort(writer);
        return tsl_no_memory(sizeof(FILE));
    }
    *result = writer;
    return TSLIM_OK;
}

tslim_status tsl_file_writer_write(tsl_file_writer *writer, const void *data, size_t size) {
    if (size > 0 && fwrite(data, 1, size, writer->stream) != size) return io_error("write", writer->path);
    writer->position += size;
    return TSLIM_OK;
}

uint64_t tsl_file_writer_position(const tsl_file_writer *writer) {
    return writer->position;
}

tslim_status tsl_file_writer_patch(tsl_file_writer *writer, uint64_t offset, const void *data, size_t size) {
    if (fseeko(writer->stream, (off_t)offset, SEEK_SET) != 0 ||
        fwrite(data, 1, size, writer->stream) != size ||
        fseeko(writer->stream, (off_t)writer->position, SEEK_SET) != 0)
        return io_error("write", writer->path);
    return TSLIM_OK;
}

tslim_status tsl_file_writer_commit(tsl_file_writer *writer) {
    tslim_status status = TSLIM_OK;
    if (fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0)
        status = io_error("write", writer->path);
    if (fclose(writer->stream) != 0 && status == TSLIM_OK) status = io_error("write", writer->path);
    writer->stream = NULL;
    if (status == TSLIM_OK && rename(writer->temporary, writer->path) != 0)
        status = io_error("rename a file onto", writer->path);
    if (status == TSLIM_OK) writer->temporary[0] = '\0'; // nothing to remove
    tsl_file_writer_abort(writer);
    return status;
}

void tsl_file_writer_abort(tsl_file_writer *writer) {
    if (!writer) return;
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary[0]) unlink(writer->temporary);
    tsl_free(writer->ctx, writer, writer->size);
}

tslim_status tsl_file_write(tslim_context *ctx, const char *path, const void *data, size_t size) {
    tsl_file_writer *writer;
    TSL_TRY(tsl_file_writer_open(ctx, path, &writer));
    tslim_status status = tsl_file_writer_write(writer, data, size);
    if (status != TSLIM_OK) {
        tsl_file_writer_abort(writer);
        return status;
    }
    return tsl_file_writer_commit(writer);
}
