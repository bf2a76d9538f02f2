// SPDX-License-Identifier: Apache-2.0
// What the processor, together with its operating system, can run.
#ifndef TSL_BASE_CPU_INFO_H
#define TSL_BASE_CPU_INFO_H

#include <tinyslim/context.h>

// The highest level that this machine can run.
tslim_isa tsl_isa_best(void);

// AVX-512 VBMI, which some processors with AVX-512 VNNI lack: an extra of that level, not one of its own.
bool tsl_cpu_has_vbmi(void);
// Carry-less multiplication of vectors of 64 bytes.
bool tsl_cpu_has_vpclmulqdq(void);

#endif
