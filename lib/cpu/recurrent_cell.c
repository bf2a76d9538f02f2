// SPDX-License-Identifier: Apache-2.0
// The cells of LSTM, GRU and RNN: the formulas are those of the ONNX operator specifications.
#include <string.h>

#include "cpu/recurrent.h"

// ---- Functions over a run of elements; padding is computed on like the rest ----

static void scale_shift(const tsl_recurrent *s, float *x, int64_t n, float scale, float shift) {
    s->functions->scale_shift_f32(&(tsl_scale_shift_f32_args){.x = x,
        .y = x,
        .n = (size_t)n,
        .scale = &scale,
        .shift = &shift,
        .scalar = true,
        .lo = -INFINITY,
        .hi = INFINITY});
}

static void unary(const tsl_recurrent *s, tsl_op op, float *x, int64_t n, float alpha, float beta) {
    s->functions->unary_f32(&(tsl_unary_f32_args){.op = op,
        .x = x,
        .y = x,
        .n = (size_t)n,
        .alpha = alpha,
        .beta = beta,
        .lo = -INFINITY,
        .hi = INFINITY});
}

static void binary(const tsl_recurrent *s, tsl_op op, const float *a, const float *b, float *y, int64_t n) {
    s->functions->binary_f32(&(tsl_binary_f32_args){
        .op = op, .a = a, .b = b, .y = y, .n = (size_t)n, .lo = -INFINITY, .hi = INFINITY});
}

static void clip(const tsl_recurrent *s, float *x, int64_t n) {
    if (isinf(s->clip)) return;
    s->functions->unary_f32(&(tsl_unary_f32_args){
        .op = TSL_OP_CLIP, .x = x, .y = x, .n = (size_t)n, .lo = -s->clip, .hi = s->clip});
}

static void activate(const tsl_recurrent_run *t, int which, float *x, int64_t n) {
    const tsl_recurrent *s = t->s;
    const tsl_gate_function *f = &s->activations[t->direction][which];
    switch (f->kind) {
    case TSL_GATE_VECTOR:
        unary(s, f->op, x, n, f->alpha, f->beta);
        return;
    case TSL_GATE_AFFINE:
        scale_shift(s, x, n, f->alpha, f->beta);
        return;
    case TSL_GATE_SCALED_TANH:
        scale_shift(s, x, n, f->beta, 0);
        unary(s, TSL_OP_TANH, x, n, 0, 0);
        scale_shift(s, x, n, f->alpha, 0);
        return;
    case TSL_GATE_SCALAR: {
        const tsl_function function = {f->op, (double)f->alpha, (double)f->beta, -INFINITY, INFINITY};
        for (int64_t i = 0; i < n; i++) x[i] = (float)tsl_function_value(&function, (double)x[i]);
        return;
    }
    }
}

// x += peephole * c
static void add_peephole(
    const tsl_recurrent *s, const float *peephole, const float *c, float *x, float *product) {
    binary(s, TSL_OP_MUL, peephole, c, product, s->hidden);
    binary(s, TSL_OP_ADD, x, product, x, s->hidden);
}

// ---- Cells: one batch item ----

static void lstm_cell(const tsl_recurrent_run *t, float *gates, float *c, float *h, float *spare) {
    const tsl_recurrent *s = t->s;
    const int64_t n = s->padded;
    if (s->usual[t->direction] && !t->peepholes && !s->input_forget) {
        s->functions->lstm_cell_f32(&(tsl_lstm_cell_f32_args){
            .gates = gates, .n = (size_t)n, .stride = (size_t)n, .clip = s->clip, .c = c, .h = h});
        return;
    }
    float *i = gates, *o = gates + n, *f = gates + 2 * n, *candidate = gates + 3 * n;
    if (t->peepholes) {
        add_peephole(s, t->peepholes, c, i, spare);
        add_peephole(s, t->peepholes + 2 * s->hidden, c, f, spare);
        clip(s, i, n);
        clip(s, f, 2 * n);
        activate(t, 0, i, n);
        activate(t, 0, f, n);
    } else {
        clip(s, i, 4 * n);
        activate(t, 0, i, 3 * n);
    }
    activate(t, 1, candidate, n);
    if (s->input_forget) {
        memcpy(f, i, (size_t)n * sizeof(float));
        scale_shift(s, f, n, -1.0f, 1.0f);
    }
    binary(s, TSL_OP_MUL, c, f, c, n);
    binary(s, TSL_OP_MUL, i, candidate, candidate, n);
    binary(s, TSL_OP_ADD, c, candidate, c, n);
    if (t->peepholes) {
        add_peephole(s, t->peepholes + s->hidden, c, o, spare);
        clip(s, o, n);
        activate(t, 0, o, n);
    }
    memcpy(h, c, (size_t)n * sizeof(float));
    activate(t, 2, h, n);
    binary(s, TSL_OP_MUL, h, o, h, n);
}

// From the gates and, where the reset comes after it, the product of the last gate: the state.
static void gru_cell(const tsl_recurrent_run *t, float *gates, float *product, float *h) {
    const tsl_recurrent *s = t->s;
    const int64_t n = s->padded;
    float *z = gates, *r = gates + n, *candidate = gates + 2 * n;
    if (s->usual[t->direction]) {
        s->functions->gru_cell_f32(&(tsl_gru_cell_f32_args){.z = z,
            .x = candidate,
            .r = product ? r : NULL,
            .product = product,
            .n = (size_t)n,
            .clip = s->clip,
            .h = h});
        return;
    }
    if (product) {
        binary(s, TSL_OP_MUL, r, product, product, n);
        binary(s, TSL_OP_ADD, candidate, product, candidate, n);
    }
    clip(s, candidate, n);
    activate(t, 1, candidate, n);
    binary(s, TSL_OP_SUB, h, candidate, h, n);
    binary(s, TSL_OP_MUL, h, z, h, n);
    binary(s, TSL_OP_ADD, h, candidate, h, n);
}

// ---- Steps ----

static bool is_over(const tsl_recurrent_run *t, int64_t item, int64_t step) {
    return t->lengths && step >= t->lengths[item];
}

static void gru_step(const tsl_recurrent_run *t, float *gates, int64_t step) {
    const tsl_recurrent *s = t->s;
    const int64_t n = s->padded, row = s->gates * n;
    tsl_recurrent_product last = {.panels = &s->last_panels,
        .a = s->linear_before_reset ? t->hidden : t->reset,
        .w = t->r + s->last_panels.panels * s->last_panels.panel_stride * 2,
        .bias = t->bias + 3 * n,
        .c = s->linear_before_reset ? t->candidate : gates + 2 * n,
        .z = s->linear_before_reset ? NULL : gates + 2 * n,
        .steps = 1,
        .a_item = n,
        .c_item = s->linear_before_reset ? n : row,
        .z_item = row};
    for (int64_t item = 0; item < s->batch; item++) {
        float *z = gates + item * row, *r = z + n;
        clip(s, z, 2 * n);
        activate(t, 0, z, 2 * n);
        if (!s->linear_before_reset) binary(s, TSL_OP_MUL, r, t->hidden + item * n, t->reset + item * n, n);
    }
    tsl_recurrent_multiply(t, &last);
    for (int64_t item = 0; item < s->batch; item++) {
        float *product = s->linear_before_reset ? t->candidate + item * n : NULL;
        if (!is_over(t, item, step)) gru_cell(t, gates + item * row, product, t->hidden + item * n);
    }
}

void tsl_recurrent_step(const tsl_recurrent_run *t, float *gates, int64_t step) {
    const tsl_recurrent *s = t->s;
    const int64_t n = s->padded, row = s->gates * n;
    tsl_recurrent_product state = {.panels = &s->state_panels,
        .a = t->hidden,
        .w = t->r,
        .bias = t->zeros,
        .c = gates,
        .z = gates,
        .steps = 1,
        .a_item = n,
        .c_item = row,
        .z_item = row};
    tsl_recurrent_multiply(t, &state);
    if (s->op == TSL_OP_GRU) {
        gru_step(t, gates, step);
        return;
    }
    for (int64_t item = 0; item < s->batch; item++) {
        if (is_over(t, item, step)) continue;
        float *h = t->hidden + item * n;
        if (s->op == TSL_OP_LSTM) {
            lstm_cell(t, gates + item * row, t->cell + item * n, h, t->candidate);
        } else {
            memcpy(h, gates + item * row, (size_t)n * sizeof(float));
            clip(s, h, n);
            activate(t, 0, h, n);
        }
    }
}
