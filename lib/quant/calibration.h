// SPDX-License-Identifier: Apache-2.0
// The inside of a calibration: an observer for each value of the model.
#ifndef TSL_QUANT_CALIBRATION_H
#define TSL_QUANT_CALIBRATION_H

#include <tinyslim/calibration.h>

#include "base/arena.h"
#include "base/name_map.h"
#include "base/status.h"
#include "quant/observer.h"

typedef struct tsl_calibration_value {
    const char *name;
    tsl_observer *observer;
} tsl_calibration_value;

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
    tslim_input_preparation preparation; // of the model that was watched; scale 0: it had none
};

tslim_status tsl_calibration_create(tslim_context *ctx, tslim_calibration **calibration);
// The observer of that name, made if it is not there yet.
tslim_status tsl_calibration_need_value(
    tslim_calibration *calibration, const char *name, tsl_observer **observer);
// NULL when that value was not watched.
const tsl_observer *tsl_calibration_find(const tslim_calibration *calibration, const char *name);
// The largest absolute value to keep. INVALID_ARGUMENT names a value that was not watched or not finite.
tslim_status tsl_calibration_threshold(
    const tslim_calibration *calibration, const char *name, float *threshold);

#endif
