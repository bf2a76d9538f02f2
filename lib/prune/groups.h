// SPDX-License-Identifier: Apache-2.0
// Channel groups: atoms that play the same part everywhere, in the order of the first layer that makes them.
#ifndef TSL_PRUNE_GROUPS_H
#define TSL_PRUNE_GROUPS_H

#include <tinyslim/prune.h>

#include "prune/atoms.h"

typedef struct tsl_group {
    const char *name;
    const char *reason; // NULL: can be pruned
    bool shallow;
    const uint32_t *units; // roots of atoms: what can go, one by one
    uint32_t n_units;
    uint32_t width; // channels of the first producer in each unit
    uint32_t *producers, *consumers; // layers
    uint32_t n_producers, n_consumers;
    uint64_t macs, parameters;
} tsl_group;

struct tslim_channel_groups {
    tslim_context *ctx;
    tsl_arena arena;
    tsl_atoms *atoms;
    tsl_group *groups;
    uint32_t n_groups;
    uint32_t *group_of; // of each root; TSL_NONE
};

// The multiply-adds when these atoms are removed (by root). With none, what tslim_graph_measure finds.
uint64_t tsl_groups_macs(const tslim_channel_groups *groups, const uint8_t *removed);
// Elements of constants that go.
uint64_t tsl_groups_removed_parameters(const tslim_channel_groups *groups, const uint8_t *removed);

// The importance of each unit, by root: the mean over the layers that make it, each layer's own mean being 1.
// `fallback[g]` is set for a group whose units the criterion cannot score, which L1 then does.
tslim_status tsl_score_units(const tslim_channel_groups *groups, tslim_criterion criterion, uint64_t seed,
    double *scores, bool *fallback);

#endif
