// SPDX-License-Identifier: Apache-2.0
// A model with its losses as a session: for training with gradients, for validation without.
#ifndef TSL_TRAIN_NETWORK_H
#define TSL_TRAIN_NETWORK_H

#include "train/loss.h"
#include "train/samples.h"
#include "train/weights.h"

// The teacher, run on each batch before the model.
typedef struct tsl_teacher {
    tslim_graph *graph; // with known shapes; NULL: none
    tslim_session *session;
    tslim_loss losses[TSL_MAX_LOSS_INPUTS]; // of each output of the model
    tslim_tensor outputs[TSL_MAX_LOSS_INPUTS]; // of the last batch, in the session's memory
} tsl_teacher;

// Where inputs come from.
typedef struct tsl_feeding {
    const tslim_train_options *options;
    uint32_t n_inputs; // of the model
    uint32_t sources[TSL_MAX_ARRAYS]; // the dataset's array for each
    uint32_t target; // the array for options->target, or TSL_NONE
    uint32_t batch; // samples of a run
    bool labels; // compare with labels
    bool scores; // tell how many labels are right, also where they are not trained on
} tsl_feeding;

typedef struct tsl_network {
    tslim_context *ctx;
    const tslim_train_options *options;
    const tsl_feeding *feeding;
    tsl_arena arena;
    tslim_session *session;
    tsl_losses losses;
    tslim_tensor *inputs, *outputs; // of the session
    uint32_t n_inputs, n_outputs;
    // Places among the outputs, or TSL_NONE.
    uint32_t loss, scores, first_gradient, first_statistic, first_model_output;
    uint32_t n_model_outputs;
    const char **output_names; // of the model's outputs
    const float **gradients; // of each parameter, NULL where there is none; of the last run
    uint32_t n_parameters;
    bool *has_gradient;
    // The caller's own loss.
    const tsl_batch *current;
    uint32_t seen;
    tslim_tensor *model_outputs, *derivatives;
    double callers_loss;
    tslim_status callers_status;
    char callers_message[256];
} tsl_network;

// Decides which array is for what. INVALID_ARGUMENT where the data does not fit the model. `trained` is NULL,
// or the feeding of the training that this is the validation of.
tslim_status tsl_feeding_init(tsl_feeding *feeding, const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_train_options *options, const tsl_feeding *trained);
// The types that samples are to be read in, for tsl_samples_init.
tslim_status tsl_feeding_types(
    const tsl_feeding *feeding, const tslim_graph *graph, tslim_dataset *dataset, tslim_dtype *types);

tslim_status tsl_teacher_init(
    tsl_teacher *teacher, const tslim_graph *student, const tsl_feeding *feeding, const tsl_batch *batch);
void tsl_teacher_clear(tsl_teacher *teacher);
// `inputs` as in tsl_network_run.
tslim_status tsl_teacher_run(tsl_teacher *teacher, const tsl_feeding *feeding, const tsl_batch *batch);

// For training: `trainable` is filled, and `weights`' values become inputs that are read at each run.
tslim_status tsl_network_init_training(tsl_network *network, const tslim_graph *graph,
    const tsl_feeding *feeding, const tsl_batch *batch, const tsl_teacher *teacher, tsl_trainable *trainable,
    tsl_weights *weights, const tsl_weights_wanted *wanted);
// For validation: the weights are the graph's.
tslim_status tsl_network_init_validation(tsl_network *network, const tslim_graph *graph,
    const tsl_feeding *feeding, const tsl_batch *batch, const tsl_teacher *teacher);
void tsl_network_clear(tsl_network *network); // a zeroed one is allowed

// Runs a full batch, after the teacher; of the samples behind batch->count, which are copies of the last, the
// caller makes nothing. *loss (of training) is the mean over the batch.
tslim_status tsl_network_run(
    tsl_network *network, const tsl_batch *batch, const tsl_teacher *teacher, double *loss);

// The mean losses over a validation set, and how many of its labels are the largest score.
typedef struct tsl_validation {
    double loss, top1; // NaN where there is none
} tsl_validation;
tslim_status tsl_network_validate(
    tsl_network *network, tsl_samples *samples, tsl_teacher *teacher, tsl_validation *result);

#endif
