// SPDX-License-Identifier: Apache-2.0
// Gradients of what is picked by indices, and of sums along an axis.
#include "train/gradient.h"

// Zeros of the first operand's shape, to which dy is added where it was picked from.
static uint32_t added_back(tsl_gradient *g, tsl_op op) {
    const tsl_shape x = tsl_shape_of(g, tsl_x(g, 0));
    const uint32_t operands[] = {tsl_zeros(g, &x), tsl_x(g, 1), g->dy[0]};
    tsl_begin(g, op, 3, operands, 1);
    if (op == TSL_OP_SCATTER_ELEMENTS) tsl_with_int(g, TSL_ATTR_axis, tsl_attribute(g, TSL_ATTR_axis, 0));
    tsl_with_string(g, TSL_ATTR_reduction, "add");
    return tsl_end(g);
}

void tsl_gradient_gather_elements(tsl_gradient *g) {
    if (tsl_wants(g, 0)) tsl_give(g, 0, added_back(g, TSL_OP_SCATTER_ELEMENTS));
}

void tsl_gradient_gather_nd(tsl_gradient *g) {
    if (tsl_attribute(g, TSL_ATTR_batch_dims, 0) != 0) tsl_refuse(g, "batch_dims");
    if (tsl_wants(g, 0)) tsl_give(g, 0, added_back(g, TSL_OP_SCATTER_ND));
}

// What each element is added to: the sum from the other end.
void tsl_gradient_cum_sum(tsl_gradient *g) {
    const uint32_t operands[] = {g->dy[0], tsl_x(g, 1)};
    tsl_begin(g, TSL_OP_CUM_SUM, 2, operands, 1);
    tsl_with_int(g, TSL_ATTR_exclusive, tsl_attribute(g, TSL_ATTR_exclusive, 0));
    tsl_with_int(g, TSL_ATTR_reverse, tsl_attribute(g, TSL_ATTR_reverse, 0) == 0);
    tsl_give(g, 0, tsl_end(g));
}
