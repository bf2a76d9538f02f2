// SPDX-License-Identifier: Apache-2.0
// The context: options checked, memory counted to the caller's allocator, log lines formatted.
#include "base/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu_info.h"
#include "base/status.h"
#include "base/thread_pool.h"

#define ALIGNMENT 64

// Activations are one block, all of which is used. In large pages it is there after a few faults instead of
// hundreds, and needs fewer entries of the processor's table of pages. What does not fill one stays in small
// ones.
#define LARGE_PAGE ((size_t)2 << 20)

static void *malloc_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    void *memory = NULL;
    const bool large = size >= LARGE_PAGE && alignment <= LARGE_PAGE;
    if (posix_memalign(&memory, large ? LARGE_PAGE : alignment, size) != 0) return NULL;
#if defined(MADV_HUGEPAGE)
    if (large) (void)madvise(memory, size / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    return memory;
}

static void malloc_release(void *user, void *memory, size_t size) {
    (void)user;
    (void)size;
    free(memory);
}

void tslim_context_options_init(tslim_context_options *options) {
    if (!options) return;
    *options = (tslim_context_options){.struct_size = sizeof(*options)};
}

static void set_default(uint64_t *limit, uint64_t value) {
    if (*limit == 0) *limit = value;
}

static void set_default_limits(tslim_limits *limits) {
    set_default(&limits->file_bytes, UINT64_C(8) << 30);
    set_default(&limits->nodes, 100000);
    set_default(&limits->elements, UINT64_C(1) << 31);
    set_default(&limits->arena_bytes, UINT64_C(8) << 30);
    if (limits->rank == 0 || limits->rank > TSLIM_MAX_RANK) limits->rank = TSLIM_MAX_RANK;
    if (limits->nesting == 0) limits->nesting = 32;
}

// The level that the options, or else the environment, ask for; DEFAULT is resolved to the machine's best.
static tslim_status choose_isa(tslim_isa asked, tslim_isa *isa) {
    const char *name = getenv("TINYSLIM_ISA");
    if (asked == TSLIM_ISA_DEFAULT && name && *name) {
        if (tslim_isa_from_name(name, &asked) != TSLIM_OK)
            return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "TINYSLIM_ISA=%s is no instruction set", name);
    }
    if (asked == TSLIM_ISA_DEFAULT) asked = tsl_isa_best();
    TSL_REQUIRE(tslim_isa_available(asked), TSLIM_ERROR_UNAVAILABLE, "this machine has no %s (it has %s)",
        tslim_isa_name(asked), tslim_isa_name(tsl_isa_best()));
    *isa = asked;
    return TSLIM_OK;
}

tslim_status tslim_context_create(const tslim_context_options *options, tslim_context **context) {
    TSL_REQUIRE(context, TSLIM_ERROR_INVALID_ARGUMENT, "context is NULL");
    *context = NULL;
    tslim_context_options o;
    tslim_context_options_init(&o);
    if (options) {
        TSL_REQUIRE(options->struct_size >= sizeof(uint32_t) && options->struct_size <= sizeof(o),
            TSLIM_ERROR_INVALID_ARGUMENT, "context options: struct_size %u is not one of this library's",
            options->struct_size);
        memcpy(&o, options, options->struct_size);
    }
    if (!o.allocator.allocate || !o.allocator.release)
        o.allocator = (tslim_allocator){malloc_allocate, malloc_release, NULL};
    TSL_REQUIRE(o.n_threads <= 1024, TSLIM_ERROR_INVALID_ARGUMENT, "%u threads: at most 1024", o.n_threads);
    tslim_isa isa = TSLIM_ISA_PORTABLE;
    TSL_TRY(choose_isa(o.isa, &isa));

    tslim_context *ctx = o.allocator.allocate(o.allocator.user, sizeof(*ctx), ALIGNMENT);
    TSL_REQUIRE_MEMORY(ctx, sizeof(*ctx));
    *ctx = (tslim_context){.allocator = o.allocator,
        .log = o.log,
        .log_user = o.log_user,
        .limits = o.limits,
        .isa = isa,
        .n_threads = o.n_threads,
        .parallel_for = o.parallel_for,
        .parallel_user = o.parallel_user};
    atomic_init(&ctx->references, 1);
    set_default_limits(&ctx->limits);
    if (ctx->n_threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        ctx->n_threads = cores < 1 ? 1 : cores > 1024 ? 1024 : (uint32_t)cores;
    }
    if (!ctx->parallel_for && ctx->n_threads > 1) {
        tslim_status status = tsl_thread_pool_create(ctx, ctx->n_threads, &ctx->pool);
        if (status != TSLIM_OK) {
            tsl_context_release(ctx);
            return status;
        }
    }
    *context = ctx;
    return TSLIM_OK;
}

void tslim_context_destroy(tslim_context *context) {
    if (context) tsl_context_release(context);
}

tslim_context *tsl_context_retain(tslim_context *ctx) {
    atomic_fetch_add_explicit(&ctx->references, 1, memory_order_relaxed);
    return ctx;
}

void tsl_context_release(tslim_context *ctx) {
    if (atomic_fetch_sub_explicit(&ctx->references, 1, memory_order_acq_rel) != 1) return;
    tsl_thread_pool_destroy(ctx->pool);
    tslim_allocator allocator = ctx->allocator;
    allocator.release(allocator.user, ctx, sizeof(*ctx));
}

const char *tslim_context_message(const tslim_context *context) {
    (void)context;
    return tsl_message();
}

uint32_t tslim_context_threads(const tslim_context *context) {
    return context ? context->n_threads : 0;
}

tslim_isa tslim_context_isa(const tslim_context *context) {
    return context ? context->isa : TSLIM_ISA_PORTABLE;
}

void *tsl_allocate(tslim_context *ctx, size_t size) {
    return ctx->allocator.allocate(ctx->allocator.user, size ? size : 1, ALIGNMENT);
}

void *tsl_allocate_zeroed(tslim_context *ctx, size_t size) {
    void *memory = tsl_allocate(ctx, size);
    if (memory) memset(memory, 0, size ? size : 1);
    return memory;
}

void tsl_free(tslim_context *ctx, void *memory, size_t size) {
    if (memory) ctx->allocator.release(ctx->allocator.user, memory, size ? size : 1);
}

void *tsl_reallocate(tslim_context *ctx, void *memory, size_t old_size, size_t new_size) {
    void *moved = tsl_allocate(ctx, new_size);
    if (!moved) return NULL;
    if (memory) memcpy(moved, memory, old_size < new_size ? old_size : new_size);
    tsl_free(ctx, memory, old_size);
    return moved;
}

bool tsl_grow(tslim_context *ctx, void **array, size_t *capacity, size_t needed, size_t element_size) {
    if (needed <= *capacity) return true;
    size_t room = *capacity ? *capacity : 8;
    while (room < needed) {
        if (room > SIZE_MAX / 2) return false;
        room *= 2;
    }
    if (room > SIZE_MAX / element_size) return false;
    void *moved = tsl_reallocate(ctx, *array, *capacity * element_size, room * element_size);
    if (!moved) return false;
    *array = moved;
    *capacity = room;
    return true;
}

void tsl_log(tslim_context *ctx, tslim_log_level level, const char *format, ...) {
    if (!ctx->log) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    ctx->log(ctx->log_user, level, line);
}
