// SPDX-License-Identifier: Apache-2.0
// Softmax and LogSoftmax. Until opset 12 the tensor is flattened to two dims at `axis`; since 13 it goes
// along `axis`.
#include <string.h>

#include "cpu/operator.h"

typedef struct softmax_state {
    const tsl_cpu_functions *functions;
    int64_t outer, length, inner;
    bool logarithm;
    size_t worker_floats;
} softmax_state;

typedef struct softmax_task {
    const softmax_state *s;
    const float *x;
    float *y, *scratch;
} softmax_task;

// A row that is not contiguous goes through the worker's scratch.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    const softmax_task *t = task_data;
    const softmax_state *s = t->s;
    tsl_softmax_f32_args args = {.n = (size_t)s->length, .logarithm = s->logarithm};
    const size_t inner = (size_t)s->inner;
    for (size_t row = begin; row < end; row++) {
        size_t first = row / inner * inner * args.n + row % inner;
        if (inner == 1) {
            args.x = t->x + first;
            args.y = t->y + first;
            s->functions->softmax_f32(&args);
            continue;
        }
        float *block = t->scratch + worker * s->worker_floats;
        args.x = args.y = block;
        for (size_t i = 0; i < args.n; i++) block[i] = t->x[first + i * inner];
        s->functions->softmax_f32(&args);
        for (size_t i = 0; i < args.n; i++) t->y[first + i * inner] = block[i];
    }
}

static tslim_status run_softmax(const tsl_run *run) {
    const softmax_state *s = run->kernel->state;
    if (s->outer * s->length * s->inner == 0) return TSLIM_OK;
    softmax_task task = {s, run->inputs[0].data, run->outputs[0].data, (float *)(void *)run->scratch};
    tsl_parallel_for(run->ctx, (size_t)(s->outer * s->inner), 4096 / (size_t)s->length + 1, run_rows, &task);
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
    s->worker_floats = s->inner == 1 ? 0 : ((size_t)s->length + 15) / 16 * 16;
    kernel->scratch_bytes = s->worker_floats * sizeof(float) * p->ctx->n_threads;
    return TSLIM_OK;
}
