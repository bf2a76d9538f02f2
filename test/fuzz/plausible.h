// SPDX-License-Identifier: Apache-2.0
// One operator on operands that it may well take.
#ifndef TEST_FUZZ_PLAUSIBLE_H
#define TEST_FUZZ_PLAUSIBLE_H

#include "base/rng.h"
#include "ir/graph.h"

// Adds one node with its operands to an empty graph. `inputs` has room for 8. False when memory is short.
bool fuzz_add_plausible_node(
    tsl_rng *rng, tslim_graph *graph, uint32_t *inputs, uint32_t *n_inputs, uint32_t *output);

#endif
