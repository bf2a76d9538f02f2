// SPDX-License-Identifier: Apache-2.0
// The geometry of convolution and pooling: along any number of axes, and along H and W, for which the quick
// kernels are.
#ifndef TSL_IR_WINDOW_H
#define TSL_IR_WINDOW_H

#include "base/status.h"
#include "ir/attr.h"
#include "ir/op.h"
#include "ir/tensor.h"

#define TSL_MOST_SPATIAL (TSLIM_MAX_RANK - 2)

typedef struct tsl_window_nd {
    uint32_t rank; // spatial
    int64_t kernel[TSL_MOST_SPATIAL], stride[TSL_MOST_SPATIAL], dilation[TSL_MOST_SPATIAL];
    int64_t pad_begin[TSL_MOST_SPATIAL], pad_end[TSL_MOST_SPATIAL]; // after auto_pad is resolved
    int64_t output_padding[TSL_MOST_SPATIAL]; // ConvTranspose
    int64_t group;
    int64_t in[TSL_MOST_SPATIAL], out[TSL_MOST_SPATIAL]; // -1: not known
    bool ceil_mode;
} tsl_window_nd;

// 1-D operands are seen as H = 1: index 0 is H, 1 is W.
typedef struct tsl_window {
    int64_t kernel[2], stride[2], dilation[2];
    int64_t pad_begin[2], pad_end[2]; // after auto_pad is resolved
    int64_t output_padding[2]; // ConvTranspose
    int64_t group;
    int64_t in[2], out[2]; // -1: not known
    bool ceil_mode;
} tsl_window;

// Reads the attributes, checks their ranges, resolves auto_pad and ceil_mode and computes `out` from `in`
// (spatial_rank of them; -1 is not known, then out is -1 too). `kernel` (from the weights) may be NULL where
// kernel_shape is there; INVALID_ARGUMENT with the numbers when the two disagree or anything is out of range.
tslim_status tsl_window_nd_read(const tsl_attrs *attrs, tsl_op op, uint32_t spatial_rank, const int64_t *in,
    const int64_t *kernel, tsl_window_nd *window);
// The same for 1 or 2 axes; UNSUPPORTED for more.
tslim_status tsl_window_read(const tsl_attrs *attrs, tsl_op op, uint32_t spatial_rank, const int64_t *in,
    const int64_t *kernel, tsl_window *window);

// MaxUnpool: the dims of the tensor that was pooled, from those of the result of pooling (both of `rank`; -1
// is not known).
tslim_status tsl_unpool_dims(const tsl_attrs *attrs, uint32_t rank, const int64_t *dims, int64_t *unpooled);

// How far reads go beyond the input plane, in rows and columns: top, left, bottom, right. What an input's
// border must be at least. UNSUPPORTED over 65535.
tslim_status tsl_window_border(const tsl_window *window, tsl_op op, uint16_t border[4]);

#endif
