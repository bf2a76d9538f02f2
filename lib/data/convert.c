// SPDX-License-Identifier: Apache-2.0
// Conversion between element types, one at a time: data files may hold any, networks mostly take float.
#include "data/convert.h"

#include <math.h>
#include <string.h>

bool tsl_dtype_is_numeric(tslim_dtype dtype) {
    return tslim_dtype_size(dtype) != 0;
}

bool tsl_dtype_is_integer(tslim_dtype dtype) {
    switch (dtype) {
    case TSLIM_DTYPE_UINT8:
    case TSLIM_DTYPE_INT8:
    case TSLIM_DTYPE_UINT16:
    case TSLIM_DTYPE_INT16:
    case TSLIM_DTYPE_INT32:
    case TSLIM_DTYPE_INT64:
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT32:
    case TSLIM_DTYPE_UINT64:
        return true;
    default:
        return false;
    }
}

// IEEE 754 binary16.
static float half_to_float(uint16_t bits) {
    int exponent = (bits >> 10) & 31;
    float fraction = (float)(bits & 1023);
    float magnitude;
    if (exponent == 0) {
        magnitude = ldexpf(fraction, -24);
    } else if (exponent == 31) {
        magnitude = fraction == 0 ? INFINITY : NAN;
    } else {
        magnitude = ldexpf(1024 + fraction, exponent - 25);
    }
    return bits & 0x8000 ? -magnitude : magnitude;
}

// The upper half of a float.
static float bfloat_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

// Reads each element through memcpy, since a caller's memory need not be aligned.
#define CONVERT_EACH(type, expression)                                                                       \
    for (size_t i = 0; i < count; ++i) {                                                                     \
        type element;                                                                                        \
        memcpy(&element, bytes + i * sizeof element, sizeof element);                                        \
        result[i] = (expression);                                                                            \
    }                                                                                                        \
    break

void tsl_elements_to_float(tslim_dtype dtype, const void *source, size_t count, float *result) {
    const unsigned char *bytes = source;
    switch (dtype) {
    case TSLIM_DTYPE_FLOAT:
        CONVERT_EACH(float, element);
    case TSLIM_DTYPE_DOUBLE:
        CONVERT_EACH(double, (float)element);
    case TSLIM_DTYPE_FLOAT16:
        CONVERT_EACH(uint16_t, half_to_float(element));
    case TSLIM_DTYPE_BFLOAT16:
        CONVERT_EACH(uint16_t, bfloat_to_float(element));
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT8:
        CONVERT_EACH(uint8_t, (float)element);
    case TSLIM_DTYPE_INT8:
        CONVERT_EACH(int8_t, (float)element);
    case TSLIM_DTYPE_UINT16:
        CONVERT_EACH(uint16_t, (float)element);
    case TSLIM_DTYPE_INT16:
        CONVERT_EACH(int16_t, (float)element);
    case TSLIM_DTYPE_INT32:
        CONVERT_EACH(int32_t, (float)element);
    case TSLIM_DTYPE_INT64:
        CONVERT_EACH(int64_t, (float)element);
    case TSLIM_DTYPE_UINT32:
        CONVERT_EACH(uint32_t, (float)element);
    case TSLIM_DTYPE_UINT64:
        CONVERT_EACH(uint64_t, (float)element);
    default:
        break;
    }
}

void tsl_elements_to_int64(tslim_dtype dtype, const void *source, size_t count, int64_t *result) {
    const unsigned char *bytes = source;
    switch (dtype) {
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT8:
        CONVERT_EACH(uint8_t, element);
    case TSLIM_DTYPE_INT8:
        CONVERT_EACH(int8_t, element);
    case TSLIM_DTYPE_UINT16:
        CONVERT_EACH(uint16_t, element);
    case TSLIM_DTYPE_INT16:
        CONVERT_EACH(int16_t, element);
    case TSLIM_DTYPE_INT32:
        CONVERT_EACH(int32_t, element);
    case TSLIM_DTYPE_INT64:
        CONVERT_EACH(int64_t, element);
    case TSLIM_DTYPE_UINT32:
        CONVERT_EACH(uint32_t, element);
    case TSLIM_DTYPE_UINT64:
        CONVERT_EACH(uint64_t, element > INT64_MAX ? -1 : (int64_t)element);
    default:
        break;
    }
}
