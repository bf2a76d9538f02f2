// SPDX-License-Identifier: Apache-2.0
// Merge sort (Knuth, The Art of Computer Programming, volume 3, 5.2.4).
#include "cpu/sort.h"

#include <string.h>

static void merge(const int64_t *from, int64_t *to, size_t begin, size_t middle, size_t end,
    tsl_index_before before, const void *user) {
    size_t a = begin, b = middle;
    for (size_t i = begin; i < end; i++) {
        bool take_b = b < end && (a >= middle || before(user, from[b], from[a]));
        to[i] = take_b ? from[b++] : from[a++];
    }
}

void tsl_sort_indices(int64_t *order, int64_t *room, size_t n, tsl_index_before before, const void *user) {
    int64_t *from = order, *to = room;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t middle = n - begin < width ? n : begin + width;
            size_t end = n - middle < width ? n : middle + width;
            merge(from, to, begin, middle, end, before, user);
        }
        int64_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != order) memcpy(order, from, n * sizeof(*order));
}
