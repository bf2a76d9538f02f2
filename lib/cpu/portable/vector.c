// SPDX-License-Identifier: Apache-2.0
// vector_kernels.inc in plain C.
#include "cpu/portable/portable.h"

#define TSL_VECTOR_NAME(name) tsl_portable_##name
#define TSL_VECTOR_FUNCTION(name) void tsl_portable_##name
#include "cpu/vector_kernels.inc"
