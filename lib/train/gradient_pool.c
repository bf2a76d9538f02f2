// SPDX-License-Identifier: Apache-2.0
// Gradients of pooling by windows, and of resampling.
#include "train/gradient.h"

void tsl_gradient_max_pool(tsl_gradient *g) {
    const uint32_t operands[] = {g->dy[0], tsl_x(g, 0)};
    tsl_begin(g, TSL_OP_MAX_POOL_GRADIENT, 2, operands, 1);
    tsl_with_its_attributes(g);
    tsl_give(g, 0, tsl_end(g));
}

void tsl_gradient_average_pool(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    tsl_begin(g, TSL_OP_AVERAGE_POOL_GRADIENT, 1, g->dy, 1);
    tsl_with_its_attributes(g);
    tsl_with_ints(g, TSL_ATTR_shape, x.dims, x.rank);
    tsl_give(g, 0, tsl_end(g));
}

// The operands after the first say how the forward pass found its sources.
void tsl_gradient_resize(tsl_gradient *g) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    const uint32_t operands[] = {g->dy[0], tsl_x(g, 1), tsl_x(g, 2)};
    tsl_begin(g, TSL_OP_RESIZE_GRADIENT, g->node.n_inputs < 3 ? g->node.n_inputs : 3, operands, 1);
    tsl_with_its_attributes(g);
    tsl_with_ints(g, TSL_ATTR_shape, x.dims, x.rank);
    tsl_give(g, 0, tsl_end(g));
}
