// SPDX-License-Identifier: Apache-2.0
// The context's allocator for zlib and libpng, which give back memory without telling its size.
#ifndef TSL_DATA_MEMORY_H
#define TSL_DATA_MEMORY_H

#include "base/context.h"

// Memory that remembers its own size, 64-byte aligned; NULL when memory is short.
void *tsl_sized_allocate(tslim_context *ctx, size_t size);
// NULL is allowed.
void tsl_sized_free(tslim_context *ctx, void *memory);

#endif
