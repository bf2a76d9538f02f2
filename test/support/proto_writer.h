// SPDX-License-Identifier: Apache-2.0
// Protocol buffers written by hand, for tests of readers: any field, also those that no sound writer makes.
#ifndef TEST_SUPPORT_PROTO_WRITER_H
#define TEST_SUPPORT_PROTO_WRITER_H

#include <stddef.h>
#include <stdint.h>

// A message being written. Zero-initialize. A message that does not fit ends the test program.
typedef struct proto {
    size_t size;
    uint8_t data[4096];
} proto;

void proto_number(proto *p, uint32_t field, int64_t value);
void proto_float(proto *p, uint32_t field, float value);
void proto_double(proto *p, uint32_t field, double value);
void proto_bytes(proto *p, uint32_t field, const void *data, size_t size);
void proto_text(proto *p, uint32_t field, const char *text);
void proto_message(proto *p, uint32_t field, const proto *message);
// Numbers in one packed field.
void proto_packed(proto *p, uint32_t field, size_t count, const int64_t *values);

#endif
