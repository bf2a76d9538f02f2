// SPDX-License-Identifier: Apache-2.0
// Elements of any numeric type, seen as int64_t or double. What the operators that need no speed (integers,
// doubles, half floats) are written on: a run of elements is loaded, computed on and stored in blocks.
#ifndef TSL_CPU_ELEMENT_H
#define TSL_CPU_ELEMENT_H

#include <math.h>

#include "ir/tensor.h"

// Elements of a block.
#define TSL_BLOCK 256

// Integers and bool; of 64 bits or fewer.
bool tsl_element_is_integer(tslim_dtype dtype);
// Half, bfloat16, float and double.
bool tsl_element_is_real(tslim_dtype dtype);

// `stride` in bytes. Half floats, floats and integers up to 53 bits are exact.
void tsl_load_doubles(tslim_dtype dtype, const uint8_t *data, ptrdiff_t stride, size_t count, double *values);
// uint64 by its bits; reals as tsl_store_doubles converts.
void tsl_load_ints(tslim_dtype dtype, const uint8_t *data, ptrdiff_t stride, size_t count, int64_t *values);
// To integers: toward zero, saturating, NaN as 0; to bool: whether it is not 0; to reals: to nearest even.
void tsl_store_doubles(
    tslim_dtype dtype, uint8_t *data, ptrdiff_t stride, size_t count, const double *values);
// To integers: the low bits; to bool: whether it is not 0.
void tsl_store_ints(tslim_dtype dtype, uint8_t *data, ptrdiff_t stride, size_t count, const int64_t *values);

static inline double tsl_load_double(tslim_dtype dtype, const void *data) {
    double value = 0;
    tsl_load_doubles(dtype, data, 0, 1, &value);
    return value;
}
static inline int64_t tsl_load_int(tslim_dtype dtype, const void *data) {
    int64_t value = 0;
    tsl_load_ints(dtype, data, 0, 1, &value);
    return value;
}

float tsl_half_to_float(uint16_t half);
uint16_t tsl_double_to_half(double value);
uint16_t tsl_double_to_bfloat16(double value);

#endif
