// SPDX-License-Identifier: Apache-2.0
// Matching of statistics: each channel gets the mean and the variance that the original's channel has. What
// the removed channels had added on average comes back with the mean.
#include <math.h>
#include <string.h>

#include "prune/repair.h"

tslim_status tsl_repair_measure(
    tslim_context *ctx, const float *rows, size_t n_rows, size_t width, tsl_repair_moments *m) {
    m->bytes = 2 * width * sizeof(double);
    m->mean = tsl_allocate_zeroed(ctx, m->bytes);
    TSL_REQUIRE_MEMORY(m->mean, m->bytes);
    m->deviation = m->mean + width;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < width; c++) m->mean[c] += (double)rows[r * width + c];
    for (size_t c = 0; c < width; c++) m->mean[c] /= (double)n_rows;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < width; c++) {
            double off = (double)rows[r * width + c] - m->mean[c];
            m->deviation[c] += off * off;
        }
    for (size_t c = 0; c < width; c++) m->deviation[c] = sqrt(m->deviation[c] / (double)n_rows);
    return TSLIM_OK;
}

// The factor that a channel's deviation takes. One that hardly moves is noise: it is left alone.
static double factor(double ours, double theirs) {
    if (!(ours > 1e-6 * theirs) || !(ours > 0)) return 1;
    double ratio = theirs / ours;
    return ratio < 0.25 ? 0.25 : ratio > 4 ? 4 : ratio;
}

static tslim_status rescale(tsl_repair *repair, const tsl_repair_site *site, const tsl_repair_moments *ours,
    const tsl_repair_moments *theirs, double *deviation) {
    tsl_repair_weights w;
    TSL_TRY(tsl_repair_read_weights(repair, site, &w));
    for (size_t o = 0; o < site->width; o++) {
        double f = factor(ours->deviation[o], theirs->deviation[o]);
        for (size_t i = 0; i < site->depth; i++) w.weights[o * site->depth + i] *= f;
        w.bias[o] = f * (w.bias[o] - ours->mean[o]) + theirs->mean[o];
        deviation[o] = f * ours->deviation[o];
    }
    tslim_status status = tsl_repair_write_weights(repair, site, &w, theirs->mean, deviation);
    tsl_free(repair->ctx, w.weights, w.bytes);
    return status;
}

// Relative squared error as it is, and as it is with each channel rescaled.
static void measure_errors(const tsl_repair_rows *rows, size_t width, const tsl_repair_moments *ours,
    const tsl_repair_moments *theirs, tslim_repair_layer *result) {
    double before = 0, after = 0, variance = 0;
    for (size_t r = 0; r < rows->n_rows; r++)
        for (size_t c = 0; c < width; c++) {
            double y = (double)rows->y[r * width + c], own = (double)rows->added[r * width + c];
            double f = factor(ours->deviation[c], theirs->deviation[c]);
            double fixed = f * (own - ours->mean[c]) + theirs->mean[c];
            before += (own - y) * (own - y);
            after += (fixed - y) * (fixed - y);
            variance += (y - theirs->mean[c]) * (y - theirs->mean[c]);
        }
    result->error_before = variance > 0 ? before / variance : 0;
    result->error_after = variance > 0 ? after / variance : 0;
}

tslim_status tsl_repair_statistics(tsl_repair *repair, tsl_repair_site *site, tslim_repair_layer *result) {
    if (site->batch_norm == TSL_NONE && site->bias_node == TSL_NONE) {
        result->reason = "it has no bias";
        return TSLIM_OK;
    }
    tsl_repair_rows rows;
    tsl_repair_moments ours = {0}, theirs = {0};
    size_t bytes = site->width * sizeof(double);
    TSL_TRY(tsl_repair_sample(repair, site, TSL_REPAIR_VIEW_OWN, &rows));
    double *deviation = tsl_allocate(repair->ctx, bytes);
    tslim_status status = deviation ? TSLIM_OK : tsl_no_memory(bytes);
    if (status == TSLIM_OK)
        status = tsl_repair_measure(repair->ctx, rows.added, rows.n_rows, site->width, &ours);
    if (status == TSLIM_OK)
        status = tsl_repair_measure(repair->ctx, rows.y, rows.n_rows, site->width, &theirs);
    if (status == TSLIM_OK) {
        measure_errors(&rows, site->width, &ours, &theirs, result);
        status = rescale(repair, site, &ours, &theirs, deviation);
    }
    result->rows = rows.n_rows;
    result->repaired = status == TSLIM_OK;
    tsl_free(repair->ctx, deviation, bytes);
    tsl_free(repair->ctx, ours.mean, ours.bytes);
    tsl_free(repair->ctx, theirs.mean, theirs.bytes);
    tsl_repair_rows_clear(&rows);
    return status;
}
