// SPDX-License-Identifier: Apache-2.0
// Functions of one value. Floats go through the dispatch table, INT8 through a table of 256 entries, other
// types through double (or int64, which Abs, Neg, Sign, Relu and Clip keep exact).
#include <inttypes.h>
#include <string.h>

#include "cpu/function.h"
#include "cpu/operator.h"

typedef struct unary_state {
    tsl_function function; // of the step as prepared
    const tsl_cpu_functions *functions;
    const uint8_t *table;
    uint32_t n_inputs; // of Clip: its bounds are read again in each run, for they need not be constant
} unary_state;

// What one run uses: the state's function, with the bounds of this run.
typedef struct unary_run {
    tsl_function function;
    const tsl_cpu_functions *functions;
    tslim_dtype dtype;
    const uint8_t *table;
    int64_t lo, hi; // Clip of integers; of uint64 by their bits
} unary_run;

// ---- Inner loops ----

static void run_floats(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const unary_run *u = user;
    const tsl_function *f = &u->function;
    tsl_unary_f32_args args = {.op = f->op,
        .alpha = (float)f->alpha,
        .beta = (float)f->beta,
        .lo = (float)f->lo,
        .hi = (float)f->hi};
    if (strides[0] == 4 && strides[1] == 4) {
        args.x = (const float *)(const void *)data[1];
        args.y = (float *)(void *)data[0];
        args.n = count;
        u->functions->unary_f32(&args);
        return;
    }
    float block[TSL_BLOCK];
    args.x = args.y = block;
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        args.n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        for (size_t i = 0; i < args.n; i++)
            memcpy(&block[i], data[1] + (ptrdiff_t)(first + i) * strides[1], sizeof(float));
        u->functions->unary_f32(&args);
        for (size_t i = 0; i < args.n; i++)
            memcpy(data[0] + (ptrdiff_t)(first + i) * strides[0], &block[i], sizeof(float));
    }
}

static void run_table(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const unary_run *u = user;
    if (strides[0] == 1 && strides[1] == 1) {
        tsl_table_s8_args args = {.x = (const int8_t *)data[1],
            .y = (int8_t *)data[0],
            .n = count,
            .table = (const int8_t *)u->table};
        u->functions->table_s8(&args);
        return;
    }
    for (size_t i = 0; i < count; i++)
        data[0][(ptrdiff_t)i * strides[0]] = u->table[data[1][(ptrdiff_t)i * strides[1]]];
}

static void run_doubles(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const unary_run *u = user;
    double block[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        tsl_load_doubles(u->dtype, data[1] + (ptrdiff_t)first * strides[1], strides[1], n, block);
        for (size_t i = 0; i < n; i++) block[i] = tsl_function_value(&u->function, block[i]);
        tsl_store_doubles(u->dtype, data[0] + (ptrdiff_t)first * strides[0], strides[0], n, block);
    }
}

// Bounds the wrong way round: every element becomes the upper one.
static int64_t clip_integer(const unary_run *u, int64_t x) {
    return x < u->lo && u->lo <= u->hi ? u->lo : x > u->hi || u->lo > u->hi ? u->hi : x;
}
static int64_t clip_unsigned(const unary_run *u, uint64_t x) {
    uint64_t lo = (uint64_t)u->lo, hi = (uint64_t)u->hi;
    return (int64_t)(x < lo && lo <= hi ? lo : x > hi || lo > hi ? hi : x);
}

static int64_t integer_value(const unary_run *u, int64_t x) {
    int64_t negated = (int64_t)(0 - (uint64_t)x);
    switch (u->function.op) {
    case TSL_OP_RELU:
        return x < 0 ? 0 : x;
    case TSL_OP_NEG:
        return negated;
    case TSL_OP_ABS:
        return x < 0 ? negated : x;
    case TSL_OP_SIGN:
        return (x > 0) - (x < 0);
    case TSL_OP_NOT:
        return x == 0;
    case TSL_OP_BITWISE_NOT:
        return ~x;
    default:
        return u->dtype == TSLIM_DTYPE_UINT64 ? clip_unsigned(u, (uint64_t)x) : clip_integer(u, x);
    }
}

static void run_ints(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const unary_run *u = user;
    int64_t block[TSL_BLOCK];
    for (size_t first = 0; first < count; first += TSL_BLOCK) {
        size_t n = count - first < TSL_BLOCK ? count - first : TSL_BLOCK;
        tsl_load_ints(u->dtype, data[1] + (ptrdiff_t)first * strides[1], strides[1], n, block);
        for (size_t i = 0; i < n; i++) block[i] = integer_value(u, block[i]);
        tsl_store_ints(u->dtype, data[0] + (ptrdiff_t)first * strides[0], strides[0], n, block);
    }
}

// ---- Clip's bounds ----

static const tsl_tensor *bound(const tsl_tensor *inputs, uint32_t n_inputs, uint32_t index) {
    return index < n_inputs && inputs[index].dtype != TSLIM_DTYPE_NONE ? &inputs[index] : NULL;
}

static void read_bounds(
    const tsl_tensor *min, const tsl_tensor *max, tsl_function *f, int64_t *lo, int64_t *hi) {
    if (min) {
        f->lo = fmax(f->lo, tsl_load_double(min->dtype, min->data));
        *lo = tsl_load_int(min->dtype, min->data);
    }
    if (max) {
        double value = tsl_load_double(max->dtype, max->data);
        f->hi = fmin(f->hi, value);
        *hi = tsl_load_int(max->dtype, max->data);
    }
    if (f->lo > f->hi) f->lo = f->hi; // then every element becomes max
}

// ---- Prepare and run ----

static tslim_status run_unary(const tsl_run *run) {
    const unary_state *state = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0], *y = &run->outputs[0];
    unary_run u = {.function = state->function,
        .functions = state->functions,
        .dtype = x->dtype,
        .table = state->table,
        .lo = x->dtype == TSLIM_DTYPE_UINT64 ? 0 : INT64_MIN,
        .hi = x->dtype == TSLIM_DTYPE_UINT64 ? -1 : INT64_MAX};
    if (u.function.op == TSL_OP_CLIP && !u.table) {
        const tsl_tensor *min = bound(run->inputs, state->n_inputs, 1);
        const tsl_tensor *max = bound(run->inputs, state->n_inputs, 2);
        read_bounds(min, max, &u.function, &u.lo, &u.hi);
    }
    tsl_iteration it;
    const tsl_tensor *operands[] = {y, x};
    tsl_iteration_init(&it, operands, 2);
    bool integers = tsl_element_is_integer(x->dtype) && u.function.op != TSL_OP_SHRINK; // by real numbers
    tsl_inner_loop loop = integers ? run_ints : run_doubles;
    if (u.table)
        loop = run_table;
    else if (x->dtype == TSLIM_DTYPE_FLOAT && tsl_function_is_vector(u.function.op))
        loop = run_floats;
    tsl_iterate(run->ctx, &it, loop, &u);
    return TSLIM_OK;
}

static double table_value(const void *user, double x) {
    return tsl_function_value(user, x);
}

// next[table[i]] for every i.
static tslim_status compose(const tsl_prepare *p, const uint8_t *next, const uint8_t **table) {
    if (!next) return TSLIM_OK;
    uint8_t *both = tsl_arena_alloc(p->arena, 256);
    TSL_REQUIRE_MEMORY(both, 256);
    for (int i = 0; i < 256; i++) both[i] = next[(*table)[i]];
    *table = both;
    return TSLIM_OK;
}

static bool takes_integers(tsl_op op) {
    return op == TSL_OP_RELU || op == TSL_OP_NEG || op == TSL_OP_ABS || op == TSL_OP_SIGN ||
           op == TSL_OP_CLIP || op == TSL_OP_NOT || op == TSL_OP_SHRINK || op == TSL_OP_BITWISE_NOT;
}

tslim_status tsl_cpu_prepare_unary(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(unary_state, state);
    tsl_function_init(&state->function, step);
    state->functions = p->functions;
    state->n_inputs = step->n_inputs;
    kernel->run = run_unary;
    kernel->name = "unary";
    const tsl_tensor *min = NULL, *max = NULL;
    if (step->op == TSL_OP_CLIP) {
        min = tsl_step_input(step, 1);
        max = tsl_step_input(step, 2);
        TSL_REQUIRE((!min || tsl_tensor_elements(min) == 1) && (!max || tsl_tensor_elements(max) == 1),
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': its bounds are not single numbers", step->name);
    }
    if (tsl_is_quantized(x) && tsl_is_quantized(y)) {
        if ((min && !min->constant) || (max && !max->constant)) return tsl_cpu_unsupported(p);
        int64_t unused_lo = 0, unused_hi = 0;
        read_bounds(min, max, &state->function, &unused_lo, &unused_hi);
        kernel->name = "unary table";
        TSL_TRY(tsl_table_prepare(p, x, y, table_value, &state->function, &state->table));
        return compose(p, step->epilogue.table, &state->table);
    }
    if (x->dtype != y->dtype || tsl_is_quantized(x)) return tsl_cpu_unsupported(p);
    if (tsl_element_is_real(x->dtype)) {
        bool of_integers = step->op == TSL_OP_NOT || step->op == TSL_OP_BITWISE_NOT;
        return of_integers ? tsl_cpu_unsupported(p) : TSLIM_OK;
    }
    return tsl_element_is_integer(x->dtype) && takes_integers(step->op) ? TSLIM_OK : tsl_cpu_unsupported(p);
}
