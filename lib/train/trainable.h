// SPDX-License-Identifier: Apache-2.0
// From a graph for inference to one for training: constants that are trained become graph inputs,
// BatchNormalization works on the statistics of its batch.
#ifndef TSL_TRAIN_TRAINABLE_H
#define TSL_TRAIN_TRAINABLE_H

#include "ir/graph.h"

// A constant of the original graph that is trained.
typedef struct tsl_parameter {
    const char *name; // of the value, the same in both graphs
    uint32_t input; // which of the training graph's inputs it is: graph->inputs[input]
    // Weights of convolutions and matrix products: weight decay is for them, not for biases and
    // normalization.
    bool decays;
} tsl_parameter;

// The running mean or variance of a BatchNormalization node: an input of the training graph, and a value that
// it computes, to be that input in the next step: running * momentum + of this batch * (1 - momentum), as in
// ONNX (the variance is that of the population).
typedef struct tsl_statistic {
    const char *name; // of the constant in the original graph
    uint32_t input; // which of graph->inputs
    uint32_t next; // value of the training graph
} tsl_statistic;

typedef struct tsl_trainable {
    tslim_context *ctx;
    tsl_parameter *parameters;
    tsl_statistic *statistics;
    uint32_t n_parameters, n_statistics;
    size_t parameter_bytes, statistic_bytes;
} tsl_trainable;

typedef struct tsl_trainable_options {
    bool freeze_statistics; // BatchNormalization goes on with its running mean and variance (fixed)
    float momentum; // of the running statistics; 0: that of each node
} tsl_trainable_options;

// Changes `graph` (a clone of the user's, neither optimized nor quantized). Older opsets than 13 become 13.
// Float constants become inputs, after those that are there, if they are weights or biases of Conv,
// ConvTranspose, Gemm and MatMul; scale and bias of normalizations; slopes of PRelu; or vectors that Add,
// Sub, Mul and Div combine with what is computed. Their shapes and names stay. Indices of values stay too.
// Names are the graph's.
tslim_status tsl_make_trainable(
    tslim_graph *graph, const tsl_trainable_options *options, tsl_trainable *trainable);
void tsl_trainable_free(tsl_trainable *trainable);

#endif
