// SPDX-License-Identifier: Apache-2.0
// EyeLike: ones on a diagonal of a matrix as large as another.
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct eye_state {
    int64_t k; // columns that the diagonal lies to the right
} eye_state;

static tslim_status run_eye(const tsl_run *run) {
    const eye_state *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0];
    const int64_t rows = y->dims[0], columns = y->dims[1], one = 1;
    const size_t size = tslim_dtype_size(y->dtype);
    if (rows == 0 || columns == 0) return TSLIM_OK;
    memset(y->data, 0, (size_t)(rows * columns) * size);
    for (int64_t row = tsl_max_i64(-s->k, 0); row < rows && row + s->k < columns; row++)
        tsl_store_ints(
            y->dtype, (uint8_t *)y->data + (size_t)(row * columns + row + s->k) * size, 0, 1, &one);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_eye_like(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *y = &p->step->outputs[0];
    TSL_NEW_STATE(eye_state, s);
    kernel->run = run_eye;
    kernel->name = "unit matrix";
    if (y->rank != 2 || tslim_dtype_size(y->dtype) == 0) return tsl_cpu_unsupported(p);
    int64_t k = tsl_attrs_int(p->step->attrs, TSL_ATTR_k, 0);
    s->k = tsl_max_i64(tsl_min_i64(k, y->dims[1]), -y->dims[0]);
    return TSLIM_OK;
}
