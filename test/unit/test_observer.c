// SPDX-License-Identifier: Apache-2.0
// Observers against brute force over the raw samples: extremes, histograms, thresholds; and independence of
// order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "quant/observer.h"

#define SAMPLES 20000

enum distribution { NORMAL, RELU, HEAVY_TAILED, UNIFORM, OUTLIER, DISTRIBUTIONS };

static void draw(tsl_rng *rng, enum distribution distribution, float *x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double z = tsl_rng_normal(rng);
        switch (distribution) {
        case NORMAL:
            x[i] = (float)(0.3 * z);
            break;
        case RELU:
            x[i] = z > 0 ? (float)(3 * z) : 0;
            break;
        case HEAVY_TAILED:
            x[i] = (float)(z * z * z);
            break;
        case UNIFORM:
            x[i] = (float)(tsl_rng_uniform(rng) * 7 - 3);
            break;
        default:
            x[i] = (float)(i == 17 ? 40 : z);
            break;
        }
    }
}

static tslim_context *make_context(void) {
    tslim_context *ctx;
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    return ctx;
}

static tsl_observer *make_observer(void) {
    tsl_observer *observer = malloc(sizeof(*observer));
    assert_non_null(observer);
    tsl_observer_init(observer);
    return observer;
}

static double mean_square_error(const float *x, size_t count, double threshold) {
    double step = threshold / 127, sum = 0;
    for (size_t i = 0; i < count; i++) {
        double q = nearbyint((double)x[i] / step);
        double error = (double)x[i] - step * fmax(-127, fmin(127, q));
        sum += error * error;
    }
    return sum;
}

// The threshold from the histogram is as good, on the samples themselves, as the best of an exhaustive
// search.
static void test_mse(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    static float x[SAMPLES];
    tsl_rng rng;
    tsl_rng_seed(&rng, 1);
    for (int d = 0; d < DISTRIBUTIONS; d++) {
        draw(&rng, (enum distribution)d, x, SAMPLES);
        tsl_observer *o = make_observer();
        tsl_observer_add(o, x, SAMPLES);
        double largest = (double)tsl_observer_largest(o), best = INFINITY;
        for (int i = 1; i <= 1000; i++) best = fmin(best, mean_square_error(x, SAMPLES, largest * i / 1000));
        float threshold;
        assert_int_equal(
            tsl_observer_threshold(ctx, o, tsl_observer_span(o, true), TSLIM_CALIBRATION_MSE, 0, &threshold),
            TSLIM_OK);
        assert_true((double)threshold <= largest);
        assert_true(mean_square_error(x, SAMPLES, (double)threshold) <= 1.02 * best);
        // The search matters: keeping the outlier whole costs the others more than clipping it a little.
        if (d == OUTLIER) assert_true(mean_square_error(x, SAMPLES, largest) > 1.05 * best);
        free(o);
    }
    tslim_context_destroy(ctx);
}

static int compare_magnitudes(const void *a, const void *b) {
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x > y) - (x < y);
}

static void test_percentile(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    static float x[SAMPLES];
    tsl_rng rng;
    tsl_rng_seed(&rng, 2);
    for (int d = 0; d < DISTRIBUTIONS; d++) {
        draw(&rng, (enum distribution)d, x, SAMPLES);
        tsl_observer *o = make_observer();
        tsl_observer_add(o, x, SAMPLES);
        qsort(x, SAMPLES, sizeof(*x), compare_magnitudes);
        const double percentiles[] = {50, 90, 99, 99.9, 100};
        for (size_t i = 0; i < 5; i++) {
            float threshold;
            assert_int_equal(tsl_observer_threshold(ctx, o, tsl_observer_span(o, true),
                                 TSLIM_CALIBRATION_PERCENTILE, percentiles[i], &threshold),
                TSLIM_OK);
            size_t rank = (size_t)(percentiles[i] / 100 * SAMPLES);
            // Between the samples next to that rank, as far as a bin can tell.
            double below = (double)fabsf(x[rank > 1 ? rank - 2 : 0]);
            double above = (double)fabsf(x[rank < SAMPLES ? rank : SAMPLES - 1]);
            double bin = ldexp(1, o->exponent) / TSL_OBSERVER_BINS;
            assert_true((double)threshold >= below - bin && (double)threshold <= above + bin);
        }
        free(o);
    }
    tslim_context_destroy(ctx);
}

// Divergence of the clipped distribution from its 128 levels, straight from the definition, over the samples'
// own bins.
static double divergence(const uint64_t *bins, size_t used) {
    double total = 0, kept = 0, result = 0;
    for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) {
        total += (double)bins[i];
        if (i < used) kept += (double)bins[i];
    }
    for (size_t i = 0; i < used; i++) {
        double p = (double)bins[i] + (i == used - 1 ? total - kept : 0), sum = 0, filled = 0;
        if (p == 0) continue;
        for (size_t k = 0; k < used; k++) {
            // Two bins share a level when the level's borders, used / 128 apart, do not separate them.
            size_t level_i = (128 * (i + 1) - 1) / used, level_k = (128 * (k + 1) - 1) / used;
            if (level_i != level_k) continue;
            sum += (double)bins[k];
            filled += bins[k] != 0;
        }
        double q = bins[i] ? sum / filled / kept : 1e-12;
        result += p / total * log(p / total / q);
    }
    return result;
}

// The chosen threshold has the least divergence of all that are tried, 16 bins apart.
static void test_entropy(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    static float x[SAMPLES];
    tsl_rng rng;
    tsl_rng_seed(&rng, 3);
    draw(&rng, OUTLIER, x, SAMPLES);
    tsl_observer *o = make_observer();
    tsl_observer_add(o, x, SAMPLES);
    float threshold;
    assert_int_equal(
        tsl_observer_threshold(ctx, o, tsl_observer_span(o, true), TSLIM_CALIBRATION_ENTROPY, 0, &threshold),
        TSLIM_OK);
    assert_true(threshold > 1 && threshold < 20); // the outliers at 40 are given up, the bulk is kept
    size_t used = TSL_OBSERVER_BINS;
    while (o->bins[used - 1] == 0) used--;
    double chosen = (double)threshold * TSL_OBSERVER_BINS / ldexp(1, o->exponent);
    double least = divergence(o->bins, (size_t)(chosen + 0.5));
    for (size_t candidate = used; candidate >= 128; candidate = candidate > 400 + 16 ? candidate - 400 : 0)
        assert_true(divergence(o->bins, candidate) >= least - 1e-9);
    free(o);
    tslim_context_destroy(ctx);
}

static void assert_same(const tsl_observer *a, const tsl_observer *b) {
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->zeros, b->zeros);
    assert_int_equal(a->invalid, b->invalid);
    assert_int_equal(a->exponent, b->exponent);
    assert_memory_equal(&a->minimum, &b->minimum, sizeof(float));
    assert_memory_equal(&a->maximum, &b->maximum, sizeof(float));
    assert_memory_equal(a->bins, b->bins, sizeof(a->bins));
}

// Whole, in pieces, in reverse, and merged from shards in any order: the same counts.
static void test_order(void **state) {
    (void)state;
    static float x[SAMPLES];
    tsl_rng rng;
    tsl_rng_seed(&rng, 4);
    for (int round = 0; round < 20; round++) {
        double scale = exp2(tsl_rng_uniform(&rng) * 60 - 30);
        draw(&rng, HEAVY_TAILED, x, SAMPLES);
        for (size_t i = 0; i < SAMPLES; i++) x[i] = (float)((double)x[i] * scale);
        x[7] = -0.0f;
        x[8] = 0;
        x[SAMPLES - 5] = x[SAMPLES - 1] * 4; // the range grows late
        tsl_observer *whole = make_observer(), *pieces = make_observer(), *parts[3];
        tsl_observer_add(whole, x, SAMPLES);
        for (int i = 0; i < 3; i++) parts[i] = make_observer();
        for (size_t first = SAMPLES; first > 0;) {
            size_t length = 1 + (size_t)tsl_rng_below(&rng, first < 900 ? first : 900);
            first -= length;
            tsl_observer_add(pieces, x + first, length);
            tsl_observer_add(parts[tsl_rng_below(&rng, 3)], x + first, length);
        }
        assert_same(whole, pieces);
        tsl_observer *merged = make_observer();
        for (int i = 0; i < 3; i++) tsl_observer_merge(merged, parts[(i + round) % 3]);
        assert_same(whole, merged);
        uint64_t sum = whole->zeros;
        for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) sum += whole->bins[i];
        assert_int_equal(sum, whole->count);
        assert_true(whole->zeros >= 2);
        for (int i = 0; i < 3; i++) free(parts[i]);
        free(whole);
        free(pieces);
        free(merged);
    }
}

static void test_extremes(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tsl_observer *o = make_observer();
    float threshold = 5;
    for (int method = 0; method <= TSLIM_CALIBRATION_MSE; method++) { // nothing seen
        assert_int_equal(tsl_observer_threshold(ctx, o, tsl_observer_span(o, true),
                             (tslim_calibration_method)method, 99, &threshold),
            TSLIM_OK);
        assert_true(threshold == 0);
    }
    const float zeros[4] = {0, -0.0f, 0, 0};
    tsl_observer_add(o, zeros, 4);
    assert_int_equal(o->zeros, 4);
    const float odd[] = {NAN, INFINITY, -INFINITY, 3.402823466e38f, 1e-45f, -1.5f};
    tsl_observer_add(o, odd, 6);
    assert_int_equal(o->invalid, 3);
    assert_int_equal(o->count, 7);
    assert_int_equal(o->exponent, 128);
    assert_true(o->minimum == -1.5f && o->maximum == 3.402823466e38f);
    assert_int_equal(o->bins[TSL_OBSERVER_BINS - 1], 1);
    for (int method = 0; method <= TSLIM_CALIBRATION_MSE; method++) {
        assert_int_equal(tsl_observer_threshold(ctx, o, tsl_observer_span(o, true),
                             (tslim_calibration_method)method, 99, &threshold),
            TSLIM_OK);
        assert_true(isfinite(threshold) && threshold > 0);
    }
    free(o);
    tslim_context_destroy(ctx);
}

static void test_moving_average(void **state) {
    (void)state;
    tslim_context *ctx = make_context();
    tsl_observer *o = make_observer();
    double lo = 0, hi = 0;
    for (int batch = 0; batch < 30; batch++) {
        float x[2] = {-1 - (float)batch, 2 + (float)(batch % 3)};
        tsl_observer_add(o, x, 2);
        lo = batch ? 0.9 * lo + 0.1 * (double)x[0] : (double)x[0];
        hi = batch ? 0.9 * hi + 0.1 * (double)x[1] : (double)x[1];
    }
    float threshold;
    assert_int_equal(tsl_observer_threshold(
                         ctx, o, tsl_observer_span(o, true), TSLIM_CALIBRATION_MOVING_AVERAGE, 0, &threshold),
        TSLIM_OK);
    assert_true(fabs((double)threshold - fmax(-lo, hi)) < 1e-5);
    free(o);
    tslim_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mse),
        cmocka_unit_test(test_percentile),
        cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_moving_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
