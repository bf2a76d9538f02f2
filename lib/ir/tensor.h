// SPDX-License-Identifier: Apache-2.0
// A tensor as kernels see it: logical dims as in ONNX, and strides that say how they lie in memory.
// Channels-last is not another shape but other strides: NCHW dims {N,C,H,W} with strides {HWC,1,WC,C}.
#ifndef TSL_IR_TENSOR_H
#define TSL_IR_TENSOR_H

#include <tinyslim/tensor.h>

// Quantization parameters: real = (q - zero_point) * scale.
typedef struct tsl_quant {
    const float *scales; // NULL: not quantized
    uint32_t n_scales; // 1, or one for each index of `axis`
    int32_t axis;
    int32_t zero_point; // one for the tensor; 0 for the symmetric form
    const int32_t *zero_points; // of weights only: one for each scale where they differ, or NULL
} tsl_quant;

// How a constant's bytes are arranged. The logical shape does not tell.
typedef enum tsl_packing {
    TSL_PACKING_NONE = 0, // row-major
    TSL_PACKING_PANELS = 1, // for the GEMM kernels: see cpu/pack.h
    TSL_PACKING_DEPTHWISE = 2 // [kernel position][channel, padded to 16]
} tsl_packing;

typedef struct tsl_tensor {
    tslim_dtype dtype; // NONE: an optional operand that is absent
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
    int64_t strides[TSLIM_MAX_RANK]; // in elements
    void *data; // of element (0,0,...,0)
    tsl_quant quant;
    tsl_packing packing;
    bool constant; // the data never changes
    bool non_negative; // proven: no element is below 0 (for INT8: 0..127)
    // Rank 4, channels last: readable zeros (the zero point, when asymmetric) around each H x W plane: this
    // many rows above and below, columns left and right.
    uint16_t border[4]; // top, left, bottom, right
} tsl_tensor;

// The number of elements; dims are known to be in range once a value passed the verifier.
int64_t tsl_tensor_elements(const tsl_tensor *tensor);
// Fills strides for row-major order.
void tsl_tensor_set_row_major(tsl_tensor *tensor);
// True when elements lie in row-major order without gaps (dims of 1 do not matter).
bool tsl_tensor_is_row_major(const tsl_tensor *tensor);
// True for rank 4 with channels of a pixel side by side: strides[1] == 1 (or C == 1).
bool tsl_tensor_is_channels_last(const tsl_tensor *tensor);

#endif
