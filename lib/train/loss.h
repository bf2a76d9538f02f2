// SPDX-License-Identifier: Apache-2.0
// Losses as nodes: appended to a model's graph, with inputs for what it is compared with.
#ifndef TSL_TRAIN_LOSS_H
#define TSL_TRAIN_LOSS_H

#include <tinyslim/train.h>

#include "ir/graph.h"

#define TSL_MAX_LOSS_INPUTS 64

// What fills an input that a loss has added.
typedef enum tsl_loss_feed {
    TSL_FEED_CLASSES, // N x classes: the distribution that the labels stand for
    TSL_FEED_TARGET, // the dataset's array, as floats
    TSL_FEED_SEQUENCES, // the same as 64-bit integers
    TSL_FEED_TEACHER, // output `index` of the teacher
    TSL_FEED_DERIVATIVE // of the caller's own loss by output `index`, as one row of floats
} tsl_loss_feed;

typedef struct tsl_loss_input {
    tsl_loss_feed feed;
    uint32_t index;
    uint64_t elements;
} tsl_loss_input;

typedef struct tsl_losses {
    tsl_loss_input inputs[TSL_MAX_LOSS_INPUTS];
    uint32_t n_inputs;
    uint32_t first_input; // they are graph->inputs from here on
    uint32_t per_sample; // value of N floats, without the caller's own loss; TSL_NONE: nothing else
    uint32_t total; // one float: its derivative is that of the whole loss
    double callers_weight; // of the caller's own loss
    uint32_t scores; // value N x classes that the labels are compared with, or TSL_NONE
    uint32_t n_classes;
} tsl_losses;

// What the losses are made of.
typedef struct tsl_loss_plan {
    const tslim_train_options *options;
    bool labels; // compare with labels
    bool scores; // find what labels would be compared with, if the outputs are classes
    const tslim_tensor *target; // a batch of the dataset's array; NULL: none
    const tslim_graph *teacher; // made by tsl_make_teacher, with known shapes; NULL: none
    tslim_loss *teacher_losses; // of each output, AUTO resolved by tsl_choose_teacher_losses
} tsl_loss_plan;

// The value before a last softmax (or sigmoid) that makes `value`, or `value` itself; *axis (may be NULL) is
// the classes' axis. UNSUPPORTED where an old softmax runs over several axes.
tslim_status tsl_find_logits(
    const tslim_graph *graph, uint32_t value, tslim_loss loss, uint32_t *logits, uint32_t *axis);

// Decides AUTO for each output of `graph` (the student's, with known shapes).
tslim_status tsl_choose_teacher_losses(
    const tslim_graph *graph, const tslim_train_options *options, tslim_loss *losses);

// Changes a copy of the teacher so that its outputs are what the losses want: logits, then features.
tslim_status tsl_make_teacher(
    tslim_graph *teacher, const tslim_train_options *options, const tslim_loss *losses, uint32_t n_losses);

// Appends to `graph`, which has known shapes, its first output dim being the batch.
tslim_status tsl_losses_append(tslim_graph *graph, const tsl_loss_plan *plan, tsl_losses *losses);

#endif
