// SPDX-License-Identifier: Apache-2.0
// Repair: a pruned network made to do again what the original did, without labels and without gradients.
#ifndef TINYSLIM_REPAIR_H
#define TINYSLIM_REPAIR_H

#include <tinyslim/dataset.h>
#include <tinyslim/prune.h>

TSLIM_BEGIN_DECLS

/** What is done, layer by layer, from the front to the back; both may be asked for together. */
typedef enum tslim_repair_method {
    /** Mean and variance of each channel become those of the original's channel: by BatchNormalization, whose
     * own statistics are measured anew, or by bias and scale of the weights where there is none. */
    TSLIM_REPAIR_STATISTICS = 1,
    /** Weights and bias that come nearest to the original's values, from what the repaired layers before
     * hand on. */
    TSLIM_REPAIR_LEAST_SQUARES = 2
} tslim_repair_method;

/** What became of one layer. */
typedef struct tslim_repair_layer {
    uint32_t struct_size;
    const char *name; /**< of the node; strings are valid during the call */
    const char *op_type;
    tslim_repair_method method;
    bool repaired;
    const char *reason; /**< why it was left as it is; "" */
    const char *target; /**< the value of the original that it was fitted to; "" */
    uint64_t rows; /**< output pixels that were looked at */
    double error_before; /**< squared error on these, divided by the variance of the original's values */
    double error_after;
} tslim_repair_layer;

typedef void (*tslim_repair_callback)(void *user, const tslim_repair_layer *layer);

/** Set up with tslim_repair_options_init. */
typedef struct tslim_repair_options {
    uint32_t struct_size;
    uint32_t methods; /**< a sum of tslim_repair_method; default: both */
    double ridge; /**< pulls weights back to where they were; of the mean square of inputs; default 0.001 */
    uint32_t rounds; /**< fits that let go of what a Relu or Clip cuts off anyway; default 5; 0: one fit */
    uint32_t max_rows; /**< output pixels of each layer, spread evenly over the samples; default 65536 */
    uint64_t memory_bytes; /**< for these and the equations; fewer rows are taken to stay below; 1 GiB */
    uint32_t max_unknowns; /**< weights of one output channel; a layer with more is left; default 8192 */
    uint32_t batch; /**< samples a run; default 20 */
    /** What was pruned. NULL: found by looking for the original's weights in the pruned model, which must not
     * have been trained or repaired since. */
    const tslim_prune_plan *plan;
    tslim_repair_callback layer;
    void *layer_user;
    tslim_progress progress;
    void *progress_user;
} tslim_repair_options;

TSLIM_API void tslim_repair_options_init(tslim_repair_options *options);

/**
 * Repairs Conv, ConvTranspose, Gemm and MatMul with constant weights of `graph`, which was pruned from
 * `teacher`; values are matched by name. The same samples and options give the same weights for any number of
 * threads. INVALID_ARGUMENT names the node and the numbers where the two do not go together. On failure the
 * graph is as before.
 */
TSLIM_API tslim_status tslim_repair(tslim_graph *graph, const tslim_graph *teacher, tslim_dataset *dataset,
    const tslim_repair_options *options);

/**
 * Puts BatchNormalization back behind each Conv and ConvTranspose that has a bias and none (it was folded
 * into them): gamma and beta are the measured standard deviation and mean of what the layer makes, and its
 * weights are divided accordingly. Outputs stay what they were, to rounding. `n_restored` may be NULL. On
 * failure the graph is as before.
 */
TSLIM_API tslim_status tslim_graph_restore_batchnorm(
    tslim_graph *graph, tslim_dataset *dataset, uint32_t *n_restored);

TSLIM_END_DECLS

#endif
