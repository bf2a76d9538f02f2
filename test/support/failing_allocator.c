// SPDX-License-Identifier: Apache-2.0
// On top of malloc. For tests with one thread.
#include "support/failing_allocator.h"

#include <stdlib.h>

static void *allocate(void *user, size_t size, size_t alignment) {
    failing_allocator *a = user;
    void *memory = NULL;
    if (++a->calls == a->fail_at || posix_memalign(&memory, alignment, size) != 0) return NULL;
    a->live++;
    a->live_bytes += (int64_t)size;
    return memory;
}

static void release(void *user, void *memory, size_t size) {
    failing_allocator *a = user;
    a->live--;
    a->live_bytes -= (int64_t)size;
    free(memory);
}

tslim_allocator failing_allocator_interface(failing_allocator *allocator) {
    return (tslim_allocator){allocate, release, allocator};
}
