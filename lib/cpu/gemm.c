// SPDX-License-Identifier: Apache-2.0
// Gemm: y = alpha * A B + beta * C. What the kernel cannot do in its epilogue (a C of another form than a
// row, alpha for floats) is a pass over the finished product.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/matrix.h"
#include "cpu/product_plain.h"

typedef struct gemm {
    tsl_matrix matrix;
    bool transpose_a;
    size_t a_scratch;
    bool finish; // a pass after the product: alpha, C, residual, bounds
    float alpha, beta, lo, hi;
    bool has_c;
    ptrdiff_t c_row, c_column; // in elements
    bool has_residual;
} gemm;

static const void *transpose(const gemm *g, const tsl_run *run, const void *data) {
    const tsl_pack_geometry *b = &g->matrix.weights.geometry;
    size_t element = tslim_dtype_size(run->inputs[0].dtype), m = g->matrix.m, k = b->k;
    char *copy = (char *)run->scratch + g->a_scratch;
    for (size_t row = 0; row < m; row++)
        for (size_t i = 0; i < k; i++)
            memcpy(copy + (row * k + i) * element, (const char *)data + (i * m + row) * element, element);
    return copy;
}

static void finish(const gemm *g, const float *c, const float *residual, float *y) {
    size_t n = g->matrix.weights.geometry.n;
    for (size_t row = 0; row < g->matrix.m; row++) {
        for (size_t j = 0; j < n; j++) {
            float sum = g->alpha * y[row * n + j];
            if (c) sum = fmaf(g->beta, c[(ptrdiff_t)row * g->c_row + (ptrdiff_t)j * g->c_column], sum);
            if (residual) sum += residual[row * n + j];
            sum = g->lo > sum ? g->lo : sum;
            y[row * n + j] = g->hi < sum ? g->hi : sum;
        }
    }
}

static tslim_status run_gemm(const tsl_run *run) {
    const gemm *g = run->kernel->state;
    tsl_product_operands o = tsl_matrix_operands(&g->matrix, run);
    const float *residual = g->finish && g->has_residual ? o.z : NULL;
    if (g->transpose_a) o.a = transpose(g, run, o.a);
    if (g->finish) o.z = NULL;
    tsl_matrix_run now;
    tsl_product_run(run->ctx, tsl_matrix_product(&g->matrix, run, &o, &now), &o);
    if (g->finish) finish(g, g->has_c ? run->inputs[2].data : NULL, residual, run->outputs[0].data);
    return TSLIM_OK;
}

// Steps of C, which is broadcast to m x n.
static tslim_status set_c(const tsl_prepare *p, const tsl_tensor *c, int64_t m, int64_t n, gemm *g) {
    int64_t columns = c->rank > 0 ? c->dims[c->rank - 1] : 1, rows = c->rank > 1 ? c->dims[c->rank - 2] : 1;
    TSL_REQUIRE(c->rank <= 2 && (columns == n || columns == 1) && (rows == m || rows == 1),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': C of %" PRId64 " x %" PRId64 " for %" PRId64 " x %" PRId64,
        p->step->name, rows, columns, m, n);
    if (c->dtype != TSLIM_DTYPE_FLOAT) return tsl_cpu_unsupported(p);
    g->has_c = true;
    g->c_row = rows == 1 ? 0 : columns;
    g->c_column = columns == 1 ? 0 : 1;
    return TSLIM_OK;
}

static tslim_status set_finish(tsl_prepare *p, const tsl_tensor *c, int64_t m, int64_t n, gemm *g) {
    tsl_coefficients *k = &g->matrix.coefficients;
    if (k->is_int8) return tsl_cpu_unsupported(p);
    if (c) TSL_TRY(set_c(p, c, m, n, g));
    g->finish = true;
    g->has_residual = k->residual != NULL;
    g->lo = k->lo;
    g->hi = k->hi;
    k->lo = -INFINITY;
    k->hi = INFINITY;
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_gemm(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *a = &step->inputs[0], *b = &step->inputs[1], *y = &step->outputs[0];
    const tsl_tensor *c = step->epilogue.residual == 2 ? NULL : tsl_step_input(step, 2);
    TSL_REQUIRE(a->rank == 2 && b->rank == 2 && y->rank == 2, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': Gemm of rank %u by rank %u", step->name, a->rank, b->rank);
    if (a->dtype == TSLIM_DTYPE_DOUBLE) return tsl_gemm_plain_prepare(p, kernel);
    gemm *g = tsl_arena_array(p->arena, 1, sizeof(*g));
    TSL_REQUIRE_MEMORY(g, sizeof(*g));
    g->alpha = tsl_attrs_float(step->attrs, TSL_ATTR_alpha, 1);
    g->beta = tsl_attrs_float(step->attrs, TSL_ATTR_beta, 1);
    g->transpose_a = tsl_attrs_int(step->attrs, TSL_ATTR_transA, 0) != 0;
    bool is_int8 = b->dtype == TSLIM_DTYPE_INT8;
    int64_t m = y->dims[0], n = y->dims[1];
    // C as a bias, unless the product must be multiplied first.
    bool as_bias = c && tsl_is_column_bias(c, n) && (is_int8 || g->alpha == 1);
    TSL_TRY(tsl_matrix_prepare(
        p, kernel, b, 1, (size_t)m, as_bias ? c : NULL, (double)g->alpha, (double)g->beta, &g->matrix));
    if (g->matrix.coefficients.dynamic) return tsl_cpu_unsupported(p);
    const tsl_pack_geometry *geometry = &g->matrix.weights.geometry;
    TSL_REQUIRE((uint64_t)a->dims[g->transpose_a ? 0 : 1] == geometry->k &&
                    a->dims[g->transpose_a ? 1 : 0] == m && (uint64_t)n == geometry->n,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': A is %" PRId64 " x %" PRId64 ", B gives %zu from %zu",
        step->name, a->dims[0], a->dims[1], geometry->n, geometry->k);
    if ((c && !as_bias) || (!is_int8 && g->alpha != 1)) TSL_TRY(set_finish(p, c, m, n, g));
    if (g->transpose_a) TSL_TRY(tsl_scratch_reserve(kernel, g->matrix.a_bytes + 64, &g->a_scratch));
    kernel->state = g;
    kernel->run = run_gemm;
    kernel->macs = (uint64_t)m * geometry->n * geometry->k;
    return tsl_kernel_name(p, kernel, "gemm");
}
