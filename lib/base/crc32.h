// SPDX-License-Identifier: Apache-2.0
// CRC-32 as in zlib, PNG and gzip.
#ifndef TSL_BASE_CRC32_H
#define TSL_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

// Continues `crc` (0 at the start) over the bytes.
uint32_t tsl_crc32(uint32_t crc, const void *data, size_t size);

#endif
