// SPDX-License-Identifier: Apache-2.0
// What tests of prepared kernels share: random numbers, tensors in guarded memory with poison around them,
// and preparing and running a step at a level.
#ifndef TEST_KERNELS_KERNEL_TEST_H
#define TEST_KERNELS_KERNEL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend.h"
#include "base/rng.h"
#include "kernels/guarded.h"

static tsl_rng test_rng;

static inline int64_t random_between(int64_t low, int64_t high) {
    return low + (int64_t)tsl_rng_below(&test_rng, (uint64_t)(high - low + 1));
}
static inline bool one_in(uint64_t n) {
    return tsl_rng_below(&test_rng, n) == 0;
}
static inline float random_real(void) {
    return (float)(2 * tsl_rng_uniform(&test_rng) - 1);
}

// ---- Tensors ----
// Memory of a tensor: poison | elements, gaps, border | 64 bytes of poison | a page that may not be touched.
typedef struct test_tensor {
    tsl_tensor tensor;
    guarded memory;
    char *before; // a copy of the memory, to see what a run changed
} test_tensor;

enum { POISON_BEFORE = 256, POISON_BEHIND = 64, POISON = 0xff }; // as floats: not a number

// Sets strides: row-major, or for rank 4 channels last with the tensor's border and `gap` elements behind
// each pixel.
static inline void test_tensor_layout(tsl_tensor *t, bool channels_last, int64_t gap) {
    tsl_tensor_set_row_major(t);
    if (!channels_last || t->rank != 4) return;
    t->strides[1] = 1;
    t->strides[3] = t->dims[1] + gap;
    t->strides[2] = (t->dims[3] + t->border[1] + t->border[3]) * t->strides[3];
    t->strides[0] = (t->dims[2] + t->border[0] + t->border[2]) * t->strides[2];
}

// Allocates for the layout; every byte is poison, the border holds the zero point.
static inline void test_tensor_allocate(test_tensor *m) {
    tsl_tensor *t = &m->tensor;
    size_t element = tslim_dtype_size(t->dtype);
    int64_t last = 0;
    for (uint32_t i = 0; i < t->rank; i++) last += (t->dims[i] - 1) * t->strides[i];
    int64_t inside = t->rank == 4 ? t->border[0] * t->strides[2] + t->border[1] * t->strides[3] : 0;
    int64_t behind = t->rank == 4 ? t->border[2] * t->strides[2] + t->border[3] * t->strides[3] : 0;
    size_t elements = (size_t)(inside + last + 1 + behind);
    size_t behind_bytes = t->constant ? 0 : POISON_BEHIND;
    m->memory = guarded_create(POISON_BEFORE + elements * element + behind_bytes);
    char *data = guarded_resize(&m->memory, POISON_BEFORE + elements * element + behind_bytes);
    memset(data, POISON, m->memory.bytes);
    if (inside + behind > 0) memset(data + POISON_BEFORE, (uint8_t)t->quant.zero_point, elements * element);
    t->data = data + POISON_BEFORE + (size_t)inside * element;
}

// The address of the element at logical position `index` in row-major order.
static inline void *test_tensor_at(const tsl_tensor *t, int64_t index) {
    int64_t offset = 0;
    for (uint32_t i = t->rank; i-- > 0;) {
        offset += index % t->dims[i] * t->strides[i];
        index /= t->dims[i];
    }
    return (char *)t->data + offset * (int64_t)tslim_dtype_size(t->dtype);
}

static inline double test_tensor_get(const tsl_tensor *t, int64_t index) {
    const void *at = test_tensor_at(t, index);
    switch (t->dtype) {
    case TSLIM_DTYPE_FLOAT:
        return (double)*(const float *)at;
    case TSLIM_DTYPE_INT8:
        return *(const int8_t *)at;
    default:
        return *(const uint8_t *)at;
    }
}

static inline void test_tensor_randomize(const tsl_tensor *t, int low, int high) {
    int64_t elements = tsl_tensor_elements(t);
    for (int64_t i = 0; i < elements; i++) {
        void *at = test_tensor_at(t, i);
        int whole = one_in(8) ? (one_in(2) ? low : high) : (int)random_between(low, high);
        if (t->dtype == TSLIM_DTYPE_FLOAT)
            *(float *)at = random_real();
        else if (t->dtype == TSLIM_DTYPE_INT8)
            *(int8_t *)at = (int8_t)whole;
        else
            *(uint8_t *)at = (uint8_t)whole;
    }
}

static inline void test_tensor_remember(test_tensor *m) {
    m->before = malloc(m->memory.bytes);
    assert_non_null(m->before);
    memcpy(m->before, m->memory.data, m->memory.bytes);
}

// Fails when a byte that is no element of the output has changed.
static inline void test_tensor_check_surroundings(const test_tensor *m) {
    const tsl_tensor *t = &m->tensor;
    size_t element = tslim_dtype_size(t->dtype);
    int64_t elements = tsl_tensor_elements(t);
    for (int64_t i = 0; i < elements; i++) {
        char *at = test_tensor_at(t, i);
        memcpy(m->before + (at - m->memory.data), at, element);
    }
    assert_memory_equal(m->before, m->memory.data, m->memory.bytes);
}

static inline void test_tensor_free(test_tensor *m) {
    if (m->memory.map) guarded_free(&m->memory);
    free(m->before);
    *m = (test_tensor){0};
}

// ---- Steps ----
static inline void run_step_at(tslim_context *ctx, tslim_isa isa, const tsl_step *step) {
    tsl_arena arena;
    tsl_kernel kernel = {0};
    tsl_arena_init(&arena, ctx);
    tslim_status status = tsl_cpu_backend.prepare(ctx, isa, step, &arena, &kernel);
    if (status != TSLIM_OK) fail_msg("prepare: %s", tslim_context_message(ctx));
    // Scratch ends where touching faults, and holds poison.
    guarded scratch = guarded_create(kernel.scratch_bytes + 64);
    char *memory = guarded_resize(&scratch, (kernel.scratch_bytes + 63) / 64 * 64);
    memset(memory, POISON, scratch.bytes);
    tsl_run run = {.ctx = ctx,
        .kernel = &kernel,
        .inputs = step->inputs,
        .outputs = step->outputs,
        .scratch = (uint8_t *)memory};
    status = kernel.run(&run);
    if (status != TSLIM_OK) fail_msg("run: %s", tslim_context_message(ctx));
    guarded_free(&scratch);
    tsl_arena_clear(&arena);
}

static const tslim_isa test_levels[] = {TSLIM_ISA_PORTABLE, TSLIM_ISA_AVX2, TSLIM_ISA_AVXVNNI,
    TSLIM_ISA_AVX512, TSLIM_ISA_AVX512VNNI, TSLIM_ISA_NEON, TSLIM_ISA_NEONDOT};
enum { N_TEST_LEVELS = sizeof(test_levels) / sizeof(test_levels[0]) };

#endif
