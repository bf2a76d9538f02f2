// SPDX-License-Identifier: Apache-2.0
// What the tests of vector kernels share: operands of all kinds of bits that end where reading faults, and a
// loop over the levels that this machine has.
#ifndef TEST_KERNELS_VECTOR_TEST_H
#define TEST_KERNELS_VECTOR_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cpu/function.h"
#include "cpu/kernels.h"
#include "kernels/guarded.h"

enum { CAPACITY = 4096 };

static const tslim_isa isas[] = {TSLIM_ISA_PORTABLE, TSLIM_ISA_AVX2, TSLIM_ISA_AVXVNNI, TSLIM_ISA_AVX512,
    TSLIM_ISA_AVX512VNNI, TSLIM_ISA_NEON, TSLIM_ISA_NEONDOT};
static guarded memory[5];
static tsl_rng rng;

static inline int set_up(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 5; i++) memory[i] = guarded_create(CAPACITY * sizeof(float));
    tsl_rng_seed(&rng, 7);
    return 0;
}
static inline int tear_down(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 5; i++) guarded_free(&memory[i]);
    return 0;
}

static inline size_t below(size_t n) {
    return (size_t)tsl_rng_below(&rng, n);
}
static inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
// Any bit pattern, or an ordinary number.
static inline float any_float(void) {
    return below(3) == 0 ? from_bits((uint32_t)tsl_rng_next(&rng)) : (float)tsl_rng_normal(&rng) * 4.0f;
}
static inline float *floats(size_t slot, size_t n) {
    float *p = guarded_resize(&memory[slot], n * sizeof(float));
    for (size_t i = 0; i < n; i++) p[i] = any_float();
    return p;
}
static inline int8_t *bytes(size_t slot, size_t n) {
    int8_t *p = guarded_resize(&memory[slot], n);
    for (size_t i = 0; i < n; i++) p[i] = (int8_t)tsl_rng_next(&rng);
    return p;
}

static inline void assert_same_floats(
    const float *a, const float *b, size_t n, const char *what, tslim_isa isa) {
    for (size_t i = 0; i < n; i++) {
        if (to_bits(a[i]) == to_bits(b[i]) || (isnan(a[i]) && isnan(b[i]))) continue;
        fail_msg("%s at %s: element %zu of %zu is %a, not %a", what, tslim_isa_name(isa), i, n, (double)a[i],
            (double)b[i]);
    }
}

// Runs `body` for each level above portable, with `f` its functions.
#define FOR_LEVELS(body)                                                                                     \
    for (size_t level = 1; level < sizeof(isas) / sizeof(isas[0]); level++) {                                \
        if (!tslim_isa_available(isas[level])) continue;                                                     \
        const tsl_cpu_functions *f = tsl_cpu_functions_get(isas[level]);                                     \
        body                                                                                                 \
    }

static inline const tsl_cpu_functions *portable(void) {
    return tsl_cpu_functions_get(TSLIM_ISA_PORTABLE);
}

#endif
