// SPDX-License-Identifier: Apache-2.0
// Reading protobuf messages with nanopb from mapped memory: the parser's position is a pointer into the file,
// so that data can be borrowed, and nothing is allocated in proportion to a number that the file only claims.
#ifndef TSL_FORMAT_PROTO_READER_H
#define TSL_FORMAT_PROTO_READER_H

#include <pb_decode.h>

#include "base/arena.h"
#include "base/status.h"

// Bytes of the file.
typedef struct tsl_view {
    const uint8_t *data;
    size_t size;
} tsl_view;

// A file being read.
typedef struct tsl_proto {
    tslim_context *ctx;
    tsl_arena *arena; // for text
    const uint8_t *start; // of the file, for messages
    tslim_status status; // why a callback returned false; OK when the parser itself did
} tsl_proto;

// All that is left of a (sub)stream, which is consumed. `data` is NULL when the field has another wire type
// than bytes: tsl_proto_parse refuses such a view.
tsl_view tsl_view_take(pb_istream_t *stream);

// Text of the file as a string of the graph's arena. BAD_FILE for a NUL or too long a text.
tslim_status tsl_proto_text(tsl_proto *proto, tsl_view view, const char **text);

// Remembers a failure and returns false, as callbacks must.
bool tsl_proto_failed(tsl_proto *proto, tslim_status status);

// Parses a message at `view`; BAD_FILE with `what` when it is malformed.
tslim_status tsl_proto_parse(
    tsl_proto *proto, tsl_view view, const pb_msgdesc_t *fields, void *message, const char *what);

// Parts of a repeated field, each still encoded.
typedef struct tsl_views {
    tsl_proto *proto; // told when memory is short
    tsl_view *items;
    size_t count, capacity;
} tsl_views;
void tsl_views_free(tsl_views *views);

// Numbers of a repeated field.
typedef struct tsl_numbers {
    tsl_proto *proto; // told when memory is short
    void *data;
    size_t count, capacity, element_size;
} tsl_numbers;
void tsl_numbers_free(tsl_numbers *numbers);

// Sets a callback that fills what stands behind the second argument.
void tsl_proto_want_view(pb_callback_t *callback, tsl_view *view);
void tsl_proto_want_views(pb_callback_t *callback, tsl_views *views, tsl_proto *proto);
// int32, int64, uint32, uint64: 8 bytes each.
void tsl_proto_want_varints(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto);
// sint32, sint64: int64_t each.
void tsl_proto_want_signed(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto);
void tsl_proto_want_floats(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto);
void tsl_proto_want_doubles(pb_callback_t *callback, tsl_numbers *numbers, tsl_proto *proto);

#endif
