// SPDX-License-Identifier: Apache-2.0
// A small convolutional network built by hand: stem, a residual block, a depthwise block, pooling, a
// classifier. It has one of each thing that the way from load to run meets, and runs in microseconds.
#ifndef TEST_SUPPORT_SMALL_NETWORK_H
#define TEST_SUPPORT_SMALL_NETWORK_H

#include "ir/graph.h"

#define SMALL_NETWORK_CLASSES 5
#define SMALL_NETWORK_SIZE 12

// Input "input" N x 3 x 12 x 12, output "scores" N x 5. Weights depend on `seed` alone.
tslim_status small_network_create(tslim_context *ctx, uint64_t seed, tslim_graph **graph);

#endif
