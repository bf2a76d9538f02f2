// SPDX-License-Identifier: Apache-2.0
// OneHot: a new axis that holds the `on` value at the index and `off` elsewhere; everywhere, where the index
// is outside -depth..depth-1.
#include <string.h>

#include "cpu/operator.h"

typedef struct one_hot_state {
    tsl_rows_along rows; // of the result, along the new axis
} one_hot_state;

static tslim_status run_one_hot(const tsl_run *run) {
    const one_hot_state *s = run->kernel->state;
    const tsl_tensor *indices = &run->inputs[0], *values = &run->inputs[2], *y = &run->outputs[0];
    const size_t size = tslim_dtype_size(y->dtype);
    const tsl_tensor off = {.dtype = y->dtype, .data = values->data};
    if (tsl_tensor_elements(y) == 0) return TSLIM_OK;
    tsl_copy(run->ctx, &off, y);
    const int64_t elements = tsl_tensor_elements(indices), depth = s->rows.length, inner = s->rows.inner;
    const ptrdiff_t index_size = (ptrdiff_t)tslim_dtype_size(indices->dtype);
    int64_t block[TSL_BLOCK];
    for (int64_t first = 0; first < elements; first += TSL_BLOCK) {
        size_t n = elements - first < TSL_BLOCK ? (size_t)(elements - first) : TSL_BLOCK;
        tsl_load_ints(
            indices->dtype, (const uint8_t *)indices->data + first * index_size, index_size, n, block);
        for (size_t i = 0; i < n; i++) {
            if (block[i] < -depth || block[i] >= depth) continue;
            int64_t at = first + (int64_t)i, index = block[i] < 0 ? block[i] + depth : block[i];
            size_t to = (size_t)((at / inner * depth + index) * inner + at % inner);
            memcpy((uint8_t *)y->data + to * size, (const uint8_t *)values->data + size, size);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_one_hot(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *indices = &p->step->inputs[0], *values = &p->step->inputs[2], *y = &p->step->outputs[0];
    TSL_NEW_STATE(one_hot_state, s);
    kernel->run = run_one_hot;
    kernel->name = "one hot";
    uint32_t axis;
    TSL_TRY(tsl_step_axis(p, -1, y->rank, &axis));
    s->rows = tsl_along_axis(y, axis);
    TSL_REQUIRE(y->rank == indices->rank + 1 && tsl_tensor_elements(values) == 2 &&
                    tsl_tensor_elements(indices) == s->rows.outer * s->rows.inner,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit", p->step->name);
    bool types = tslim_dtype_size(indices->dtype) != 0 && tslim_dtype_size(y->dtype) != 0;
    return types && values->dtype == y->dtype ? TSLIM_OK : tsl_cpu_unsupported(p);
}
