// SPDX-License-Identifier: Apache-2.0
// MaxUnpool: each element goes to where pooling found it. Indices count in the tensor that was pooled; where
// the result is of another size, its rows and columns are those of the same numbers.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct unpool_state {
    int64_t dims[TSLIM_MAX_RANK]; // of the tensor that was pooled
    int64_t total;
} unpool_state;

static tslim_status run_unpool(const tsl_run *run) {
    const unpool_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    const float *from = x->data;
    float *to = y->data;
    const int64_t *indices = run->inputs[1].data, count = tsl_tensor_elements(x);
    memset(to, 0, (size_t)tsl_tensor_elements(y) * sizeof(float));
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = indices[i], offset = 0;
        TSL_REQUIRE(rest >= 0 && rest < s->total, TSLIM_ERROR_INVALID_ARGUMENT,
            "index %" PRId64 " in a tensor of %" PRId64 " elements", rest, s->total);
        for (uint32_t d = y->rank; d-- > 0; rest /= s->dims[d]) {
            const int64_t at = rest % s->dims[d];
            TSL_REQUIRE(at < y->dims[d], TSLIM_ERROR_INVALID_ARGUMENT,
                "index %" PRId64 " lies outside of the result", indices[i]);
            offset += at * y->strides[d];
        }
        to[offset] = from[i];
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_max_unpool(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *indices = &step->inputs[1], *y = &step->outputs[0];
    TSL_NEW_STATE(unpool_state, s);
    kernel->run = run_unpool;
    kernel->name = "max unpool";
    if (x->dtype != TSLIM_DTYPE_FLOAT || y->dtype != TSLIM_DTYPE_FLOAT ||
        indices->dtype != TSLIM_DTYPE_INT64 || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    TSL_REQUIRE(x->rank >= 3 && y->rank == x->rank && tsl_tensor_elements(indices) == tsl_tensor_elements(x),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands of other dims than each other", step->name);
    TSL_TRY(tsl_unpool_dims(step->attrs, x->rank, x->dims, s->dims));
    s->total = 1;
    for (uint32_t i = 0; i < x->rank; i++)
        TSL_REQUIRE(tsl_mul_i64(s->total, s->dims[i], &s->total), TSLIM_ERROR_LIMIT,
            "node '%s': the tensor that was pooled is too large", step->name);
    return TSLIM_OK;
}
