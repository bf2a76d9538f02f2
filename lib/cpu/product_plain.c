// SPDX-License-Identifier: Apache-2.0
// Gemm and MatMul as they are defined, one product after the other: of doubles.
#include "cpu/product_plain.h"

typedef struct product_plain {
    int64_t m, n, k, batch;
    uint32_t n_batch; // dims, the last one fastest
    int64_t batch_dims[TSLIM_MAX_RANK];
    int64_t a_batch[TSLIM_MAX_RANK], b_batch[TSLIM_MAX_RANK]; // strides in elements, 0 where repeated
    int64_t a_row, a_column, b_row, b_column, c_row, c_column;
    double alpha, beta, lo, hi;
    bool has_c;
    int32_t residual;
} product_plain;

typedef struct product_plain_task {
    const product_plain *s;
    const double *a, *b, *c, *z;
    double *y;
} product_plain_task;

// An item is a row of a result.
static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const product_plain_task *t = task_data;
    const product_plain *s = t->s;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        int64_t rest = item / s->m, row = item % s->m, a = row * s->a_row, b = 0;
        for (uint32_t d = s->n_batch; d-- > 0; rest /= s->batch_dims[d]) {
            a += rest % s->batch_dims[d] * s->a_batch[d];
            b += rest % s->batch_dims[d] * s->b_batch[d];
        }
        for (int64_t j = 0; j < s->n; j++) {
            double sum = 0;
            for (int64_t i = 0; i < s->k; i++)
                sum += t->a[a + i * s->a_column] * t->b[b + i * s->b_row + j * s->b_column];
            sum *= s->alpha;
            if (t->c) sum += s->beta * t->c[row * s->c_row + j * s->c_column];
            if (t->z) sum += t->z[item * s->n + j];
            t->y[item * s->n + j] = sum < s->lo ? s->lo : sum > s->hi ? s->hi : sum;
        }
    }
}

static tslim_status run_product(const tsl_run *run) {
    const product_plain *s = run->kernel->state;
    product_plain_task task = {
        .s = s, .a = run->inputs[0].data, .b = run->inputs[1].data, .y = run->outputs[0].data};
    if (s->has_c) task.c = run->inputs[2].data;
    if (s->residual >= 0) task.z = run->inputs[s->residual].data;
    tsl_parallel_for(run->ctx, (size_t)(s->batch * s->m), 64, run_rows, &task);
    return TSLIM_OK;
}

// Strides of an operand's batch dims, along those of the result.
static bool set_batch(const product_plain *s, const tsl_tensor *t, int64_t *strides) {
    int64_t step = t->dims[t->rank - 1] * (t->rank > 1 ? t->dims[t->rank - 2] : 1);
    for (uint32_t d = 0; d < s->n_batch; d++) { // from the last on
        const uint32_t at = s->n_batch - 1 - d;
        strides[at] = 0;
        if (t->rank < d + 3) continue;
        const int64_t dim = t->dims[t->rank - 3 - d];
        if (dim != 1 && dim != s->batch_dims[at]) return false;
        if (dim != 1) strides[at] = step;
        step *= dim;
    }
    return true;
}

static tslim_status prepare(tsl_prepare *p, tsl_kernel *kernel, product_plain *s) {
    const tsl_step *step = p->step;
    const tsl_tensor *y = &step->outputs[0],
                     *c = step->epilogue.residual == 2 ? NULL : tsl_step_input(step, 2);
    for (uint32_t i = 0; i < step->n_inputs; i++)
        if (tsl_step_input(step, i) && step->inputs[i].dtype != TSLIM_DTYPE_DOUBLE)
            return tsl_cpu_unsupported(p);
    if (y->dtype != TSLIM_DTYPE_DOUBLE || step->inputs[1].packing != TSL_PACKING_NONE)
        return tsl_cpu_unsupported(p);
    float lo, hi;
    tsl_step_bounds(step, &lo, &hi);
    s->lo = (double)lo;
    s->hi = (double)hi;
    s->residual = step->epilogue.residual;
    s->batch = 1;
    for (uint32_t d = 0; d < s->n_batch; d++) s->batch *= s->batch_dims[d];
    bool fits = s->batch * s->m * s->n == tsl_tensor_elements(y);
    if (c) {
        const int64_t columns = c->rank > 0 ? c->dims[c->rank - 1] : 1,
                      rows = c->rank > 1 ? c->dims[c->rank - 2] : 1;
        fits = fits && c->rank <= 2 && (columns == 1 || columns == s->n) && (rows == 1 || rows == s->m);
        s->has_c = true;
        s->c_row = rows == 1 ? 0 : columns;
        s->c_column = columns == 1 ? 0 : 1;
    }
    if (s->residual >= 0)
        fits = fits && tsl_tensor_elements(&step->inputs[s->residual]) == tsl_tensor_elements(y);
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", step->name);
    kernel->state = s;
    kernel->run = run_product;
    kernel->name = "product of doubles";
    kernel->macs = (uint64_t)tsl_tensor_elements(y) * (uint64_t)s->k;
    return TSLIM_OK;
}

tslim_status tsl_gemm_plain_prepare(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *a = &step->inputs[0], *b = &step->inputs[1], *y = &step->outputs[0];
    const bool transpose_a = tsl_attrs_int(step->attrs, TSL_ATTR_transA, 0) != 0,
               transpose_b = tsl_attrs_int(step->attrs, TSL_ATTR_transB, 0) != 0;
    TSL_NEW_STATE(product_plain, s);
    TSL_REQUIRE(a->rank == 2 && b->rank == 2 && y->rank == 2 &&
                    a->dims[transpose_a ? 0 : 1] == b->dims[transpose_b ? 1 : 0],
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': matrices that do not fit each other", step->name);
    s->m = a->dims[transpose_a ? 1 : 0];
    s->k = a->dims[transpose_a ? 0 : 1];
    s->n = b->dims[transpose_b ? 0 : 1];
    s->a_row = transpose_a ? 1 : s->k;
    s->a_column = transpose_a ? s->m : 1;
    s->b_row = transpose_b ? 1 : s->n;
    s->b_column = transpose_b ? s->k : 1;
    s->alpha = (double)tsl_attrs_float(step->attrs, TSL_ATTR_alpha, 1);
    s->beta = (double)tsl_attrs_float(step->attrs, TSL_ATTR_beta, 1);
    return prepare(p, kernel, s);
}

tslim_status tsl_matmul_plain_prepare(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *a = &step->inputs[0], *b = &step->inputs[1], *y = &step->outputs[0];
    TSL_NEW_STATE(product_plain, s);
    TSL_REQUIRE(
        a->rank >= 1 && b->rank >= 1 && a->dims[a->rank - 1] == b->dims[b->rank > 1 ? b->rank - 2 : 0],
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': matrices that do not fit each other", step->name);
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    s->a_row = s->k;
    s->b_row = s->n;
    s->a_column = s->b_column = 1;
    s->alpha = s->beta = 1;
    const uint32_t larger = a->rank > b->rank ? a->rank : b->rank;
    s->n_batch = larger > 2 ? larger - 2 : 0;
    bool fits = y->rank >= s->n_batch;
    for (uint32_t d = 0; fits && d < s->n_batch; d++) s->batch_dims[d] = y->dims[d];
    TSL_REQUIRE(fits && set_batch(s, a, s->a_batch) && set_batch(s, b, s->b_batch),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': the batch dims do not broadcast to the output's",
        step->name);
    return prepare(p, kernel, s);
}
