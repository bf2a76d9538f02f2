// SPDX-License-Identifier: Apache-2.0
// Training: what pruning has cost is won back, from labels, from the original as a teacher, or from both.
#ifndef TINYSLIM_TRAIN_H
#define TINYSLIM_TRAIN_H

#include <tinyslim/dataset.h>
#include <tinyslim/session.h>

TSLIM_BEGIN_DECLS

typedef enum tslim_optimizer {
    TSLIM_OPTIMIZER_SGD = 0, /**< with momentum; weight decay is added to the gradient */
    TSLIM_OPTIMIZER_ADAMW = 1 /**< weight decay apart from the gradient (Loshchilov and Hutter, 2019) */
} tslim_optimizer;

/** The learning rate over the epochs, after the warm-up. It changes with every step. */
typedef enum tslim_schedule {
    TSLIM_SCHEDULE_COSINE = 0, /**< half a cosine from the learning rate down to 0 */
    TSLIM_SCHEDULE_CONSTANT = 1,
    TSLIM_SCHEDULE_STEP = 2 /**< times `step_factor` each `step_epochs` */
} tslim_schedule;

/** What the outputs are compared with. Each is a mean over the samples of a batch. */
typedef enum tslim_loss {
    /** With labels: CROSS_ENTROPY. With a teacher: KL where an output ends in a softmax or is N x classes,
     * BINARY_CROSS_ENTROPY where it ends in a sigmoid, MSE else. With `target`: MSE. */
    TSLIM_LOSS_AUTO = 0,
    TSLIM_LOSS_CROSS_ENTROPY = 1, /**< of the labels, in nats */
    TSLIM_LOSS_MSE = 2, /**< mean of the squared differences */
    TSLIM_LOSS_BINARY_CROSS_ENTROPY = 3, /**< of each element, against 0 to 1; in nats, the mean */
    TSLIM_LOSS_CTC = 4, /**< N x steps x classes against rows of classes, which a negative number ends */
    TSLIM_LOSS_KL = 5 /**< to the teacher's softmax at `temperature` T, times T * T (Hinton et al., 2015) */
} tslim_loss;

/**
 * A loss of the caller's own: reads the model's outputs (float, row-major) for a batch, sets `*loss` and,
 * unless `gradients` is NULL (while validating), writes its derivative by every element of every output.
 * `samples` tells which samples of the dataset they are, `labels` is NULL where there are none. Anything but
 * TSLIM_OK ends the training with that status.
 */
typedef tslim_status (*tslim_loss_callback)(void *user, const tslim_tensor *outputs, uint32_t n_outputs,
    const uint64_t *samples, const int64_t *labels, uint32_t n_samples, tslim_tensor *gradients,
    double *loss);

/** Set up with tslim_train_options_init. */
typedef struct tslim_train_options {
    uint32_t struct_size;
    uint32_t epochs; /**< default 3 */
    uint32_t batch; /**< samples a step, default 32; what is left of an epoch is not used. A model with a
                       fixed batch keeps its own */
    uint64_t seed; /**< of the order of samples and of augmentation */

    tslim_optimizer optimizer;
    bool nesterov;
    double learning_rate; /**< default 0.01 */
    double momentum; /**< default 0.9; of AdamW the first moment's decay */
    double second_momentum; /**< of AdamW's second moment, default 0.999 */
    double epsilon; /**< of AdamW, default 1e-8 */
    double weight_decay; /**< default 0; of weights only, never of biases and normalization */
    double clip_norm; /**< gradients longer than this (all together) are shortened to it; 0: none */
    double average_decay; /**< exponential moving average of the weights, which is what is kept: 0.999 for
                             example; 0: none */

    tslim_schedule schedule;
    double warmup_epochs; /**< the rate rises from 0; default 0 */
    uint32_t step_epochs; /**< default 1 */
    double step_factor; /**< default 0.1 */

    tslim_loss loss; /**< for labels and targets */
    double label_smoothing; /**< 0 to below 1: so much of the distribution is uniform */
    uint32_t output; /**< which output `loss` is for; default 0 */
    const char *target; /**< the dataset's array that the output is compared with; NULL: the labels */
    tslim_loss_callback callback; /**< in place of `loss`; NULL: none */
    void *callback_user;

    const tslim_graph *teacher; /**< usually the model before pruning; NULL: none. Not changed */
    tslim_loss teacher_loss; /**< of every output: AUTO, KL, MSE or BINARY_CROSS_ENTROPY */
    double teacher_weight; /**< the loss is (1 - w) * labels + w * teacher; default 0.5. Without labels
                              1 */
    double temperature; /**< of KL, default 1 */
    const char *const *features; /**< names of intermediate values that should be as in the teacher */
    const char *const *teacher_features; /**< their names there; NULL: the same */
    uint32_t n_features;
    double feature_weight; /**< of the sum of their MSE; default 1 */

    /** Of inputs that are images of floats, C x H x W (or H x W x C as the model's preparation says). What
     * comes in from outside repeats the edge. */
    bool flip; /**< left and right, of every second image */
    uint32_t shift; /**< up to so many pixels in each direction */
    double crop; /**< a part of at least this fraction of each side, enlarged again; 0: none */

    bool freeze_statistics; /**< BatchNormalization goes on with the mean and variance that it has */
    double statistics_momentum; /**< of the old value in a running statistic; 0: the node's own, usually
                                   0.9 */

    tslim_dataset *validation; /**< measured after each epoch; the best weights are kept. NULL: the last */
    uint32_t patience; /**< epochs without improvement after which to stop; 0: never */

    const char *checkpoint; /**< written after each epoch, beside its place and renamed; NULL: none */
    bool resume; /**< go on from `checkpoint` if it is there: the result has the same bytes as without a stop
                  */
    uint64_t memory_bytes; /**< of samples kept in memory, default 1 GiB. If all fit they are read once and
                              shuffled as a whole, else in such parts one after the other */
    tslim_progress progress; /**< of steps */
    void *progress_user;
} tslim_train_options;

TSLIM_API void tslim_train_options_init(tslim_train_options *options);

/** What an epoch has brought. */
typedef struct tslim_epoch {
    uint32_t struct_size;
    uint32_t epoch; /**< from 1 */
    double learning_rate; /**< of its last step */
    double train_loss; /**< mean over its steps */
    double validation_loss; /**< mean over the samples; NaN without validation data */
    double validation_top1; /**< 0 to 1; NaN without labels, or with another loss than cross-entropy */
    bool best; /**< so far: higher top-1 or, where that is equal or there is none, lower loss */
    bool resumed; /**< trained before, and read from the checkpoint */
    double seconds; /**< of training alone; 0 for a resumed one */
} tslim_epoch;

/** Called after each epoch, once its checkpoint is written. Return false to stop: the call then ends in
 * TSLIM_ERROR_CANCELLED, and can be resumed. */
typedef bool (*tslim_epoch_callback)(void *user, const tslim_epoch *epoch);

/**
 * Trains the weights, biases and normalizations of a float model that is not optimized, in place; it stays
 * prunable. Deterministic: the same arguments give the same bytes, with any number of threads. Samples have
 * the model's inputs, by name or in order, and may have further arrays (`target`). At least one of labels,
 * `target`, `callback` and `teacher` is needed. `options` and `callback` may be NULL.
 * On failure the graph is as before.
 * INVALID_ARGUMENT: an option out of range (the message names it), data that does not fit the model, or a
 * loss that is no longer finite. UNSUPPORTED: names every node without a gradient. BAD_FILE: the checkpoint
 * is damaged, or of another training.
 */
TSLIM_API tslim_status tslim_finetune(tslim_graph *graph, tslim_dataset *train,
    const tslim_train_options *options, tslim_epoch_callback callback, void *user);

TSLIM_END_DECLS

#endif
