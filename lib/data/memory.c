// SPDX-License-Identifier: Apache-2.0
// Memory that remembers its size in the 64 bytes before it.
#include "data/memory.h"

#include <string.h>

#include "base/checked.h"

#define TSL_SIZED_HEADER 64

void *tsl_sized_allocate(tslim_context *ctx, size_t size) {
    size_t total;
    if (!tsl_add_size(size, TSL_SIZED_HEADER, &total)) return NULL;
    unsigned char *memory = tsl_allocate(ctx, total);
    if (!memory) return NULL;
    memcpy(memory, &total, sizeof total);
    return memory + TSL_SIZED_HEADER;
}

void tsl_sized_free(tslim_context *ctx, void *memory) {
    if (!memory) return;
    unsigned char *start = (unsigned char *)memory - TSL_SIZED_HEADER;
    size_t total;
    memcpy(&total, start, sizeof total);
    tsl_free(ctx, start, total);
}
