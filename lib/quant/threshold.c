// SPDX-License-Identifier: Apache-2.0
// From a histogram to the largest value worth keeping: what lies above is clipped, what lies below is rounded
// to steps of a 127th of it.
#include <math.h>

#include "base/status.h"
#include "quant/observer.h"

#define LEVELS 127 // on either side of zero
#define STEPS 255 // from end to end of an asymmetric range

// In units of bins.
static double in_bins(const tsl_observer *o, float value) {
    return ldexp((double)value * TSL_OBSERVER_BINS, -o->exponent);
}

static float from_bins(const tsl_observer *o, double position) {
    float threshold = (float)ldexp(position / TSL_OBSERVER_BINS, o->exponent);
    return fminf(threshold, tsl_observer_largest(o));
}

static size_t used_bins(const tsl_observer *o) {
    size_t used = TSL_OBSERVER_BINS;
    while (used > 0 && o->bins[used - 1] == 0) used--;
    return used;
}

// ---- Percentile ----

// Elements within a bin are taken as evenly spread.
static double percentile_position(const tsl_observer *o, double percentile) {
    double wanted = percentile / 100 * (double)o->count - (double)o->zeros, below = 0;
    if (wanted <= 0) return 0;
    for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) {
        double here = (double)o->bins[i];
        if (here > 0 && below + here >= wanted) return (double)i + (wanted - below) / here;
        below += here;
    }
    return TSL_OBSERVER_BINS;
}

// ---- Mean square error ----

// Sums over all elements below a position, in units of bins.
typedef struct moments {
    double count[TSL_OBSERVER_BINS + 1], sum[TSL_OBSERVER_BINS + 1];
} moments;

static void fill_moments(const tsl_observer *o, moments *m) {
    m->count[0] = m->sum[0] = 0;
    for (size_t i = 0; i < TSL_OBSERVER_BINS; i++) {
        double n = (double)o->bins[i];
        m->count[i + 1] = m->count[i] + n;
        m->sum[i + 1] = m->sum[i] + n * ((double)i + 0.5);
    }
}

static void moments_below(const moments *m, double position, double *count, double *sum) {
    size_t i = position >= TSL_OBSERVER_BINS ? TSL_OBSERVER_BINS : (size_t)position;
    double part = i == TSL_OBSERVER_BINS ? 0 : position - (double)i;
    double n = part > 0 ? (m->count[i + 1] - m->count[i]) * part : 0;
    *count = m->count[i] + n;
    *sum = m->sum[i] + n * ((double)i + part / 2);
}

// The width of a step when T is `threshold`, in the unit of that; below and above are in the same unit.
static double step_width(const tsl_span *span, double below, double above, double threshold) {
    if (span->symmetric) return threshold / LEVELS;
    return (fmin(below, threshold) + fmin(above, threshold)) / STEPS;
}

// How much smaller the sum of squared errors is than the sum of squares. An element x in the cell of level k
// has the error x - k * step, the last cell goes on for ever (clipping), and sum (x - ks)^2 = sum x^2 - (2 ks
// sum x - (ks)^2 n).
static double error_saved(const moments *m, double threshold, double step) {
    double saved = 0, count, sum;
    int levels = (int)rint(threshold / step);
    moments_below(m, step / 2, &count, &sum);
    for (int k = 1; k <= levels; k++) {
        double next_count = m->count[TSL_OBSERVER_BINS], next_sum = m->sum[TSL_OBSERVER_BINS];
        if (k < levels) moments_below(m, (k + 0.5) * step, &next_count, &next_sum);
        double level = k * step;
        saved += level * (2 * (next_sum - sum) - level * (next_count - count));
        count = next_count;
        sum = next_sum;
    }
    return saved;
}

// Thresholds a 64th of an octave apart, from the largest value down to a bin: the error is flat near its
// minimum.
static double mse_position(const tsl_observer *o, const moments *m, const tsl_span *span) {
    double below = in_bins(o, span->below), above = in_bins(o, span->above);
    double largest = fmax(below, above), best = largest, best_saved = -INFINITY;
    for (int i = 0; i < 12 * 64; i++) {
        double candidate = largest * exp2(-i / 64.0);
        if (candidate < 1) break;
        double saved = error_saved(m, candidate, step_width(span, below, above, candidate));
        if (saved <= best_saved) continue;
        best = candidate;
        best_saved = saved;
    }
    return best;
}

// ---- Entropy ----

// Divergence of the distribution below `used` (with all that lies above put into its last bin) from the same
// in 128 levels, each level's count spread evenly over its bins that are not empty. After S. Migacz, "8-bit
// inference with TensorRT", GTC 2017.
static double divergence(const tsl_observer *o, const moments *m, size_t used) {
    const size_t n_levels = LEVELS + 1;
    double total = m->count[TSL_OBSERVER_BINS], kept = m->count[used], outliers = total - kept, result = 0;
    if (kept <= 0) return INFINITY;
    for (size_t level = 0; level < n_levels; level++) {
        size_t begin = level * used / n_levels, end = (level + 1) * used / n_levels, filled = 0;
        for (size_t i = begin; i < end; i++) filled += o->bins[i] != 0;
        double q = filled ? (m->count[end] - m->count[begin]) / (double)filled / kept : 0;
        for (size_t i = begin; i < end; i++) {
            double p = ((double)o->bins[i] + (i == used - 1 ? outliers : 0)) / total;
            if (p > 0) result += p * log(p / (o->bins[i] != 0 ? q : 1e-12));
        }
    }
    return result;
}

static double entropy_position(const tsl_observer *o, const moments *m) {
    size_t used = used_bins(o), best = used;
    double least = INFINITY;
    for (size_t candidate = used; candidate >= LEVELS + 1; candidate -= 16) {
        double here = divergence(o, m, candidate);
        if (here >= least) continue;
        least = here;
        best = candidate;
    }
    return (double)best;
}

tsl_span tsl_observer_span(const tsl_observer *o, bool symmetric) {
    return (tsl_span){.below = fmaxf(-o->minimum, 0), .above = fmaxf(o->maximum, 0), .symmetric = symmetric};
}

tslim_status tsl_observer_threshold(tslim_context *ctx, const tsl_observer *o, tsl_span span,
    tslim_calibration_method method, double percentile, float *threshold) {
    *threshold = fmaxf(span.below, span.above);
    if (*threshold == 0 || method == TSLIM_CALIBRATION_MINMAX) return TSLIM_OK;
    if (method == TSLIM_CALIBRATION_MOVING_AVERAGE) {
        *threshold = (float)fmax(-o->average_minimum, o->average_maximum);
        return TSLIM_OK;
    }
    double position;
    if (method == TSLIM_CALIBRATION_PERCENTILE)
        position = percentile_position(o, percentile);
    else {
        moments *m = tsl_allocate(ctx, sizeof(*m));
        TSL_REQUIRE_MEMORY(m, sizeof(*m));
        fill_moments(o, m);
        position = method == TSLIM_CALIBRATION_ENTROPY ? entropy_position(o, m) : mse_position(o, m, &span);
        tsl_free(ctx, m, sizeof(*m));
    }
    *threshold = from_bins(o, position);
    return TSLIM_OK;
}
