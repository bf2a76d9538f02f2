// SPDX-License-Identifier: Apache-2.0
// Arrays in files as sources: NPY, members of an NPZ archive, and IDX, all read through a stream.
// IDX is the format of MNIST and its kin (yann.lecun.com/exdb/mnist): 0, 0, a type, the rank, then big-endian
// dims of 4 bytes each and big-endian elements.
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "base/file.h"
#include "data/source.h"
#include "data/stream.h"
#include "format/npy.h"
#include "format/npz.h"

#define IDX_LARGEST_HEADER (4 + 4 * TSLIM_MAX_RANK)

typedef struct array_source {
    tsl_source source;
    tsl_stream *stream;
    char *name; // NUL-terminated copy
    size_t name_bytes;
    uint64_t data_offset; // in the decoded stream
    bool swap; // elements are big-endian
} array_source;

// What a header says of the whole array.
typedef struct array_shape {
    tslim_dtype dtype;
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
    uint64_t header_bytes;
    bool swap;
    bool images;
} array_shape;

static void swap_elements(unsigned char *data, size_t bytes, size_t element) {
    for (size_t i = 0; i < bytes; i += element) {
        for (size_t low = 0, high = element - 1; low < high; ++low, --high) {
            unsigned char byte = data[i + low];
            data[i + low] = data[i + high];
            data[i + high] = byte;
        }
    }
}

static tslim_status read_rows(tsl_source *source, uint64_t first, uint32_t count, void *rows) {
    array_source *array = (array_source *)source;
    size_t bytes;
    TSL_REQUIRE(tsl_mul_size(source->row_bytes, count, &bytes), TSLIM_ERROR_LIMIT,
        "%s: %" PRIu32 " rows of %zu bytes at once", source->path, count, source->row_bytes);
    TSL_TRY(tsl_stream_read_at(array->stream, array->data_offset + first * source->row_bytes, rows, bytes));
    if (array->swap) swap_elements(rows, bytes, tslim_dtype_size(source->dtype));
    return TSLIM_OK;
}

static void destroy(tsl_source *source) {
    array_source *array = (array_source *)source;
    tsl_stream_close(array->stream);
    tsl_free(source->ctx, array->name, array->name_bytes);
    tsl_free(source->ctx, array, sizeof *array);
}

static tslim_status read_npy_shape(tslim_context *ctx, tsl_stream *stream, array_shape *shape) {
    unsigned char probe[TSL_NPY_PROBE];
    tsl_npy_header header;
    size_t bytes;
    TSL_TRY(tsl_stream_read_at(stream, 0, probe, sizeof probe));
    TSL_TRY(tsl_npy_header_bytes(probe, &bytes));
    void *text = tsl_allocate(ctx, bytes);
    TSL_REQUIRE_MEMORY(text, bytes);
    tslim_status status = tsl_stream_read_at(stream, 0, text, bytes);
    if (status == TSLIM_OK) status = tsl_npy_parse(text, bytes, &header);
    tsl_free(ctx, text, bytes);
    TSL_TRY(status);
    TSL_REQUIRE(!header.fortran_order || header.rank < 2, TSLIM_ERROR_UNSUPPORTED,
        "the array is in Fortran order: save numpy.ascontiguousarray of it");
    *shape = (array_shape){.dtype = header.dtype, .rank = header.rank, .header_bytes = bytes};
    shape->swap = header.big_endian && tslim_dtype_size(header.dtype) > 1;
    memcpy(shape->dims, header.dims, sizeof shape->dims);
    return TSLIM_OK;
}

static tslim_dtype idx_dtype(unsigned char code) {
    switch (code) {
    case 0x08:
        return TSLIM_DTYPE_UINT8;
    case 0x09:
        return TSLIM_DTYPE_INT8;
    case 0x0b:
        return TSLIM_DTYPE_INT16;
    case 0x0c:
        return TSLIM_DTYPE_INT32;
    case 0x0d:
        return TSLIM_DTYPE_FLOAT;
    case 0x0e:
        return TSLIM_DTYPE_DOUBLE;
    default:
        return TSLIM_DTYPE_NONE;
    }
}

static tslim_status read_idx_shape(tsl_stream *stream, array_shape *shape) {
    unsigned char header[IDX_LARGEST_HEADER];
    TSL_TRY(tsl_stream_read_at(stream, 0, header, 4));
    *shape = (array_shape){.dtype = idx_dtype(header[2]), .rank = header[3]};
    TSL_REQUIRE(header[0] == 0 && header[1] == 0 && shape->dtype != TSLIM_DTYPE_NONE, TSLIM_ERROR_BAD_FILE,
        "neither NPY, NPZ nor IDX");
    TSL_REQUIRE(shape->rank >= 1 && shape->rank <= TSLIM_MAX_RANK, TSLIM_ERROR_BAD_FILE,
        "an IDX array of %" PRIu32 " dims", shape->rank);
    shape->header_bytes = 4 + 4 * (uint64_t)shape->rank;
    TSL_TRY(tsl_stream_read_at(stream, 0, header, (size_t)shape->header_bytes));
    for (uint32_t i = 0; i < shape->rank; ++i) {
        const unsigned char *at = header + 4 + 4 * i;
        shape->dims[i] = (int64_t)at[0] << 24 | (int64_t)at[1] << 16 | (int64_t)at[2] << 8 | at[3];
    }
    shape->swap = tslim_dtype_size(shape->dtype) > 1;
    shape->images = shape->dtype == TSLIM_DTYPE_UINT8 && shape->rank == 3;
    return TSLIM_OK;
}

static tslim_status read_shape(tslim_context *ctx, tsl_stream *stream, array_shape *shape) {
    unsigned char start[6];
    TSL_TRY(tsl_stream_read_at(stream, 0, start, 4)); // the least that any of them has
    bool npy = start[0] == 0x93 && start[1] == 'N';
    tslim_status status = npy ? read_npy_shape(ctx, stream, shape) : read_idx_shape(stream, shape);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "%s", tsl_stream_path(stream));
}

// Splits the array into rows, and checks that the file holds them all, where that can be known.
static tslim_status set_rows(array_source *array, const array_shape *shape) {
    tsl_source *source = &array->source;
    size_t bytes;
    TSL_REQUIRE(shape->rank >= 1, TSLIM_ERROR_BAD_FILE, "%s: a single number has no samples", source->path);
    source->dtype = shape->dtype;
    source->images = shape->images;
    source->count = (uint64_t)shape->dims[0];
    array->data_offset = shape->header_bytes;
    array->swap = shape->swap;
    TSL_TRY(tsl_source_set_shape(source, shape->rank - 1, shape->dims + 1));
    TSL_REQUIRE(tsl_mul_size(source->row_bytes, source->count, &bytes) &&
                    tsl_add_size(bytes, shape->header_bytes, &bytes) &&
                    bytes <= tsl_stream_size(array->stream),
        TSLIM_ERROR_BAD_FILE, "%s: %" PRIu64 " samples of %zu bytes do not fit a file of %" PRIu64 " bytes",
        source->path, source->count, source->row_bytes, tsl_stream_size(array->stream));
    return TSLIM_OK;
}

// Takes over the stream, also on failure.
static tslim_status open_array(
    tslim_context *ctx, tsl_stream *stream, const char *name, size_t name_length, tsl_source **result) {
    tslim_status status;
    array_shape shape;
    array_source *array = tsl_allocate_zeroed(ctx, sizeof *array);
    if (!array) {
        tsl_stream_close(stream);
        return tsl_no_memory(sizeof *array);
    }
    array->source = (tsl_source){.read = read_rows, .destroy = destroy, .ctx = ctx};
    array->source.path = tsl_stream_path(stream);
    array->stream = stream;
    array->name_bytes = name_length + 1;
    array->name = tsl_allocate_zeroed(ctx, array->name_bytes);
    TSL_REQUIRE_GOTO(array->name, TSLIM_ERROR_NO_MEMORY, "%s: no memory for a name", tsl_stream_path(stream));
    if (name_length > 0) memcpy(array->name, name, name_length);
    array->source.name = array->name;
    TSL_TRY_GOTO(read_shape(ctx, stream, &shape));
    TSL_TRY_GOTO(set_rows(array, &shape));
    *result = &array->source;
    return TSLIM_OK;
fail:
    destroy(&array->source);
    return status;
}

// The first bytes of a file; zeros where it is shorter.
static tslim_status peek(tslim_context *ctx, const char *path, unsigned char start[4]) {
    tsl_stream *stream;
    memset(start, 0, 4);
    TSL_TRY(tsl_stream_open(ctx, path, TSL_STREAM_PLAIN, 0, UINT64_MAX, &stream));
    uint64_t size = tsl_stream_size(stream);
    tslim_status status = tsl_stream_read_at(stream, 0, start, size < 4 ? (size_t)size : 4);
    tsl_stream_close(stream);
    return status;
}

tslim_status tsl_array_source_open(tslim_context *ctx, const char *path, tsl_source **source) {
    unsigned char start[4];
    tsl_stream *stream;
    TSL_TRY(peek(ctx, path, start));
    bool gzip = start[0] == 0x1f && start[1] == 0x8b;
    TSL_TRY(tsl_stream_open(ctx, path, gzip ? TSL_STREAM_GZIP : TSL_STREAM_PLAIN, 0, UINT64_MAX, &stream));
    return open_array(ctx, stream, "", 0, source);
}

tslim_status tsl_archive_detect(tslim_context *ctx, const char *path, bool *archive) {
    unsigned char start[4];
    TSL_TRY(peek(ctx, path, start));
    *archive = tsl_npz_detect(start, sizeof start);
    return TSLIM_OK;
}

// ---- Archives ----

typedef struct archive_walk {
    tslim_context *ctx;
    const char *path;
    tsl_source **sources;
    uint32_t capacity;
    uint32_t count;
} archive_walk;

static tslim_status open_member(void *user, const tsl_npz_member *member) {
    archive_walk *walk = user;
    tsl_stream *stream;
    TSL_REQUIRE(
        walk->count < walk->capacity, TSLIM_ERROR_LIMIT, "more than %" PRIu32 " arrays", walk->capacity);
    TSL_TRY(tsl_stream_open(walk->ctx, walk->path, member->deflated ? TSL_STREAM_DEFLATE : TSL_STREAM_PLAIN,
        member->offset, member->encoded, &stream));
    TSL_TRY(open_array(walk->ctx, stream, member->name, member->name_length, &walk->sources[walk->count]));
    ++walk->count;
    return TSLIM_OK;
}

tslim_status tsl_archive_sources_open(
    tslim_context *ctx, const char *path, tsl_source **sources, uint32_t capacity, uint32_t *n_sources) {
    archive_walk walk = {.ctx = ctx, .path = path, .sources = sources, .capacity = capacity};
    tsl_buffer *file;
    TSL_TRY(tsl_file_map(ctx, path, &file));
    tslim_status status = tsl_npz_walk(file->data, file->size, open_member, &walk);
    tsl_buffer_release(file);
    if (status == TSLIM_OK && walk.count == 0)
        status = tsl_fail(TSLIM_ERROR_BAD_FILE, "the archive holds no array");
    if (status == TSLIM_OK) {
        *n_sources = walk.count;
        return TSLIM_OK;
    }
    for (uint32_t i = 0; i < walk.count; ++i) sources[i]->destroy(sources[i]);
    return tsl_fail_prefix(status, "%s", path);
}
