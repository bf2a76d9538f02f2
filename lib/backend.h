// SPDX-License-Identifier: Apache-2.0
// What lies between the plan and a backend: descriptors of steps and buffers. A backend never sees the graph.
#ifndef TSL_BACKEND_H
#define TSL_BACKEND_H

#include "base/arena.h"
#include "base/context.h"
#include "base/status.h"
#include "ir/attr.h"
#include "ir/chain.h"
#include "ir/op.h"
#include "ir/tensor.h"
#include "ir/window.h"

// What a step does to its result before storing it, as in ir/graph.h.
typedef struct tsl_step_epilogue {
    int32_t residual; // which input is added; -1: none
    bool clamp;
    float lo, hi; // in real units; -inf and +inf where open
    const tsl_chain *chain; // of products only, or NULL: what comes after the residual and before the clamp
    // 256 bytes, or NULL: each byte b of an INT8 result becomes table[b], b as unsigned, after all else. The
    // output's descriptor is that of the result before. Products have it, and functions of one value.
    const uint8_t *table;
} tsl_step_epilogue;

// Convolutions by Winograd's method: the same INT8 integers, but floats of another order of operations.
typedef enum tsl_winograd_choice {
    TSL_WINOGRAD_BY_SHAPE = 0, // where it is faster
    TSL_WINOGRAD_NEVER = 1,
    TSL_WINOGRAD_WHERE_POSSIBLE = 2 // for tests
} tsl_winograd_choice;

// One operator with concrete shapes. Constant inputs have data; the others get theirs when they run.
// Guarantees of the plan:
// - operands follow the operator's layout rule (ops.def): CHANNELS_LAST means strides[1] == 1 on rank 4 and
// any
//   strides for N, H, W; ROW_MAJOR means no gaps; ANY means any strides at all;
// - an input of Conv has a border at least as wide as its padding, filled with zeros (or the zero point), and
// 64
//   readable bytes after its last element whatever they hold; so has every other operand in the arena;
// - an output may have other strides than an input: it may be a slice of a wider tensor.
typedef struct tsl_step {
    tsl_op op;
    uint32_t opset;
    const char *name; // of the node, for messages
    const tsl_attrs *attrs;
    const tsl_tensor *inputs;
    const tsl_tensor *outputs;
    uint32_t n_inputs, n_outputs;
    tsl_tensor value; // attribute `value` where it is a tensor (ConstantOfShape); dtype NONE otherwise
    tsl_step_epilogue epilogue;
    tsl_winograd_choice winograd;
} tsl_step;

typedef struct tsl_kernel tsl_kernel;

// A run of a prepared step: operands as in the step, now all with data.
typedef struct tsl_run {
    tslim_context *ctx; // for tsl_parallel_for
    const tsl_kernel *kernel;
    const tsl_tensor *inputs;
    const tsl_tensor *outputs;
    uint8_t *scratch; // kernel->scratch_bytes, 64-byte aligned; contents are lost between runs
    // The outputs again, for an operator that finds the size of its result (ir/shape_data.c): they were
    // planned for the most that it can be; the kernel sets the dims and writes in row-major order of those.
    tsl_tensor *found;
} tsl_run;

// What prepare makes of a step.
struct tsl_kernel {
    // Allocates nothing. Fails only for what data can get wrong (an index out of range).
    tslim_status (*run)(const tsl_run *run);
    const char *name; // static or from the arena: "conv f32 avx2", ...
    void *state; // the kernel's own, from the arena of prepare
    size_t scratch_bytes;
    uint64_t macs;
};

// Weights in the order that kernels want. The form depends on the operator and the type, never on the
// processor, so that a packed file runs anywhere.
typedef struct tsl_pack_request {
    tsl_op op;
    const tsl_attrs *attrs;
    tsl_tensor weights; // row-major; data for pack, row-major dims for all
    uint32_t input_index; // which operand of the node the weights are
} tsl_pack_request;

typedef struct tsl_backend {
    const char *name;
    // Chooses a kernel, checks that it can run, precomputes. Memory of any kind from `arena`. `isa` is a
    // level that the machine has. UNSUPPORTED when there is no kernel for these operands: says which types or
    // attributes.
    tslim_status (*prepare)(
        tslim_context *ctx, tslim_isa isa, const tsl_step *step, tsl_arena *arena, tsl_kernel *kernel);
    // TSL_PACKING_NONE when this operand is used as it is; else the packing and its size.
    tslim_status (*packed_size)(const tsl_pack_request *request, tsl_packing *packing, size_t *bytes);
    void (*pack)(const tsl_pack_request *request, void *packed);
    // The way back: `row_major` gets the weights in plain order.
    void (*unpack)(const tsl_pack_request *request, const void *packed, void *row_major);
} tsl_backend;

extern const tsl_backend tsl_cpu_backend;

#endif
