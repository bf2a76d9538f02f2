// SPDX-License-Identifier: Apache-2.0
// MatMul and Gemm at every level that this machine has: batches, broadcasting, vectors, transposes, alpha and
// beta, residuals; floats against double precision, INT8 for equality with the formula of docs/numerics.md.
#include "kernels/kernel_test.h"

typedef struct matrix_case {
    tsl_op op;
    int64_t m, k, n;
    tsl_attr items[4];
    tsl_attrs attrs;
    test_tensor a, b, c, z, y;
    float a_scale, b_scales[128], z_scale, y_scale;
    tsl_tensor inputs[4];
    bool has_c, has_z;
    tsl_step step;
} matrix_case;

static tslim_context *context;

static void set_tensor(test_tensor *t, tslim_dtype dtype, bool constant) {
    t->tensor.dtype = dtype;
    t->tensor.constant = constant;
    test_tensor_layout(&t->tensor, false, 0);
    test_tensor_allocate(t);
    test_tensor_randomize(&t->tensor, -127, 127);
}

static void set_dims(tsl_tensor *t, uint32_t rank, const int64_t *dims) {
    t->rank = rank;
    memcpy(t->dims, dims, rank * sizeof(*dims));
}

static void draw_gemm(matrix_case *t) {
    bool transpose_a = one_in(3), transpose_b = one_in(2);
    t->items[0] = (tsl_attr){.id = TSL_ATTR_transA, .type = TSL_ATTR_TYPE_INT, .i = transpose_a};
    t->items[1] = (tsl_attr){.id = TSL_ATTR_transB, .type = TSL_ATTR_TYPE_INT, .i = transpose_b};
    t->items[2] = (tsl_attr){.id = TSL_ATTR_alpha, .type = TSL_ATTR_TYPE_FLOAT, .f = one_in(3) ? 0.7f : 1};
    t->items[3] = (tsl_attr){.id = TSL_ATTR_beta, .type = TSL_ATTR_TYPE_FLOAT, .f = one_in(3) ? -1.3f : 1};
    t->attrs = (tsl_attrs){t->items, 4};
    set_dims(&t->a.tensor, 2, transpose_a ? (int64_t[]){t->k, t->m} : (int64_t[]){t->m, t->k});
    set_dims(&t->b.tensor, 2, transpose_b ? (int64_t[]){t->n, t->k} : (int64_t[]){t->k, t->n});
    set_dims(&t->y.tensor, 2, (int64_t[]){t->m, t->n});
}

static void draw_matmul(matrix_case *t) {
    int64_t a_dims[4], b_dims[4], y_dims[4] = {0};
    uint32_t a_batch = (uint32_t)random_between(0, 2),
             b_batch = one_in(2) ? 0 : (uint32_t)random_between(1, 2);
    uint32_t batch = a_batch > b_batch ? a_batch : b_batch;
    for (uint32_t d = 0; d < batch; d++) {
        int64_t size = random_between(1, 4);
        bool in_a = d + a_batch >= batch, in_b = d + b_batch >= batch;
        bool repeat_a = in_a && in_b && one_in(4), repeat_b = in_a && in_b && !repeat_a && one_in(4);
        if (in_a) a_dims[d + a_batch - batch] = repeat_a ? 1 : size;
        if (in_b) b_dims[d + b_batch - batch] = repeat_b ? 1 : size;
        y_dims[d] = size;
    }
    uint32_t a_rank = a_batch, b_rank = b_batch, y_rank = batch;
    bool a_vector = a_batch == 0 && one_in(6), b_vector = b_batch == 0 && one_in(6);
    if (a_vector)
        t->m = 1;
    else
        a_dims[a_rank++] = y_dims[y_rank++] = t->m;
    a_dims[a_rank++] = b_dims[b_rank++] = t->k;
    if (b_vector)
        t->n = 1;
    else
        b_dims[b_rank++] = y_dims[y_rank++] = t->n;
    set_dims(&t->a.tensor, a_rank, a_dims);
    set_dims(&t->b.tensor, b_rank, b_dims);
    set_dims(&t->y.tensor, y_rank, y_dims);
}

static void draw_c(matrix_case *t) {
    t->has_c = one_in(2);
    if (!t->has_c) return;
    tsl_tensor *c = &t->c.tensor;
    bool general = t->op == TSL_OP_GEMM && t->a.tensor.dtype == TSLIM_DTYPE_FLOAT && one_in(2);
    if (!general)
        set_dims(c, 1, (int64_t[]){one_in(4) ? 1 : t->n});
    else
        set_dims(c, 2, (int64_t[]){one_in(3) ? 1 : t->m, one_in(3) ? 1 : t->n});
    set_tensor(&t->c, TSLIM_DTYPE_FLOAT, !one_in(3));
}

static int32_t draw_zero_point(void) {
    return one_in(2) ? 0 : (int32_t)random_between(-128, 127);
}

static void draw_types(matrix_case *t, tslim_dtype in, tslim_dtype out) {
    bool is_int8 = in == TSLIM_DTYPE_INT8;
    if (is_int8) {
        bool per_column = !one_in(3) && t->b.tensor.rank == 2;
        for (int i = 0; i < 128; i++) t->b_scales[i] = 0.002f + 0.01f * fabsf(random_real());
        t->a.tensor.quant =
            (tsl_quant){.scales = &t->a_scale, .n_scales = 1, .zero_point = draw_zero_point()};
        t->b.tensor.quant = (tsl_quant){.scales = t->b_scales,
            .n_scales = per_column ? (uint32_t)t->n : 1,
            .zero_point = draw_zero_point()};
    }
    if (out == TSLIM_DTYPE_INT8) t->y.tensor.quant = (tsl_quant){.scales = &t->y_scale, .n_scales = 1};
    set_tensor(&t->a, in, one_in(6));
    set_tensor(&t->b, in, one_in(2));
    if (is_int8 && one_in(4))
        *(int8_t *)t->b.tensor.data = -128; // which the file's own weights need not avoid
    set_tensor(&t->y, out, false);
    test_tensor_remember(&t->y);
    t->has_z = one_in(3);
    if (!t->has_z) return;
    bool z_int8 = is_int8 && (out == TSLIM_DTYPE_INT8 || one_in(2));
    set_dims(&t->z.tensor, t->y.tensor.rank, t->y.tensor.dims);
    if (z_int8) t->z.tensor.quant = (tsl_quant){.scales = &t->z_scale, .n_scales = 1};
    set_tensor(&t->z, z_int8 ? TSLIM_DTYPE_INT8 : TSLIM_DTYPE_FLOAT, one_in(4));
}

static void make_step(matrix_case *t) {
    t->inputs[0] = t->a.tensor;
    t->inputs[1] = t->b.tensor;
    t->inputs[2] = t->has_c ? t->c.tensor : (tsl_tensor){0};
    t->inputs[3] = t->z.tensor;
    t->step = (tsl_step){.op = t->op,
        .opset = 13,
        .name = "matrix",
        .attrs = &t->attrs,
        .inputs = t->inputs,
        .outputs = &t->y.tensor,
        .n_inputs = t->has_z   ? 4
                    : t->has_c ? 3
                               : 2,
        .n_outputs = 1,
        .epilogue = {
            .residual = t->has_z ? 3 : -1, .clamp = one_in(2), .lo = -0.5f, .hi = one_in(2) ? 1 : INFINITY}};
}

// Where matrix `i` of the output finds its operand: plain broadcasting over the batch dims.
static int64_t matrix_of(const tsl_tensor *t, const tsl_tensor *y, uint32_t batch, int64_t i) {
    int64_t index = 0, step = 1;
    for (uint32_t d = batch; d-- > 0;) {
        int64_t at = i % y->dims[d];
        i /= y->dims[d];
        int64_t own = (int64_t)d + (int64_t)t->rank - 2 - batch; // the operand's dim at this place
        if (own < 0) continue;
        if (t->dims[own] != 1) index += at * step;
        step *= t->dims[own];
    }
    return index;
}

typedef struct sum {
    double value, magnitude;
} sum;

static sum sum_at(const matrix_case *t, int64_t matrix, int64_t row, int64_t column) {
    const tsl_tensor *a = &t->a.tensor, *b = &t->b.tensor, *y = &t->y.tensor;
    bool gemm = t->op == TSL_OP_GEMM;
    uint32_t larger = a->rank > b->rank ? a->rank : b->rank, batch = larger > 2 ? larger - 2 : 0;
    int64_t a_first = a->rank > 1 ? matrix_of(a, y, batch, matrix) * t->m * t->k : 0;
    int64_t b_first = b->rank > 1 ? matrix_of(b, y, batch, matrix) * t->k * t->n : 0;
    bool transpose_a = gemm && t->items[0].i, transpose_b = gemm && t->items[1].i;
    sum s = {0, 0};
    const double a_zero = a->quant.zero_point, b_zero = b->quant.zero_point;
    for (int64_t i = 0; i < t->k; i++) {
        int64_t a_at = a_first + (transpose_a ? i * t->m + row : row * t->k + i),
                b_at = b_first + (transpose_b ? column * t->k + i : i * t->n + column);
        double product = (test_tensor_get(a, a_at) - a_zero) * (test_tensor_get(b, b_at) - b_zero);
        s.value += product;
        s.magnitude += fabs(product);
    }
    return s;
}

static double c_at(const matrix_case *t, int64_t row, int64_t column) {
    const tsl_tensor *c = &t->c.tensor;
    if (!t->has_c) return 0;
    int64_t columns = c->dims[c->rank - 1], rows = c->rank > 1 ? c->dims[0] : 1;
    return test_tensor_get(c, (rows > 1 ? row : 0) * columns + (columns > 1 ? column : 0));
}

static float bound(float real, double scale, bool to_int8) {
    return to_int8 ? (float)fmin(fmax(nearbyint((double)real / scale), -128), 127) : real;
}

static void check_element(const matrix_case *t, sum s, int64_t row, int64_t column, int64_t index) {
    double alpha = t->op == TSL_OP_GEMM ? (double)t->items[2].f : 1;
    double beta = t->op == TSL_OP_GEMM ? (double)t->items[3].f : 1;
    const tsl_step_epilogue *e = &t->step.epilogue;
    float lo = e->clamp ? e->lo : -INFINITY, hi = e->clamp ? e->hi : INFINITY;
    double actual = test_tensor_get(&t->y.tensor, index), c = c_at(t, row, column);
    double z = t->has_z ? test_tensor_get(&t->z.tensor, index) : 0;
    if (t->a.tensor.dtype == TSLIM_DTYPE_FLOAT) {
        double wanted = fmin(fmax(alpha * s.value + beta * c + z, (double)lo), (double)hi);
        if (!(fabs(actual - wanted) <= 1e-5 * (s.magnitude + 1)))
            fail_msg("%.9g, wanted %.9g", actual, wanted);
        return;
    }
    bool to_int8 = t->y.tensor.dtype == TSLIM_DTYPE_INT8;
    double y_scale = to_int8 ? (double)t->y_scale : 1;
    const tsl_quant *q = &t->b.tensor.quant;
    float scale = (float)((double)q->scales[column % q->n_scales] * (alpha * (double)t->a_scale / y_scale));
    float y = fmaf((float)(int32_t)s.value, scale, (float)(c * (beta / y_scale)));
    if (t->has_z && t->z.tensor.dtype == TSLIM_DTYPE_FLOAT)
        y += (float)z;
    else if (t->has_z)
        y = fmaf((float)z, (float)((double)t->z_scale / y_scale), y);
    if (to_int8) y = nearbyintf(y);
    y = fminf(fmaxf(y, bound(lo, y_scale, to_int8)), bound(hi, y_scale, to_int8));
    if (!(actual == (double)y)) fail_msg("%.9g, wanted exactly %.9g", actual, (double)y);
}

// The sums of all outputs, computed once for all levels.
static sum *find_sums(const matrix_case *t) {
    int64_t elements = tsl_tensor_elements(&t->y.tensor);
    sum *sums = malloc((size_t)elements * sizeof(*sums));
    assert_non_null(sums);
    for (int64_t i = 0; i < elements; i++) sums[i] = sum_at(t, i / t->n / t->m, i / t->n % t->m, i % t->n);
    return sums;
}

static void check(const matrix_case *t, const sum *sums) {
    int64_t elements = tsl_tensor_elements(&t->y.tensor);
    for (int64_t i = 0; i < elements; i++) check_element(t, sums[i], i / t->n % t->m, i % t->n, i);
}

static void run_case(tsl_op op, tslim_dtype in, tslim_dtype out) {
    static matrix_case t;
    t = (matrix_case){.op = op, .a_scale = 0.03f, .z_scale = 0.05f, .y_scale = one_in(2) ? 0.01f : 0.2f};
    t.m = one_in(8) ? 300 : random_between(1, 20);
    t.k = random_between(1, 70);
    t.n = random_between(1, 50);
    if (op == TSL_OP_GEMM)
        draw_gemm(&t);
    else
        draw_matmul(&t);
    draw_types(&t, in, out);
    draw_c(&t);
    make_step(&t);
    sum *sums = find_sums(&t);
    for (int i = 0; i < N_TEST_LEVELS; i++) {
        if (!tslim_isa_available(test_levels[i])) continue;
        memcpy(t.y.memory.data, t.y.before, t.y.memory.bytes);
        run_step_at(context, test_levels[i], &t.step);
        test_tensor_check_surroundings(&t.y);
        check(&t, sums);
    }
    free(sums);
    test_tensor *all[] = {&t.a, &t.b, &t.c, &t.z, &t.y};
    for (int i = 0; i < 5; i++) test_tensor_free(all[i]);
}

enum { CASES = 120 };

static void test_gemm_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_GEMM, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT);
}
static void test_gemm_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_GEMM, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8);
}
static void test_gemm_int8_to_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_GEMM, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT);
}
static void test_matmul_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_MATMUL, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT);
}
static void test_matmul_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_MATMUL, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8);
}
static void test_matmul_int8_to_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_MATMUL, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT);
}

static int set_up(void **unused) {
    (void)unused;
    tsl_rng_seed(&test_rng, 3);
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 3;
    return tslim_context_create(&options, &context) == TSLIM_OK ? 0 : -1;
}
static int tear_down(void **unused) {
    (void)unused;
    tslim_context_destroy(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_float),
        cmocka_unit_test(test_gemm_int8),
        cmocka_unit_test(test_gemm_int8_to_float),
        cmocka_unit_test(test_matmul_float),
        cmocka_unit_test(test_matmul_int8),
        cmocka_unit_test(test_matmul_int8_to_float),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
