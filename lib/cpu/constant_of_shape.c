// SPDX-License-Identifier: Apache-2.0
// ConstantOfShape: a fill with the one element of attribute `value`, or with float zeros.
#include "cpu/operator.h"

static tslim_status run_fill(const tsl_run *run) {
    const tsl_tensor *value = run->kernel->state;
    tsl_copy(run->ctx, value, &run->outputs[0]);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_constant_of_shape(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *y = &p->step->outputs[0], *value = &p->step->value;
    size_t size = tslim_dtype_size(y->dtype);
    TSL_NEW_STATE(tsl_tensor, scalar);
    *scalar = (tsl_tensor){.dtype = y->dtype, .constant = true};
    kernel->run = run_fill;
    kernel->name = "fill";
    if (size == 0) return tsl_cpu_unsupported(p);
    if (value->dtype == TSLIM_DTYPE_NONE) {
        scalar->data = tsl_arena_alloc_zeroed(p->arena, size);
    } else {
        TSL_REQUIRE(value->dtype == y->dtype && tsl_tensor_elements(value) == 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': value is not one element of %s", p->step->name, tslim_dtype_name(y->dtype));
        scalar->data = tsl_arena_copy(p->arena, value->data, size);
    }
    TSL_REQUIRE_MEMORY(scalar->data, size);
    return TSLIM_OK;
}
