// SPDX-License-Identifier: Apache-2.0
// Conv 3x3 with stride 1 by Winograd's F(4x4, 3x3): 36 multiplications for 16 outputs of a channel instead of
// 144. Tiles of 6x6 input pixels are transformed, each of the 36 points is a matrix product of its own, and
// the way back makes 4x4 outputs. (A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks,
// 2015.)
//
// Weights are transformed anew in each run, a few channels at a time, and used while they are in cache: that
// costs less than reading four to eight times the bytes from memory, and a session holds nothing for it.
//
// In float, results are those of the same sums in another order of operations: docs/numerics.md. In INT8 they
// are the same integers, and it is used only where the weights prove that no sum leaves its range.
#ifndef TSL_CPU_WINOGRAD_H
#define TSL_CPU_WINOGRAD_H

#include "cpu/conv.h"

// Turns a prepared Conv to Winograd where it can be and, by the number of its tiles and channels, is faster;
// else leaves the kernel as it is. *used tells.
tslim_status tsl_winograd_prepare(tsl_prepare *p, tsl_kernel *kernel, tsl_conv *conv, bool *used);

#endif
