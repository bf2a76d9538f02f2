// SPDX-License-Identifier: Apache-2.0
// A pruning plan: which units of which group go.
#ifndef TSL_PRUNE_PLAN_H
#define TSL_PRUNE_PLAN_H

#include "prune/groups.h"

struct tslim_prune_plan {
    tslim_context *ctx;
    tsl_arena arena;
    tslim_channel_groups *groups;
    tslim_input_shape *shapes;
    uint32_t n_shapes;
    uint8_t *removed; // by root
    uint32_t **pruned; // of each group: indices of units, ascending
    uint32_t *n_pruned;
    const char **notes;
    const char *description; // for the model's history
    tslim_graph_totals before, after;
};

// An empty plan: groups found, `before` measured, nothing removed.
tslim_status tsl_plan_new(
    const tslim_graph *graph, const tslim_input_shape *shapes, uint32_t n_shapes, tslim_prune_plan **plan);
// From `removed` to the lists, and the totals afterwards, measured on a copy that is pruned.
tslim_status tsl_plan_finish(tslim_prune_plan *plan, const tslim_graph *graph);
// Adds to what is said of a group: "; " between notes.
tslim_status tsl_plan_note(tslim_prune_plan *plan, uint32_t group, const char *text);

// Chooses the units by the options: sets `removed`, notes and description.
tslim_status tsl_plan_choose(tslim_prune_plan *plan, const tslim_prune_options *options);

// Sets `removed` for the plan's units by their places in groups that were found anew. INVALID_ARGUMENT names
// the group where the plan was made for another model.
tslim_status tsl_plan_match(
    const tslim_prune_plan *plan, const tslim_channel_groups *groups, uint8_t *removed);

// Prunes `graph` in place, all or nothing.
tslim_status tsl_prune_removed(
    tslim_graph *graph, const tslim_channel_groups *groups, const uint8_t *removed);

// How many of the group's units stay when about `target` of them should: a multiple of round_to channels, or
// all.
uint32_t tsl_round_kept(const tsl_group *group, double target, uint32_t round_to, uint32_t min_channels);

// Unit indices of a group by rising score; ties by index.
tslim_status tsl_order_units(const tslim_channel_groups *groups, uint32_t group, const double *scores,
    tsl_arena *arena, uint32_t **order);

#endif
