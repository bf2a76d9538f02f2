// SPDX-License-Identifier: Apache-2.0
// Sizes and names of element types, and the library's version.
#include <tinyslim/api.h>

#define TEXT(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *tslim_version(void) {
    return VERSION_TEXT(TSLIM_VERSION_MAJOR, TSLIM_VERSION_MINOR, TSLIM_VERSION_PATCH);
}

size_t tslim_dtype_size(tslim_dtype dtype) {
    switch (dtype) {
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT8:
    case TSLIM_DTYPE_INT8:
        return 1;
    case TSLIM_DTYPE_UINT16:
    case TSLIM_DTYPE_INT16:
    case TSLIM_DTYPE_FLOAT16:
    case TSLIM_DTYPE_BFLOAT16:
        return 2;
    case TSLIM_DTYPE_FLOAT:
    case TSLIM_DTYPE_INT32:
    case TSLIM_DTYPE_UINT32:
        return 4;
    case TSLIM_DTYPE_DOUBLE:
    case TSLIM_DTYPE_INT64:
    case TSLIM_DTYPE_UINT64:
        return 8;
    case TSLIM_DTYPE_NONE:
    case TSLIM_DTYPE_STRING:
        return 0;
    }
    return 0;
}

const char *tslim_dtype_name(tslim_dtype dtype) {
    switch (dtype) {
    case TSLIM_DTYPE_NONE:
        return "none";
    case TSLIM_DTYPE_FLOAT:
        return "float32";
    case TSLIM_DTYPE_UINT8:
        return "uint8";
    case TSLIM_DTYPE_INT8:
        return "int8";
    case TSLIM_DTYPE_UINT16:
        return "uint16";
    case TSLIM_DTYPE_INT16:
        return "int16";
    case TSLIM_DTYPE_INT32:
        return "int32";
    case TSLIM_DTYPE_INT64:
        return "int64";
    case TSLIM_DTYPE_STRING:
        return "string";
    case TSLIM_DTYPE_BOOL:
        return "bool";
    case TSLIM_DTYPE_FLOAT16:
        return "float16";
    case TSLIM_DTYPE_DOUBLE:
        return "float64";
    case TSLIM_DTYPE_UINT32:
        return "uint32";
    case TSLIM_DTYPE_UINT64:
        return "uint64";
    case TSLIM_DTYPE_BFLOAT16:
        return "bfloat16";
    }
    return "unknown";
}
