// SPDX-License-Identifier: Apache-2.0
// Constant folding's evaluator: runs one node on constants with the CPU backend.
#ifndef TSL_PLAN_EVALUATE_NODE_H
#define TSL_PLAN_EVALUATE_NODE_H

#include "ir/graph.h"

// A tsl_evaluate_node; `user` is not used.
tslim_status tsl_evaluate_on_cpu(void *user, tslim_graph *graph, uint32_t node);

#endif
