// SPDX-License-Identifier: Apache-2.0
// Running LSTM, GRU and RNN: directions, chunks of time steps, and where states come from and go to.
#include "cpu/recurrent.h"

#include <inttypes.h>
#include <string.h>

#define MACS_FOR_THREADS ((size_t)1 << 22)

void tsl_recurrent_multiply(const tsl_recurrent_run *t, const tsl_recurrent_product *m) {
    static const ptrdiff_t tap = 0;
    const ptrdiff_t size = (ptrdiff_t)sizeof(float);
    const size_t batch = (size_t)t->s->batch;
    const tsl_product product = {.functions = t->s->functions,
        .geometry = m->panels,
        .coefficients = &t->s->open,
        .taps = &tap,
        .n_taps = 1,
        .rows = {.count = {1, m->steps, batch},
            .a = {0, m->a_step * size, m->a_item * size},
            .c = {0, (ptrdiff_t)batch * m->c_item * size, m->c_item * size},
            .z = {0, 0, m->z_item * size}}};
    // Waking threads at each of many steps pays for large ones only.
    const size_t macs = m->steps * batch * m->panels->n * m->panels->k;
    tslim_context *ctx = macs < MACS_FOR_THREADS ? NULL : t->ctx;
    const tsl_product_operands operands = {.a = m->a, .w = m->w, .z = m->z, .bias = m->bias, .c = m->c};
    tsl_product_run(ctx, &product, &operands);
}

// ---- States and biases ----

// Floats from one direction to the next, and from one batch item to the next, of a state operand.
static int64_t state_offset(const tsl_recurrent *s, int64_t direction, int64_t item) {
    int64_t row = s->batch_first ? item * s->directions + direction : direction * s->batch + item;
    return row * s->hidden;
}

static void load_state(const tsl_recurrent_run *t, const float *from, float *state) {
    const tsl_recurrent *s = t->s;
    memset(state, 0, (size_t)(s->batch * s->padded) * sizeof(float));
    for (int64_t item = 0; from && item < s->batch; item++)
        memcpy(state + item * s->padded, from + state_offset(s, t->direction, item),
            (size_t)s->hidden * sizeof(float));
}

static void store_state(const tsl_recurrent_run *t, const float *state, float *to) {
    const tsl_recurrent *s = t->s;
    for (int64_t item = 0; to && item < s->batch; item++)
        memcpy(to + state_offset(s, t->direction, item), state + item * s->padded,
            (size_t)s->hidden * sizeof(float));
}

// W's and R's biases are added up, but for the last gate of a GRU that is linear before its reset: there R's
// comes behind the others.
static void load_bias(const tsl_recurrent_run *t, const float *b) {
    const tsl_recurrent *s = t->s;
    const int64_t n = s->padded, gates = s->gates;
    memset(t->bias, 0, (size_t)((gates + 1) * n) * sizeof(float));
    memset(t->zeros, 0, (size_t)(gates * n) * sizeof(float));
    if (!b) return;
    b += t->direction * 2 * gates * s->hidden;
    for (int64_t gate = 0; gate < gates; gate++) {
        const bool apart = s->linear_before_reset && gate == 2;
        for (int64_t i = 0; i < s->hidden; i++) {
            const float w = b[gate * s->hidden + i], r = b[(gates + gate) * s->hidden + i];
            t->bias[gate * n + i] = apart ? w : w + r;
            if (apart) t->bias[gates * n + i] = r;
        }
    }
}

// ---- Time ----

// Row `step` of Y: the states, or zeros behind a sequence's end.
static void store_outputs(const tsl_recurrent_run *t, int64_t step, float *y) {
    const tsl_recurrent *s = t->s;
    const size_t bytes = (size_t)s->hidden * sizeof(float);
    for (int64_t item = 0; y && item < s->batch; item++) {
        int64_t row = s->batch_first ? (item * s->steps + step) * s->directions + t->direction
                                     : (step * s->directions + t->direction) * s->batch + item;
        if (t->lengths && step >= t->lengths[item])
            memset(y + row * s->hidden, 0, bytes);
        else
            memcpy(y + row * s->hidden, t->hidden + item * s->padded, bytes);
    }
}

// Steps first .. first + count - 1, backwards where the direction is.
static void run_chunk(const tsl_recurrent_run *t, int64_t first, int64_t count, bool reverse, float *y) {
    const tsl_recurrent *s = t->s;
    const int64_t row = s->gates * s->padded;
    const int64_t x_step = s->batch_first ? s->input : s->batch * s->input;
    const tsl_recurrent_product inputs = {.panels = &s->input_panels,
        .a = (const float *)t->run->inputs[0].data + first * x_step,
        .w = t->w,
        .bias = t->bias,
        .c = t->products,
        .steps = (size_t)count,
        .a_step = x_step,
        .a_item = s->batch_first ? s->steps * s->input : s->input,
        .c_item = row};
    tsl_recurrent_multiply(t, &inputs);
    for (int64_t i = 0; i < count; i++) {
        int64_t within = reverse ? count - 1 - i : i;
        tsl_recurrent_step(t, t->products + within * s->batch * row, first + within);
        store_outputs(t, first + within, y);
    }
}

static float *output(const tsl_run *run, uint32_t n_outputs, uint32_t index) {
    return index < n_outputs ? run->outputs[index].data : NULL;
}

static void run_direction(tsl_recurrent_run *t) {
    const tsl_recurrent *s = t->s;
    const tsl_run *run = t->run;
    uint8_t *scratch = run->scratch + s->scratch_offset + (size_t)t->direction * s->scratch.bytes;
    t->bias = (float *)(void *)(scratch + s->scratch.bias);
    t->zeros = (float *)(void *)(scratch + s->scratch.zeros);
    t->products = (float *)(void *)(scratch + s->scratch.products);
    t->hidden = (float *)(void *)(scratch + s->scratch.hidden);
    t->cell = (float *)(void *)(scratch + s->scratch.cell);
    t->reset = (float *)(void *)(scratch + s->scratch.reset);
    t->candidate = (float *)(void *)(scratch + s->scratch.candidate);
    t->lengths = s->present[4] ? run->inputs[4].data : NULL;
    if (s->present[7]) t->peepholes = (const float *)run->inputs[7].data + t->direction * 3 * s->hidden;
    load_bias(t, s->present[3] ? run->inputs[3].data : NULL);
    load_state(t, s->present[5] ? run->inputs[5].data : NULL, t->hidden);
    load_state(t, s->present[6] ? run->inputs[6].data : NULL, t->cell);
    const bool reverse = t->direction == 1 || s->first_is_reverse;
    for (int64_t done = 0; done < s->steps; done += s->chunk) {
        int64_t count = s->steps - done < s->chunk ? s->steps - done : s->chunk;
        run_chunk(t, reverse ? s->steps - done - count : done, count, reverse, output(run, s->n_outputs, 0));
    }
    store_state(t, t->hidden, output(run, s->n_outputs, 1));
    store_state(t, t->cell, output(run, s->n_outputs, 2));
}

typedef struct recurrent_task {
    const tsl_run *run;
    const float *w, *r;
} recurrent_task;

static void start_direction(const recurrent_task *task, tslim_context *ctx, int64_t direction) {
    const tsl_recurrent *s = task->run->kernel->state;
    tsl_recurrent_run t = {.s = s, .run = task->run, .ctx = ctx, .direction = direction};
    t.w = task->w + (size_t)direction * s->w_direction;
    t.r = task->r + (size_t)direction * s->r_direction;
    run_direction(&t);
}

static void run_directions(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    for (size_t i = begin; i < end; i++) start_direction(data, NULL, (int64_t)i);
}

tslim_status tsl_recurrent_run_all(const tsl_run *run) {
    const tsl_recurrent *s = run->kernel->state;
    const int32_t *lengths = s->present[4] ? run->inputs[4].data : NULL;
    for (int64_t item = 0; lengths && item < s->batch; item++)
        TSL_REQUIRE(lengths[item] >= 0 && lengths[item] <= s->steps, TSLIM_ERROR_INVALID_ARGUMENT,
            "sequence %" PRId64 " has %" PRId32 " of %" PRId64 " steps", item, lengths[item], s->steps);
    if (s->batch == 0 || s->hidden == 0) return TSLIM_OK;
    recurrent_task task = {run, tsl_weights_at_run(&s->w, run, run->inputs[1].data),
        tsl_weights_at_run(&s->r, run, run->inputs[2].data)};
    if (s->directions == 2 && run->ctx->n_threads > 1)
        tsl_parallel_for(run->ctx, 2, 1, run_directions, &task);
    else
        for (int64_t i = 0; i < s->directions; i++) start_direction(&task, run->ctx, i);
    return TSLIM_OK;
}
