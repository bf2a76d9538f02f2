// SPDX-License-Identifier: Apache-2.0
// Vectors of floats in plain C, in the names of x86/vector256.h: for templates that every level shares.
#ifndef TSL_CPU_PORTABLE_LANES_H
#define TSL_CPU_PORTABLE_LANES_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#define TSL_INLINE static inline
#define TSL_UNROLL
#define TSL_LANES 16

typedef struct tsl_vf {
    float lane[TSL_LANES];
} tsl_vf;

#define TSL_EACH_LANE(expression)                                                                            \
    tsl_vf y;                                                                                                \
    for (int i = 0; i < TSL_LANES; i++) y.lane[i] = expression;                                              \
    return y

TSL_INLINE tsl_vf tsl_vf_set(float v) {
    TSL_EACH_LANE(v);
}
TSL_INLINE tsl_vf tsl_vf_load(const float *from) {
    TSL_EACH_LANE(from[i]);
}
TSL_INLINE void tsl_vf_store(float *to, tsl_vf v) {
    memcpy(to, v.lane, sizeof v.lane);
}
TSL_INLINE tsl_vf tsl_vf_load_few(const float *from, size_t count) {
    tsl_vf y = {{0}};
    memcpy(y.lane, from, count * sizeof(float));
    return y;
}
TSL_INLINE void tsl_vf_store_few(float *to, tsl_vf v, size_t count) {
    memcpy(to, v.lane, count * sizeof(float));
}
TSL_INLINE tsl_vf tsl_vf_add(tsl_vf a, tsl_vf b) {
    TSL_EACH_LANE(a.lane[i] + b.lane[i]);
}
TSL_INLINE tsl_vf tsl_vf_subtract(tsl_vf a, tsl_vf b) {
    TSL_EACH_LANE(a.lane[i] - b.lane[i]);
}
TSL_INLINE tsl_vf tsl_vf_multiply(tsl_vf a, tsl_vf b) {
    TSL_EACH_LANE(a.lane[i] * b.lane[i]);
}
TSL_INLINE tsl_vf tsl_vf_multiply_add(tsl_vf a, tsl_vf b, tsl_vf c) {
    TSL_EACH_LANE(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
// Not a number stays so.
TSL_INLINE tsl_vf tsl_vf_clamp(tsl_vf y, tsl_vf lo, tsl_vf hi) {
    for (int i = 0; i < TSL_LANES; i++) {
        float x = lo.lane[i] > y.lane[i] ? lo.lane[i] : y.lane[i];
        y.lane[i] = hi.lane[i] < x ? hi.lane[i] : x;
    }
    return y;
}
#undef TSL_EACH_LANE

#endif
