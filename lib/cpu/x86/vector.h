// SPDX-License-Identifier: Apache-2.0
// The longest vectors of the level that is being compiled.
#ifndef TSL_CPU_X86_VECTOR_H
#define TSL_CPU_X86_VECTOR_H

#if defined(__AVX512F__) && !defined(TSL_VNNI_EVEX)
#include "cpu/x86/vector512.h"
#else
#include "cpu/x86/vector256.h"
#endif

#endif
