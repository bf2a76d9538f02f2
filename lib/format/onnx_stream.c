// SPDX-License-Identifier: Apache-2.0
// Reading protobuf from mapped memory without copying it.
#include <string.h>

#include "format/onnx_reader.h"

#define LONGEST_TEXT 65535

static bool read_view(pb_istream_t *stream, pb_byte_t *to, size_t count) {
    tsl_view *cursor = stream->state;
    if (to) memcpy(to, cursor->data, count);
    cursor->data += count;
    cursor->size -= count;
    return true;
}

pb_istream_t tsl_view_stream(tsl_view *cursor) {
    return (pb_istream_t){.callback = read_view, .state = cursor, .bytes_left = cursor->size};
}

tsl_view tsl_view_take(pb_istream_t *stream) {
    tsl_view *cursor = stream->state;
    tsl_view taken = {cursor->data, stream->bytes_left};
    cursor->data += taken.size;
    cursor->size -= taken.size;
    stream->bytes_left = 0;
    return taken;
}

bool tsl_decode_view(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    *(tsl_view *)*arg = tsl_view_take(stream);
    return true;
}

tslim_status tsl_onnx_text(tsl_onnx_reader *reader, tsl_view view, const char **text) {
    TSL_REQUIRE(view.size <= LONGEST_TEXT, TSLIM_ERROR_BAD_FILE, "a name of %zu bytes", view.size);
    TSL_REQUIRE(view.size == 0 || !memchr(view.data, 0, view.size), TSLIM_ERROR_BAD_FILE,
        "a name of %zu bytes has a NUL in it", view.size);
    *text = tsl_arena_string_n(&reader->graph->arena, (const char *)view.data, view.size);
    TSL_REQUIRE_MEMORY(*text, view.size + 1);
    return TSLIM_OK;
}

bool tsl_onnx_failed(tsl_onnx_reader *reader, tslim_status status) {
    reader->status = status;
    return status == TSLIM_OK;
}

tslim_status tsl_onnx_parse(
    tsl_onnx_reader *reader, tsl_view view, const pb_msgdesc_t *fields, void *message, const char *what) {
    reader->status = TSLIM_OK;
    size_t offset = (size_t)(view.data - (const uint8_t *)reader->file->data), size = view.size;
    pb_istream_t stream = tsl_view_stream(&view);
    if (pb_decode(&stream, fields, message)) return TSLIM_OK;
    if (reader->status != TSLIM_OK) return reader->status;
    return tsl_fail(TSLIM_ERROR_BAD_FILE, "malformed %s of %zu bytes at byte %zu: %s", what, size, offset,
        PB_GET_ERROR(&stream));
}

void tsl_numbers_free(tsl_numbers *numbers) {
    if (numbers->data)
        tsl_free(numbers->reader->ctx, numbers->data, numbers->capacity * numbers->element_size);
    *numbers = (tsl_numbers){0};
}

static void *append(tsl_numbers *numbers, size_t element_size) {
    numbers->element_size = element_size;
    tslim_context *ctx = numbers->reader->ctx;
    if (!tsl_grow(ctx, &numbers->data, &numbers->capacity, numbers->count + 1, element_size)) {
        numbers->reader->status = tsl_no_memory(numbers->count * element_size);
        return NULL;
    }
    return (uint8_t *)numbers->data + element_size * numbers->count++;
}

bool tsl_decode_varints(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    uint64_t value = 0;
    if (!pb_decode_varint(stream, &value)) return false;
    uint64_t *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}

bool tsl_decode_floats(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    float value = 0;
    if (!pb_decode_fixed32(stream, &value)) return false;
    float *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}

bool tsl_decode_doubles(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    double value = 0;
    if (!pb_decode_fixed64(stream, &value)) return false;
    double *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}
