// SPDX-License-Identifier: Apache-2.0
// From gradients to the next weights.
#ifndef TSL_TRAIN_OPTIMIZER_H
#define TSL_TRAIN_OPTIMIZER_H

#include <tinyslim/train.h>

#include "train/weights.h"

// How many arrays of moments the optimizer keeps.
uint32_t tsl_optimizer_moments(const tslim_train_options *options);

// The length of all gradients together; gradients[i] is of parameter i, NULL where the loss does not depend
// on it.
double tsl_gradient_norm(const tsl_weights *weights, const float *const *gradients);

// One step; `step` counts from 0 over the whole training, gradients are taken times `factor`.
void tsl_optimizer_step(const tslim_train_options *options, tsl_weights *weights,
    const float *const *gradients, float factor, double rate, uint64_t step);

#endif
