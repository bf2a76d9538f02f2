// SPDX-License-Identifier: Apache-2.0
// Range: start + i * delta. The plan has computed how many.
#include "cpu/operator.h"

static tslim_status run_range(const tsl_run *run) {
    const tsl_tensor *y = &run->outputs[0], *start = &run->inputs[0], *delta = &run->inputs[2];
    const size_t size = tslim_dtype_size(y->dtype);
    uint8_t *to = y->data;
    for (int64_t i = 0; i < y->dims[0]; i++, to += size) {
        if (tsl_element_is_integer(y->dtype)) {
            uint64_t first = (uint64_t)tsl_load_int(start->dtype, start->data);
            int64_t value =
                (int64_t)(first + (uint64_t)i * (uint64_t)tsl_load_int(delta->dtype, delta->data));
            tsl_store_ints(y->dtype, to, 0, 1, &value);
        } else {
            double value = tsl_load_double(start->dtype, start->data) +
                           (double)i * tsl_load_double(delta->dtype, delta->data);
            tsl_store_doubles(y->dtype, to, 0, 1, &value);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_range(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *y = &p->step->outputs[0];
    kernel->run = run_range;
    kernel->name = "range";
    bool same = tslim_dtype_size(y->dtype) != 0 && y->rank == 1;
    for (uint32_t i = 0; i < 3; i++) {
        const tsl_tensor *x = &p->step->inputs[i];
        same = same && x->dtype == y->dtype && tsl_tensor_elements(x) == 1;
    }
    return same ? TSLIM_OK : tsl_cpu_unsupported(p);
}
