// SPDX-License-Identifier: Apache-2.0
// The context as the library sees it: memory, messages, limits, threads. Reference-counted: each object holds
// one.
#ifndef TSL_BASE_CONTEXT_H
#define TSL_BASE_CONTEXT_H

#include <stdatomic.h>

#include <tinyslim/context.h>

typedef struct tsl_thread_pool tsl_thread_pool;

struct tslim_context {
    atomic_uint references;
    tslim_allocator allocator;
    tslim_log_callback log;
    void *log_user;
    tslim_limits limits;
    tslim_isa isa;
    uint32_t n_threads;
    tslim_parallel_for parallel_for; // the host's, or NULL
    void *parallel_user;
    tsl_thread_pool *pool; // NULL with one thread or a host's parallel_for
};

tslim_context *tsl_context_retain(tslim_context *ctx);
void tsl_context_release(tslim_context *ctx);

// Memory. Every allocation is 64-byte aligned, so that any of it can hold vectors. `size` 0 is taken as 1.
void *tsl_allocate(tslim_context *ctx, size_t size);
void *tsl_allocate_zeroed(tslim_context *ctx, size_t size);
// `memory` may be NULL. `size` is the size that was asked for.
void tsl_free(tslim_context *ctx, void *memory, size_t size);
// Grows or shrinks; on failure returns NULL and `memory` is as it was.
void *tsl_reallocate(tslim_context *ctx, void *memory, size_t old_size, size_t new_size);

// An array that grows: ensures room for `needed` elements; returns false when memory is short.
// Use through TSL_GROW, with fields NAME, n_NAME elsewhere and `capacity` the allocated count.
bool tsl_grow(tslim_context *ctx, void **array, size_t *capacity, size_t needed, size_t element_size);

// A parallel loop over 0..count-1 in pieces of at least `grain` items. Nested calls run in the caller's
// thread.
void tsl_parallel_for(tslim_context *ctx, size_t count, size_t grain, tslim_task task, void *task_data);

// Log lines; formatted only when somebody listens.
void tsl_log(tslim_context *ctx, tslim_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
