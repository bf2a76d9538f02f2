// SPDX-License-Identifier: Apache-2.0
// The distance of two tensors: largest difference, signal to noise, cosine, agreement of the largest
// elements.
#include "evaluate/difference.h"

#include <math.h>

void tsl_difference_add(tsl_difference_sums *sums, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        double x = a[i], y = b[i];
        // Equal infinities differ by nothing, and NaN is equal to NaN; any other difference from them is
        // infinite.
        double difference = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y);
        if (isnan(difference)) difference = INFINITY;
        if (difference > sums->max_abs) sums->max_abs = difference;
        sums->square_difference += difference * difference;
        sums->square_a += x * x;
        sums->square_b += y * y;
        sums->product += x * y;
    }
    sums->elements += count;
}

static size_t find_largest(const float *row, size_t columns) {
    size_t best = 0;
    for (size_t i = 1; i < columns; ++i) {
        if (row[i] > row[best]) best = i;
    }
    return best;
}

void tsl_difference_add_rows(
    tsl_difference_sums *sums, const float *a, const float *b, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows && columns > 0; ++r) {
        sums->argmax_agree +=
            find_largest(a + r * columns, columns) == find_largest(b + r * columns, columns);
    }
    sums->rows += rows;
}

void tsl_difference_finish(const tsl_difference_sums *sums, tslim_difference *difference) {
    difference->max_abs = sums->max_abs;
    difference->sqnr_db =
        sums->square_difference == 0 ? INFINITY : 10 * log10(sums->square_a / sums->square_difference);
    double norms = sqrt(sums->square_a) * sqrt(sums->square_b);
    bool both_zero = sums->square_a == 0 && sums->square_b == 0;
    difference->cosine = both_zero ? 1 : norms == 0 ? 0 : sums->product / norms;
    difference->elements = sums->elements;
    difference->rows = sums->rows;
    difference->argmax_agree = sums->argmax_agree;
}
