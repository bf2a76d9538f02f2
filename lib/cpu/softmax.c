// SPDX-License-Identifier: Apache-2.0
// Softmax and LogSoftmax. Until opset 12 the tensor is flattened to two dims at `axis`; since 13 it goes
// along `axis`.
#include <string.h>

#include "cpu/operator.h"

typedef struct softmax_state {
    const tsl_cpu_functions *functions;
    int64_t outer, length, inner;
    bool logarithm;
} softmax_state;

typedef struct softmax_task {
    const softmax_state *s;
    const float *x;
    float *y;
} softmax_task;

// An item is a row.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const softmax_task *t = task_data;
    const size_t length = (size_t)t->s->length;
    tsl_softmax_f32_args args = {.n = length, .logarithm = t->s->logarithm};
    for (size_t row = begin; row < end; row++) {
        args.x = t->x + row * length;
        args.y = t->y + row * length;
        t->s->functions->softmax_f32(&args);
    }
}

// Rows whose elements are `inner` apart lie side by side: an item is a group of them.
#define COLUMNS ((size_t)64)

static void run_columns(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const softmax_task *t = task_data;
    const size_t length = (size_t)t->s->length, inner = (size_t)t->s->inner;
    const size_t groups = (inner + COLUMNS - 1) / COLUMNS;
    tsl_softmax_columns_f32_args args = {.length = length, .stride = inner, .logarithm = t->s->logarithm};
    for (size_t item = begin; item < end; item++) {
        size_t first = item % groups * COLUMNS;
        size_t offset = item / groups * length * inner + first;
        args.n = inner - first < COLUMNS ? inner - first : COLUMNS;
        args.x = t->x + offset;
        args.y = t->y + offset;
        t->s->functions->softmax_columns_f32(&args);
    }
}

static tslim_status run_softmax(const tsl_run *run) {
    const softmax_state *s = run->kernel->state;
    if (s->outer == 0 || s->length == 0 || s->inner == 0) return TSLIM_OK;
    softmax_task task = {s, run->inputs[0].data, run->outputs[0].data};
    const size_t grain = 4096 / (size_t)s->length + 1, groups = ((size_t)s->inner + COLUMNS - 1) / COLUMNS;
    if (s->inner == 1)
        tsl_parallel_for(run->ctx, (size_t)s->outer, grain, run_rows, &task);
    else
        tsl_parallel_for(run->ctx, (size_t)s->outer * groups, grain / COLUMNS + 1, run_columns, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_softmax(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(softmax_state, s);
    s->functions = p->functions;
    s->logarithm = step->op == TSL_OP_LOG_SOFTMAX;
    kernel->run = run_softmax;
    kernel->name = s->logarithm ? "log softmax" : "softmax";
    if (x->dtype != TSLIM_DTYPE_FLOAT || y->dtype != TSLIM_DTYPE_FLOAT || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    const bool flatten = step->opset < 13;
    uint32_t axis = 0;
    if (x->rank > 0) TSL_TRY(tsl_step_axis(p, flatten ? (x->rank > 1 ? 1 : 0) : -1, x->rank, &axis));
    s->outer = s->length = s->inner = 1;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t *part = i < axis ? &s->outer : i == axis || flatten ? &s->length : &s->inner;
        *part *= x->dims[i];
    }
    return TSLIM_OK;
}
