// SPDX-License-Identifier: Apache-2.0
// ArgMax and ArgMin along one axis of a row-major tensor. NaN counts as the largest and as the smallest.
#include "cpu/operator.h"

typedef struct arg_state {
    tsl_rows_along rows;
    bool maximum, last;
} arg_state;

typedef struct arg_task {
    const arg_state *s;
    const tsl_tensor *x;
    int64_t *y;
} arg_task;

static bool is_better(const arg_state *s, double value, double best) {
    if (isnan(best)) return s->last && isnan(value);
    if (isnan(value) || value == best) return isnan(value) || s->last;
    return s->maximum ? value > best : value < best;
}

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const arg_task *t = task_data;
    const arg_state *s = t->s;
    const size_t size = tslim_dtype_size(t->x->dtype), inner = (size_t)s->rows.inner;
    for (size_t row = begin; row < end; row++) {
        const uint8_t *x = t->x->data;
        x += (row / inner * inner * (size_t)s->rows.length + row % inner) * size;
        int64_t best = 0;
        double best_value = tsl_load_double(t->x->dtype, x);
        double block[TSL_BLOCK];
        for (int64_t first = 0; first < s->rows.length; first += TSL_BLOCK) {
            size_t n = s->rows.length - first < TSL_BLOCK ? (size_t)(s->rows.length - first) : TSL_BLOCK;
            const uint8_t *from = x + (size_t)first * inner * size;
            tsl_load_doubles(t->x->dtype, from, (ptrdiff_t)(inner * size), n, block);
            for (size_t i = 0; i < n; i++) {
                if (first + (int64_t)i == 0 || !is_better(s, block[i], best_value)) continue;
                best_value = block[i];
                best = first + (int64_t)i;
            }
        }
        t->y[row] = best;
    }
}

static tslim_status run_arg(const tsl_run *run) {
    const arg_state *s = run->kernel->state;
    if (s->rows.outer * s->rows.inner == 0) return TSLIM_OK;
    arg_task task = {s, &run->inputs[0], run->outputs[0].data};
    tsl_parallel_for(run->ctx, (size_t)(s->rows.outer * s->rows.inner), 4096 / (size_t)s->rows.length + 1,
        run_rows, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_arg_reduce(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(arg_state, s);
    s->maximum = step->op == TSL_OP_ARG_MAX;
    s->last = tsl_attrs_int(step->attrs, TSL_ATTR_select_last_index, 0) != 0;
    kernel->run = run_arg;
    kernel->name = "arg reduce";
    if (step->outputs[0].dtype != TSLIM_DTYPE_INT64 || tslim_dtype_size(x->dtype) == 0)
        return tsl_cpu_unsupported(p);
    uint32_t axis;
    TSL_TRY(tsl_step_axis(p, 0, x->rank, &axis));
    s->rows = tsl_along_axis(x, axis);
    TSL_REQUIRE(s->rows.length > 0 || s->rows.outer * s->rows.inner == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': axis %u is empty", step->name, axis);
    return TSLIM_OK;
}
