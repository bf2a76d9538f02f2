// SPDX-License-Identifier: Apache-2.0
// What Gemm and MatMul share: plain matrices without gaps.
#ifndef TSL_CPU_MATRIX_H
#define TSL_CPU_MATRIX_H

#include "cpu/product.h"

typedef struct tsl_matrix {
    tsl_weights weights; // operand 1
    tsl_coefficients coefficients;
    tsl_product product;
    ptrdiff_t tap; // the one tap, 0
    const void *a, *z; // copies of constant operands with readable memory behind them, or NULL
    uint32_t residual_index;
    size_t starts; // INT8 by matrices that are computed: the accumulators' starts for each, in the scratch
    size_t quantized; // dynamic: the activations as INT8, in the scratch
    size_t m, a_bytes, y_bytes; // rows of one product; bytes of one matrix of operand 0 and of the output
} tsl_matrix;

// Sets up products of m rows by k by the matrices of operand 1: `matrix` is a view of the first one of
// `count`. `bias` may be NULL; alpha and beta as in tsl_coefficients_prepare. For `m` rows a step apart of k
// and n elements.
tslim_status tsl_matrix_prepare(tsl_prepare *p, tsl_kernel *kernel, const tsl_tensor *matrix, size_t count,
    size_t m, const tsl_tensor *bias, double alpha, double beta, tsl_matrix *t);

// Dynamic quantization, and INT8 by matrices that are computed, make a product of their own for each run.
typedef struct tsl_matrix_run {
    tsl_product product;
    tsl_coefficients coefficients;
} tsl_matrix_run;
// The product of this run: t's own, or one in *now, for which the activations of *operands are quantized.
// Its start, if it has one, is that of the first matrix; the others' follow.
const tsl_product *tsl_matrix_product(
    const tsl_matrix *t, const tsl_run *run, tsl_product_operands *operands, tsl_matrix_run *now);

// The operands of this run: constants' copies, packed weights, bias.
tsl_product_operands tsl_matrix_operands(const tsl_matrix *t, const tsl_run *run);

// True when a tensor has one element for each of the n columns, or one for all: then it is a bias.
bool tsl_is_column_bias(const tsl_tensor *tensor, int64_t n);

#endif
