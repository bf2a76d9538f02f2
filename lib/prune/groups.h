// SPDX-License-Identifier: Apache-2.0
// Channel groups: atoms that play the same part everywhere, in the order of the first layer that makes them.
#ifndef TSL_PRUNE_GROUPS_H
#define TSL_PRUNE_GROUPS_H

#include <tinyslim/dataset.h>
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
// `data` may be NULL where the criterion does not need it.
tslim_status tsl_score_units(const tslim_channel_groups *groups, tslim_criterion criterion, uint64_t seed,
    tslim_dataset *data, double *scores, bool *fallback);

// criteria_data.c. Scores by root, of the groups that can be scored; of the others none is touched.
tslim_status tsl_score_reconstruction(
    const tslim_channel_groups *groups, tslim_dataset *data, double *scores, bool *scored);
// Calls with the standard deviations of what each layer makes that makes channels of a wanted group.
typedef void (*tsl_deviation_callback)(void *user, const tsl_layer *layer, const double *deviations);
tslim_status tsl_measure_deviations(const tslim_channel_groups *groups, tslim_dataset *data,
    const bool *wanted, tsl_deviation_callback callback, void *user);

#endif
