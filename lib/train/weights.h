// SPDX-License-Identifier: Apache-2.0
// What is trained, side by side in memory: the weights first, then the running statistics. Beside them, in
// the same order, what the optimizer keeps, the moving average and the best so far.
#ifndef TSL_TRAIN_WEIGHTS_H
#define TSL_TRAIN_WEIGHTS_H

#include "train/trainable.h"

typedef struct tsl_weight {
    const char *name; // of the constant in the user's graph, and that graph's own
    uint32_t input; // of the training graph's inputs
    size_t offset, count; // floats
    bool decays;
} tsl_weight;

typedef struct tsl_weights {
    tslim_context *ctx;
    tsl_weight *items; // parameters, then statistics
    uint32_t n_items, n_parameters;
    size_t n_floats; // of all items; each begins at 64 bytes
    size_t n_trained; // of the parameters
    float *values;
    float *moments[2]; // of the optimizer; NULL where it keeps none
    float *average; // NULL: none
    float *best; // NULL: none
    void *memory;
    size_t memory_bytes, items_bytes;
} tsl_weights;

typedef struct tsl_weights_wanted {
    uint32_t n_moments;
    bool average, best;
} tsl_weights_wanted;

// Takes the values from the constants of `graph`, the user's. They must be floats.
tslim_status tsl_weights_init(tsl_weights *weights, const tslim_graph *graph, const tsl_trainable *trainable,
    const tsl_weights_wanted *wanted);
void tsl_weights_clear(tsl_weights *weights); // a zeroed one is allowed

// Gives the constants of `graph` these values (one of the arrays above).
tslim_status tsl_weights_store(const tsl_weights *weights, const float *values, tslim_graph *graph);

// average = decay * average + (1 - decay) * values
void tsl_weights_average(tsl_weights *weights, double decay);

#endif
