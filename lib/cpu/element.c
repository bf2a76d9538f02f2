// SPDX-License-Identifier: Apache-2.0
// Elements of any numeric type as int64_t or double: see element.h.
#include "cpu/element.h"

#include <string.h>

bool tsl_element_is_integer(tslim_dtype dtype) {
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

bool tsl_element_is_real(tslim_dtype dtype) {
    return dtype == TSLIM_DTYPE_FLOAT || dtype == TSLIM_DTYPE_DOUBLE || dtype == TSLIM_DTYPE_FLOAT16 ||
           dtype == TSLIM_DTYPE_BFLOAT16;
}

static float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tsl_half_to_float(uint16_t half) {
    uint32_t sign = ((uint32_t)half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
    if (exponent == 31) return float_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

// The nearest value with `fraction_bits` bits of fraction and exponents from `min_exponent` on, ties to even.
// Scaling by powers of two is exact, so nearbyint does the only rounding.
static double round_to_format(double value, int fraction_bits, int min_exponent) {
    int exponent;
    frexp(value, &exponent); // value = f * 2^exponent, f in [0.5, 1)
    int unit = (exponent - 1 > min_exponent ? exponent - 1 : min_exponent) - fraction_bits;
    return ldexp(nearbyint(ldexp(value, -unit)), unit);
}

uint16_t tsl_double_to_half(double value) {
    uint16_t sign = signbit(value) ? 0x8000u : 0;
    if (isnan(value)) return (uint16_t)(sign | 0x7e00u);
    double magnitude = isinf(value) ? value : round_to_format(value, 10, -14);
    magnitude = fabs(magnitude);
    if (magnitude >= 65536.0) return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x1p-14) return (uint16_t)(sign | (uint16_t)(magnitude * 0x1p24));
    int exponent;
    double fraction = frexp(magnitude, &exponent); // in [0.5, 1)
    return (uint16_t)(sign | (uint16_t)((exponent + 14) << 10) | ((uint16_t)(fraction * 2048.0) & 0x3ffu));
}

uint16_t tsl_double_to_bfloat16(double value) {
    uint16_t sign = signbit(value) ? 0x8000u : 0;
    if (isnan(value)) return (uint16_t)(sign | 0x7fc0u);
    float rounded = (float)(isinf(value) ? value : round_to_format(value, 7, -126));
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static float bfloat16_to_float(uint16_t value) {
    return float_from_bits((uint32_t)value << 16);
}

#define LOAD(type, expression)                                                                               \
    for (size_t i = 0; i < count; i++) {                                                                     \
        type e;                                                                                              \
        memcpy(&e, data + (ptrdiff_t)i * stride, sizeof e);                                                  \
        values[i] = expression;                                                                              \
    }                                                                                                        \
    return

void tsl_load_doubles(
    tslim_dtype dtype, const uint8_t *data, ptrdiff_t stride, size_t count, double *values) {
    switch (dtype) {
    case TSLIM_DTYPE_FLOAT:
        LOAD(float, (double)e);
    case TSLIM_DTYPE_DOUBLE:
        LOAD(double, e);
    case TSLIM_DTYPE_FLOAT16:
        LOAD(uint16_t, (double)tsl_half_to_float(e));
    case TSLIM_DTYPE_BFLOAT16:
        LOAD(uint16_t, (double)bfloat16_to_float(e));
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT8:
        LOAD(uint8_t, e);
    case TSLIM_DTYPE_INT8:
        LOAD(int8_t, e);
    case TSLIM_DTYPE_UINT16:
        LOAD(uint16_t, e);
    case TSLIM_DTYPE_INT16:
        LOAD(int16_t, e);
    case TSLIM_DTYPE_UINT32:
        LOAD(uint32_t, e);
    case TSLIM_DTYPE_INT32:
        LOAD(int32_t, e);
    case TSLIM_DTYPE_UINT64:
        LOAD(uint64_t, (double)e);
    case TSLIM_DTYPE_INT64:
        LOAD(int64_t, (double)e);
    default:
        break;
    }
}

// 2^63 and 2^64 are the first values that do not fit; comparing with them is exact.
static int64_t saturate_i64(double value, int64_t low, int64_t high) {
    if (isnan(value)) return 0;
    if (value >= 0x1p63) return high;
    if (value < -0x1p63) return low;
    int64_t whole = (int64_t)value;
    return whole < low ? low : whole > high ? high : whole;
}

static uint64_t saturate_u64(double value) {
    if (isnan(value) || value <= 0.0) return 0;
    return value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
}

void tsl_load_ints(tslim_dtype dtype, const uint8_t *data, ptrdiff_t stride, size_t count, int64_t *values) {
    switch (dtype) {
    case TSLIM_DTYPE_BOOL:
    case TSLIM_DTYPE_UINT8:
        LOAD(uint8_t, e);
    case TSLIM_DTYPE_INT8:
        LOAD(int8_t, e);
    case TSLIM_DTYPE_UINT16:
        LOAD(uint16_t, e);
    case TSLIM_DTYPE_INT16:
        LOAD(int16_t, e);
    case TSLIM_DTYPE_UINT32:
        LOAD(uint32_t, e);
    case TSLIM_DTYPE_INT32:
        LOAD(int32_t, e);
    case TSLIM_DTYPE_UINT64:
        LOAD(uint64_t, (int64_t)e);
    case TSLIM_DTYPE_INT64:
        LOAD(int64_t, e);
    default:
        break;
    }
    for (size_t i = 0; i < count; i++) {
        double value = 0;
        tsl_load_doubles(dtype, data + (ptrdiff_t)i * stride, 0, 1, &value);
        values[i] = saturate_i64(value, INT64_MIN, INT64_MAX);
    }
}

#define STORE(type, expression)                                                                              \
    for (size_t i = 0; i < count; i++) {                                                                     \
        type e = (type)(expression);                                                                         \
        memcpy(data + (ptrdiff_t)i * stride, &e, sizeof e);                                                  \
    }                                                                                                        \
    return

void tsl_store_doubles(
    tslim_dtype dtype, uint8_t *data, ptrdiff_t stride, size_t count, const double *values) {
    switch (dtype) {
    case TSLIM_DTYPE_FLOAT:
        STORE(float, values[i]);
    case TSLIM_DTYPE_DOUBLE:
        STORE(double, values[i]);
    case TSLIM_DTYPE_FLOAT16:
        STORE(uint16_t, tsl_double_to_half(values[i]));
    case TSLIM_DTYPE_BFLOAT16:
        STORE(uint16_t, tsl_double_to_bfloat16(values[i]));
    case TSLIM_DTYPE_BOOL:
        STORE(uint8_t, values[i] != 0.0);
    case TSLIM_DTYPE_UINT8:
        STORE(uint8_t, saturate_i64(values[i], 0, UINT8_MAX));
    case TSLIM_DTYPE_INT8:
        STORE(int8_t, saturate_i64(values[i], INT8_MIN, INT8_MAX));
    case TSLIM_DTYPE_UINT16:
        STORE(uint16_t, saturate_i64(values[i], 0, UINT16_MAX));
    case TSLIM_DTYPE_INT16:
        STORE(int16_t, saturate_i64(values[i], INT16_MIN, INT16_MAX));
    case TSLIM_DTYPE_UINT32:
        STORE(uint32_t, saturate_i64(values[i], 0, UINT32_MAX));
    case TSLIM_DTYPE_INT32:
        STORE(int32_t, saturate_i64(values[i], INT32_MIN, INT32_MAX));
    case TSLIM_DTYPE_UINT64:
        STORE(uint64_t, saturate_u64(values[i]));
    case TSLIM_DTYPE_INT64:
        STORE(int64_t, saturate_i64(values[i], INT64_MIN, INT64_MAX));
    default:
        break;
    }
}

void tsl_store_ints(tslim_dtype dtype, uint8_t *data, ptrdiff_t stride, size_t count, const int64_t *values) {
    switch (dtype) {
    case TSLIM_DTYPE_BOOL:
        STORE(uint8_t, values[i] != 0);
    case TSLIM_DTYPE_UINT8:
    case TSLIM_DTYPE_INT8:
        STORE(uint8_t, values[i]);
    case TSLIM_DTYPE_UINT16:
    case TSLIM_DTYPE_INT16:
        STORE(uint16_t, values[i]);
    case TSLIM_DTYPE_UINT32:
    case TSLIM_DTYPE_INT32:
        STORE(uint32_t, values[i]);
    case TSLIM_DTYPE_UINT64:
    case TSLIM_DTYPE_INT64:
        STORE(uint64_t, values[i]);
    case TSLIM_DTYPE_FLOAT:
        STORE(float, values[i]); // in one rounding
    default:
        break;
    }
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        tsl_store_doubles(dtype, data + (ptrdiff_t)i * stride, 0, 1, &value);
    }
}
