// SPDX-License-Identifier: Apache-2.0
// Softmax and LogSoftmax. Until opset 12 the tensor is flattened to two dims at `axis`; since 13 it goes
// along `axis`.
#include <string.h>

#include "cpu/operator.h"

typedef struct softmax_state {
    const tsl_cpu_functions *functions;
    tsl_rows_along rows;
    bool logarithm, doubles;
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
    const size_t length = (size_t)t->s->rows.length;
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
    const size_t length = (size_t)t->s->rows.length, inner = (size_t)t->s->rows.inner;
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

// One element after the other.
static void run_doubles(const softmax_state *s, const double *x, double *y) {
    const int64_t length = s->rows.length, inner = s->rows.inner;
    for (int64_t row = 0; row < s->rows.outer * inner; row++) {
        const int64_t base = row / inner * length * inner + row % inner;
        double most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < length; i++) most = fmax(most, x[base + i * inner]);
        for (int64_t i = 0; i < length; i++) sum += exp(x[base + i * inner] - most);
        for (int64_t i = 0; i < length; i++) {
            const double difference = x[base + i * inner] - most;
            y[base + i * inner] = s->logarithm ? difference - log(sum) : exp(difference) / sum;
        }
    }
}

static tslim_status run_softmax(const tsl_run *run) {
    const softmax_state *s = run->kernel->state;
    if (s->rows.outer == 0 || s->rows.length == 0 || s->rows.inner == 0) return TSLIM_OK;
    if (s->doubles) {
        run_doubles(s, run->inputs[0].data, run->outputs[0].data);
        return TSLIM_OK;
    }
    softmax_task task = {s, run->inputs[0].data, run->outputs[0].data};
    const size_t grain = 4096 / (size_t)s->rows.length + 1,
                 groups = ((size_t)s->rows.inner + COLUMNS - 1) / COLUMNS;
    if (s->rows.inner == 1)
        tsl_parallel_for(run->ctx, (size_t)s->rows.outer, grain, run_rows, &task);
    else
        tsl_parallel_for(run->ctx, (size_t)s->rows.outer * groups, grain / COLUMNS + 1, run_columns, &task);
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
    s->doubles = x->dtype == TSLIM_DTYPE_DOUBLE;
    if ((x->dtype != TSLIM_DTYPE_FLOAT && !s->doubles) || y->dtype != x->dtype || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    return tsl_softmax_rows(p, x, &s->rows);
}
