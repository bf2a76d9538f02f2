// SPDX-License-Identifier: Apache-2.0
// Random numbers that depend on a seed and the number of an item alone: a shorter set of items is the
// beginning of a longer one, and sets of other seeds share nothing.
#ifndef OCR_RANDOM_H
#define OCR_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct ocr_random {
    uint64_t state;
} ocr_random;

// SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014).
static inline uint64_t random_bits(ocr_random *random) {
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline ocr_random random_for(uint64_t seed, uint64_t kind, uint64_t index) {
    ocr_random random = {seed};
    random.state = random_bits(&random) ^ kind;
    random.state = random_bits(&random) ^ index;
    random.state = random_bits(&random);
    return random;
}

// In [low, high).
static inline double random_between(ocr_random *random, double low, double high) {
    return low + (high - low) * (double)(random_bits(random) >> 11) * 0x1p-53;
}

// 0 to count - 1.
static inline uint32_t random_below(ocr_random *random, uint32_t count) {
    return (uint32_t)((random_bits(random) >> 32) * count >> 32);
}

static inline int random_chance(ocr_random *random, double probability) {
    return random_between(random, 0, 1) < probability;
}

// Of mean 0 and deviation 1 (Box and Muller, 1958).
static inline double random_normal(ocr_random *random) {
    double radius = sqrt(-2 * log(1 - random_between(random, 0, 1)));
    return radius * cos(2 * 3.14159265358979323846 * random_between(random, 0, 1));
}

#endif
