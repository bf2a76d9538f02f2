// SPDX-License-Identifier: Apache-2.0
// A training between two epochs, as a file.
#ifndef TSL_TRAIN_CHECKPOINT_H
#define TSL_TRAIN_CHECKPOINT_H

#include <tinyslim/train.h>

#include "train/weights.h"

// What an epoch has brought, as it is kept.
typedef struct tsl_epoch_record {
    double learning_rate, train_loss, validation_loss, validation_top1;
    uint64_t best;
} tsl_epoch_record;

typedef struct tsl_training_state {
    uint64_t digest; // tells trainings apart
    uint32_t epochs_done;
    uint32_t best_epoch; // from 1; 0: none yet
    tsl_epoch_record *history; // of epochs_done; room for all epochs
} tsl_training_state;

// Of everything that the result depends on: model, data, options.
tslim_status tsl_training_digest(const tslim_graph *graph, const tslim_dataset *train,
    const tslim_train_options *options, uint64_t *digest);

tslim_status tsl_checkpoint_save(
    const char *path, const tsl_training_state *state, const tsl_weights *weights);

// Fills `state` and `weights`, which are set up, from the file. BAD_FILE: damaged, or of another training.
tslim_status tsl_checkpoint_load(
    const char *path, uint32_t epochs, tsl_training_state *state, tsl_weights *weights);

#endif
