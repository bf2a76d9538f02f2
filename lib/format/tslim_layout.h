// SPDX-License-Identifier: Apache-2.0
// The container of a .tslim file, byte by byte: docs/file-format.md.
#ifndef TSL_FORMAT_TSLIM_LAYOUT_H
#define TSL_FORMAT_TSLIM_LAYOUT_H

#include <stdint.h>

// The line ends and the control character show damage by text-mode transfers, as PNG's signature does.
#define TSL_FILE_MAGIC "TSLIM\r\n\x1a"
#define TSL_FILE_VERSION 2u // of what is written
#define TSL_FILE_READER_VERSION 2u // what this reader understands
#define TSL_FILE_BODIES_VERSION 2u // what a reader must understand of a file that has graphs within nodes
#define TSL_FILE_ALIGNMENT 64u
#define TSL_FILE_MOST_SECTIONS 64u

#define TSL_SECTION_GRAPH 1u
#define TSL_SECTION_DATA 2u

// Little-endian, as are all numbers of the file; the structs have no padding.
typedef struct tsl_file_header {
    char magic[8];
    uint32_t version;
    uint32_t reader_version; // the least that a reader must understand
    uint64_t file_bytes;
    uint32_t n_sections;
    uint32_t crc; // of this header, with 0 here, and the section table
} tsl_file_header;

typedef struct tsl_file_section {
    uint32_t type;
    uint32_t crc; // of its bytes
    uint64_t offset; // from the start of the file; a multiple of 64
    uint64_t bytes;
    uint64_t reserved; // 0
} tsl_file_section;

#endif
