// SPDX-License-Identifier: Apache-2.0
// Operators through the backend's prepare and run, as a session calls them. What an operator computes is
// tested by ONNX's own node tests (test/conformance/check_node_tests.py) on row-major memory; here the same
// result must come from any strides, at every level, with any number of threads; INT8 must be within a step
// of the float operator.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend.h"
#include "base/rng.h"

enum { MAX_OPERANDS = 4, MAX_BYTES = 1 << 20 };

static tslim_context *contexts[2]; // of one thread and of four
static tsl_rng rng;

static int set_up(void **unused) {
    (void)unused;
    tsl_rng_seed(&rng, 11);
    for (uint32_t i = 0; i < 2; i++) {
        tslim_context_options options;
        tslim_context_options_init(&options);
        options.n_threads = i == 0 ? 1 : 4;
        if (tslim_context_create(&options, &contexts[i]) != TSLIM_OK) return 1;
    }
    return 0;
}
static int tear_down(void **unused) {
    (void)unused;
    for (uint32_t i = 0; i < 2; i++) tslim_context_destroy(contexts[i]);
    return 0;
}

static size_t below(size_t n) {
    return (size_t)tsl_rng_below(&rng, n);
}

// ---- Tensors ----

typedef enum layout { ROW_MAJOR, CHANNELS_LAST, ANY_ORDER, N_LAYOUTS } layout;

typedef struct shape {
    uint32_t rank;
    int64_t dims[TSLIM_MAX_RANK];
} shape;

// Strides for an order of the axes, with gaps where `any`; returns the elements that are spanned.
static int64_t set_strides(tsl_tensor *t, layout l) {
    uint32_t order[TSLIM_MAX_RANK]; // the slowest axis first
    for (uint32_t i = 0; i < t->rank; i++) order[i] = i;
    if (l == CHANNELS_LAST && t->rank == 4) {
        const uint32_t last[4] = {0, 2, 3, 1};
        memcpy(order, last, sizeof last);
    }
    for (uint32_t i = 0; l == ANY_ORDER && i + 1 < t->rank; i++) {
        uint32_t other = i + (uint32_t)below(t->rank - i), axis = order[i];
        order[i] = order[other];
        order[other] = axis;
    }
    int64_t stride = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        if (l == ANY_ORDER && below(2)) stride += (int64_t)below(3);
        t->strides[order[i]] = stride;
        stride *= t->dims[order[i]];
    }
    return stride;
}

static tsl_tensor make(tslim_dtype dtype, shape s, layout l) {
    tsl_tensor t = {.dtype = dtype, .rank = s.rank};
    memcpy(t.dims, s.dims, sizeof t.dims);
    size_t bytes = (size_t)set_strides(&t, l) * tslim_dtype_size(dtype);
    assert_true(bytes <= MAX_BYTES);
    t.data = malloc(bytes); // exactly: the sanitizers see a step beyond
    memset(t.data, 0x5a, bytes);
    return t;
}

// The byte offset of the i-th element in row-major order.
static size_t offset_of(const tsl_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (uint32_t d = t->rank; d-- > 0;) {
        offset += i % t->dims[d] * t->strides[d];
        i /= t->dims[d];
    }
    return (size_t)offset * tslim_dtype_size(t->dtype);
}

// Copies elements between tensors of the same dims, one at a time.
static void copy_elements(const tsl_tensor *from, const tsl_tensor *to) {
    for (int64_t i = 0; i < tsl_tensor_elements(to); i++)
        memcpy((char *)to->data + offset_of(to, i), (const char *)from->data + offset_of(from, i),
            tslim_dtype_size(to->dtype));
}

static void fill(const tsl_tensor *t) {
    for (int64_t i = 0; i < tsl_tensor_elements(t); i++) {
        char *p = (char *)t->data + offset_of(t, i);
        float real = (float)tsl_rng_normal(&rng) * 2.0f;
        int64_t whole = (int64_t)below(7) - 3;
        if (t->dtype == TSLIM_DTYPE_FLOAT)
            memcpy(p, &real, sizeof real);
        else if (t->dtype == TSLIM_DTYPE_INT64)
            memcpy(p, &whole, sizeof whole);
        else
            *p = (char)(t->dtype == TSLIM_DTYPE_BOOL ? below(2) : tsl_rng_next(&rng));
    }
}

// ---- Attributes ----

static tsl_attr int_attr(tsl_attr_id id, int64_t value) {
    return (tsl_attr){.id = id, .type = TSL_ATTR_TYPE_INT, .i = value};
}
static tsl_attr ints_attr(tsl_attr_id id, const int64_t *values, size_t count) {
    return (tsl_attr){.id = id, .type = TSL_ATTR_TYPE_INTS, .ints = values, .count = count};
}
static tsl_attr string_attr(tsl_attr_id id, const char *text) {
    return (tsl_attr){.id = id, .type = TSL_ATTR_TYPE_STRING, .s = text, .count = strlen(text)};
}

// ---- Running one step ----

static tslim_status run_step(tslim_context *ctx, tslim_isa isa, tsl_step *step) {
    tsl_arena arena;
    tsl_arena_init(&arena, ctx);
    tsl_kernel kernel;
    tslim_status status = tsl_cpu_backend.prepare(ctx, isa, step, &arena, &kernel);
    if (status == TSLIM_OK) {
        uint8_t *scratch = tsl_arena_alloc_aligned(&arena, kernel.scratch_bytes);
        tsl_run run = {.ctx = ctx,
            .kernel = &kernel,
            .inputs = step->inputs,
            .outputs = step->outputs,
            .scratch = scratch};
        status = kernel.run(&run);
    }
    tsl_arena_clear(&arena);
    return status;
}

typedef struct operator_case {
    const char *name;
    tsl_op op;
    uint32_t n_inputs;
    shape inputs[3];
    shape output;
    tsl_attr attrs[6];
    uint32_t n_attrs;
    bool bytes; // also on INT8
    tslim_dtype condition; // of input 0, where it is another type
} operator_case;

static tsl_step step_of(
    const operator_case *c, const tsl_attrs *attrs, const tsl_tensor *in, const tsl_tensor *out) {
    return (tsl_step){.op = c->op,
        .opset = 18,
        .name = c->name,
        .attrs = attrs,
        .inputs = in,
        .outputs = out,
        .n_inputs = c->n_inputs,
        .n_outputs = 1,
        .epilogue = {.residual = -1}};
}

static void free_all(tsl_tensor *tensors, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) free(tensors[i].data);
}

static const int64_t perm[] = {2, 0, 3, 1}, middle_axes[] = {1, 2}, planes[] = {2, 3}, starts[] = {1},
                     ends[] = {6}, slice_axes[] = {3}, pads[] = {0, 1, 2, 0, 0, 0, 1, 3}, kernel_3[] = {3, 3},
                     stride_2[] = {2, 2}, pads_1[] = {1, 1, 1, 1}, dilation_2[] = {2, 1};

#define NCHW                                                                                                 \
    {                                                                                                        \
        4, {                                                                                                 \
            2, 6, 5, 7                                                                                       \
        }                                                                                                    \
    }

static operator_case cases[] = {
    {"relu", TSL_OP_RELU, 1, {NCHW}, NCHW, {{0}}, 0, true, 0},
    {"silu", TSL_OP_SILU, 1, {NCHW}, NCHW, {{0}}, 0, true, 0},
    {"sigmoid", TSL_OP_SIGMOID, 1, {{3, {4, 5, 33}}}, {3, {4, 5, 33}}, {{0}}, 0, true, 0},
    {"log", TSL_OP_LOG, 1, {NCHW}, NCHW, {{0}}, 0, false, 0},
    {"add", TSL_OP_ADD, 2, {NCHW, NCHW}, NCHW, {{0}}, 0, true, 0},
    {"add channels", TSL_OP_ADD, 2, {NCHW, {4, {1, 6, 1, 1}}}, NCHW, {{0}}, 0, true, 0},
    {"multiply channels", TSL_OP_MUL, 2, {NCHW, {4, {2, 6, 1, 1}}}, NCHW, {{0}}, 0, true, 0},
    {"multiply many pixels", TSL_OP_MUL, 2, {{4, {2, 37, 9, 23}}, {4, {2, 37, 1, 1}}}, {4, {2, 37, 9, 23}},
        {{0}}, 0, true, 0},
    {"subtract rows from many", TSL_OP_SUB, 2, {{1, {300}}, {3, {3, 17, 300}}}, {3, {3, 17, 300}}, {{0}}, 0,
        true, 0},
    {"subtract from a row", TSL_OP_SUB, 2, {{1, {7}}, NCHW}, NCHW, {{0}}, 0, true, 0},
    {"divide by a scalar", TSL_OP_DIV, 2, {NCHW, {0, {0}}}, NCHW, {{0}}, 0, true, 0},
    {"both are broadcast", TSL_OP_MUL, 2, {{3, {6, 1, 7}}, {4, {2, 1, 5, 1}}}, NCHW, {{0}}, 0, true, 0},
    {"greatest of three", TSL_OP_MAX, 3, {NCHW, {1, {7}}, NCHW}, NCHW, {{0}}, 0, false, 0},
    {"mean of three", TSL_OP_MEAN, 3, {NCHW, NCHW, {4, {1, 6, 1, 1}}}, NCHW, {{0}}, 0, false, 0},
    {"where", TSL_OP_WHERE, 3, {{4, {2, 1, 5, 1}}, NCHW, {1, {7}}}, NCHW, {{0}}, 0, false, TSLIM_DTYPE_BOOL},
    {"transpose", TSL_OP_TRANSPOSE, 1, {NCHW}, {4, {5, 2, 7, 6}}, {{0}}, 1, true, 0},
    {"transpose a matrix", TSL_OP_TRANSPOSE, 1, {{2, {70, 45}}}, {2, {45, 70}}, {{0}}, 0, true, 0},
    {"concatenate", TSL_OP_CONCAT, 3, {NCHW, {4, {2, 3, 5, 7}}, {4, {2, 1, 5, 7}}}, {4, {2, 10, 5, 7}}, {{0}},
        1, true, 0},
    {"slice", TSL_OP_SLICE, 1, {NCHW}, {4, {2, 6, 5, 5}}, {{0}}, 3, true, 0},
    {"pad", TSL_OP_PAD, 1, {NCHW}, {4, {2, 7, 8, 10}}, {{0}}, 1, true, 0},
    {"pad by reflection", TSL_OP_PAD, 1, {NCHW}, {4, {2, 7, 8, 10}}, {{0}}, 2, true, 0},
    {"expand", TSL_OP_EXPAND, 1, {{4, {2, 1, 5, 1}}}, NCHW, {{0}}, 0, true, 0},
    {"identity", TSL_OP_IDENTITY, 1, {NCHW}, NCHW, {{0}}, 0, true, 0},
    {"reorder", TSL_OP_REORDER, 1, {{4, {2, 40, 17, 19}}}, {4, {2, 40, 17, 19}}, {{0}}, 0, true, 0},
    {"reorder a picture", TSL_OP_REORDER, 1, {{4, {2, 3, 17, 83}}}, {4, {2, 3, 17, 83}}, {{0}}, 0, true, 0},
    {"mean of planes", TSL_OP_REDUCE_MEAN, 1, {NCHW}, {4, {2, 6, 1, 1}}, {{0}}, 1, true, 0},
    {"sum of the middle", TSL_OP_REDUCE_SUM, 1, {NCHW}, {2, {2, 7}}, {{0}}, 2, true, 0},
    {"log of a sum of exponentials", TSL_OP_REDUCE_LOG_SUM_EXP, 1, {NCHW}, {4, {1, 1, 1, 1}}, {{0}}, 0, false,
        0},
    {"max pool", TSL_OP_MAX_POOL, 1, {{4, {2, 20, 9, 8}}}, {4, {2, 20, 5, 4}}, {{0}}, 3, true, 0},
    {"dilated max pool", TSL_OP_MAX_POOL, 1, {{4, {2, 5, 9, 8}}}, {4, {2, 5, 5, 6}}, {{0}}, 2, true, 0},
    {"average pool", TSL_OP_AVERAGE_POOL, 1, {{4, {2, 20, 9, 8}}}, {4, {2, 20, 5, 4}}, {{0}}, 3, true, 0},
    {"average of a plane", TSL_OP_GLOBAL_AVERAGE_POOL, 1, {{4, {2, 35, 9, 8}}}, {4, {2, 35, 1, 1}}, {{0}}, 0,
        true, 0},
    {"resize, nearest", TSL_OP_RESIZE, 1, {NCHW}, {4, {2, 6, 10, 9}}, {{0}}, 0, true, 0},
    {"resize, linear", TSL_OP_RESIZE, 1, {NCHW}, {4, {2, 6, 10, 9}}, {{0}}, 1, true, 0},
    {"resize, cubic", TSL_OP_RESIZE, 1, {NCHW}, {4, {2, 6, 10, 9}}, {{0}}, 1, true, 0},
    {"depth to space", TSL_OP_DEPTH_TO_SPACE, 1, {{4, {2, 12, 3, 4}}}, {4, {2, 3, 6, 8}}, {{0}}, 1, true, 0},
    {"space to depth", TSL_OP_SPACE_TO_DEPTH, 1, {{4, {2, 3, 6, 8}}}, {4, {2, 12, 3, 4}}, {{0}}, 1, true, 0},
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

static operator_case *find_case(const char *name) {
    for (size_t i = 0; i < N_CASES; i++)
        if (strcmp(cases[i].name, name) == 0) return &cases[i];
    fail_msg("no case '%s'", name);
    return NULL;
}

static void set_attrs(const char *name, tsl_attr a, tsl_attr b, tsl_attr c) {
    tsl_attr *attrs = find_case(name)->attrs;
    attrs[0] = a;
    attrs[1] = b;
    attrs[2] = c;
}

static void prepare_cases(void) {
    const tsl_attr none = {0}, three = ints_attr(TSL_ATTR_kernel_shape, kernel_3, 2);
    const tsl_attr two = ints_attr(TSL_ATTR_strides, stride_2, 2), edge = ints_attr(TSL_ATTR_pads, pads_1, 4);
    set_attrs("transpose", ints_attr(TSL_ATTR_perm, perm, 4), none, none);
    set_attrs("concatenate", int_attr(TSL_ATTR_axis, 1), none, none);
    set_attrs("slice", ints_attr(TSL_ATTR_starts, starts, 1), ints_attr(TSL_ATTR_ends, ends, 1),
        ints_attr(TSL_ATTR_axes, slice_axes, 1));
    set_attrs("pad", ints_attr(TSL_ATTR_pads, pads, 8), none, none);
    set_attrs(
        "pad by reflection", ints_attr(TSL_ATTR_pads, pads, 8), string_attr(TSL_ATTR_mode, "reflect"), none);
    set_attrs("mean of planes", ints_attr(TSL_ATTR_axes, planes, 2), none, none);
    set_attrs(
        "sum of the middle", ints_attr(TSL_ATTR_axes, middle_axes, 2), int_attr(TSL_ATTR_keepdims, 0), none);
    set_attrs("max pool", three, two, edge);
    set_attrs("dilated max pool", three, ints_attr(TSL_ATTR_dilations, dilation_2, 2), none);
    set_attrs("average pool", three, two, edge);
    set_attrs("resize, linear", string_attr(TSL_ATTR_mode, "linear"), none, none);
    set_attrs("resize, cubic", string_attr(TSL_ATTR_mode, "cubic"), none, none);
    set_attrs("depth to space", int_attr(TSL_ATTR_blocksize, 2), none, none);
    set_attrs("space to depth", int_attr(TSL_ATTR_blocksize, 2), none, none);
}

// ---- Tests ----

static void expect_same(
    const operator_case *c, const tsl_tensor *got, const tsl_tensor *wanted, const char *how) {
    for (int64_t i = 0; i < tsl_tensor_elements(wanted); i++) {
        const char *a = (const char *)got->data + offset_of(got, i);
        const char *b = (const char *)wanted->data + offset_of(wanted, i);
        float x = 0, y = 0;
        if (got->dtype == TSLIM_DTYPE_FLOAT) {
            memcpy(&x, a, sizeof x);
            memcpy(&y, b, sizeof y);
        }
        if (memcmp(a, b, tslim_dtype_size(got->dtype)) == 0 || (isnan(x) && isnan(y))) continue;
        // Reductions add in the order of memory, and terms may cancel.
        if (c->op >= TSL_OP_REDUCE_MEAN && c->op <= TSL_OP_REDUCE_LOG_SUM_EXP &&
            fabsf(x - y) <= 1e-6f * fmaxf(fabsf(y), 1.0f))
            continue;
        fail_msg(
            "%s, %s: element %d is %g (%d), not %g (%d)", c->name, how, (int)i, (double)x, *a, (double)y, *b);
    }
}

static const float scales[] = {0.031f, 0.017f, 0.044f, 0.025f};

static void set_scale(tsl_tensor *t, size_t index) {
    if (t->dtype == TSLIM_DTYPE_INT8) t->quant = (tsl_quant){.scales = &scales[index], .n_scales = 1};
}

// One case in a type: row-major at the first level, then other layouts, levels and threads.
static void check_case(const operator_case *c, tslim_dtype dtype) {
    static const tslim_isa levels[] = {TSLIM_ISA_PORTABLE, TSLIM_ISA_AVX2, TSLIM_ISA_AVX512};
    tsl_tensor in[MAX_OPERANDS], other[MAX_OPERANDS], out, other_out;
    const tsl_attrs attrs = {(tsl_attr *)(uintptr_t)c->attrs, c->n_attrs};
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        in[i] = make(i == 0 && c->condition ? c->condition : dtype, c->inputs[i], ROW_MAJOR);
        fill(&in[i]);
        set_scale(&in[i], c->op == TSL_OP_MAX_POOL ? 3 : i);
    }
    out = make(dtype, c->output, ROW_MAJOR);
    set_scale(&out, 3);
    tsl_step step = step_of(c, &attrs, in, &out);
    if (run_step(contexts[0], TSLIM_ISA_PORTABLE, &step) != TSLIM_OK)
        fail_msg("%s: %s", c->name, tsl_message());
    for (unsigned round = 0; round < 24; round++) {
        tslim_isa isa = levels[round % 3];
        if (!tslim_isa_available(isa)) continue;
        layout l = (layout)(round / 3 % N_LAYOUTS);
        for (uint32_t i = 0; i < c->n_inputs; i++) {
            other[i] = make(in[i].dtype, c->inputs[i], below(4) ? l : ANY_ORDER);
            copy_elements(&in[i], &other[i]);
            other[i].quant = in[i].quant;
        }
        other_out = make(dtype, c->output, below(4) ? l : ANY_ORDER);
        other_out.quant = out.quant;
        step = step_of(c, &attrs, other, &other_out);
        if (run_step(contexts[round % 2], isa, &step) != TSLIM_OK) fail_msg("%s: %s", c->name, tsl_message());
        char how[64];
        snprintf(how, sizeof how, "layout %d at %s", (int)l, tslim_isa_name(isa));
        expect_same(c, &other_out, &out, how);
        free_all(other, c->n_inputs);
        free(other_out.data);
    }
    free_all(in, c->n_inputs);
    free(out.data);
}

static void test_layouts_of_floats(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_CASES; i++) check_case(&cases[i], TSLIM_DTYPE_FLOAT);
}

static void test_layouts_of_bytes(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_CASES; i++)
        if (cases[i].bytes) check_case(&cases[i], TSLIM_DTYPE_INT8);
}

// The float operator on the same real numbers, rounded to steps of the result, is at most one step away; more
// than half of all results must be the very same.
static void test_bytes_follow_floats(void **unused) {
    (void)unused;
    for (size_t k = 0; k < N_CASES; k++) {
        const operator_case *c = &cases[k];
        if (!c->bytes) continue;
        tsl_tensor q[MAX_OPERANDS], real[MAX_OPERANDS];
        const tsl_attrs attrs = {(tsl_attr *)(uintptr_t)c->attrs, c->n_attrs};
        for (uint32_t i = 0; i < c->n_inputs; i++) {
            q[i] = make(TSLIM_DTYPE_INT8, c->inputs[i], ROW_MAJOR);
            fill(&q[i]);
            set_scale(&q[i], i);
            real[i] = make(TSLIM_DTYPE_FLOAT, c->inputs[i], ROW_MAJOR);
            for (int64_t e = 0; e < tsl_tensor_elements(&q[i]); e++)
                ((float *)real[i].data)[e] = (float)((int8_t *)q[i].data)[e] * scales[i];
        }
        tsl_tensor out = make(TSLIM_DTYPE_INT8, c->output, ROW_MAJOR);
        tsl_tensor real_out = make(TSLIM_DTYPE_FLOAT, c->output, ROW_MAJOR);
        set_scale(&out, 3);
        tsl_step step = step_of(c, &attrs, q, &out), real_step = step_of(c, &attrs, real, &real_out);
        if (run_step(contexts[0], TSLIM_ISA_PORTABLE, &step) != TSLIM_OK)
            fail_msg("%s: %s", c->name, tsl_message());
        assert_int_equal(run_step(contexts[0], TSLIM_ISA_PORTABLE, &real_step), TSLIM_OK);
        int64_t n = tsl_tensor_elements(&out), same = 0;
        for (int64_t e = 0; e < n; e++) {
            float steps = ((float *)real_out.data)[e] / scales[3];
            int wanted = isnan(steps) ? 0 : (int)nearbyintf(fminf(fmaxf(steps, -128), 127));
            int got = ((int8_t *)out.data)[e];
            same += got == wanted;
            if (abs(got - wanted) > 1) fail_msg("%s: element %d is %d, not %d", c->name, (int)e, got, wanted);
        }
        if (same * 100 < n * 96) fail_msg("%s: only %d of %d are the same", c->name, (int)same, (int)n);
        free_all(q, c->n_inputs);
        free_all(real, c->n_inputs);
        free(out.data);
        free(real_out.data);
    }
}

// ---- Errors ----

static void test_gather_out_of_range(void **unused) {
    (void)unused;
    float data[6] = {0}, result[2];
    for (int64_t index = -5; index < 6; index++) {
        int64_t indices[2] = {0, index};
        tsl_tensor in[2] = {
            {.dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {3}, .strides = {1}, .data = data},
            {.dtype = TSLIM_DTYPE_INT64, .rank = 1, .dims = {2}, .strides = {1}, .data = indices}};
        tsl_tensor out = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {2}, .strides = {1}, .data = result};
        const operator_case gather = {.name = "gather", .op = TSL_OP_GATHER, .n_inputs = 2};
        const tsl_attrs attrs = {0};
        tsl_step step = step_of(&gather, &attrs, in, &out);
        tslim_status status = run_step(contexts[0], TSLIM_ISA_PORTABLE, &step);
        if (index >= -3 && index < 3) {
            assert_int_equal(status, TSLIM_OK);
            continue;
        }
        assert_int_equal(status, TSLIM_ERROR_INVALID_ARGUMENT);
        char number[16];
        snprintf(number, sizeof number, "%d", (int)index);
        assert_non_null(strstr(tsl_message(), number));
    }
}

// Each of these reads data of 3 x 4 by pairs, or along axis 1, and says which index is wrong and what it must
// be below.
static void test_indices_out_of_range(void **unused) {
    (void)unused;
    static const tsl_op ops[] = {
        TSL_OP_GATHER_ELEMENTS, TSL_OP_GATHER_ND, TSL_OP_SCATTER_ELEMENTS, TSL_OP_SCATTER_ND};
    float data[12] = {0}, updates[2] = {1, 2}, result[12];
    const tsl_attr attr = int_attr(TSL_ATTR_axis, 1);
    for (unsigned k = 0; k < 4 * 12; k++) {
        const tsl_op op = ops[k / 12];
        const int64_t index = (int64_t)(k % 12) - 6;
        const bool pairs = op == TSL_OP_GATHER_ND || op == TSL_OP_SCATTER_ND;
        const bool scatters = op == TSL_OP_SCATTER_ELEMENTS || op == TSL_OP_SCATTER_ND;
        int64_t indices[2] = {0, index};
        const tsl_tensor row = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 2, .dims = {1, 2}, .strides = {2, 1}};
        const tsl_tensor matrix = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 2, .dims = {3, 4}, .strides = {4, 1}};
        const tsl_tensor one = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {1}, .strides = {1}};
        tsl_tensor in[3] = {matrix, row, pairs ? one : row}, out = scatters ? matrix : pairs ? one : row;
        in[0].data = data;
        in[1].data = indices;
        in[1].dtype = TSLIM_DTYPE_INT64;
        in[2].data = updates;
        out.data = result;
        const operator_case c = {.name = "indices", .op = op, .n_inputs = scatters ? 3 : 2};
        const tsl_attrs attrs = {(tsl_attr *)(uintptr_t)&attr, pairs ? 0 : 1};
        tsl_step step = step_of(&c, &attrs, in, &out);
        const tslim_status status = run_step(contexts[0], TSLIM_ISA_PORTABLE, &step);
        const bool inside = index >= -4 && index < 4;
        assert_int_equal(status, inside ? TSLIM_OK : TSLIM_ERROR_INVALID_ARGUMENT);
        if (inside) continue;
        char wanted[80];
        snprintf(wanted, sizeof wanted, "index %d at position 1 is out of range: axis 1 has 4 elements",
            (int)index);
        assert_string_equal(tsl_message(), wanted);
    }
}

static void test_division_of_integers(void **unused) {
    (void)unused;
    int64_t a[3] = {INT64_MIN, -7, 7}, b[3] = {-1, 2, -2}, y[3];
    tsl_tensor in[2] = {{.dtype = TSLIM_DTYPE_INT64, .rank = 1, .dims = {3}, .strides = {1}, .data = a},
        {.dtype = TSLIM_DTYPE_INT64, .rank = 1, .dims = {3}, .strides = {1}, .data = b}};
    tsl_tensor out = in[0];
    out.data = y;
    const operator_case divide = {.name = "divide", .op = TSL_OP_DIV, .n_inputs = 2};
    const tsl_attrs attrs = {0};
    tsl_step step = step_of(&divide, &attrs, in, &out);
    assert_int_equal(run_step(contexts[0], TSLIM_ISA_PORTABLE, &step), TSLIM_OK);
    assert_true(y[0] == INT64_MIN && y[1] == -3 && y[2] == -3);
    b[1] = 0;
    assert_int_equal(run_step(contexts[0], TSLIM_ISA_PORTABLE, &step), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tsl_message(), "zero"));
}

static void test_casts_saturate(void **unused) {
    (void)unused;
    static const float x[] = {3e9f, -3e9f, NAN, 2.9f, -2.9f, INFINITY};
    static const int32_t wanted[] = {INT32_MAX, INT32_MIN, 0, 2, -2, INT32_MAX};
    int32_t y[6];
    tsl_tensor in = {
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {6}, .strides = {1}, .data = (void *)(uintptr_t)x};
    tsl_tensor out = {.dtype = TSLIM_DTYPE_INT32, .rank = 1, .dims = {6}, .strides = {1}, .data = y};
    const operator_case cast = {.name = "cast", .op = TSL_OP_CAST, .n_inputs = 1};
    const tsl_attrs attrs = {0};
    tsl_step step = step_of(&cast, &attrs, &in, &out);
    assert_int_equal(run_step(contexts[0], TSLIM_ISA_PORTABLE, &step), TSLIM_OK);
    assert_memory_equal(y, wanted, sizeof wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts_of_floats),
        cmocka_unit_test(test_layouts_of_bytes),
        cmocka_unit_test(test_bytes_follow_floats),
        cmocka_unit_test(test_gather_out_of_range),
        cmocka_unit_test(test_indices_out_of_range),
        cmocka_unit_test(test_division_of_integers),
        cmocka_unit_test(test_casts_saturate),
    };
    prepare_cases();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
