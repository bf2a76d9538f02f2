// SPDX-License-Identifier: Apache-2.0
// Sorting indices: merges from the bottom up, so equal ones stay in order; no memory of its own, unlike
// qsort.
#ifndef TSL_CPU_SORT_H
#define TSL_CPU_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// True when a comes before b.
typedef bool (*tsl_index_before)(const void *user, int64_t a, int64_t b);

// `order` holds n indices; `room` is for n more. The sorted indices are in `order`.
void tsl_sort_indices(int64_t *order, int64_t *room, size_t n, tsl_index_before before, const void *user);

#endif
