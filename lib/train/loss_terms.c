// SPDX-License-Identifier: Apache-2.0
// Losses from the operators that are there; CTC has one of its own.
#include "train/loss_terms.h"

uint32_t tsl_loss_rows(tsl_gradient *g, uint32_t value, uint32_t axis) {
    const tsl_shape shape = tsl_shape_of(g, value);
    int64_t perm[TSLIM_MAX_RANK], dims[2] = {1, 1};
    uint32_t rank = 0;
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (i == axis) {
            dims[1] = shape.dims[i];
            continue;
        }
        perm[rank++] = i;
        dims[0] *= shape.dims[i];
    }
    if (rank < TSLIM_MAX_RANK) perm[rank++] = axis;
    if (axis + 1 < shape.rank) value = tsl_transposed(g, value, perm);
    return tsl_reshaped(g, value, 2, dims);
}

// The mean over all that belongs to a sample.
static uint32_t mean_by_sample(tsl_gradient *g, uint32_t value, int64_t n_samples) {
    const tsl_shape shape = tsl_shape_of(g, value);
    int64_t elements = 1;
    for (uint32_t i = 0; i < shape.rank; i++) elements *= shape.dims[i];
    const int64_t dims[] = {n_samples, n_samples > 0 ? elements / n_samples : 0};
    value = tsl_reduced(g, TSL_OP_REDUCE_MEAN, tsl_reshaped(g, value, 2, dims), 2);
    return tsl_reshaped(g, value, 1, dims);
}

uint32_t tsl_loss_cross_entropy(tsl_gradient *g, uint32_t rows, uint32_t target, int64_t n_samples) {
    uint32_t products = tsl_combine(g, TSL_OP_MUL, target, tsl_apply(g, TSL_OP_LOG_SOFTMAX, rows));
    return tsl_times(g, mean_by_sample(g, tsl_reduced(g, TSL_OP_REDUCE_SUM, products, 2), n_samples), -1);
}

uint32_t tsl_loss_kl(
    tsl_gradient *g, uint32_t logits, uint32_t theirs, uint32_t axis, double temperature, int64_t n_samples) {
    uint32_t rows = tsl_loss_rows(g, logits, axis), target = tsl_loss_rows(g, theirs, axis);
    if (temperature != 1) {
        rows = tsl_times(g, rows, 1 / temperature);
        target = tsl_times(g, target, 1 / temperature);
    }
    uint32_t difference = tsl_combine(
        g, TSL_OP_SUB, tsl_apply(g, TSL_OP_LOG_SOFTMAX, target), tsl_apply(g, TSL_OP_LOG_SOFTMAX, rows));
    uint32_t products = tsl_combine(g, TSL_OP_MUL, tsl_apply(g, TSL_OP_SOFTMAX, target), difference);
    uint32_t loss = mean_by_sample(g, tsl_reduced(g, TSL_OP_REDUCE_SUM, products, 2), n_samples);
    return temperature == 1 ? loss : tsl_times(g, loss, temperature * temperature);
}

uint32_t tsl_loss_mse(tsl_gradient *g, uint32_t value, uint32_t target, int64_t n_samples) {
    uint32_t difference = tsl_combine(g, TSL_OP_SUB, value, target);
    return mean_by_sample(g, tsl_combine(g, TSL_OP_MUL, difference, difference), n_samples);
}

// -z ln s(x) - (1 - z) ln(1 - s(x)) = max(x, 0) - x z + ln(1 + exp(-|x|)): softplus(x) - x z, whose kernel is
// exact for large |x| as well.
uint32_t tsl_loss_binary_cross_entropy(
    tsl_gradient *g, uint32_t logits, uint32_t target, bool target_logits, int64_t n_samples) {
    if (target_logits) target = tsl_apply(g, TSL_OP_SIGMOID, target);
    uint32_t product = tsl_combine(g, TSL_OP_MUL, logits, target);
    uint32_t loss = tsl_combine(g, TSL_OP_SUB, tsl_apply(g, TSL_OP_SOFTPLUS, logits), product);
    return mean_by_sample(g, loss, n_samples);
}

uint32_t tsl_loss_ctc(tsl_gradient *g, uint32_t logits, uint32_t target) {
    const tsl_shape shape = tsl_shape_of(g, logits);
    uint32_t probabilities = tsl_apply(g, TSL_OP_LOG_SOFTMAX, tsl_loss_rows(g, logits, 2));
    const uint32_t inputs[] = {tsl_reshaped_like(g, probabilities, &shape), target};
    tsl_begin(g, TSL_OP_CTC_LOSS, 2, inputs, 2);
    return tsl_end(g);
}

// The operator's second result is its derivative already.
void tsl_gradient_ctc_loss(tsl_gradient *g) {
    const tsl_shape scores = tsl_shape_of(g, tsl_x(g, 0));
    const int64_t dims[] = {scores.dims[0], 1, 1};
    if (tsl_y(g, 1) == TSL_NONE || g->dy[0] == TSL_NONE) {
        tsl_refuse(g, "its derivatives are not computed");
        return;
    }
    tsl_give(g, 0, tsl_combine(g, TSL_OP_MUL, tsl_y(g, 1), tsl_reshaped(g, g->dy[0], 3, dims)));
}
