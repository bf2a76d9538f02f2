// SPDX-License-Identifier: Apache-2.0
// Cosine annealing without restarts (Loshchilov and Hutter, 2017, arXiv:1608.03983), steps, and a warm-up
// that rises linearly (Goyal et al., 2017, arXiv:1706.02677).
#include "train/schedule.h"

#include <math.h>

double tsl_schedule_rate(const tslim_train_options *options, uint64_t step, uint64_t steps_per_epoch) {
    const double pi = 3.14159265358979323846, per_epoch = (double)steps_per_epoch, at = (double)step;
    const double total = per_epoch * options->epochs, warmup = options->warmup_epochs * per_epoch;
    if (at < warmup) return options->learning_rate * (at + 1) / (floor(warmup) + 1);
    switch (options->schedule) {
    case TSLIM_SCHEDULE_COSINE:
        return options->learning_rate * 0.5 * (1 + cos(pi * (at - warmup) / (total - warmup)));
    case TSLIM_SCHEDULE_STEP: {
        double steps = floor((at - warmup) / (per_epoch * options->step_epochs));
        return options->learning_rate * pow(options->step_factor, steps);
    }
    default:
        return options->learning_rate;
    }
}
