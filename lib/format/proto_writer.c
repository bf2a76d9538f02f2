// SPDX-License-Identifier: Apache-2.0
// Text and bytes in protobuf messages.
#include "format/proto_writer.h"

static bool encode_text(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tsl_proto_text_argument *text = *arg;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_string(stream, (const pb_byte_t *)text->data, text->size);
}

void tsl_proto_put_text(
    pb_callback_t *callback, tsl_proto_text_argument *argument, const char *text, size_t size) {
    *argument = (tsl_proto_text_argument){text, size};
    callback->funcs.encode = encode_text;
    callback->arg = argument;
}
