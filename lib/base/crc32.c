// SPDX-License-Identifier: Apache-2.0
// libdeflate computes CRC-32 with the processor's carry-less multiplication: a mapped model is checked at the
// speed of memory.
#include "base/crc32.h"

#include <libdeflate.h>

uint32_t tsl_crc32(uint32_t crc, const void *data, size_t size) {
    return libdeflate_crc32(crc, data, size);
}
