// SPDX-License-Identifier: Apache-2.0
// Hardmax: 1 at the first of the largest elements of each row, 0 elsewhere. Rows are those of Softmax:
// flattened from `axis` on until opset 12, along `axis` since 13.
#include <string.h>

#include "cpu/operator.h"

typedef struct hardmax_state {
    tsl_rows_along rows;
} hardmax_state;

typedef struct hardmax_task {
    const hardmax_state *s;
    const tsl_tensor *x, *y;
} hardmax_task;

static int64_t find_largest(const hardmax_task *t, const uint8_t *x, ptrdiff_t stride) {
    double block[TSL_BLOCK], best = -INFINITY;
    int64_t index = 0;
    for (int64_t first = 0; first < t->s->rows.length; first += TSL_BLOCK) {
        size_t n = t->s->rows.length - first < TSL_BLOCK ? (size_t)(t->s->rows.length - first) : TSL_BLOCK;
        tsl_load_doubles(t->x->dtype, x + (ptrdiff_t)first * stride, stride, n, block);
        for (size_t i = 0; i < n; i++) {
            if (!(block[i] > best)) continue;
            best = block[i];
            index = first + (int64_t)i;
        }
    }
    return index;
}

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const hardmax_task *t = task_data;
    const hardmax_state *s = t->s;
    const size_t size = tslim_dtype_size(t->x->dtype), inner = (size_t)s->rows.inner;
    const ptrdiff_t stride = (ptrdiff_t)(inner * size);
    const double one = 1;
    for (size_t row = begin; row < end; row++) {
        size_t offset = (row / inner * inner * (size_t)s->rows.length + row % inner) * size;
        int64_t index = find_largest(t, (const uint8_t *)t->x->data + offset, stride);
        uint8_t *y = (uint8_t *)t->y->data + offset + (ptrdiff_t)index * stride;
        tsl_store_doubles(t->y->dtype, y, 0, 1, &one);
    }
}

static tslim_status run_hardmax(const tsl_run *run) {
    const hardmax_state *s = run->kernel->state;
    const tsl_tensor *y = &run->outputs[0];
    if (s->rows.outer == 0 || s->rows.length == 0 || s->rows.inner == 0) return TSLIM_OK;
    memset(y->data, 0, (size_t)tsl_tensor_elements(y) * tslim_dtype_size(y->dtype));
    hardmax_task task = {s, &run->inputs[0], y};
    tsl_parallel_for(run->ctx, (size_t)(s->rows.outer * s->rows.inner), 4096 / (size_t)s->rows.length + 1,
        run_rows, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_hardmax(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(hardmax_state, s);
    kernel->run = run_hardmax;
    kernel->name = "hardmax";
    if (!tsl_element_is_real(x->dtype) || step->outputs[0].dtype != x->dtype) return tsl_cpu_unsupported(p);
    return tsl_softmax_rows(p, x, &s->rows);
}
