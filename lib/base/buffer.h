// SPDX-License-Identifier: Apache-2.0
// Bytes with a reference count: owned memory, a mapped file, or memory that the caller lends.
#ifndef TSL_BASE_BUFFER_H
#define TSL_BASE_BUFFER_H

#include "base/context.h"

typedef struct tsl_buffer {
    atomic_uint references;
    tslim_context *ctx;
    void *data; // const for mapped and borrowed ones: only an owner with one reference may write
    size_t size;
    enum { TSL_BUFFER_OWNED, TSL_BUFFER_MAPPED, TSL_BUFFER_BORROWED } kind;
} tsl_buffer;

// Owned memory, 64-byte aligned, not zeroed. NULL when memory is short.
tsl_buffer *tsl_buffer_create(tslim_context *ctx, size_t size);
tsl_buffer *tsl_buffer_borrow(tslim_context *ctx, const void *data, size_t size);
tsl_buffer *tsl_buffer_retain(tsl_buffer *buffer); // NULL is allowed
void tsl_buffer_release(tsl_buffer *buffer); // NULL is allowed

#endif
