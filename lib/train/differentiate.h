// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation of the graph: what is appended are nodes like any others, so that the one
// executor, the session, runs training too.
#ifndef TSL_TRAIN_DIFFERENTIATE_H
#define TSL_TRAIN_DIFFERENTIATE_H

#include "ir/graph.h"

// Appends to `graph` the nodes that compute the gradient of the scalar `loss` (one element) with respect to
// each of `targets`: values of float or double type, graph inputs or anything else in the graph.
// gradients[i] is a value of the target's shape, or TSL_NONE when loss does not depend on it.
// Shapes must be inferred and static (tsl_graph_specialize), and the opset 13 or later (tsl_make_trainable).
// A graph that was folded and fused works as well as one that was not, but for nodes with epilogues or packed
// or quantized weights: those are UNSUPPORTED, as are nodes whose operator has no gradient; the message names
// every such node on the way.
tslim_status tsl_differentiate(
    tslim_graph *graph, uint32_t loss, const uint32_t *targets, uint32_t n_targets, uint32_t *gradients);

#endif
