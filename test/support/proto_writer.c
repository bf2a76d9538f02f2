// SPDX-License-Identifier: Apache-2.0
// The wire format is described at https://protobuf.dev/programming-guides/encoding/.
#include "support/proto_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64_BIT = 1, WIRE_BYTES = 2, WIRE_32_BIT = 5 };

static void put(proto *p, const void *data, size_t size) {
    if (size > sizeof(p->data) - p->size) {
        fprintf(stderr, "a test's message does not fit\n");
        abort();
    }
    if (size) memcpy(p->data + p->size, data, size);
    p->size += size;
}

static void put_varint(proto *p, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(p, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_tag(proto *p, uint32_t field, uint32_t wire) {
    put_varint(p, (uint64_t)field << 3 | wire);
}

void proto_number(proto *p, uint32_t field, int64_t value) {
    put_tag(p, field, WIRE_VARINT);
    put_varint(p, (uint64_t)value);
}

void proto_float(proto *p, uint32_t field, float value) {
    put_tag(p, field, WIRE_32_BIT);
    put(p, &value, sizeof(value));
}

void proto_double(proto *p, uint32_t field, double value) {
    put_tag(p, field, WIRE_64_BIT);
    put(p, &value, sizeof(value));
}

void proto_bytes(proto *p, uint32_t field, const void *data, size_t size) {
    put_tag(p, field, WIRE_BYTES);
    put_varint(p, size);
    put(p, data, size);
}

void proto_text(proto *p, uint32_t field, const char *text) {
    proto_bytes(p, field, text, strlen(text));
}

void proto_message(proto *p, uint32_t field, const proto *message) {
    proto_bytes(p, field, message->data, message->size);
}

void proto_packed(proto *p, uint32_t field, size_t count, const int64_t *values) {
    proto packed = {0};
    for (size_t i = 0; i < count; i++) put_varint(&packed, (uint64_t)values[i]);
    proto_message(p, field, &packed);
}
