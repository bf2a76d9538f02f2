// SPDX-License-Identifier: Apache-2.0
// Each loss as a value of N floats, one a sample. `logits` are before any softmax or sigmoid.
#ifndef TSL_TRAIN_LOSS_TERMS_H
#define TSL_TRAIN_LOSS_TERMS_H

#include "train/gradient.h"

// A value as rows along `axis`: (all other elements) x classes.
uint32_t tsl_loss_rows(tsl_gradient *g, uint32_t value, uint32_t axis);

// Rows of logits against rows of a distribution.
uint32_t tsl_loss_cross_entropy(tsl_gradient *g, uint32_t rows, uint32_t target, int64_t n_samples);
// KL(softmax(theirs / T) || softmax(logits / T)) * T * T, a mean over the rows of a sample.
uint32_t tsl_loss_kl(
    tsl_gradient *g, uint32_t logits, uint32_t theirs, uint32_t axis, double temperature, int64_t n_samples);
uint32_t tsl_loss_mse(tsl_gradient *g, uint32_t value, uint32_t target, int64_t n_samples);
// `target` is 0 to 1, or itself logits.
uint32_t tsl_loss_binary_cross_entropy(
    tsl_gradient *g, uint32_t logits, uint32_t target, bool target_logits, int64_t n_samples);
// N x steps x classes against N x length.
uint32_t tsl_loss_ctc(tsl_gradient *g, uint32_t logits, uint32_t target);

#endif
