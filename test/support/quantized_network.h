// SPDX-License-Identifier: Apache-2.0
// A network as tools that quantize write it: QuantizeLinear and DequantizeLinear around convolutions whose
// BatchNormalization is not folded, products of two activations, clipped integers, a scale for each channel.
#ifndef TEST_SUPPORT_QUANTIZED_NETWORK_H
#define TEST_SUPPORT_QUANTIZED_NETWORK_H

#include "ir/graph.h"

// Input "x" of 2x8x6x6; a failure ends the program. The caller destroys it.
tslim_graph *quantized_network_create(tslim_context *ctx);

#endif
