// SPDX-License-Identifier: Apache-2.0
// GlobalAveragePool and GlobalMaxPool: pooling whose window is the whole plane.
#include <inttypes.h>

#include "cpu/pool.h"

tslim_status tsl_cpu_prepare_global_pool(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_REQUIRE(x->rank >= 3 && y->rank == x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': global pooling of rank %u", step->name, x->rank);
    const int64_t height = x->rank == 4 ? x->dims[2] : 1;
    int64_t width = x->rank == 4 ? x->dims[3] : 1; // more axes lie without gaps: they are as one
    for (uint32_t i = 2; x->rank != 4 && i < x->rank; i++) width *= x->dims[i];
    TSL_REQUIRE(height > 0 && width > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': a plane of %" PRId64 " x %" PRId64, step->name, height, width);
    tsl_window window = {.kernel = {height, width},
        .stride = {1, 1},
        .dilation = {1, 1},
        .group = 1,
        .in = {height, width},
        .out = {1, 1}};
    return tsl_pool_prepare(p, kernel, &window, step->op == TSL_OP_GLOBAL_MAX_POOL, false);
}
