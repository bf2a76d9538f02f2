// SPDX-License-Identifier: Apache-2.0
// IsNaN and IsInf of real numbers.
#include "cpu/operator.h"

typedef struct special_state {
    tslim_dtype dtype;
    bool nan, negative, positive; // which values are true
} special_state;

static void run_values(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const special_state *s = user;
    double block[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        tsl_load_doubles(s->dtype, data[1] + (ptrdiff_t)first * strides[1], strides[1], n, block);
        for (size_t i = 0; i < n; i++) {
            bool found =
                isnan(block[i]) ? s->nan : isinf(block[i]) && (block[i] < 0 ? s->negative : s->positive);
            data[0][(ptrdiff_t)(first + i) * strides[0]] = found;
        }
    }
}

static tslim_status run_special(const tsl_run *run) {
    tsl_iteration it;
    const tsl_tensor *operands[] = {&run->outputs[0], &run->inputs[0]};
    tsl_iteration_init(&it, operands, 2);
    tsl_iterate(run->ctx, &it, run_values, run->kernel->state);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_special_values(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(special_state, s);
    kernel->run = run_special;
    kernel->name = "special values";
    s->dtype = step->inputs[0].dtype;
    s->nan = step->op == TSL_OP_IS_NAN;
    s->negative = !s->nan && tsl_attrs_int(step->attrs, TSL_ATTR_detect_negative, 1) != 0;
    s->positive = !s->nan && tsl_attrs_int(step->attrs, TSL_ATTR_detect_positive, 1) != 0;
    bool types = tsl_element_is_real(s->dtype) && step->outputs[0].dtype == TSLIM_DTYPE_BOOL;
    return types ? TSLIM_OK : tsl_cpu_unsupported(p);
}
