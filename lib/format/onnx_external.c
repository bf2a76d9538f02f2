// SPDX-License-Identifier: Apache-2.0
// Data of a model that lies in other files. A hostile model must not be able to read anything else, so they
// are looked for in the model's own folder alone, symbolic links resolved.
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/onnx_reader.h"

typedef struct location {
    const char *path; // relative to the folder
    uint64_t offset, length;
    bool has_length;
} location;

static bool parse_number(const char *text, uint64_t *number) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static tslim_status read_entry(tsl_onnx_reader *reader, tsl_view message, location *where) {
    tsl_onnx_StringStringEntry entry = tsl_onnx_StringStringEntry_init_zero;
    tsl_view key_view = {0}, value_view = {0};
    tsl_proto_want_view(&entry.key, &key_view);
    tsl_proto_want_view(&entry.value, &value_view);
    TSL_TRY(tsl_proto_parse(
        &reader->proto, message, tsl_onnx_StringStringEntry_fields, &entry, "external data entry"));
    const char *key, *value;
    TSL_TRY(tsl_proto_text(&reader->proto, key_view, &key));
    TSL_TRY(tsl_proto_text(&reader->proto, value_view, &value));
    if (strcmp(key, "location") == 0) where->path = value;
    if (strcmp(key, "offset") == 0)
        TSL_REQUIRE(parse_number(value, &where->offset), TSLIM_ERROR_BAD_FILE, "external offset '%s'", value);
    if (strcmp(key, "length") == 0) {
        TSL_REQUIRE(parse_number(value, &where->length), TSLIM_ERROR_BAD_FILE, "external length '%s'", value);
        where->has_length = true;
    }
    return TSLIM_OK;
}

// The real path of the file, if it lies within the folder.
static tslim_status resolve(const char *folder, const char *relative, char real[PATH_MAX]) {
    char joined[PATH_MAX], real_folder[PATH_MAX];
    TSL_REQUIRE(relative[0] != '/' && relative[0] != '\0', TSLIM_ERROR_BAD_FILE,
        "external data '%s' is not a path within the model's folder", relative);
    int length = snprintf(joined, sizeof(joined), "%s/%s", *folder ? folder : ".", relative);
    TSL_REQUIRE(length > 0 && (size_t)length < sizeof(joined), TSLIM_ERROR_BAD_FILE,
        "external data '%.200s': too long a path", relative);
    TSL_REQUIRE(realpath(*folder ? folder : ".", real_folder), TSLIM_ERROR_IO,
        "the folder '%s' cannot be found", folder);
    TSL_REQUIRE(realpath(joined, real), TSLIM_ERROR_IO, "external data '%s' cannot be found", joined);
    size_t inside = strlen(real_folder);
    while (inside > 0 && real_folder[inside - 1] == '/') inside--;
    TSL_REQUIRE(strncmp(real, real_folder, inside) == 0 && real[inside] == '/', TSLIM_ERROR_BAD_FILE,
        "external data '%s' lies outside the model's folder '%s'", relative, real_folder);
    return TSLIM_OK;
}

static tslim_status map_once(tsl_onnx_reader *reader, const char *path, tsl_buffer **buffer) {
    tsl_external_files *external = reader->external;
    for (size_t i = 0; i < external->count; i++)
        if (strcmp(external->files[i].path, path) == 0) {
            *buffer = external->files[i].buffer;
            return TSLIM_OK;
        }
    const char *copy = tsl_arena_string(external->arena, path);
    TSL_REQUIRE_MEMORY(copy, strlen(path));
    if (!tsl_grow(reader->ctx, (void **)&external->files, &external->capacity, external->count + 1,
            sizeof(*external->files)))
        return tsl_no_memory(sizeof(*external->files));
    TSL_TRY(tsl_file_map(reader->ctx, path, buffer));
    external->files[external->count++] = (tsl_external_file){copy, *buffer};
    external->bytes += (*buffer)->size;
    TSL_REQUIRE(external->bytes + reader->file->size <= reader->ctx->limits.file_bytes, TSLIM_ERROR_LIMIT,
        "the model and its external data have more than %" PRIu64 " bytes", reader->ctx->limits.file_bytes);
    return TSLIM_OK;
}

tslim_status tsl_onnx_external_data(
    tsl_onnx_reader *reader, const tsl_view *entries, size_t n_entries, tsl_buffer **buffer, tsl_view *data) {
    location where = {.path = ""};
    for (size_t i = 0; i < n_entries; i++) TSL_TRY(read_entry(reader, entries[i], &where));
    TSL_REQUIRE(
        reader->folder, TSLIM_ERROR_UNSUPPORTED, "external data '%s' of a model in memory", where.path);
    char real[PATH_MAX];
    TSL_TRY(resolve(reader->folder, where.path, real));
    TSL_TRY(map_once(reader, real, buffer));
    uint64_t size = (*buffer)->size;
    TSL_REQUIRE(where.offset <= size && (!where.has_length || where.length <= size - where.offset),
        TSLIM_ERROR_BAD_FILE, "bytes %" PRIu64 " to %" PRIu64 " of '%s', which has %" PRIu64, where.offset,
        where.offset + where.length, where.path, size);
    *data = (tsl_view){(const uint8_t *)(*buffer)->data + where.offset,
        (size_t)(where.has_length ? where.length : size - where.offset)};
    return TSLIM_OK;
}
