// SPDX-License-Identifier: Apache-2.0
// xoshiro256** 1.0 (Blackman and Vigna, 2018, arXiv:1805.01407).
#include "base/rng.h"

#include <math.h>

static uint64_t rotate_left(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

void tsl_rng_seed(tsl_rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) { // splitmix64
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        rng->state[i] = z ^ z >> 31;
    }
}

uint64_t tsl_rng_next(tsl_rng *rng) {
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t tsl_rng_below(tsl_rng *rng, uint64_t bound) {
    // Values past the last whole multiple of bound would favour small results.
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t x;
    do x = tsl_rng_next(rng);
    while (x >= limit);
    return x % bound;
}

double tsl_rng_uniform(tsl_rng *rng) {
    return (double)(tsl_rng_next(rng) >> 11) * 0x1p-53;
}

double tsl_rng_normal(tsl_rng *rng) {
    double u = 1.0 - tsl_rng_uniform(rng); // (0, 1]
    double angle = 6.283185307179586 * tsl_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(angle);
}
