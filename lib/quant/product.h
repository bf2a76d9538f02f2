// SPDX-License-Identifier: Apache-2.0
// The weights of a product by input and output channel, whatever its operator.
#ifndef TSL_QUANT_PRODUCT_H
#define TSL_QUANT_PRODUCT_H

#include "ir/graph.h"

// Row-major weights [groups][a][b][taps], where a counts the output channels of a group and b its input
// channels, or the other way round. Channels of all groups lie one after the other.
typedef struct tsl_product {
    const float *weights;
    size_t groups, n_out, n_in, taps; // channels of a group
    bool out_first;
    bool channels_last; // channels lie on the last axis
} tsl_product;

// False for nodes that are no product with constant float weights of a usual form, or whose bias is not
// constant.
bool tsl_product_read(const tslim_graph *graph, const tsl_node *node, tsl_product *product);

static inline size_t tsl_product_index(
    const tsl_product *p, size_t group, size_t out, size_t in, size_t tap) {
    size_t a = p->out_first ? out : in, b = p->out_first ? in : out;
    size_t n_a = p->out_first ? p->n_out : p->n_in, n_b = p->out_first ? p->n_in : p->n_out;
    return ((group * n_a + a) * n_b + b) * p->taps + tap;
}

// New weights (and bias): each input channel divided by its entry of `in`, each output channel times its
// entry of `out`; either may be NULL.
tslim_status tsl_product_scale(tslim_graph *graph, uint32_t node, const float *in, const float *out);

#endif
