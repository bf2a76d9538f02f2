// SPDX-License-Identifier: Apache-2.0
// An arena of linked blocks; each block is one allocation of the context.
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

// Blocks double from the first on: a model can have very many small graphs within its nodes, and each has an arena.
#define FIRST_BLOCK ((size_t)1024)
#define LARGEST_BLOCK ((size_t)16384)
#define HEADER_SIZE ((size_t)64)

struct tsl_arena_block {
    tsl_arena_block *older;
    size_t size; // of the whole allocation
    size_t used; // the header included
};

void tsl_arena_init(tsl_arena *arena, tslim_context *ctx) {
    *arena = (tsl_arena){.ctx = ctx};
}

void tsl_arena_clear(tsl_arena *arena) {
    while (arena->blocks) {
        tsl_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        tsl_free(arena->ctx, block, block->size);
    }
}

static void *take(tsl_arena_block *block, size_t size, size_t alignment) {
    size_t start;
    if (!tsl_align_size(block->used, alignment, &start) || start > block->size || block->size - start < size)
        return NULL;
    block->used = start + size;
    return (char *)block + start;
}

static tsl_arena_block *add_block(tsl_arena *arena, size_t content) {
    size_t size;
    if (!tsl_add_size(HEADER_SIZE, content, &size)) return NULL;
    tsl_arena_block *block = tsl_allocate(arena->ctx, size);
    if (!block) return NULL;
    *block = (tsl_arena_block){.size = size, .used = HEADER_SIZE};
    return block;
}

static void *allocate_aligned(tsl_arena *arena, size_t size, size_t alignment) {
    void *memory = arena->blocks ? take(arena->blocks, size, alignment) : NULL;
    if (memory) return memory;
    size_t next = arena->blocks ? 2 * arena->blocks->size : FIRST_BLOCK;
    if (next > LARGEST_BLOCK) next = LARGEST_BLOCK;
    bool large = size > next / 4;
    tsl_arena_block *block = add_block(arena, large ? size : next);
    if (!block) return NULL;
    if (large && arena->blocks) {
        // Behind the newest, whose free room stays in use.
        block->older = arena->blocks->older;
        arena->blocks->older = block;
    } else {
        block->older = arena->blocks;
        arena->blocks = block;
    }
    return take(block, size, alignment);
}

void *tsl_arena_alloc(tsl_arena *arena, size_t size) {
    return allocate_aligned(arena, size ? size : 1, 16);
}

void *tsl_arena_alloc_aligned(tsl_arena *arena, size_t size) {
    return allocate_aligned(arena, size ? size : 1, 64);
}

void *tsl_arena_alloc_zeroed(tsl_arena *arena, size_t size) {
    void *memory = tsl_arena_alloc(arena, size);
    if (memory) memset(memory, 0, size ? size : 1);
    return memory;
}

void *tsl_arena_array(tsl_arena *arena, size_t count, size_t element_size) {
    size_t size;
    return tsl_mul_size(count, element_size, &size) ? tsl_arena_alloc_zeroed(arena, size) : NULL;
}

void *tsl_arena_copy(tsl_arena *arena, const void *data, size_t size) {
    void *memory = tsl_arena_alloc(arena, size);
    if (memory && size) memcpy(memory, data, size);
    return memory;
}

char *tsl_arena_string_n(tsl_arena *arena, const char *text, size_t length) {
    char *copy = tsl_arena_alloc(arena, length + 1);
    if (!copy) return NULL;
    if (length) memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *tsl_arena_string(tsl_arena *arena, const char *text) {
    return tsl_arena_string_n(arena, text, strlen(text));
}

char *tsl_arena_format(tsl_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) return NULL;
    char *text = tsl_arena_alloc(arena, (size_t)length + 1);
    if (!text) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}
