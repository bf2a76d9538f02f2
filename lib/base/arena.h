// SPDX-License-Identifier: Apache-2.0
// An arena: many small allocations that are freed together.
#ifndef TSL_BASE_ARENA_H
#define TSL_BASE_ARENA_H

#include "base/context.h"

typedef struct tsl_arena_block tsl_arena_block;

typedef struct tsl_arena {
    tslim_context *ctx;
    tsl_arena_block *blocks; // newest first
} tsl_arena;

void tsl_arena_init(tsl_arena *arena, tslim_context *ctx);
// Frees everything; the arena can be used again.
void tsl_arena_clear(tsl_arena *arena);

// 16-byte aligned memory, or NULL. A large request gets a block of its own.
void *tsl_arena_alloc(tsl_arena *arena, size_t size);
// 64-byte aligned.
void *tsl_arena_alloc_aligned(tsl_arena *arena, size_t size);
void *tsl_arena_alloc_zeroed(tsl_arena *arena, size_t size);
// An array of `count` zeroed elements; NULL when the product overflows.
void *tsl_arena_array(tsl_arena *arena, size_t count, size_t element_size);
void *tsl_arena_copy(tsl_arena *arena, const void *data, size_t size);
char *tsl_arena_string(tsl_arena *arena, const char *text);
char *tsl_arena_string_n(tsl_arena *arena, const char *text, size_t length);
char *tsl_arena_format(tsl_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
