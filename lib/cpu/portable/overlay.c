// SPDX-License-Identifier: Apache-2.0
// The ground of the dispatch table: every function in portable C. What other levels do is compared with it.
#include "cpu/kernels.h"

#include "cpu/portable/portable.h"

void tsl_cpu_overlay_portable(tsl_cpu_functions *functions) {
#define TSL_KERNEL(name, result, parameters) functions->name = tsl_portable_##name;
#include "cpu/kernels.inc"
#undef TSL_KERNEL
}
