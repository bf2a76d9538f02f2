// SPDX-License-Identifier: Apache-2.0
// Views and numbers out of protobuf messages.
#include <string.h>

#include "format/proto_reader.h"

#define LONGEST_TEXT 65535

static bool read_view(pb_istream_t *stream, pb_byte_t *to, size_t count) {
    tsl_view *cursor = stream->state;
    if (to) memcpy(to, cursor->data, count);
    cursor->data += count;
    cursor->size -= count;
    return true;
}

static pb_istream_t view_stream(tsl_view *cursor) {
    return (pb_istream_t){.callback = read_view, .state = cursor, .bytes_left = cursor->size};
}

tsl_view tsl_view_take(pb_istream_t *stream) {
    // A number where bytes belong is handed over by the decoder in a small buffer of its own.
    if (stream->callback != read_view) return (tsl_view){0};
    tsl_view *cursor = stream->state;
    tsl_view taken = {cursor->data, stream->bytes_left};
    cursor->data += taken.size;
    cursor->size -= taken.size;
    stream->bytes_left = 0;
    return taken;
}

static bool decode_view(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_view *view = *arg;
    *view = tsl_view_take(stream);
    return view->data != NULL;
}

tslim_status tsl_proto_text(tsl_proto *proto, tsl_view view, const char **text) {
    TSL_REQUIRE(view.size <= LONGEST_TEXT, TSLIM_ERROR_BAD_FILE, "a name of %zu bytes", view.size);
    TSL_REQUIRE(view.size == 0 || !memchr(view.data, 0, view.size), TSLIM_ERROR_BAD_FILE,
        "a name of %zu bytes has a NUL in it", view.size);
    *text = tsl_arena_string_n(proto->arena, (const char *)view.data, view.size);
    TSL_REQUIRE_MEMORY(*text, view.size + 1);
    return TSLIM_OK;
}

bool tsl_proto_failed(tsl_proto *proto, tslim_status status) {
    proto->status = status;
    return status == TSLIM_OK;
}

tslim_status tsl_proto_parse(
    tsl_proto *proto, tsl_view view, const pb_msgdesc_t *fields, void *message, const char *what) {
    proto->status = TSLIM_OK;
    TSL_REQUIRE(view.data, TSLIM_ERROR_BAD_FILE, "a number where a %s belongs", what);
    size_t offset = (size_t)(view.data - proto->start), size = view.size;
    pb_istream_t stream = view_stream(&view);
    if (pb_decode(&stream, fields, message)) return TSLIM_OK;
    if (proto->status != TSLIM_OK) return proto->status;
    return tsl_fail(TSLIM_ERROR_BAD_FILE, "malformed %s of %zu bytes at byte %zu: %s", what, size, offset,
        PB_GET_ERROR(&stream));
}

void tsl_numbers_free(tsl_numbers *numbers) {
    if (numbers->data)
        tsl_free(numbers->proto->ctx, numbers->data, numbers->capacity * numbers->element_size);
    *numbers = (tsl_numbers){0};
}

static void *append(tsl_numbers *numbers, size_t element_size) {
    numbers->element_size = element_size;
    tslim_context *ctx = numbers->proto->ctx;
    if (!tsl_grow(ctx, &numbers->data, &numbers->capacity, numbers->count + 1, element_size)) {
        numbers->proto->status = tsl_no_memory(numbers->count * element_size);
        return NULL;
    }
    return (uint8_t *)numbers->data + element_size * numbers->count++;
}

static bool decode_varints(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    uint64_t value = 0;
    if (!pb_decode_varint(stream, &value)) return false;
    uint64_t *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}

// All that the stream holds: one number, or a packed list. Files are little-endian, as all processors are
// that use the weights in them where they lie.
static bool decode_floats(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_numbers *numbers = *arg;
    const size_t count = stream->bytes_left / sizeof(float);
    if (count == 0) return false;
    numbers->element_size = sizeof(float);
    if (!tsl_grow(
            numbers->proto->ctx, &numbers->data, &numbers->capacity, numbers->count + count, sizeof(float)))
        return tsl_proto_failed(numbers->proto, tsl_no_memory((numbers->count + count) * sizeof(float)));
    float *to = (float *)numbers->data + numbers->count;
    numbers->count += count;
    return pb_read(stream, (pb_byte_t *)to, count * sizeof(float));
}

static bool decode_doubles(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    double value = 0;
    if (!pb_decode_fixed64(stream, &value)) return false;
    double *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}

static bool decode_signed(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    int64_t value = 0;
    if (!pb_decode_svarint(stream, &value)) return false;
    int64_t *element = append(*arg, sizeof(*element));
    if (!element) return false;
    *element = value;
    return true;
}

static bool decode_views(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_views *views = *arg;
    if (!tsl_grow(
            views->proto->ctx, (void **)&views->items, &views->capacity, views->count + 1, sizeof(tsl_view)))
        return tsl_proto_failed(views->proto, tsl_no_memory(views->count * sizeof(tsl_view)));
    tsl_view view = tsl_view_take(stream);
    views->items[views->count++] = view;
    return view.data != NULL;
}

void tsl_views_free(tsl_views *views) {
    if (views->items) tsl_free(views->proto->ctx, views->items, views->capacity * sizeof(tsl_view));
    *views = (tsl_views){0};
}

// ---- Wishes ----

void tsl_proto_want_view(pb_callback_t *callback, tsl_view *view) {
    callback->funcs.decode = decode_view;
    callback->arg = view;
}

void tsl_proto_want_views(pb_callback_t *callback, tsl_views *views, tsl_proto *proto) {
    views->proto = proto;
    callback->funcs.decode = decode_views;
    callback->arg = views;
}

void tsl_proto_want_varints(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto) {
    numbers->proto = proto;
    callback->funcs.decode = decode_varints;
    callback->arg = numbers;
}

void tsl_proto_want_signed(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto) {
    numbers->proto = proto;
    callback->funcs.decode = decode_signed;
    callback->arg = numbers;
}

void tsl_proto_want_floats(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto) {
    numbers->proto = proto;
    callback->funcs.decode = decode_floats;
    callback->arg = numbers;
}

void tsl_proto_want_doubles(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto) {
    numbers->proto = proto;
    callback->funcs.decode = decode_doubles;
    callback->arg = numbers;
}
