// SPDX-License-Identifier: Apache-2.0
// Graph rewrites. Each takes a graph with inferred shapes (dims may be symbolic), leaves a valid one with the
// same outputs, and does nothing where its pattern is not there. They run on the plan's own copy, never on
// the user's graph, which stays as it was trained.
#ifndef TSL_PASS_PASS_H
#define TSL_PASS_PASS_H

#include "ir/graph.h"

// Computes the outputs of a node whose inputs are constants, making them constants. The plan provides it,
// because kernels are not known here. UNSUPPORTED leaves the node for later.
typedef tslim_status (*tsl_evaluate_node)(void *user, tslim_graph *graph, uint32_t node);

// Infers each node's shapes in order and, where its inputs are constants (or it is a Shape of known dims),
// evaluates it and removes it. `evaluate` NULL: shapes only.
tslim_status tsl_pass_infer_and_fold(tslim_graph *graph, tsl_evaluate_node evaluate, void *user);

// The same with more to say.
typedef struct tsl_folding {
    tsl_evaluate_node evaluate;
    void *user;
    bool keep_bytes; // DequantizeLinear of 8 bits stays as it is
    uint32_t level; // how many graphs this one is within
} tsl_folding;
tslim_status tsl_pass_infer_and_fold_with(tslim_graph *graph, const tsl_folding *folding);
// For node n, which has bodies: what is known of its operands becomes known to its bodies, whose shapes are
// inferred. An If that is decided becomes the nodes of its branch, which are appended: the walk goes on with
// them.
tslim_status tsl_pass_infer_bodies(tslim_graph *graph, uint32_t n, const tsl_folding *folding, bool *inlined);

// For node n, whose other operands' shapes are known: a residual that is not as large as the product becomes
// an Add behind it again, the last of the graph's nodes.
tslim_status tsl_pass_split_residual(tslim_graph *graph, uint32_t n, bool *split);

// float16 and bfloat16 values between the graph's ends become float. Infers shapes itself; a graph without
// halves is left as it is.
tslim_status tsl_pass_widen_halves(tslim_graph *graph);

// Nodes between DequantizeLinear and QuantizeLinear run in INT8, on values that carry scale and zero point.
// Runs those passes itself first that must come before. `evaluate` as in tsl_pass_infer_and_fold.
tslim_status tsl_pass_fold_quantized(tslim_graph *graph, tsl_evaluate_node evaluate, void *user);

// Identity, Dropout at inference, Cast to the same type, Reshape-like nodes that change nothing.
tslim_status tsl_pass_remove_identity(tslim_graph *graph);

// BatchNormalization and per-channel Add, Sub, Mul, Div by constants after Conv, ConvTranspose, Gemm and
// MatMul go into the weights and bias.
tslim_status tsl_pass_fold_affine(tslim_graph *graph);

// Spelled-out HardSwish, HardSigmoid, SiLU and Gelu become single nodes.
tslim_status tsl_pass_fuse_activations(tslim_graph *graph);

// Spelled-out layer normalization becomes one node.
tslim_status tsl_pass_fuse_normalization(tslim_graph *graph);

// ReduceMean over all positions becomes GlobalAveragePool.
tslim_status tsl_pass_pool_means(tslim_graph *graph);

// Residual Add, Relu and Clip become epilogues of the node that makes their operand.
tslim_status tsl_pass_fuse_epilogues(tslim_graph *graph);

// A transposed convolution to few channels, kernel equal to stride, becomes a 1x1 convolution and
// DepthToSpace.
tslim_status tsl_pass_pixel_shuffle(tslim_graph *graph);

// A function of one value behind a product, a line for each channel behind that, and the rounding to INT8
// become an epilogue of the product (ir/chain.h). For the plan only. Needs static shapes.
tslim_status tsl_pass_fuse_chains(tslim_graph *graph);

// Functions of one INT8 value, and chains of them, become tables of the node that makes their operand. For a
// plan only: a table has no form in files. Needs static shapes.
tslim_status tsl_pass_fuse_tables(tslim_graph *graph, tsl_evaluate_node evaluate, void *user);

// Nodes whose outputs nobody reads.
tslim_status tsl_pass_remove_dead(tslim_graph *graph);

// Gives each value a physical layout and inserts Reorder nodes where neighbours disagree. Needs static
// shapes.
tslim_status tsl_pass_assign_layouts(tslim_graph *graph);

// All that do not depend on sizes, in order: what the model looks like when it runs, and when it is
// quantized.
tslim_status tsl_optimize(tslim_graph *graph, tsl_evaluate_node evaluate, void *user);

// ---- Shared by the passes ----

// The residual of a product as an Add behind it, the last of the graph's nodes, where the residual is the
// product's last operand.
bool tsl_has_last_residual(const tsl_node *node);
tslim_status tsl_split_residual(tslim_graph *graph, uint32_t n);

// The float value of a constant with one element; false when it is something else.
bool tsl_constant_scalar(const tsl_value *value, float *scalar);

// The only reader of a value that is no graph output; TSL_NONE when there are none or several.
uint32_t tsl_single_use(const tslim_graph *graph, const tsl_uses *uses, uint32_t value);

// The bounds of a Relu, or of a Clip whose bounds are constants; false for anything else.
bool tsl_clip_bounds(const tslim_graph *graph, const tsl_node *node, float *lo, float *hi);

#endif
