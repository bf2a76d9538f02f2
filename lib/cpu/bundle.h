// SPDX-License-Identifier: Apache-2.0
// Bundles: which groups of four channels an INT8 matrix product may add up in 16 bits before it widens the
// sums. A choice that depends on the weights, made once, when a session is made; the packed weights stay as
// they are.
#ifndef TSL_CPU_BUNDLE_H
#define TSL_CPU_BUNDLE_H

#include "cpu/product.h"

// A lane of 16 bits holds the products of two neighbouring weights of one output channel, summed over the
// groups of a bundle. Activations 0..127 reach no further than the weights of one sign do, those of either
// sign as far as the magnitudes of all: 255 * 128 < 2^15. Activations 0..127 would allow 258, but 255 is a
// byte.
#define TSL_BUNDLE_BOUND 255

// What sorting one panel's groups needs: from tsl_bundler_create.
typedef struct tsl_bundler {
    const ptrdiff_t *tap;
    size_t k4, groups; // of a kernel position, and of all
    uint32_t *next; // group: the next one of its list
    uint32_t *first; // bundle: its first group
    uint8_t *size; // bundle: how many groups
    uint32_t *by_magnitude; // heads of lists of groups
} tsl_bundler;

tslim_status tsl_bundler_create(
    tsl_arena *arena, const ptrdiff_t *tap, size_t n_taps, size_t k4, tsl_bundler *b);
// Bundles of the panel at `w`, [tap][k4][16][4]; their places come from `arena`.
tslim_status tsl_bundler_run(
    const tsl_bundler *b, tsl_arena *arena, const int8_t *w, tsl_activation_kind kind, tsl_bundles *bundles);

// Sets product->bundles where the kernels want them and the product has enough rows to gain by them. `packed`
// are its constant weights, or NULL.
tslim_status tsl_product_bundle(const tsl_prepare *p, const int8_t *packed, tsl_product *product);

#endif
