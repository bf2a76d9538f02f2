// SPDX-License-Identifier: Apache-2.0
// zlib has a fast CRC-32; its length is an unsigned int, so large sizes go in pieces.
#include "base/crc32.h"

#include <zlib.h>

uint32_t tsl_crc32(uint32_t crc, const void *data, size_t size) {
    const unsigned char *bytes = data;
    uLong value = crc;
    while (size > 0) {
        uInt piece = size > (1u << 30) ? 1u << 30 : (uInt)size;
        value = crc32(value, bytes, piece);
        bytes += piece;
        size -= piece;
    }
    return (uint32_t)value;
}
