// SPDX-License-Identifier: Apache-2.0
// An allocator that fails at one chosen call and counts what is not given back.
#ifndef TEST_SUPPORT_FAILING_ALLOCATOR_H
#define TEST_SUPPORT_FAILING_ALLOCATOR_H

#include <tinyslim/context.h>

typedef struct failing_allocator {
    uint64_t calls;
    uint64_t fail_at; // the call that fails, from 1; 0: none
    int64_t live, live_bytes;
} failing_allocator;

tslim_allocator failing_allocator_interface(failing_allocator *allocator);

#endif
