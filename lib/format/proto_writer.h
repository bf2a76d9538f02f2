// SPDX-License-Identifier: Apache-2.0
// Writing protobuf messages with nanopb: what both formats share.
#ifndef TSL_FORMAT_PROTO_WRITER_H
#define TSL_FORMAT_PROTO_WRITER_H

#include <pb_encode.h>

typedef struct tsl_proto_text_argument {
    const char *data;
    size_t size;
} tsl_proto_text_argument;

// Sets a callback that writes these bytes; `argument` holds them until the message is encoded.
void tsl_proto_put_text(
    pb_callback_t *callback, tsl_proto_text_argument *argument, const char *text, size_t size);

#endif
