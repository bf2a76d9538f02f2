// SPDX-License-Identifier: Apache-2.0
// The proof of surgery: a pruned network computes what the whole one does when every layer that reads a
// pruned channel reads zeros instead. The mask is a multiplication before each such layer, so it is exact:
// nothing else is changed.
#ifndef TEST_SUPPORT_PRUNING_PROOF_H
#define TEST_SUPPORT_PRUNING_PROOF_H

#include <tinyslim/tinyslim.h>

#include "base/rng.h"
#include "prune/groups.h"

typedef struct pruning_proof {
    uint32_t n_prunable; // groups
    uint32_t n_removed; // units
    double error; // largest difference of an output, relative to its largest element
} pruning_proof;

// Removes from each prunable group a random share of units up to `ratio` (at least one where it has two), and
// compares. A failure of the library, or a MAC count that was foretold wrong, gives a status other than
// TSLIM_OK.
tslim_status prove_pruning(const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes,
    double ratio, uint64_t seed, pruning_proof *proof);

// The same with masks that let everything through: the error must then be large, or the comparison sees
// nothing.
tslim_status spoil_pruning_proof(const tslim_graph *graph, double ratio, uint64_t seed, pruning_proof *proof);

#endif
