// SPDX-License-Identifier: Apache-2.0
// Preparing LSTM, GRU and RNN: attributes, checks of the operands, panels and scratch memory.
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "cpu/recurrent.h"

// Input products of so many rows at once keep the panels of W busy, and stay in the cache until their step.
#define CHUNK_ROWS 96

// ---- Activations ----

typedef struct named_function {
    const char *name;
    tsl_gate_function function; // with default alpha and beta
    bool has_alpha, has_beta;
} named_function;

static const named_function functions[] = {
    {"Sigmoid", {TSL_GATE_VECTOR, TSL_OP_SIGMOID, 0, 0}, false, false},
    {"Tanh", {TSL_GATE_VECTOR, TSL_OP_TANH, 0, 0}, false, false},
    {"Relu", {TSL_GATE_VECTOR, TSL_OP_RELU, 0, 0}, false, false},
    {"LeakyRelu", {TSL_GATE_VECTOR, TSL_OP_LEAKY_RELU, 0.01f, 0}, true, false},
    {"ThresholdedRelu", {TSL_GATE_VECTOR, TSL_OP_THRESHOLDED_RELU, 1, 0}, true, false},
    {"HardSigmoid", {TSL_GATE_VECTOR, TSL_OP_HARD_SIGMOID, 0.2f, 0.5f}, true, true},
    {"Elu", {TSL_GATE_VECTOR, TSL_OP_ELU, 1, 0}, true, false},
    {"Softsign", {TSL_GATE_VECTOR, TSL_OP_SOFTSIGN, 0, 0}, false, false},
    {"Softplus", {TSL_GATE_SCALAR, TSL_OP_SOFTPLUS, 0, 0}, false, false},
    {"Affine", {TSL_GATE_AFFINE, TSL_OP_UNKNOWN, 1, 0}, true, true},
    {"ScaledTanh", {TSL_GATE_SCALED_TANH, TSL_OP_UNKNOWN, 1, 1}, true, true},
};

static const named_function *find_function(const char *name) {
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (strcasecmp(functions[i].name, name) == 0) return &functions[i];
    return NULL;
}

// The lists of alpha and beta have an entry for each function that takes one.
static float next_parameter(const float *list, size_t count, size_t *at, float otherwise) {
    return *at < count ? list[(*at)++] : otherwise;
}

tslim_status tsl_gate_functions_read(tsl_prepare *p, tsl_recurrent *s) {
    static const char *const defaults[2][3] = {{"Sigmoid", "Tanh", "Tanh"}, {"Tanh", "", ""}};
    const tsl_attrs *attrs = p->step->attrs;
    const size_t each = s->op == TSL_OP_LSTM ? 3 : s->op == TSL_OP_GRU ? 2 : 1;
    const bool listed = tsl_attrs_find(attrs, TSL_ATTR_activations) != NULL;
    size_t n_alpha, n_beta, alpha_at = 0, beta_at = 0;
    const float *alpha = tsl_attrs_floats(attrs, TSL_ATTR_activation_alpha, &n_alpha);
    const float *beta = tsl_attrs_floats(attrs, TSL_ATTR_activation_beta, &n_beta);
    for (size_t i = 0; i < each * (size_t)s->directions; i++) {
        const char *name = defaults[s->op == TSL_OP_RNN][i % each];
        if (listed) name = tsl_attrs_string_at(attrs, TSL_ATTR_activations, i);
        TSL_REQUIRE(name, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': %zu activations are named, %zu are needed", p->step->name, i,
            each * (size_t)s->directions);
        const named_function *known = find_function(name);
        TSL_REQUIRE(known, TSLIM_ERROR_UNSUPPORTED, "node '%s': activation '%.40s'", p->step->name, name);
        tsl_gate_function *f = &s->activations[i / each][i % each];
        *f = known->function;
        if (known->has_alpha) f->alpha = next_parameter(alpha, n_alpha, &alpha_at, f->alpha);
        if (known->has_beta) f->beta = next_parameter(beta, n_beta, &beta_at, f->beta);
        const bool usual = strcasecmp(known->name, i % each == 0 ? "Sigmoid" : "Tanh") == 0;
        s->usual[i / each] = usual && (i % each == 0 || s->usual[i / each]);
    }
    return TSLIM_OK;
}

// ---- Operands ----

static tslim_status read_attributes(tsl_prepare *p, tsl_recurrent *s) {
    const tsl_step *step = p->step;
    const char *direction = tsl_attrs_string(step->attrs, TSL_ATTR_direction, "forward");
    const bool both = strcmp(direction, "bidirectional") == 0;
    s->first_is_reverse = strcmp(direction, "reverse") == 0;
    TSL_REQUIRE(both || s->first_is_reverse || strcmp(direction, "forward") == 0,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': direction '%.40s'", step->name, direction);
    s->op = step->op;
    s->gates = s->op == TSL_OP_LSTM ? 4 : s->op == TSL_OP_GRU ? 3 : 1;
    s->directions = both ? 2 : 1;
    s->batch_first = tsl_attrs_int(step->attrs, TSL_ATTR_layout, 0) != 0;
    s->linear_before_reset =
        s->op == TSL_OP_GRU && tsl_attrs_int(step->attrs, TSL_ATTR_linear_before_reset, 0) != 0;
    s->input_forget = s->op == TSL_OP_LSTM && tsl_attrs_int(step->attrs, TSL_ATTR_input_forget, 0) != 0;
    s->clip = tsl_attrs_float(step->attrs, TSL_ATTR_clip, INFINITY);
    TSL_REQUIRE(
        s->clip >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': clip is %g", step->name, (double)s->clip);
    return tsl_gate_functions_read(p, s);
}

static bool has_dims(const tsl_tensor *t, tslim_dtype dtype, uint32_t rank, const int64_t *dims) {
    return t->dtype == dtype && t->rank == rank && memcmp(t->dims, dims, rank * sizeof(*dims)) == 0;
}

static tslim_status check_operands(const tsl_prepare *p, tsl_recurrent *s) {
    const tsl_step *step = p->step;
    const int64_t d = s->directions, h = s->hidden, b = s->batch, rows = s->gates * h;
    const int64_t state[3] = {s->batch_first ? b : d, s->batch_first ? d : b, h};
    const struct {
        uint32_t rank;
        int64_t dims[3];
    } wanted[8] = {{3, {s->batch_first ? b : s->steps, s->batch_first ? s->steps : b, s->input}},
        {3, {d, rows, s->input}}, {3, {d, rows, h}}, {2, {d, 2 * rows}}, {1, {b}},
        {3, {state[0], state[1], h}}, {3, {state[0], state[1], h}}, {2, {d, 3 * h}}};
    for (uint32_t i = 0; i < 8; i++) {
        const tsl_tensor *t = tsl_step_input(step, i);
        s->present[i] = t != NULL;
        if (!t) continue;
        if (t->dtype != (i == 4 ? TSLIM_DTYPE_INT32 : TSLIM_DTYPE_FLOAT)) return tsl_cpu_unsupported(p);
        TSL_REQUIRE(has_dims(t, t->dtype, wanted[i].rank, wanted[i].dims), TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': operand %u has dims that do not fit %" PRId64 " directions, %" PRId64
            " batch items, %" PRId64 " inputs and %" PRId64 " hidden elements",
            step->name, i, d, b, s->input, h);
    }
    const int64_t y[2][4] = {{s->steps, d, b, h}, {b, s->steps, d, h}};
    for (uint32_t i = 0; i < step->n_outputs; i++) {
        const tsl_tensor *t = &step->outputs[i];
        if (t->dtype == TSLIM_DTYPE_NONE) continue;
        TSL_REQUIRE(has_dims(t, TSLIM_DTYPE_FLOAT, i == 0 ? 4 : 3, i == 0 ? y[s->batch_first] : state),
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': result %u has other dims than it gives", step->name, i);
    }
    return TSLIM_OK;
}

// ---- Panels and memory ----

// `count` gates of one direction as one matrix.
static tsl_pack_geometry join_gates(const tsl_pack_geometry *all, size_t count) {
    tsl_pack_geometry g = *all;
    g.groups = 1;
    g.panels = all->panels * count;
    g.n = g.panels * TSL_PANEL;
    g.group_stride = all->group_stride * count;
    return g;
}

static tslim_status set_panels(tsl_prepare *p, tsl_kernel *kernel, tsl_recurrent *s) {
    const size_t gates = (size_t)s->gates, at_once = s->op == TSL_OP_GRU ? 2 : gates;
    TSL_TRY(tsl_weights_prepare_operand(p, kernel, &p->step->inputs[1], 1, 1, &s->w));
    TSL_TRY(tsl_weights_prepare_operand(p, kernel, &p->step->inputs[2], 2, 1, &s->r));
    s->input_panels = join_gates(&s->w.geometry, gates);
    s->state_panels = join_gates(&s->r.geometry, at_once);
    s->last_panels = join_gates(&s->r.geometry, 1);
    s->w_direction = s->w.geometry.group_stride * gates;
    s->r_direction = s->r.geometry.group_stride * gates;
    s->padded = (int64_t)(s->w.geometry.panels * TSL_PANEL);
    s->open = (tsl_coefficients){.groups = 1,
        .n = s->input_panels.n,
        .padded = s->input_panels.n,
        .to_float = true,
        .lo = -INFINITY,
        .hi = INFINITY};
    return TSLIM_OK;
}

// Adds `count` x `row` floats; false when that overflows.
static bool add_floats(tsl_recurrent_scratch *s, size_t count, size_t row, size_t *offset) {
    size_t floats, bytes;
    *offset = s->bytes;
    return tsl_mul_size(count, row, &floats) && tsl_mul_size(floats, sizeof(float), &bytes) &&
           tsl_add_size(s->bytes, bytes + 64, &bytes) && tsl_align_size(bytes, 64, &s->bytes);
}

static tslim_status set_memory(tsl_prepare *p, tsl_kernel *kernel, tsl_recurrent *s) {
    const size_t n = (size_t)s->padded, gates = (size_t)s->gates, batch = (size_t)s->batch;
    tsl_recurrent_scratch *scratch = &s->scratch;
    s->chunk = s->batch > 0 ? CHUNK_ROWS / s->batch : 1;
    if (s->chunk < 1) s->chunk = 1;
    if (s->chunk > s->steps && s->steps > 0) s->chunk = s->steps;
    size_t rows = 0, total = 0;
    bool fits =
        tsl_mul_size((size_t)s->chunk, batch, &rows) && tsl_mul_size(n, gates + 1, &total) &&
        add_floats(scratch, gates + 1, n, &scratch->bias) && add_floats(scratch, gates, n, &scratch->zeros) &&
        add_floats(scratch, rows, n * gates, &scratch->products) &&
        add_floats(scratch, batch, n, &scratch->hidden) && add_floats(scratch, batch, n, &scratch->cell) &&
        add_floats(scratch, batch, n, &scratch->reset) && add_floats(scratch, batch, n, &scratch->candidate);
    TSL_REQUIRE(fits, TSLIM_ERROR_LIMIT, "node '%s': %zu batch items of %zu hidden elements", p->step->name,
        batch, (size_t)s->hidden);
    return tsl_scratch_reserve(kernel, scratch->bytes * (size_t)s->directions, &s->scratch_offset);
}

tslim_status tsl_cpu_prepare_recurrent(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *r = &step->inputs[2];
    TSL_NEW_STATE(tsl_recurrent, s);
    s->functions = p->functions;
    kernel->run = tsl_recurrent_run_all;
    TSL_TRY(read_attributes(p, s));
    TSL_REQUIRE(x->rank == 3 && step->inputs[1].rank == 3 && r->rank == 3, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': operands of rank %u, %u and %u", step->name, x->rank, step->inputs[1].rank, r->rank);
    s->steps = x->dims[s->batch_first ? 1 : 0];
    s->batch = x->dims[s->batch_first ? 0 : 1];
    s->input = x->dims[2];
    s->hidden = r->dims[2];
    s->n_outputs = step->n_outputs;
    TSL_TRY(check_operands(p, s));
    if (step->epilogue.clamp) return tsl_cpu_unsupported(p);
    TSL_TRY(set_panels(p, kernel, s));
    TSL_TRY(set_memory(p, kernel, s));
    kernel->macs = (uint64_t)(s->directions * s->steps * s->batch * s->gates * s->hidden) *
                   (uint64_t)(s->input + s->hidden);
    return tsl_kernel_name(p, kernel, s->op == TSL_OP_LSTM ? "lstm" : s->op == TSL_OP_GRU ? "gru" : "rnn");
}
