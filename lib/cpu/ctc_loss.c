// SPDX-License-Identifier: Apache-2.0
// CtcLoss: minus the logarithm of the probability that a row of classes is read from a row of steps, and its
// gradient, by the forward-backward sums of Graves et al., Connectionist Temporal Classification (ICML 2006),
// as logarithms. Class 0 is the blank; a negative number ends a row of classes.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"
#include "cpu/product.h"

typedef struct ctc_state {
    size_t steps, classes, length; // of log-probabilities, and the most classes of a row
    size_t sample_bytes, scratch_offset;
    bool gradient; // is output 1
} ctc_state;

// One sample. States alternate between blanks and the row's classes, beginning and ending with a blank.
typedef struct ctc_sample {
    const ctc_state *s;
    const tsl_tensor *scores;
    const uint8_t *row; // of log-probabilities
    uint8_t *gradient; // NULL: not wanted
    const int64_t *targets;
    size_t n_states;
    double *forward; // steps x states
    double *backward; // 2 x states
} ctc_sample;

static double add_logs(double a, double b) {
    if (a == -INFINITY) return b;
    if (b == -INFINITY) return a;
    return a > b ? a + log1p(exp(b - a)) : b + log1p(exp(a - b));
}

static size_t class_of(const ctc_sample *c, size_t state) {
    return state % 2 ? (size_t)c->targets[state / 2] : 0;
}

static double score(const ctc_sample *c, size_t step, size_t k) {
    const size_t size = tslim_dtype_size(c->scores->dtype);
    return tsl_load_double(c->scores->dtype, c->row + (step * c->s->classes + k) * size);
}

// A class may follow the one before without a blank if they differ.
static bool can_skip(const ctc_sample *c, size_t state) {
    return state >= 2 && state % 2 == 1 && class_of(c, state) != class_of(c, state - 2);
}

static double run_forward(const ctc_sample *c) {
    const size_t n = c->n_states, steps = c->s->steps;
    for (size_t t = 0; t < steps; t++) {
        double *now = c->forward + t * n;
        const double *before = t > 0 ? now - n : NULL;
        for (size_t s = 0; s < n; s++) {
            double sum = -INFINITY;
            if (!before)
                sum = s < 2 ? 0 : -INFINITY;
            else {
                sum = before[s];
                if (s >= 1) sum = add_logs(sum, before[s - 1]);
                if (can_skip(c, s)) sum = add_logs(sum, before[s - 2]);
            }
            now[s] = sum + score(c, t, class_of(c, s));
        }
    }
    const double *last = c->forward + (steps - 1) * n;
    return n > 1 ? add_logs(last[n - 1], last[n - 2]) : last[0];
}

// What a state of the next step gives to `s` now: backward sums do not hold the score of their own step.
static double reach(const ctc_sample *c, const double *next, size_t t, size_t s) {
    return next[s] + score(c, t + 1, class_of(c, s));
}

static void add_to_gradient(const ctc_sample *c, size_t t, size_t k, double amount) {
    const size_t size = tslim_dtype_size(c->scores->dtype);
    uint8_t *at = c->gradient + (t * c->s->classes + k) * size;
    double value = tsl_load_double(c->scores->dtype, at) - amount;
    tsl_store_doubles(c->scores->dtype, at, 0, 1, &value);
}

// The derivative by a log-probability is minus the probability of passing through it.
static void run_backward(const ctc_sample *c, double total) {
    const size_t n = c->n_states, steps = c->s->steps;
    for (size_t t = steps; t-- > 0;) {
        double *now = c->backward + (t % 2) * n;
        const double *next = c->backward + ((t + 1) % 2) * n;
        for (size_t s = 0; s < n; s++) {
            double sum = -INFINITY;
            if (t + 1 == steps)
                sum = s + 2 >= n ? 0 : -INFINITY;
            else {
                sum = reach(c, next, t, s);
                if (s + 1 < n) sum = add_logs(sum, reach(c, next, t, s + 1));
                if (s + 2 < n && can_skip(c, s + 2)) sum = add_logs(sum, reach(c, next, t, s + 2));
            }
            now[s] = sum;
            const double through = c->forward[t * n + s] + sum - total;
            if (through > -INFINITY) add_to_gradient(c, t, class_of(c, s), exp(through));
        }
    }
}

// A row that has no room in the steps teaches nothing.
static double run_sample(const ctc_sample *c) {
    const double total = run_forward(c);
    if (total == -INFINITY) return 0;
    if (c->gradient) run_backward(c, total);
    return -total;
}

static void run_samples(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const tsl_run *run = task_data;
    const ctc_state *s = run->kernel->state;
    const tsl_tensor *scores = &run->inputs[0], *losses = &run->outputs[0];
    const size_t size = tslim_dtype_size(scores->dtype), row = s->steps * s->classes * size;
    for (size_t i = begin; i < end; i++) {
        ctc_sample c = {.s = s,
            .scores = scores,
            .row = (const uint8_t *)scores->data + i * row,
            .gradient = s->gradient ? (uint8_t *)run->outputs[1].data + i * row : NULL,
            .targets = (const int64_t *)run->inputs[1].data + i * s->length};
        size_t count = 0;
        while (count < s->length && c.targets[count] >= 0) count++;
        c.n_states = 2 * count + 1;
        c.forward = (double *)(void *)(run->scratch + s->scratch_offset + i * s->sample_bytes);
        c.backward = c.forward + s->steps * c.n_states;
        if (s->gradient) memset(c.gradient, 0, row);
        double loss = run_sample(&c);
        tsl_store_doubles(losses->dtype, (uint8_t *)losses->data + i * size, 0, 1, &loss);
    }
}

static tslim_status check_targets(const ctc_state *s, const tsl_tensor *targets) {
    const int64_t *values = targets->data;
    for (size_t i = 0; i < (size_t)tsl_tensor_elements(targets); i++)
        TSL_REQUIRE(values[i] < (int64_t)s->classes && values[i] != 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "row %zu of the target has class %" PRId64 " at place %zu: of %zu classes 0 is the blank",
            i / s->length, values[i], i % s->length, s->classes);
    return TSLIM_OK;
}

static tslim_status run_ctc(const tsl_run *run) {
    const ctc_state *s = run->kernel->state;
    TSL_TRY(check_targets(s, &run->inputs[1]));
    tsl_parallel_for(run->ctx, (size_t)run->inputs[0].dims[0], 1, run_samples, (void *)run);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_ctc_loss(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *scores = &step->inputs[0], *targets = &step->inputs[1];
    TSL_NEW_STATE(ctc_state, s);
    kernel->run = run_ctc;
    kernel->name = "ctc loss";
    TSL_REQUIRE(scores->rank == 3 && targets->rank == 2 && scores->dims[0] == targets->dims[0] &&
                    scores->dims[1] > 0 && scores->dims[2] > 1,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': rows of steps and of classes that do not fit", step->name);
    s->steps = (size_t)scores->dims[1];
    s->classes = (size_t)scores->dims[2];
    s->length = (size_t)targets->dims[1];
    s->gradient = step->n_outputs > 1 && step->outputs[1].dtype != TSLIM_DTYPE_NONE;
    size_t states, bytes;
    bool fits = tsl_mul_size(s->length, 2, &states) && tsl_mul_size(states + 1, s->steps + 2, &bytes) &&
                tsl_mul_size(bytes, sizeof(double), &s->sample_bytes) &&
                tsl_mul_size(s->sample_bytes, (size_t)scores->dims[0], &bytes);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "node '%s': too many steps and classes", step->name);
    TSL_TRY(tsl_scratch_reserve(kernel, bytes, &s->scratch_offset));
    bool types = (scores->dtype == TSLIM_DTYPE_FLOAT || scores->dtype == TSLIM_DTYPE_DOUBLE) &&
                 step->outputs[0].dtype == scores->dtype && targets->dtype == TSLIM_DTYPE_INT64;
    return types ? TSLIM_OK : tsl_cpu_unsupported(p);
}
