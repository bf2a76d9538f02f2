// SPDX-License-Identifier: Apache-2.0
// Packed weights. One form for a type, whatever the processor, so that a packed file runs anywhere:
//
// PANELS, float:  for each group of the convolution, for each panel of 16 output channels, for each kernel
// position
//                 in the order of tsl_taps_next, for each input channel: 16 output channels. Zeros past the
//                 end.
// PANELS, INT8:   the same with input channels in fours (padded with zeros): [panel][tap][k4][16][4]; after
// all panels
//                 of all groups, 64-byte aligned: int32 sums of each output channel's weights, padded to 16 a
//                 group.
// DEPTHWISE:      [kernel position][channel, padded to 16].
//
// The gates of LSTM, GRU and RNN are groups: of each direction, one gate after the other.
#ifndef TSL_CPU_PACK_H
#define TSL_CPU_PACK_H

#include "backend.h"

// Kernel positions in groups: y and x belong together when they are equal modulo `period`. A convolution has
// one group, in row-major order (period 1). In a transposed one each group makes the output pixels of one
// phase: it is an ordinary convolution by itself, so its positions must lie together.
typedef struct tsl_taps {
    size_t kernel[2], period[2];
} tsl_taps;

// The position after `at`, starting from {0, 0}; false after the last.
bool tsl_taps_next(const tsl_taps *taps, size_t at[2]);

// The weights operand of Conv, ConvTranspose, Gemm or MatMul as a stack of groups of matrices.
typedef struct tsl_pack_geometry {
    tsl_packing packing;
    size_t groups, n, k, n_taps; // output channels and input channels of one group; kernel positions
    size_t panels, k_padded; // of one group
    size_t panel_stride, group_stride; // in elements
    size_t sums_offset; // bytes, INT8 panels only
    size_t bytes;
    tsl_taps taps;
    size_t source_group, source_n,
        source_k; // steps in the row-major weights, in elements; a kernel position's is 1
} tsl_pack_geometry;

// UNSUPPORTED when the weights cannot be packed (packing is NONE then): another type, rank or operand.
tslim_status tsl_pack_geometry_get(const tsl_pack_request *request, tsl_pack_geometry *geometry);
tslim_status tsl_cpu_packed_size(const tsl_pack_request *request, tsl_packing *packing, size_t *bytes);
void tsl_cpu_pack(const tsl_pack_request *request, void *packed);
// One group's panels `first` to `last` - 1, without the sums.
void tsl_pack_panels(const tsl_pack_geometry *geometry, tslim_dtype dtype, const void *row_major,
    void *packed, size_t group, size_t first, size_t last);
// Sums over kernel positions first_tap.. of the packed INT8 weights: [group][channel, padded to 16].
void tsl_pack_sums(
    const tsl_pack_geometry *geometry, const int8_t *packed, size_t first_tap, size_t n_taps, int32_t *sums);
// The same of one panel, of `rows` input channels in all.
void tsl_pack_panel_sums(const int8_t *packed, size_t rows, int32_t *sums);
void tsl_cpu_unpack(const tsl_pack_request *request, const void *packed, void *row_major);

#endif
