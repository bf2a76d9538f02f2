// SPDX-License-Identifier: Apache-2.0
// What each channel group's pruning costs: a metric against the ratio, one group at a time.
#ifndef TINYSLIM_SENSITIVITY_H
#define TINYSLIM_SENSITIVITY_H

#include <tinyslim/evaluate.h>
#include <tinyslim/prune.h>

TSLIM_BEGIN_DECLS

/** What is measured. Without labels only DISTANCE is possible. */
typedef enum tslim_sensitivity_metric {
    TSLIM_SENSITIVITY_TOP1 = 0,
    TSLIM_SENSITIVITY_TOP5 = 1,
    TSLIM_SENSITIVITY_LOSS = 2,
    TSLIM_SENSITIVITY_DISTANCE = 3 /**< relative error of the outputs: sqrt(sum (a-b)^2 / sum a^2) */
} tslim_sensitivity_metric;

/** Set up with tslim_sensitivity_options_init. */
typedef struct tslim_sensitivity_options {
    uint32_t struct_size;
    tslim_sensitivity_metric metric;
    tslim_criterion criterion;
    const double *ratios; /**< ascending, in (0, 1); default 0.1, 0.3, 0.5, 0.7, 0.9 */
    uint32_t n_ratios;
    uint32_t shard, n_shards; /**< shard 1 to n_shards takes each n-th point; 0 of 0: all */
    uint32_t batch;
    uint64_t seed;
    const char *file; /**< written as the analysis goes, and resumed from if it exists; NULL: none */
    const tslim_input_shape *shapes;
    uint32_t n_shapes;
    tslim_progress progress;
    void *progress_user;
} tslim_sensitivity_options;

TSLIM_API void tslim_sensitivity_options_init(tslim_sensitivity_options *options);

/**
 * Prunes each group alone at each ratio, on copies, and measures. Deterministic: the same inputs give the
 * same bytes, in one run, resumed after a kill, or merged from shards.
 */
TSLIM_API tslim_status tslim_sensitivity_analyze(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_sensitivity_options *options, tslim_sensitivity **sensitivity);
TSLIM_API tslim_status tslim_sensitivity_load_file(
    tslim_context *context, const char *path, tslim_sensitivity **sensitivity);
/** Joins shards of one analysis; they must agree on everything but the points. */
TSLIM_API tslim_status tslim_sensitivity_merge(
    const tslim_sensitivity *const *parts, uint32_t n_parts, tslim_sensitivity **merged);
TSLIM_API tslim_status tslim_sensitivity_save_file(const tslim_sensitivity *sensitivity, const char *path);
/** An SVG of the curves. */
TSLIM_API tslim_status tslim_sensitivity_save_plot(const tslim_sensitivity *sensitivity, const char *path);
TSLIM_API void tslim_sensitivity_destroy(tslim_sensitivity *sensitivity);

/** The metric of the whole network. */
TSLIM_API double tslim_sensitivity_baseline(const tslim_sensitivity *sensitivity);
TSLIM_API uint32_t tslim_sensitivity_group_count(const tslim_sensitivity *sensitivity);
TSLIM_API const char *tslim_sensitivity_group_name(const tslim_sensitivity *sensitivity, uint32_t group);
TSLIM_API uint32_t tslim_sensitivity_ratio_count(const tslim_sensitivity *sensitivity);
TSLIM_API double tslim_sensitivity_ratio(const tslim_sensitivity *sensitivity, uint32_t ratio);
/** NaN where the point has not been measured. */
TSLIM_API double tslim_sensitivity_value(
    const tslim_sensitivity *sensitivity, uint32_t group, uint32_t ratio);

TSLIM_END_DECLS

#endif
