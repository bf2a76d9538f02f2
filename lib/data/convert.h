// SPDX-License-Identifier: Apache-2.0
// Elements of any numeric type as float or as integers.
#ifndef TSL_DATA_CONVERT_H
#define TSL_DATA_CONVERT_H

#include <tinyslim/api.h>

// True for the types that tsl_elements_to_float knows: all but NONE and STRING.
bool tsl_dtype_is_numeric(tslim_dtype dtype);
bool tsl_dtype_is_integer(tslim_dtype dtype);

// `source` needs no alignment. Numbers beyond a float's 24 bits are rounded to nearest.
void tsl_elements_to_float(tslim_dtype dtype, const void *source, size_t count, float *result);
// Integer types only; a uint64 above the largest int64 becomes -1, which is no label.
void tsl_elements_to_int64(tslim_dtype dtype, const void *source, size_t count, int64_t *result);

#endif
