// SPDX-License-Identifier: Apache-2.0
// The parts of quantization, in the order in which they run on an optimized graph: which nodes run in INT8,
// what scale each of their values has, and the rewriting.
#ifndef TSL_QUANT_QUANTIZER_H
#define TSL_QUANT_QUANTIZER_H

#include <tinyslim/quantize.h>

#include "ir/graph.h"
#include "quant/calibration.h"
#include "quant/equalize.h"

// Where a node stands among functions of one value that become one table: those within are spelled out in
// float between a Dequantize and a Quantize, as QDQ models have them.
typedef enum tsl_chain_place {
    TSL_CHAIN_NONE = 0,
    TSL_CHAIN_FIRST,
    TSL_CHAIN_INSIDE,
    TSL_CHAIN_LAST
} tsl_chain_place;
// A chain right behind an INT8 product takes its sums in float and has no first node: the product stores
// nothing in between.
#define TSL_LONGEST_CHAIN 8

typedef struct tsl_quantizer {
    tslim_graph *graph; // optimized; changed by the last step only
    const tslim_calibration *calibration;
    const tsl_seen *seen; // of each value
    tsl_arena arena; // of everything below
    tsl_uses uses;
    uint32_t n_nodes, n_values; // before the rewriting
    // Of each node: NULL when it runs in INT8, else why not.
    const char **float_reason;
    // Of each node: an INT8 product whose result is stored in float.
    bool *to_float;
    tsl_chain_place *chain; // of each node
    // Of each value that is stored in INT8 somewhere: its scale (0 elsewhere) and zero point.
    float *scale;
    int32_t *zero_point;
    bool symmetric; // zero points are all 0
    bool keep_biases; // they are not corrected
    const char **excluded; // names of nodes that stay in float; NULL: gone
    uint32_t n_excluded;
    const bool *allowed; // of each node, whether a product may run in INT8; NULL: all may
} tsl_quantizer;

static inline bool tsl_runs_in_int8(const tsl_quantizer *q, uint32_t node) {
    return !q->float_reason[node];
}

// Conv, ConvTranspose, Gemm, MatMul: what INT8 is for.
bool tsl_is_product(tsl_op op);
// True when operand `index` holds the numbers that the node works on, not weights, bias or sizes.
bool tsl_is_data_operand(const tsl_node *node, uint32_t index);
// True when some INT8 node reads the value as data.
bool tsl_has_int8_reader(const tsl_quantizer *q, uint32_t value);
// True for nodes whose INT8 output has the scale of their first input, because it only moves or picks
// elements.
bool tsl_keeps_scale(const tsl_node *node);

// Noise to signal at the outputs that is not worth a float node.
#define TSL_NEGLIGIBLE_NOISE 5e-4

// Gives products whose costs were measured and are too high a reason to stay in float.
tslim_status tsl_keep_costly(tsl_quantizer *q, const char **reasons);

// Fills float_reason and to_float. Nodes that have one of `reasons` stay in float.
tslim_status tsl_choose_precision(tsl_quantizer *q, const char *const *reasons);

// Fills chain.
void tsl_find_chains(tsl_quantizer *q);

// Fills scale and zero_point. INVALID_ARGUMENT names a value that the calibration does not know.
tslim_status tsl_choose_scales(tsl_quantizer *q);

// Replaces a product's weights by INT8 ones with a scale for each output channel. Corrects the bias by the
// means of its input, where that is not NULL and they are known.
tslim_status tsl_quantize_weights(tslim_graph *graph, uint32_t node, const tsl_seen *input);
// An INT8 copy of a float constant, with one scale.
tslim_status tsl_quantize_constant(tslim_graph *graph, uint32_t value, uint32_t *quantized);
// True when a constant loses little by that: signal to noise of 30 dB or more.
bool tsl_constant_suits_int8(const tsl_value *value);

// Turns the chosen nodes to INT8 and puts Quantize and Dequantize nodes where float and INT8 meet.
tslim_status tsl_convert(tsl_quantizer *q);

// For measuring. Which nodes of an optimized (and equalized) graph are products that may run in INT8; and a
// quantized copy of the graph with none but those of `in_int8`.
tslim_status tsl_find_int8_products(const tslim_graph *optimized, const tslim_calibration *calibration,
    const tsl_seen *seen, bool *is_product);
tslim_status tsl_quantize_only(const tslim_graph *optimized, const tslim_calibration *calibration,
    const tsl_seen *seen, const bool *in_int8, tslim_graph **quantized);

#endif
