// SPDX-License-Identifier: Apache-2.0
// LpNormalization: elements along an axis are divided by their norm, the sum of absolute values or the root
// of the sum of squares. Where the norm is 0 the result is 0.
#include "cpu/operator.h"

typedef struct lp_state {
    int64_t outer, length, inner;
    bool squares;
} lp_state;

typedef struct lp_task {
    const lp_state *s;
    const float *x;
    float *y;
} lp_task;

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const lp_task *t = task_data;
    const lp_state *s = t->s;
    for (size_t item = begin; item < end; item++) {
        int64_t base = (int64_t)item / s->inner * s->length * s->inner + (int64_t)item % s->inner;
        double norm = 0;
        for (int64_t i = 0; i < s->length; i++) {
            double x = (double)t->x[base + i * s->inner];
            norm += s->squares ? x * x : fabs(x);
        }
        if (s->squares) norm = sqrt(norm);
        for (int64_t i = 0; i < s->length; i++) {
            int64_t at = base + i * s->inner;
            t->y[at] = norm == 0 ? 0.0f : (float)((double)t->x[at] / norm);
        }
    }
}

static tslim_status run_lp(const tsl_run *run) {
    const lp_state *s = run->kernel->state;
    lp_task t = {s, run->inputs[0].data, run->outputs[0].data};
    if (s->length == 0) return TSLIM_OK;
    tsl_parallel_for(run->ctx, (size_t)(s->outer * s->inner), 16384 / (size_t)s->length + 1, run_rows, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_lp_normalization(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(lp_state, s);
    kernel->run = run_lp;
    kernel->name = "lp normalization";
    if (x->dtype != TSLIM_DTYPE_FLOAT || step->outputs[0].dtype != TSLIM_DTYPE_FLOAT ||
        step->epilogue.clamp || x->rank == 0)
        return tsl_cpu_unsupported(p);
    const int64_t power = tsl_attrs_int(step->attrs, TSL_ATTR_p, 2);
    TSL_REQUIRE(power == 1 || power == 2, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': p is neither 1 nor 2",
        step->name);
    uint32_t axis;
    TSL_TRY(tsl_step_axis(p, -1, x->rank, &axis));
    s->squares = power == 2;
    s->outer = s->length = s->inner = 1;
    for (uint32_t i = 0; i < x->rank; i++)
        *(i < axis ? &s->outer : i == axis ? &s->length : &s->inner) *= x->dims[i];
    return TSLIM_OK;
}
