// SPDX-License-Identifier: Apache-2.0
// Max, Min, Sum and Mean of any number of operands: a chain of functions of two.
#include "cpu/binary.h"

typedef struct variadic_state {
    tsl_binary first, next; // of two inputs; of the result so far and an input
    tsl_binary scale; // Mean: times 1/n (reals), or divided by n (integers)
    tsl_tensor count; // a scalar: what `scale` takes
    double count_memory[1];
    const uint8_t *table; // of a lone operand
    uint32_t n_inputs;
    bool is_mean;
} variadic_state;

static tslim_status run_variadic(const tsl_run *run) {
    const variadic_state *s = run->kernel->state;
    const tsl_tensor *x = run->inputs, *y = &run->outputs[0];
    if (s->n_inputs == 1) {
        tsl_move(run->ctx, s->table, &x[0], y);
        return TSLIM_OK;
    }
    TSL_TRY(tsl_binary_run(run->ctx, &s->first, &x[0], &x[1], y));
    for (uint32_t i = 2; i < s->n_inputs; i++) TSL_TRY(tsl_binary_run(run->ctx, &s->next, y, &x[i], y));
    return s->is_mean ? tsl_binary_run(run->ctx, &s->scale, y, &s->count, y) : TSLIM_OK;
}

// The clamp of the step belongs to the last function alone; Max and Min do not mind.
static void open_bounds(tsl_binary *binary) {
    binary->lo = -INFINITY;
    binary->hi = INFINITY;
}

static bool prepare_mean(const tsl_prepare *p, const tsl_tensor *y, variadic_state *s) {
    if (tsl_is_quantized(y)) return false;
    s->count = (tsl_tensor){.dtype = y->dtype, .data = s->count_memory, .constant = true};
    double n = s->n_inputs;
    tsl_store_doubles(y->dtype, (uint8_t *)s->count_memory, 0, 1, &n);
    return tsl_binary_choose(p, TSL_OP_DIV, y, &s->count, y, &s->scale);
}

tslim_status tsl_cpu_prepare_variadic(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = step->inputs, *y = &step->outputs[0];
    TSL_NEW_STATE(variadic_state, s);
    s->n_inputs = step->n_inputs;
    s->is_mean = step->op == TSL_OP_MEAN && step->n_inputs > 1;
    kernel->run = run_variadic;
    kernel->name = "variadic";
    if (s->n_inputs == 1) return tsl_move_prepare(p, &x[0], y, &s->table);
    tsl_op op = step->op == TSL_OP_SUM || step->op == TSL_OP_MEAN ? TSL_OP_ADD : step->op;
    bool found = tsl_binary_choose(p, op, &x[0], &x[1], y, &s->first);
    for (uint32_t i = 2; found && i < s->n_inputs; i++) {
        // Rounding the result so far to INT8 would cost accuracy; Max and Min of equal scales would not.
        found = x[i].dtype == x[0].dtype && !tsl_is_quantized(&x[i]);
    }
    if (found && s->n_inputs > 2) found = tsl_binary_choose(p, op, y, &x[2], y, &s->next);
    if (found && s->is_mean) found = prepare_mean(p, y, s);
    if (!found) return tsl_cpu_unsupported(p);
    if (op == TSL_OP_ADD && s->n_inputs > 2) open_bounds(&s->first);
    if (s->is_mean) {
        open_bounds(&s->first);
        open_bounds(&s->next);
    }
    TSL_REQUIRE(!(op == TSL_OP_ADD && s->n_inputs > 3 && step->epilogue.clamp && !s->is_mean),
        TSLIM_ERROR_UNSUPPORTED, "node '%s': a clamped sum of %u operands", step->name, s->n_inputs);
    return TSLIM_OK;
}
