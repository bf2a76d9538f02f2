// SPDX-License-Identifier: Apache-2.0
// Trilu: the upper or lower triangle of matrices; zeros take the place of the rest.
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct trilu_state {
    bool upper, has_k;
} trilu_state;

static tslim_status run_trilu(const tsl_run *run) {
    const trilu_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    const int64_t elements = tsl_tensor_elements(x), rows = x->dims[x->rank - 2],
                  columns = x->dims[x->rank - 1];
    const size_t size = tslim_dtype_size(x->dtype);
    if (elements == 0) return TSLIM_OK;
    int64_t k = s->has_k ? tsl_load_int(run->inputs[1].dtype, run->inputs[1].data) : 0;
    k = tsl_max_i64(tsl_min_i64(k, columns), -rows);
    for (int64_t row = 0; row < elements / columns; row++) {
        // The first column of the upper triangle; the lower one ends behind the diagonal, which both have.
        int64_t diagonal = row % rows + k + (s->upper ? 0 : 1);
        size_t split = (size_t)tsl_max_i64(tsl_min_i64(diagonal, columns), 0) * size,
               bytes = (size_t)columns * size;
        uint8_t *to = (uint8_t *)y->data + (size_t)row * bytes;
        const uint8_t *from = (const uint8_t *)x->data + (size_t)row * bytes;
        if (s->upper) {
            memset(to, 0, split);
            memcpy(to + split, from + split, bytes - split);
        } else {
            memcpy(to, from, split);
            memset(to + split, 0, bytes - split);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_trilu(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0], *k = tsl_step_input(p->step, 1);
    TSL_NEW_STATE(trilu_state, s);
    kernel->run = run_trilu;
    kernel->name = "triangle";
    s->upper = tsl_attrs_int(p->step->attrs, TSL_ATTR_upper, 1) != 0;
    s->has_k = k != NULL;
    TSL_REQUIRE(x->rank >= 2 && (!k || (tsl_element_is_integer(k->dtype) && tsl_tensor_elements(k) == 1)),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': no matrix, or k is not one number", p->step->name);
    const uint8_t *table;
    TSL_TRY(tsl_move_prepare(p, x, y, &table));
    return table || tsl_is_quantized(x) ? tsl_cpu_unsupported(p) : TSLIM_OK;
}
