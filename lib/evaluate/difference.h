// SPDX-License-Identifier: Apache-2.0
// Sums that tell how far one tensor is from another, over many batches.
#ifndef TSL_EVALUATE_DIFFERENCE_H
#define TSL_EVALUATE_DIFFERENCE_H

#include <tinyslim/evaluate.h>

typedef struct tsl_difference_sums {
    double max_abs;
    double square_a, square_b, product, square_difference;
    uint64_t elements;
    uint64_t rows, argmax_agree;
} tsl_difference_sums;

// Adds `count` elements, in order, so that the sums are the same on every run.
void tsl_difference_add(tsl_difference_sums *sums, const float *a, const float *b, size_t count);

// Compares the places of the largest element of each row.
void tsl_difference_add_rows(
    tsl_difference_sums *sums, const float *a, const float *b, size_t rows, size_t columns);

// Fills all fields of `difference` but the names.
void tsl_difference_finish(const tsl_difference_sums *sums, tslim_difference *difference);

#endif
