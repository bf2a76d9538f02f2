// SPDX-License-Identifier: Apache-2.0
// winograd_f32.inc in plain C.
#include "cpu/portable/lanes.h"
#include "cpu/portable/portable.h"

#define TSL_VECTOR_FUNCTION(name) void tsl_portable_##name
#include "cpu/winograd_f32.inc"
