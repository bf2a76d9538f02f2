// SPDX-License-Identifier: Apache-2.0
// The inside of a calibration: an observer for each value of the model.
#ifndef TSL_QUANT_CALIBRATION_H
#define TSL_QUANT_CALIBRATION_H

#include <tinyslim/calibration.h>

#include "base/arena.h"
#include "base/name_map.h"
#include "base/status.h"
#include "quant/channels.h"
#include "quant/observer.h"

typedef struct tsl_calibration_value {
    const char *name;
    tsl_observer *observer;
    tsl_channels *channels; // NULL where it is not watched by channel
} tsl_calibration_value;

// What INT8 costs at a product, where that was measured.
typedef struct tsl_calibration_cost {
    const char *node; // of the optimized graph
    double noise; // noise to signal at the model's outputs with this product alone in INT8
    uint64_t macs;
} tsl_calibration_cost;
#define TSL_WORST_NOISE 1e9

struct tslim_calibration {
    tslim_context *ctx;
    tsl_arena arena; // names and observers
    tslim_calibration_method method;
    double percentile;
    uint64_t samples;
    tsl_calibration_value *values; // in the order in which they were first seen
    uint32_t n_values;
    size_t values_capacity;
    tsl_name_map names;
    tsl_calibration_cost *costs;
    uint32_t n_costs;
    size_t costs_capacity;
    tslim_input_preparation preparation; // of the model that was watched; scale 0: it had none
};

tslim_status tsl_calibration_create(tslim_context *ctx, tslim_calibration **calibration);
// The observer of that name, made if it is not there yet.
tslim_status tsl_calibration_need_value(
    tslim_calibration *calibration, const char *name, tsl_observer **observer);
// The same of its channels.
tslim_status tsl_calibration_need_channels(
    tslim_calibration *calibration, const char *name, uint32_t count, tsl_channels **channels);
tslim_status tsl_calibration_add_cost(
    tslim_calibration *calibration, const char *node, double noise, uint64_t macs);
// NULL when that value was not watched.
const tsl_observer *tsl_calibration_find(const tslim_calibration *calibration, const char *name);
const tsl_channels *tsl_calibration_find_channels(const tslim_calibration *calibration, const char *name);
// The range to keep of a value that was seen so (NULL: not at all), from minimum <= 0 to maximum >= 0; what
// lies under `floor` or over `ceiling` does not count. INVALID_ARGUMENT names a value that was not watched or
// not finite.
tslim_status tsl_calibration_choose_range(const tslim_calibration *calibration, const char *name,
    const tsl_observer *observer, float floor, float ceiling, bool symmetric, float *minimum, float *maximum);

#endif
