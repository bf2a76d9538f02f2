// SPDX-License-Identifier: Apache-2.0
// What every public header needs: visibility, C++ linkage, the version, the element types.
#ifndef TINYSLIM_API_H
#define TINYSLIM_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define TSLIM_BEGIN_DECLS extern "C" {
#define TSLIM_END_DECLS }
#else
#define TSLIM_BEGIN_DECLS
#define TSLIM_END_DECLS
#endif

#if defined(TSLIM_BUILDING) && defined(__GNUC__)
#define TSLIM_API __attribute__((visibility("default")))
#else
#define TSLIM_API
#endif

#define TSLIM_VERSION_MAJOR 0
#define TSLIM_VERSION_MINOR 1
#define TSLIM_VERSION_PATCH 0

/** The largest rank of any tensor. */
#define TSLIM_MAX_RANK 8

TSLIM_BEGIN_DECLS

/** Element types. The values are those of ONNX's TensorProto.DataType, and are pinned. */
typedef enum tslim_dtype {
    TSLIM_DTYPE_NONE = 0,
    TSLIM_DTYPE_FLOAT = 1,
    TSLIM_DTYPE_UINT8 = 2,
    TSLIM_DTYPE_INT8 = 3,
    TSLIM_DTYPE_UINT16 = 4,
    TSLIM_DTYPE_INT16 = 5,
    TSLIM_DTYPE_INT32 = 6,
    TSLIM_DTYPE_INT64 = 7,
    TSLIM_DTYPE_STRING = 8,
    TSLIM_DTYPE_BOOL = 9,
    TSLIM_DTYPE_FLOAT16 = 10,
    TSLIM_DTYPE_DOUBLE = 11,
    TSLIM_DTYPE_UINT32 = 12,
    TSLIM_DTYPE_UINT64 = 13,
    TSLIM_DTYPE_BFLOAT16 = 16
} tslim_dtype;

/** Bytes of one element; 0 for NONE, STRING and unknown values. */
TSLIM_API size_t tslim_dtype_size(tslim_dtype dtype);

/** "float32", "int8", ...; "unknown" for a value that is none of them. The string is static. */
TSLIM_API const char *tslim_dtype_name(tslim_dtype dtype);

/** The version of the library that is loaded, "MAJOR.MINOR.PATCH". The string is static. */
TSLIM_API const char *tslim_version(void);

TSLIM_END_DECLS

#endif
