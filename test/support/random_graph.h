// SPDX-License-Identifier: Apache-2.0
// Random small networks from a seed: residual adds, concat, split, slices, depthwise and grouped convolution,
// squeeze-excite, shuffles, pooling, resizing, per-channel constants, and two kinds of heads.
#ifndef TEST_SUPPORT_RANDOM_GRAPH_H
#define TEST_SUPPORT_RANDOM_GRAPH_H

#include "support/graph_builder.h"

// The same seed gives the same graph. It has one input, 1 x 3 x 8 x 8, and one or two outputs.
tslim_graph *random_graph(tslim_context *ctx, uint64_t seed);

#endif
