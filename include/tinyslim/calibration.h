// SPDX-License-Identifier: Apache-2.0
// Ranges of every value, from real data.
#ifndef TINYSLIM_CALIBRATION_H
#define TINYSLIM_CALIBRATION_H

#include <tinyslim/dataset.h>
#include <tinyslim/session.h>

TSLIM_BEGIN_DECLS

typedef struct tslim_calibration tslim_calibration;

/** How a range is chosen from what was seen. */
typedef enum tslim_calibration_method {
    TSLIM_CALIBRATION_MINMAX = 0,
    TSLIM_CALIBRATION_MOVING_AVERAGE = 1, /**< of each batch's extremes, with momentum 0.9 */
    TSLIM_CALIBRATION_PERCENTILE = 2, /**< of absolute values; default 99.99 */
    TSLIM_CALIBRATION_ENTROPY = 3, /**< least Kullback-Leibler divergence of the 8-bit histogram */
    TSLIM_CALIBRATION_MSE = 4 /**< least mean square error of rounding and clipping */
} tslim_calibration_method;

/** "minmax", "moving-average", "percentile", "entropy", "mse": static. */
TSLIM_API const char *tslim_calibration_method_name(tslim_calibration_method method);
TSLIM_API tslim_status tslim_calibration_method_from_name(const char *name, tslim_calibration_method *method);

/** Set up with tslim_calibration_options_init. */
typedef struct tslim_calibration_options {
    uint32_t struct_size;
    tslim_calibration_method method; /**< default MSE */
    double percentile;
    uint32_t batch; /**< samples a run; 0: 8, or what the model's fixed batch asks for */
    uint32_t shard, n_shards; /**< shard 1 to n_shards takes each n-th batch; 0 of 0: all */
    const tslim_input_shape *shapes;
    uint32_t n_shapes;
    tslim_progress progress;
    void *progress_user;
} tslim_calibration_options;

TSLIM_API void tslim_calibration_options_init(tslim_calibration_options *options);

/** Streams the samples through the float network, watching every value. Memory depends on the model alone. */
TSLIM_API tslim_status tslim_calibrate(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_calibration_options *options, tslim_calibration **calibration);
/**
 * Measures what INT8 costs at each convolution and matrix product: how far the outputs are from those of the
 * float model with that one alone in INT8, over `samples` samples spread over the dataset. tslim_quantize
 * then keeps those in float that lose most for little work. Takes about samples times products runs.
 * `progress` may be NULL.
 */
TSLIM_API tslim_status tslim_calibration_measure_costs(tslim_calibration *calibration,
    const tslim_graph *graph, tslim_dataset *dataset, uint64_t samples, tslim_progress progress,
    void *progress_user);
TSLIM_API tslim_status tslim_calibration_load_file(
    tslim_context *context, const char *path, tslim_calibration **calibration);
/** Joins shards: the same result as one run, for every method but MOVING_AVERAGE (which is averaged). */
TSLIM_API tslim_status tslim_calibration_merge(
    const tslim_calibration *const *parts, uint32_t n_parts, tslim_calibration **merged);
/** JSON, histograms included, so that shards can be merged and the method changed later. */
TSLIM_API tslim_status tslim_calibration_save_file(const tslim_calibration *calibration, const char *path);
/**
 * Chooses ranges by another method (`percentile` counts for PERCENTILE only). Not to MOVING_AVERAGE, which
 * must be taken while calibrating.
 */
TSLIM_API tslim_status tslim_calibration_set_method(
    tslim_calibration *calibration, tslim_calibration_method method, double percentile);
TSLIM_API void tslim_calibration_destroy(tslim_calibration *calibration);

TSLIM_API uint64_t tslim_calibration_samples(const tslim_calibration *calibration);
TSLIM_API uint32_t tslim_calibration_value_count(const tslim_calibration *calibration);
TSLIM_API const char *tslim_calibration_value_name(const tslim_calibration *calibration, uint32_t index);
/** The range chosen by the method. INVALID_ARGUMENT for a value that was not watched. */
TSLIM_API tslim_status tslim_calibration_range(
    const tslim_calibration *calibration, const char *value_name, float *minimum, float *maximum);

TSLIM_END_DECLS

#endif
