// SPDX-License-Identifier: Apache-2.0
// Cast between all types of numbers: integers wrap, reals become integers toward zero and saturate, NaN
// becomes 0.
#include "cpu/operator.h"

typedef struct cast_state {
    tslim_dtype from, to;
} cast_state;

// int64 holds every integer but the upper half of uint64, which matters when it becomes real.
static void run_ints(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const cast_state *s = user;
    int64_t block[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        tsl_load_ints(s->from, data[1] + (ptrdiff_t)first * strides[1], strides[1], n, block);
        tsl_store_ints(s->to, data[0] + (ptrdiff_t)first * strides[0], strides[0], n, block);
    }
}

static void run_reals(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const cast_state *s = user;
    double block[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        tsl_load_doubles(s->from, data[1] + (ptrdiff_t)first * strides[1], strides[1], n, block);
        tsl_store_doubles(s->to, data[0] + (ptrdiff_t)first * strides[0], strides[0], n, block);
    }
}

static tslim_status run_cast(const tsl_run *run) {
    const cast_state *s = run->kernel->state;
    if (s->from == s->to) {
        tsl_copy(run->ctx, &run->inputs[0], &run->outputs[0]);
        return TSLIM_OK;
    }
    bool integers =
        tsl_element_is_integer(s->from) && (s->from != TSLIM_DTYPE_UINT64 || tsl_element_is_integer(s->to));
    tsl_iteration it;
    const tsl_tensor *operands[] = {&run->outputs[0], &run->inputs[0]};
    tsl_iteration_init(&it, operands, 2);
    tsl_iterate(run->ctx, &it, integers ? run_ints : run_reals, s);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_cast(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(cast_state, s);
    *s = (cast_state){x->dtype, y->dtype};
    kernel->run = run_cast;
    kernel->name = "cast";
    bool numbers = tslim_dtype_size(x->dtype) != 0 && tslim_dtype_size(y->dtype) != 0;
    return numbers && !tsl_is_quantized(x) && !tsl_is_quantized(y) ? TSLIM_OK : tsl_cpu_unsupported(p);
}
