// SPDX-License-Identifier: Apache-2.0
// The functions of kernels.inc in portable C: tsl_portable_<name>.
#ifndef TSL_CPU_PORTABLE_H
#define TSL_CPU_PORTABLE_H

#include "cpu/kernels.h"

#define TSL_KERNEL(name, result, parameters) result tsl_portable_##name parameters;
#include "cpu/kernels.inc"
#undef TSL_KERNEL

#endif
