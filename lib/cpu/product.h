// SPDX-License-Identifier: Apache-2.0
// What Conv, ConvTranspose, Gemm and MatMul share: their weights, the numbers of their epilogue, and the loop
// over pieces of a gathered matrix product.
#ifndef TSL_CPU_PRODUCT_H
#define TSL_CPU_PRODUCT_H

#include "cpu/cpu.h"
#include "cpu/pack.h"

// Adds `bytes` (64-byte aligned) to what a run needs; *offset is where they lie in the scratch.
tslim_status tsl_scratch_reserve(tsl_kernel *kernel, size_t bytes, size_t *offset);

// "conv s8 avx2"
tslim_status tsl_kernel_name(const tsl_prepare *p, tsl_kernel *kernel, const char *what);

// A constant operand as kernels want it, with 64 readable bytes behind it: a copy in the plan's memory.
tslim_status tsl_readable_copy(const tsl_prepare *p, const tsl_tensor *constant, const void **data);

// ---- Weights: packed before, packed now, or packed at each run ----
typedef struct tsl_weights {
    tsl_pack_request request;
    tsl_pack_geometry geometry;
    const tsl_cpu_functions *functions; // portable ones where the weights break the vector kernels' contract
    const tsl_cpu_functions *vectors; // the level's own
    const void *packed; // NULL: they are not constant
    size_t scratch;
    size_t count, packed_stride, source_stride; // several matrices one after the other; strides in bytes
} tsl_weights;

// `tensor` is operand 1 of the step, or a view of its first matrix with `count` in all.
tslim_status tsl_weights_prepare(
    const tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *tensor, size_t count, tsl_weights *w);
// The same for operand `index`.
tslim_status tsl_weights_prepare_operand(const tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *tensor,
    uint32_t index, size_t count, tsl_weights *w);
// The packed weights of this run; `data` are the row-major ones, needed when they are not constant.
const void *tsl_weights_at_run(const tsl_weights *w, const tsl_run *run, const void *data);
// Weights that are packed at each run may break the contract in one run and not in the next.
const tsl_cpu_functions *tsl_weights_functions(const tsl_weights *w, const void *packed);

// ---- Numbers of the epilogue, for all groups: [group][channel, padded to panels] ----
typedef struct tsl_coefficients {
    bool is_int8, to_float;
    bool dynamic; // activations come in float and are quantized in each run, as INT8 with a zero point
    size_t dynamic_scratch; // scales, then starts of the accumulators
    tsl_activation_kind a_kind;
    size_t groups, n, padded; // output channels of one group, and rounded up to panels
    int32_t zero_point; // of the activations
    float *scale; // INT8 only
    int32_t *w_zero; // the zero points of the weights, times -1; NULL: all are 0
    const tsl_tensor *bias_tensor; // of the step; NULL: none
    float *bias; // NULL: made at each run, in the scratch
    size_t bias_scratch;
    double bias_factor; // from the bias's unit to that of the sums
    double unit; // of the output's steps in 1: from the line's unit to that of the sums
    double offset; // in the output's unit: what the zero points of output and residual come to
    const tsl_tensor *residual; // of the step, or NULL
    float z_scale;
    const tsl_chain *line; // of the epilogue where scale, bias and bounds hold it, or NULL
    tsl_finish *finish; // of the epilogue otherwise, or NULL: scale and bias then lead to real units
    const int8_t *table; // of the epilogue, or NULL
    bool residual_after; // a float residual of an INT8 product: the kernel does not know it
    float lo, hi;
} tsl_coefficients;

// `bias` may be NULL; it has one element for each output channel, or one for all. The product is multiplied
// by alpha (INT8 only: floats need 1), the bias by beta. UNSUPPORTED for types that no kernel takes.
tslim_status tsl_coefficients_prepare(const tsl_prepare *p, tsl_kernel *kernel, const tsl_weights *weights,
    const tsl_tensor *bias, double alpha, double beta, tsl_coefficients *c);
const float *tsl_coefficients_bias(const tsl_coefficients *c, const tsl_run *run, const void *data);
// What the zero points of activations and of `depth` weights for each output come to, given the weights'
// sums; NULL where that is zero.
tslim_status tsl_coefficients_start(const tsl_prepare *p, const tsl_coefficients *c, const int32_t *sums,
    size_t depth, const int32_t **start);
void tsl_coefficients_fill_start(
    const tsl_coefficients *c, const int32_t *sums, size_t depth, int32_t *start);

// ---- The product ----
// Output pixels in three nested loops (batch, row, column), with the steps in bytes of each operand.
typedef struct tsl_rows {
    size_t count[3];
    ptrdiff_t a[3], c[3], z[3];
} tsl_rows;

// All but the operands' data: what prepare can know.
typedef struct tsl_product {
    const tsl_cpu_functions *functions;
    const tsl_pack_geometry *geometry;
    const tsl_coefficients *coefficients;
    const ptrdiff_t *taps; // byte offsets
    size_t first_tap, n_taps; // of the packed weights
    const int32_t *start; // of the accumulators, [group][padded], or NULL
    const int32_t *w_sum; // NULL: those behind the packed weights
    const tsl_bundles *bundles; // [group][panel], or NULL
    tsl_rows rows;
} tsl_product;

typedef struct tsl_product_operands {
    const void *a, *w, *z;
    const float *bias;
    void *c;
} tsl_product_operands;

// `ctx` is NULL within another loop: then this thread does it all.
void tsl_product_run(tslim_context *ctx, const tsl_product *product, const tsl_product_operands *operands);

#endif
