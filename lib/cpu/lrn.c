// SPDX-License-Identifier: Apache-2.0
// LRN, local response normalization over channels (Krizhevsky et al., "ImageNet classification with deep
// convolutional neural networks", 2012): y = x / (bias + alpha / size * sum of the squares of `size` channels
// around)^beta.
#include <inttypes.h>

#include "cpu/operator.h"

// Pixels that are worked on together.
#define PIXELS 256

typedef struct lrn_state {
    int64_t batch, channels, pixels, blocks;
    int64_t before, after; // channels of a window on each side
    double alpha, beta, bias; // alpha divided by size
} lrn_state;

typedef struct lrn_task {
    const lrn_state *s;
    const float *x;
    float *y;
} lrn_task;

// x / base^beta. The usual exponent needs no logarithm.
static void divide(const lrn_state *s, const float *x, const double *sums, float *y, int64_t n) {
    if (s->beta == 0.75)
        for (int64_t i = 0; i < n; i++) {
            double root = sqrt(s->bias + s->alpha * sums[i]);
            y[i] = (float)((double)x[i] / (root * sqrt(root)));
        }
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = (float)((double)x[i] / pow(s->bias + s->alpha * sums[i], s->beta));
}

// An item is a block of pixels of an image.
static void run_blocks(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const lrn_task *t = task_data;
    const lrn_state *s = t->s;
    double sums[PIXELS];
    for (size_t item = begin; item < end; item++) {
        const int64_t first = (int64_t)item % s->blocks * PIXELS;
        const int64_t n = s->pixels - first < PIXELS ? s->pixels - first : PIXELS;
        const int64_t base = (int64_t)item / s->blocks * s->channels * s->pixels + first;
        for (int64_t c = 0; c < s->channels; c++) {
            int64_t low = c > s->before ? c - s->before : 0;
            int64_t high = s->channels - 1 - c > s->after ? c + s->after : s->channels - 1;
            for (int64_t i = 0; i < n; i++) sums[i] = 0;
            for (int64_t k = low; k <= high; k++) {
                const float *x = t->x + base + k * s->pixels;
                for (int64_t i = 0; i < n; i++) sums[i] += (double)x[i] * (double)x[i];
            }
            divide(s, t->x + base + c * s->pixels, sums, t->y + base + c * s->pixels, n);
        }
    }
}

static tslim_status run_lrn(const tsl_run *run) {
    const lrn_state *s = run->kernel->state;
    lrn_task t = {s, run->inputs[0].data, run->outputs[0].data};
    tsl_parallel_for(run->ctx, (size_t)(s->batch * s->blocks), 1, run_blocks, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_lrn(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(lrn_state, s);
    kernel->run = run_lrn;
    kernel->name = "lrn";
    if (x->dtype != TSLIM_DTYPE_FLOAT || step->outputs[0].dtype != TSLIM_DTYPE_FLOAT || x->rank < 2 ||
        step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    const int64_t size = tsl_attrs_int(step->attrs, TSL_ATTR_size, 0);
    TSL_REQUIRE(size >= 1, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': a window of %" PRId64 " channels",
        step->name, size);
    s->before = (size - 1) / 2;
    s->after = size / 2;
    s->alpha = (double)tsl_attrs_float(step->attrs, TSL_ATTR_alpha, 1e-4f) / (double)size;
    s->beta = (double)tsl_attrs_float(step->attrs, TSL_ATTR_beta, 0.75f);
    s->bias = (double)tsl_attrs_float(step->attrs, TSL_ATTR_bias, 1.0f);
    s->batch = x->dims[0];
    s->channels = x->dims[1];
    s->pixels = 1;
    for (uint32_t i = 2; i < x->rank; i++) s->pixels *= x->dims[i];
    s->blocks = (s->pixels + PIXELS - 1) / PIXELS;
    return TSLIM_OK;
}
