// SPDX-License-Identifier: Apache-2.0
// Channel equalization (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
// Correction", 2019, arXiv:1906.04721): one INT8 scale serves all channels of a value, so channels of small
// range lose. Each channel is multiplied by a factor where it is made and its readers' weights are divided by
// it; the network computes the same, and all channels use the whole of INT8.
//
// Values through which a factor passes unchanged (a Relu, a pooling, the sum of a residual connection) have
// the same factors: they form a set. A set's sources are products whose output channels are scaled, and
// functions behind which a multiplication is put; its sinks are products whose input channels are divided.
#ifndef TSL_QUANT_EQUALIZE_H
#define TSL_QUANT_EQUALIZE_H

#include "ir/graph.h"
#include "quant/calibration.h"

typedef struct tsl_channel_set {
    uint32_t parent; // of the tree of a set (union-find); roots hold what follows
    uint32_t channels; // 0: not known yet
    bool channels_last; // channels lie on the last axis, else on axis 1
    bool blocked; // something else reads or makes a value of the set
    uint32_t n_sinks;
    float ceiling; // of a Clip within the set; INFINITY: none
    bool inserts; // some source is a function
} tsl_channel_set;

// For each value of an optimized graph its set. `sets` has n_values entries.
tslim_status tsl_channel_sets_find(const tslim_graph *graph, tsl_channel_set *sets);
uint32_t tsl_channel_set_root(const tsl_channel_set *sets, uint32_t value);
// Sets whose channels can be scaled.
bool tsl_channel_set_usable(const tsl_channel_set *root);

// A node between a product and the end of a chain of functions: its argument, and whether its other operand
// may be a constant for each channel. TSL_NONE when it is no function of one value.
uint32_t tsl_function_argument(const tslim_graph *graph, const tsl_node *node);
// The product whose result a value is, through functions that nobody else reads; TSL_NONE when there is none.
uint32_t tsl_chain_product(const tslim_graph *graph, const tsl_uses *uses, uint32_t value);

// How values of a graph were seen: those of the calibration under the same name where NULL.
typedef struct tsl_seen {
    const tsl_observer *observer;
    const tsl_channels *channels;
    const float *factors; // by which channels are multiplied; NULL: none
} tsl_seen;

// Scales channels of an optimized graph where that makes INT8 finer. *seen is an array with an entry for each
// value of the graph as it is then, in the arena. What is scaled gets another name. Indices of nodes and
// values change.
tslim_status tsl_equalize(
    tslim_graph *graph, const tslim_calibration *calibration, tsl_arena *arena, tsl_seen **seen);
// The same entries without any change.
tslim_status tsl_seen_as_calibrated(
    const tslim_graph *graph, const tslim_calibration *calibration, tsl_arena *arena, tsl_seen **seen);

// Factors of one set: `factors` has an entry for each channel. *gain is how many times smaller the noise
// becomes; 1 where no factors are better than none.
tslim_status tsl_choose_factors(const tslim_graph *graph, const tslim_calibration *calibration,
    tsl_arena *arena, const tsl_channel_set *sets, uint32_t root, float *factors, double *gain);

#endif
