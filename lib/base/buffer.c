// SPDX-License-Identifier: Apache-2.0
// Reference-counted bytes.
#include "base/buffer.h"

#include <sys/mman.h>

static tsl_buffer *create(tslim_context *ctx, void *data, size_t size, int kind) {
    tsl_buffer *buffer = tsl_allocate(ctx, sizeof(*buffer));
    if (!buffer) return NULL;
    *buffer = (tsl_buffer){.ctx = tsl_context_retain(ctx), .data = data, .size = size};
    buffer->kind = kind == TSL_BUFFER_OWNED ? TSL_BUFFER_OWNED : TSL_BUFFER_BORROWED;
    atomic_init(&buffer->references, 1);
    return buffer;
}

tsl_buffer *tsl_buffer_create(tslim_context *ctx, size_t size) {
    void *data = tsl_allocate(ctx, size);
    if (!data) return NULL;
    tsl_buffer *buffer = create(ctx, data, size, TSL_BUFFER_OWNED);
    if (!buffer) tsl_free(ctx, data, size);
    return buffer;
}

tsl_buffer *tsl_buffer_borrow(tslim_context *ctx, const void *data, size_t size) {
    // The memory is never written through a borrowed buffer.
    return create(ctx, (void *)(uintptr_t)data, size, TSL_BUFFER_BORROWED);
}

tsl_buffer *tsl_buffer_retain(tsl_buffer *buffer) {
    if (buffer) atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void tsl_buffer_release(tsl_buffer *buffer) {
    if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1) return;
    tslim_context *ctx = buffer->ctx;
    if (buffer->kind == TSL_BUFFER_OWNED) tsl_free(ctx, buffer->data, buffer->size);
    if (buffer->kind == TSL_BUFFER_MAPPED) munmap(buffer->data, buffer->size);
    tsl_free(ctx, buffer, sizeof(*buffer));
    tsl_context_release(ctx);
}
