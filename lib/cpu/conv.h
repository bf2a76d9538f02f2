// SPDX-License-Identifier: Apache-2.0
// What Conv and ConvTranspose share. Either is a list of products over the same operands: one for Conv, one a
// phase for ConvTranspose.
#ifndef TSL_CPU_CONV_H
#define TSL_CPU_CONV_H

#include "cpu/product.h"
#include "cpu/stage.h"

typedef struct tsl_conv_phase {
    tsl_product product;
    ptrdiff_t a, c, z; // bytes from element (0,0,0,0) of each operand to those of the first output pixel
} tsl_conv_phase;

typedef struct tsl_winograd tsl_winograd;

typedef struct tsl_conv {
    tsl_window window;
    tsl_weights weights;
    tsl_coefficients coefficients;
    tsl_stage input, output, residual;
    uint32_t residual_index; // of the operand
    ptrdiff_t *taps; // one for each kernel position, in the order of the packed weights
    tsl_conv_phase *phases;
    size_t n_phases;
    const int32_t *start; // depthwise: of the accumulators
    const int32_t *w_sums; // depthwise with dynamic quantization: of each channel's weights
    const tsl_winograd *winograd; // NULL: by phases
} tsl_conv;

// Reads the step, checks it, prepares operands and coefficients; taps and phases are the caller's.
tslim_status tsl_conv_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv **result);
tslim_status tsl_conv_run(const tsl_run *run);

// Conv and ConvTranspose of more than two spatial axes.
tslim_status tsl_conv_nd_prepare(tsl_prepare *p, tsl_kernel *kernel);

// Depthwise convolution: the rest of its prepare, and its run.
tslim_status tsl_conv_depthwise_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv *conv);

#endif
