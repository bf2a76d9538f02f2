// SPDX-License-Identifier: Apache-2.0
// Size arithmetic that cannot wrap: each returns false on overflow and leaves the result unset.
#ifndef TSL_BASE_CHECKED_H
#define TSL_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tsl_add_size(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool tsl_mul_size(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}
static inline bool tsl_add_i64(int64_t a, int64_t b, int64_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool tsl_mul_i64(int64_t a, int64_t b, int64_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

// `value` rounded up to a multiple of `alignment` (a power of two).
static inline bool tsl_align_size(size_t value, size_t alignment, size_t *aligned) {
    size_t raised;
    if (!tsl_add_size(value, alignment - 1, &raised)) return false;
    *aligned = raised & ~(alignment - 1);
    return true;
}

static inline size_t tsl_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}
static inline int64_t tsl_min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t tsl_max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

#endif
