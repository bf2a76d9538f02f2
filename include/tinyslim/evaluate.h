// SPDX-License-Identifier: Apache-2.0
// How good a model is: metrics on labelled data, and the distance between two models' outputs.
#ifndef TINYSLIM_EVALUATE_H
#define TINYSLIM_EVALUATE_H

#include <tinyslim/dataset.h>
#include <tinyslim/session.h>

TSLIM_BEGIN_DECLS

/** Set up with tslim_evaluate_options_init. */
typedef struct tslim_evaluate_options {
    uint32_t struct_size;
    uint32_t batch; /**< samples a run; 0: 16, or what the model's fixed batch asks for */
    tslim_backend backend;
    tslim_isa isa;
    tslim_progress progress;
    void *progress_user;
} tslim_evaluate_options;

TSLIM_API void tslim_evaluate_options_init(tslim_evaluate_options *options);

/** Classification metrics of the first output, N x classes. Precision, recall and F1 are macro averages. */
typedef struct tslim_metrics {
    uint32_t struct_size; /**< set by the caller */
    uint64_t samples;
    uint64_t correct_top1; /**< ties go to the lowest class */
    uint64_t correct_top5;
    double top1; /**< 0 to 1 */
    double top5;
    double precision;
    double recall;
    double f1;
    double loss; /**< mean cross-entropy in nats, of softmax(output), or of the output where rows are
                    probabilities */
} tslim_metrics;

TSLIM_API tslim_status tslim_evaluate(const tslim_graph *graph, tslim_dataset *dataset,
    const tslim_evaluate_options *options, tslim_metrics *metrics);

/** The distance of one value between two models. */
typedef struct tslim_difference {
    const char *value; /**< the name; valid during the callback, or as long as the graphs */
    const char *op_type; /**< of the node that makes it in the second model; "" for an input */
    double max_abs;
    double sqnr_db; /**< 10 log10(sum a^2 / sum (a-b)^2); +inf when equal */
    double cosine;
    uint64_t elements;
    uint64_t argmax_agree; /**< rows (last axis) whose largest element is the same; outputs only */
    uint64_t rows;
} tslim_difference;

typedef void (*tslim_difference_callback)(void *user, const tslim_difference *difference);

/** Set up with tslim_compare_options_init. */
typedef struct tslim_compare_options {
    uint32_t struct_size;
    uint32_t batch;
    tslim_backend backend_a, backend_b;
    tslim_isa isa_a, isa_b;
    bool per_value; /**< report each value that both models have under the same name, not the outputs alone */
    tslim_progress progress;
    void *progress_user;
} tslim_compare_options;

TSLIM_API void tslim_compare_options_init(tslim_compare_options *options);

/**
 * Runs both models on the same samples; calls back once a value, in execution order, the outputs last.
 * Samples for which a size that depends on data is another in the second model are left out of that value's
 * distance.
 */
TSLIM_API tslim_status tslim_compare(const tslim_graph *a, const tslim_graph *b, tslim_dataset *dataset,
    const tslim_compare_options *options, tslim_difference_callback callback, void *user);

TSLIM_END_DECLS

#endif
