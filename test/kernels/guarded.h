// SPDX-License-Identifier: Apache-2.0
// Memory that ends at a page that may not be touched: a read or write past the end stops the test.
#ifndef TEST_KERNELS_GUARDED_H
#define TEST_KERNELS_GUARDED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded {
    char *map;
    size_t pages_bytes; // with the untouchable page
    char *data; // `bytes` of them, right before that page
    size_t bytes;
} guarded;

// `capacity` bytes, of which guarded_resize chooses how many are in use.
static inline guarded guarded_create(size_t capacity) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.pages_bytes = (capacity + page - 1) / page * page + page};
    g.map = mmap(NULL, g.pages_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + g.pages_bytes - page, page, PROT_NONE) != 0) {
        perror("guarded memory");
        exit(1);
    }
    return g;
}

static inline void *guarded_resize(guarded *g, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes > g->pages_bytes - page) {
        fprintf(
            stderr, "guarded memory: %zu bytes are wanted, %zu are there\n", bytes, g->pages_bytes - page);
        exit(1);
    }
    g->bytes = bytes;
    g->data = g->map + g->pages_bytes - page - bytes;
    return g->data;
}

static inline void guarded_free(guarded *g) {
    munmap(g->map, g->pages_bytes);
}

#endif
