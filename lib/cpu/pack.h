// SPDX-License-Identifier: Apache-2.0
// Packed weights. One form for a type, whatever the processor, so that a packed file runs anywhere:
//
// PANELS, float:  for each group of the convolution, for each panel of 16 output channels, for each kernel position
//                 in the order of tsl_pack_tap_order, for each input channel: 16 output channels. Zeros past the end.
// PANELS, INT8:   the same with input channels in fours (padded with zeros): [panel][tap][k4][16][4]; after all panels
//                 of all groups, 64-byte aligned: int32 sums of each output channel's weights, padded to 16 a group.
// DEPTHWISE:      [kernel position][channel, padded to 16].
#ifndef TSL_CPU_PACK_H
#define TSL_CPU_PACK_H

#include "backend.h"

// The weights operand of Conv, ConvTranspose, Gemm or MatMul as a stack of groups of matrices.
typedef struct tsl_pack_geometry {
    tsl_packing packing;
    size_t groups, n, k, n_taps; // output channels and input channels of one group; kernel positions
    size_t panels, k_padded;     // of one group
    size_t panel_stride, group_stride; // in elements
    size_t sums_offset; // bytes, INT8 panels only
    size_t bytes;
} tsl_pack_geometry;

tslim_status tsl_pack_geometry_get(const tsl_pack_request *request, tsl_pack_geometry *geometry);
tslim_status tsl_cpu_packed_size(const tsl_pack_request *request, tsl_packing *packing, size_t *bytes);
void tsl_cpu_pack(const tsl_pack_request *request, void *packed);
void tsl_cpu_unpack(const tsl_pack_request *request, const void *packed, void *row_major);

#endif
