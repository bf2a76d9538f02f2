// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same on every machine: xoshiro256** (Blackman and Vigna, 2018), seeded by
// splitmix64.
#ifndef TSL_BASE_RNG_H
#define TSL_BASE_RNG_H

#include <stdint.h>

typedef struct tsl_rng {
    uint64_t state[4];
} tsl_rng;

void tsl_rng_seed(tsl_rng *rng, uint64_t seed);
uint64_t tsl_rng_next(tsl_rng *rng);
// In [0, bound), without bias; bound > 0.
uint64_t tsl_rng_below(tsl_rng *rng, uint64_t bound);
// In [0, 1), 53 bits.
double tsl_rng_uniform(tsl_rng *rng);
// Mean 0, variance 1 (Box and Muller).
double tsl_rng_normal(tsl_rng *rng);

#endif
