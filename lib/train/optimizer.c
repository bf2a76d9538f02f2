// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with momentum, as torch.optim.SGD computes it (the rate outside the
// moment, Nesterov's form after Sutskever et al., 2013), and AdamW (Loshchilov and Hutter, 2019,
// arXiv:1711.05101).
#include "train/optimizer.h"

#include <math.h>

#define GRAIN ((size_t)16384) // floats that are worth a thread

uint32_t tsl_optimizer_moments(const tslim_train_options *options) {
    if (options->optimizer == TSLIM_OPTIMIZER_ADAMW) return 2;
    return options->momentum > 0;
}

double tsl_gradient_norm(const tsl_weights *weights, const float *const *gradients) {
    double sum = 0;
    for (uint32_t i = 0; i < weights->n_parameters; i++) {
        if (!gradients[i]) continue;
        const float *g = gradients[i];
        for (size_t k = 0; k < weights->items[i].count; k++) sum += (double)g[k] * g[k];
    }
    return sqrt(sum);
}

// One parameter, element by element: no thread's part depends on another's.
typedef struct update {
    float *w, *m, *v;
    const float *g;
    float factor, rate, decay, momentum, second, epsilon, m_scale, v_scale;
    bool nesterov;
} update;

static void step_plain(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const update *u = task_data;
    for (size_t i = begin; i < end; i++) u->w[i] -= u->rate * (u->factor * u->g[i] + u->decay * u->w[i]);
}

static void step_momentum(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const update *u = task_data;
    const float ahead = u->nesterov ? u->momentum : 1, now = u->nesterov ? 1 : 0;
    for (size_t i = begin; i < end; i++) {
        float g = u->factor * u->g[i] + u->decay * u->w[i];
        float m = u->momentum * u->m[i] + g;
        u->m[i] = m;
        u->w[i] -= u->rate * (now * g + ahead * m);
    }
}

static void step_adamw(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const update *u = task_data;
    for (size_t i = begin; i < end; i++) {
        float g = u->factor * u->g[i];
        float m = u->momentum * u->m[i] + (1 - u->momentum) * g;
        float v = u->second * u->v[i] + (1 - u->second) * g * g;
        u->m[i] = m;
        u->v[i] = v;
        float w = u->w[i] - u->rate * u->decay * u->w[i];
        u->w[i] = w - u->rate * (m * u->m_scale) / (sqrtf(v * u->v_scale) + u->epsilon);
    }
}

void tsl_optimizer_step(const tslim_train_options *options, tsl_weights *weights,
    const float *const *gradients, float factor, double rate, uint64_t step) {
    const bool adamw = options->optimizer == TSLIM_OPTIMIZER_ADAMW;
    const double t = (double)step + 1;
    update u = {.factor = factor,
        .rate = (float)rate,
        .momentum = (float)options->momentum,
        .second = (float)options->second_momentum,
        .epsilon = (float)options->epsilon,
        .m_scale = (float)(1 / (1 - pow(options->momentum, t))),
        .v_scale = (float)(1 / (1 - pow(options->second_momentum, t))),
        .nesterov = options->nesterov};
    for (uint32_t i = 0; i < weights->n_parameters; i++) {
        const tsl_weight *item = &weights->items[i];
        if (!gradients[i]) continue;
        u.w = weights->values + item->offset;
        u.g = gradients[i];
        u.decay = item->decays ? (float)options->weight_decay : 0;
        if (weights->moments[0]) u.m = weights->moments[0] + item->offset;
        if (weights->moments[1]) u.v = weights->moments[1] + item->offset;
        tslim_task work = adamw ? step_adamw : weights->moments[0] ? step_momentum : step_plain;
        tsl_parallel_for(weights->ctx, item->count, GRAIN, work, &u);
    }
}
