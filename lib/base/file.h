// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading, written beside their place and renamed.
#ifndef TSL_BASE_FILE_H
#define TSL_BASE_FILE_H

#include "base/buffer.h"
#include "base/context.h"

// Maps a regular file read-only. IO, or LIMIT when it is larger than limits.file_bytes; names the path.
// An empty file gives a buffer of 0 bytes.
tslim_status tsl_file_map(tslim_context *ctx, const char *path, tsl_buffer **buffer);

// A file being written under a temporary name in the folder of `path`.
typedef struct tsl_file_writer tsl_file_writer;
tslim_status tsl_file_writer_open(tslim_context *ctx, const char *path, tsl_file_writer **writer);
tslim_status tsl_file_writer_write(tsl_file_writer *writer, const void *data, size_t size);
uint64_t tsl_file_writer_position(const tsl_file_writer *writer);
// Overwrites bytes already written, for headers whose content is known last.
tslim_status tsl_file_writer_patch(tsl_file_writer *writer, uint64_t offset, const void *data, size_t size);
// Syncs, renames onto `path` and frees the writer, also on failure (then nothing is left behind).
tslim_status tsl_file_writer_commit(tsl_file_writer *writer);
// Removes the temporary file and frees the writer. NULL is allowed.
void tsl_file_writer_abort(tsl_file_writer *writer);

// A whole small file at once.
tslim_status tsl_file_write(tslim_context *ctx, const char *path, const void *data, size_t size);

#endif
