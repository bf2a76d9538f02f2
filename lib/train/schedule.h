// SPDX-License-Identifier: Apache-2.0
// The learning rate of each step.
#ifndef TSL_TRAIN_SCHEDULE_H
#define TSL_TRAIN_SCHEDULE_H

#include <tinyslim/train.h>

// Of step `step` (from 0) of an epoch's `steps_per_epoch`, counted over the whole training.
double tsl_schedule_rate(const tslim_train_options *options, uint64_t step, uint64_t steps_per_epoch);

#endif
