// SPDX-License-Identifier: Apache-2.0
// What a sensitivity analysis holds.
#ifndef TSL_PRUNE_SENSITIVITY_DATA_H
#define TSL_PRUNE_SENSITIVITY_DATA_H

#include <tinyslim/sensitivity.h>

#include "base/arena.h"

struct tslim_sensitivity {
    tslim_context *ctx;
    tsl_arena arena;
    tslim_sensitivity_metric metric;
    tslim_criterion criterion;
    uint64_t seed;
    uint64_t samples; // of the dataset
    const char *model; // a digest of the graph and its shapes: points of another model are not taken over
    double baseline; // NaN: not measured
    uint32_t n_groups, n_ratios;
    const char **groups;
    uint32_t *channels; // of each group
    double *ratios;
    double *values; // n_groups x n_ratios; NaN: not measured
};

// An analysis without points. Names and ratios are copied.
tslim_status tsl_sensitivity_new(
    tslim_context *ctx, uint32_t n_groups, uint32_t n_ratios, tslim_sensitivity **result);

// How much worse a point is than the baseline, never negative: a fall of an accuracy, a rise of the loss as a
// fraction of the baseline, a distance. NaN where it was not measured.
double tsl_sensitivity_loss(const tslim_sensitivity *sensitivity, uint32_t group, uint32_t ratio);

// The largest ratio before the loss first exceeds `loss`, on the straight lines between the points (from 0 at
// ratio 0). False when the analysis does not have the group, or not all points up to there.
bool tsl_sensitivity_ratio_at(
    const tslim_sensitivity *sensitivity, const char *group, double loss, double *ratio);
// The largest of all points.
double tsl_sensitivity_greatest_loss(const tslim_sensitivity *sensitivity);

// JSON, the same bytes for the same analysis.
tslim_status tsl_sensitivity_write(const tslim_sensitivity *sensitivity, const char *path);

#endif
