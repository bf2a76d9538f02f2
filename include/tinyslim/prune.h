// SPDX-License-Identifier: Apache-2.0
// Channel groups, and pruning them: layers become physically smaller, and the graph stays a plain one.
#ifndef TINYSLIM_PRUNE_H
#define TINYSLIM_PRUNE_H

#include <tinyslim/dataset.h>

TSLIM_BEGIN_DECLS

/**
 * Everything that must shrink together when a channel goes: found by following each channel through residual
 * adds, concat, split, depthwise convolution, squeeze-excite, reshapes and the rest.
 */
typedef struct tslim_channel_groups tslim_channel_groups;

/** `shapes`: as in tslim_graph_measure; what depends on sizes is followed at these. */
TSLIM_API tslim_status tslim_channel_groups_find(const tslim_graph *graph, const tslim_input_shape *shapes,
    uint32_t n_shapes, tslim_channel_groups **groups);

TSLIM_API void tslim_channel_groups_destroy(tslim_channel_groups *groups);

typedef struct tslim_channel_group_info {
    uint32_t struct_size; /**< set by the caller */
    const char *name; /**< the name of the first layer that makes the channels */
    uint32_t channels; /**< prunable units; a unit may be several channels (grouped convolution, flatten) */
    bool prunable;
    const char *reason; /**< why it is not prunable: names the node; "" when it is */
    bool shallow; /**< sees the model's input directly: protected by default */
    uint32_t n_producers; /**< layers whose outputs shrink */
    uint32_t n_consumers; /**< layers whose inputs shrink */
    uint64_t macs; /**< of the layers that make the channels and that read them */
    uint64_t parameters;
} tslim_channel_group_info;

TSLIM_API uint32_t tslim_channel_groups_count(const tslim_channel_groups *groups);
TSLIM_API tslim_status tslim_channel_groups_info(
    const tslim_channel_groups *groups, uint32_t index, tslim_channel_group_info *info);
/** Layer names of a group; NULL when out of range. */
TSLIM_API const char *tslim_channel_groups_producer(
    const tslim_channel_groups *groups, uint32_t group, uint32_t index);
TSLIM_API const char *tslim_channel_groups_consumer(
    const tslim_channel_groups *groups, uint32_t group, uint32_t index);

/** How the importance of a channel is scored. */
typedef enum tslim_criterion {
    TSLIM_CRITERION_L1 = 0, /**< sum of |w| of its filters (Li et al., 2017, arXiv:1608.08710) */
    TSLIM_CRITERION_L2 = 1, /**< Euclidean norm of its filters */
    TSLIM_CRITERION_BN_SCALE =
        2, /**< |gamma| of its BatchNormalization (Liu et al., 2017, arXiv:1708.06519) */
    TSLIM_CRITERION_FPGM = 3, /**< distance to the other filters (He et al., 2019, arXiv:1811.00250) */
    TSLIM_CRITERION_RANDOM = 4,
    /** What the layers that read the channel lose when they fit their weights anew: needs data. With global
     * ranking, for each multiply-add saved. */
    TSLIM_CRITERION_RECONSTRUCTION = 5
} tslim_criterion;

/** "l1", "l2", "bn-scale", "fpgm", "random", "reconstruction": static. */
TSLIM_API const char *tslim_criterion_name(tslim_criterion criterion);
TSLIM_API tslim_status tslim_criterion_from_name(const char *name, tslim_criterion *criterion);

/** A ratio for one group; `name` as in tslim_channel_group_info, or the name of any layer in it. */
typedef struct tslim_group_ratio {
    const char *name;
    double ratio; /**< 0 up to but not including 1 */
} tslim_group_ratio;

typedef struct tslim_sensitivity tslim_sensitivity;

/**
 * Set up with tslim_prune_options_init. One way of choosing ratios counts, the first that is set, in this
 * order: ratios, sensitivity with max_loss, target_macs or target_parameters, ratio.
 */
typedef struct tslim_prune_options {
    uint32_t struct_size;
    tslim_criterion criterion;
    bool global; /**< rank channels over all groups together, each group's scores divided by their mean */
    double ratio; /**< of each group (local), or of all channels (global) */
    const tslim_group_ratio *ratios;
    uint32_t n_ratios;
    const tslim_sensitivity *sensitivity;
    double max_loss; /**< largest fall of the metric that a group alone may cost, as a fraction */
    double target_macs; /**< fraction of the original's MACs to end at or below; 0: none */
    double target_parameters;
    uint32_t round_to; /**< channels that stay are a multiple of this; default 8; 1: any number */
    uint32_t min_channels; /**< at least so many stay; default 1 */
    double
        shallow_ratio; /**< largest ratio of a shallow group, as a fraction of the asked one; default 0.5 */
    const char *const *exclude; /**< names of groups, or of layers, whose channels all stay */
    uint32_t n_exclude;
    uint64_t seed; /**< for RANDOM */
    const tslim_input_shape *shapes;
    uint32_t n_shapes;
    /** Samples for RECONSTRUCTION; for BN_SCALE, which then measures the standard deviation of what a layer
     * makes where its BatchNormalization has been folded away. NULL: none. */
    tslim_dataset *data;
} tslim_prune_options;

TSLIM_API void tslim_prune_options_init(tslim_prune_options *options);

/** Which channels go, before any does. */
typedef struct tslim_prune_plan tslim_prune_plan;

/**
 * INVALID_ARGUMENT names a group that does not exist, or a target that cannot be reached (with the least that
 * can). The graph is not changed.
 */
TSLIM_API tslim_status tslim_prune_plan_create(
    const tslim_graph *graph, const tslim_prune_options *options, tslim_prune_plan **plan);
TSLIM_API void tslim_prune_plan_destroy(tslim_prune_plan *plan);

typedef struct tslim_prune_plan_group {
    uint32_t struct_size; /**< set by the caller */
    const char *name;
    uint32_t channels;
    uint32_t pruned;
    const uint32_t *pruned_channels; /**< ascending indices; valid as long as the plan */
    const char *note; /**< "shallow: ratio halved", "excluded", "not prunable: ..."; "" */
} tslim_prune_plan_group;

TSLIM_API uint32_t tslim_prune_plan_group_count(const tslim_prune_plan *plan);
TSLIM_API tslim_status tslim_prune_plan_group_info(
    const tslim_prune_plan *plan, uint32_t index, tslim_prune_plan_group *info);
/** What the model has before, and will have after. */
TSLIM_API tslim_status tslim_prune_plan_totals(
    const tslim_prune_plan *plan, tslim_graph_totals *before, tslim_graph_totals *after);
/** JSON; loading checks the plan against the graph's own groups. */
TSLIM_API tslim_status tslim_prune_plan_save_file(const tslim_prune_plan *plan, const char *path);
TSLIM_API tslim_status tslim_prune_plan_load_file(
    const tslim_graph *graph, const char *path, tslim_prune_plan **plan);

/** Carries the plan out. The graph must be the one the plan was made for, unchanged. On failure it is as
 * before. */
TSLIM_API tslim_status tslim_prune(tslim_graph *graph, const tslim_prune_plan *plan);

TSLIM_END_DECLS

#endif
