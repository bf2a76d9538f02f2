// SPDX-License-Identifier: Apache-2.0
// The parts of tsl_pass_fold_quantized: what the QuantizeLinear and DequantizeLinear nodes of a file say,
// which nodes can run in INT8 by that, and the rewriting.
//
// ONNX has UINT8 tensors too. (q - z) * s is the same number for q of 0..255 as for q - 128 with zero point z
// - 128, so everything here is in INT8, and the kernels know one type.
#ifndef TSL_PASS_FOLD_QUANTIZED_H
#define TSL_PASS_FOLD_QUANTIZED_H

#include "pass/pass.h"

// How a tensor is quantized, as INT8. scale 0: it is not.
typedef struct tsl_quant_form {
    float scale;
    int32_t zero_point;
} tsl_quant_form;

typedef struct tsl_quantized_folder {
    tslim_graph *graph;
    tsl_arena arena; // of everything below
    tsl_uses uses; // before the rewriting
    uint32_t n_nodes, n_values; // before the rewriting
    // Of each QuantizeLinear and DequantizeLinear between float and 8 bits whose parameters are constants,
    // one for the tensor.
    tsl_quant_form *parameters;
    // Of each float value: the form in which it is there, or in which its readers want it.
    tsl_quant_form *form;
    // Of each float value: that its readers want it in that form only.
    bool *wanted;
    // Of each node: it runs in INT8; it would without its sum with a float.
    bool *int8, *split;
} tsl_quantized_folder;

static inline bool tsl_has_form(const tsl_quant_form *form) {
    return form->scale > 0;
}
static inline bool tsl_same_form(const tsl_quant_form *a, const tsl_quant_form *b) {
    return a->scale == b->scale && a->zero_point == b->zero_point;
}

// What a QuantizeLinear or DequantizeLinear says, where its parameters are constants, one for the tensor.
tsl_quant_form tsl_quantized_parameters(const tslim_graph *graph, const tsl_node *node);
// The result holds elements of the first operand, unchanged: rounding before the node is rounding behind it.
bool tsl_only_moves(const tsl_node *node);

// Of a product by such weights: the output channels that can be multiplied by a number each (0: none);
// whether they can by these; and that being done, on a copy of the weights. NO_MEMORY.
size_t tsl_dequantized_channels(const tslim_graph *graph, const tsl_node *product);
bool tsl_dequantized_can_scale(const tslim_graph *graph, const tsl_node *product, const double *factor);
tslim_status tsl_scale_dequantized(tslim_graph *graph, uint32_t product, const double *factor);

// What depthwise convolutions read with a scale for each channel gets one for the tensor
// (pass/unify_channels.c).
tslim_status tsl_quantized_unify_channels(tslim_graph *graph);

// What an operand is to an INT8 node.
typedef enum tsl_quantized_role {
    TSL_ROLE_OTHER, // stays as it is: bias, sizes, indices
    TSL_ROLE_DATA, // must come in INT8
    TSL_ROLE_WEIGHTS // constant, in INT8, or else data
} tsl_quantized_role;
tsl_quantized_role tsl_quantized_role_of(
    const tsl_quantized_folder *f, const tsl_node *node, uint32_t operand);

// The DequantizeLinear that makes a value from a constant of 8 bits with constant parameters, which may be
// along an axis; NULL when there is none.
const tsl_node *tsl_weights_dequantizer(const tslim_graph *graph, uint32_t value);
// Of the node above: the axis of its scales, of which there are `count`; 0 where there is one.
int32_t tsl_weights_scale_axis(const tslim_graph *graph, const tsl_node *dequantizer, size_t count);
// Of the node above: the parameters in INT8's terms, in the graph's memory. NO_MEMORY.
tslim_status tsl_read_weights_parameters(tslim_graph *graph, const tsl_node *dequantizer, tsl_quant *quant);

// Brings operators between integers into the form that the rest knows (pass/lift_integers.c): before
// constants are folded, and behind that.
tslim_status tsl_quantized_sink(tslim_graph *graph);
tslim_status tsl_quantized_lift(tslim_graph *graph);

// Products of what DynamicQuantizeLinear makes become products of floats by INT8 weights
// (pass/fold_dynamic.c).
tslim_status tsl_quantized_fold_dynamic(tslim_graph *graph);

// Fills parameters, form, wanted and int8.
tslim_status tsl_quantized_choose(tsl_quantized_folder *f);
tslim_status tsl_quantized_rewrite(tsl_quantized_folder *f);

#endif
