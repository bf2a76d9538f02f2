// SPDX-License-Identifier: Apache-2.0
// Ranges of options: the message of each refusal names the option and its value.
#include "train/options.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LARGEST_BATCH 65536

void tslim_train_options_init(tslim_train_options *options) {
    if (!options) return;
    *options = (tslim_train_options){.struct_size = sizeof(*options),
        .epochs = 3,
        .batch = 32,
        .learning_rate = 0.01,
        .momentum = 0.9,
        .second_momentum = 0.999,
        .epsilon = 1e-8,
        .step_epochs = 1,
        .step_factor = 0.1,
        .teacher_weight = 0.5,
        .temperature = 1,
        .feature_weight = 1,
        .memory_bytes = UINT64_C(1) << 30};
}

// NaN is in no range.
static tslim_status check(const char *name, double value, bool good, const char *range) {
    TSL_REQUIRE(good, TSLIM_ERROR_INVALID_ARGUMENT, "%s is %g: it takes %s", name, value, range);
    return TSLIM_OK;
}

static tslim_status check_steps(const tslim_train_options *o) {
    TSL_REQUIRE(o->epochs >= 1 && o->epochs <= 1000000, TSLIM_ERROR_INVALID_ARGUMENT,
        "epochs is %" PRIu32 ": it takes 1 to 1000000", o->epochs);
    TSL_REQUIRE(o->batch >= 1 && o->batch <= LARGEST_BATCH, TSLIM_ERROR_INVALID_ARGUMENT,
        "batch is %" PRIu32 ": it takes 1 to %d", o->batch, LARGEST_BATCH);
    TSL_REQUIRE((unsigned)o->optimizer <= TSLIM_OPTIMIZER_ADAMW, TSLIM_ERROR_INVALID_ARGUMENT,
        "optimizer is %d", (int)o->optimizer);
    TSL_REQUIRE((unsigned)o->schedule <= TSLIM_SCHEDULE_STEP, TSLIM_ERROR_INVALID_ARGUMENT, "schedule is %d",
        (int)o->schedule);
    TSL_REQUIRE(o->step_epochs >= 1, TSLIM_ERROR_INVALID_ARGUMENT, "step_epochs is 0");
    const double rate = o->learning_rate, w = o->warmup_epochs;
    TSL_TRY(check("learning_rate", rate, rate > 0 && rate <= 1e6, "above 0 to 1e6"));
    TSL_TRY(check("momentum", o->momentum, o->momentum >= 0 && o->momentum < 1, "0 to below 1"));
    TSL_TRY(check("second_momentum", o->second_momentum, o->second_momentum >= 0 && o->second_momentum < 1,
        "0 to below 1"));
    TSL_TRY(check("epsilon", o->epsilon, o->epsilon > 0 && o->epsilon <= 1, "above 0 to 1"));
    TSL_TRY(check("weight_decay", o->weight_decay, o->weight_decay >= 0 && o->weight_decay <= 1, "0 to 1"));
    TSL_TRY(check("clip_norm", o->clip_norm, o->clip_norm >= 0 && isfinite(o->clip_norm),
        "0, or the longest gradient"));
    TSL_TRY(check(
        "average_decay", o->average_decay, o->average_decay >= 0 && o->average_decay < 1, "0 to below 1"));
    TSL_TRY(check("warmup_epochs", w, w >= 0 && w < o->epochs, "0 to less than the epochs"));
    TSL_TRY(check("step_factor", o->step_factor, o->step_factor > 0 && o->step_factor <= 1, "above 0 to 1"));
    TSL_REQUIRE(
        !o->nesterov || o->momentum > 0, TSLIM_ERROR_INVALID_ARGUMENT, "nesterov needs a momentum above 0");
    return TSLIM_OK;
}

static tslim_status check_losses(const tslim_train_options *o) {
    const double t = o->temperature;
    TSL_REQUIRE((unsigned)o->loss <= TSLIM_LOSS_CTC, TSLIM_ERROR_INVALID_ARGUMENT,
        "loss is %d: labels and targets take AUTO, CROSS_ENTROPY, MSE, BINARY_CROSS_ENTROPY or CTC",
        (int)o->loss);
    const bool of_classes = o->loss == TSLIM_LOSS_AUTO || o->loss == TSLIM_LOSS_CROSS_ENTROPY;
    TSL_REQUIRE(o->target || of_classes, TSLIM_ERROR_INVALID_ARGUMENT,
        "MSE, BINARY_CROSS_ENTROPY and CTC compare with a `target` array, not with labels");
    TSL_REQUIRE(!o->target || o->loss != TSLIM_LOSS_CROSS_ENTROPY, TSLIM_ERROR_INVALID_ARGUMENT,
        "CROSS_ENTROPY compares with labels, not with a `target` array");
    TSL_REQUIRE(!o->target || !o->callback, TSLIM_ERROR_INVALID_ARGUMENT,
        "a target and a loss of the caller's own do not go together");
    TSL_REQUIRE(o->teacher_loss == TSLIM_LOSS_AUTO || o->teacher_loss == TSLIM_LOSS_KL ||
                    o->teacher_loss == TSLIM_LOSS_MSE || o->teacher_loss == TSLIM_LOSS_BINARY_CROSS_ENTROPY,
        TSLIM_ERROR_INVALID_ARGUMENT, "teacher_loss is %d", (int)o->teacher_loss);
    TSL_REQUIRE(o->n_features == 0 || (o->features && o->teacher), TSLIM_ERROR_INVALID_ARGUMENT,
        "%" PRIu32 " features, but %s", o->n_features, o->features ? "no teacher" : "no names");
    TSL_TRY(check("label_smoothing", o->label_smoothing, o->label_smoothing >= 0 && o->label_smoothing < 1,
        "0 to below 1"));
    TSL_TRY(check(
        "teacher_weight", o->teacher_weight, o->teacher_weight >= 0 && o->teacher_weight <= 1, "0 to 1"));
    TSL_TRY(check("temperature", t, t >= 0.01 && t <= 1000, "0.01 to 1000"));
    return check("feature_weight", o->feature_weight, o->feature_weight >= 0 && isfinite(o->feature_weight),
        "0 or more");
}

tslim_status tsl_train_options_read(const tslim_train_options *given, tslim_train_options *options) {
    tslim_train_options_init(options);
    if (given) {
        TSL_REQUIRE(given->struct_size >= sizeof(uint32_t) && given->struct_size <= sizeof(*options),
            TSLIM_ERROR_INVALID_ARGUMENT, "training options: struct_size is %" PRIu32, given->struct_size);
        memcpy(options, given, given->struct_size);
    }
    TSL_TRY(check_steps(options));
    TSL_TRY(check_losses(options));
    TSL_TRY(check("crop", options->crop, options->crop >= 0 && options->crop <= 1, "0 to 1"));
    TSL_TRY(check("statistics_momentum", options->statistics_momentum,
        options->statistics_momentum >= 0 && options->statistics_momentum < 1, "0 to below 1"));
    TSL_REQUIRE(options->shift <= 4096, TSLIM_ERROR_INVALID_ARGUMENT,
        "shift is %" PRIu32 ": it takes 0 to 4096", options->shift);
    TSL_REQUIRE(
        !options->resume || options->checkpoint, TSLIM_ERROR_INVALID_ARGUMENT, "resume needs a checkpoint");
    TSL_REQUIRE(options->patience == 0 || options->validation, TSLIM_ERROR_INVALID_ARGUMENT,
        "patience needs validation data");
    TSL_REQUIRE(options->memory_bytes > 0, TSLIM_ERROR_INVALID_ARGUMENT, "memory_bytes is 0");
    return TSLIM_OK;
}
