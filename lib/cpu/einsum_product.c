// SPDX-License-Identifier: Apache-2.0
// Einsum of two float operands by MatMul's kernel. Labels have one of four roles: batch (in all three), row
// (operand 0 and the result), column (operand 1 and the result), summed (both operands). Each operand is seen
// as [batch, row, summed] or [batch, summed, column] and the result as [batch, row, column]; where an order
// of strides is not that of memory there is a copy, for a constant when the step is prepared.
#include "cpu/einsum.h"

#include "cpu/product.h"

enum { SUMMED = 3, ROW = 5, COLUMN = 6, BATCH = 7 };

// A tensor of the step with its axes in the order of the matrices.
typedef struct side {
    tsl_tensor view; // of the operand, without data; labels it lacks have stride 0
    tsl_tensor dense; // the same in row-major order
    tsl_tensor matrices; // what MatMul sees
    bool copied;
    size_t scratch;
} side;

struct tsl_einsum_product {
    side a, b, y;
    tsl_tensor inputs[2];
    tsl_step step;
    tsl_kernel matmul;
    size_t scratch; // of matmul
};

// Adds the labels of `role`, in the order of `order`, with their dims and this tensor's strides; returns the
// product of the dims. False when they are too many.
static bool add_labels(const tsl_einsum_term *order, const tsl_einsum_roles *roles, uint8_t role,
    const int64_t *dims, const tsl_einsum_term *term, const tsl_tensor *t, tsl_tensor *view,
    int64_t *length) {
    uint64_t seen = 0;
    *length = 1;
    for (uint32_t i = 0; i < order->rank; i++) {
        uint8_t label = order->labels[i];
        if (roles->of[label] != role || (seen >> label & 1)) continue;
        if (view->rank == TSLIM_MAX_RANK) return false;
        seen |= UINT64_C(1) << label;
        uint32_t to = view->rank++;
        view->dims[to] = dims[label];
        view->strides[to] = 0;
        for (uint32_t d = 0; d < term->rank; d++)
            if (term->labels[d] == label && t->dims[d] != 1) view->strides[to] += t->strides[d];
        *length *= dims[label];
    }
    return true;
}

static bool is_dense(const tsl_tensor *t) {
    return tsl_tensor_is_row_major(t);
}

static tslim_status finish_side(tsl_kernel *kernel, int64_t batch, int64_t rows, int64_t columns, side *s) {
    s->dense = s->view;
    tsl_tensor_set_row_major(&s->dense);
    s->matrices = (tsl_tensor){.dtype = s->view.dtype, .rank = 3, .dims = {batch, rows, columns}};
    tsl_tensor_set_row_major(&s->matrices);
    s->copied = !is_dense(&s->view);
    if (!s->copied) return TSLIM_OK;
    // Kernels may read a vector behind the last element.
    return tsl_scratch_reserve(
        kernel, (size_t)tsl_tensor_elements(&s->dense) * sizeof(float) + 64, &s->scratch);
}

// A constant operand is copied once, and MatMul packs it.
static tslim_status fix_constant(tsl_prepare *p, const tsl_tensor *operand, side *s) {
    if (!operand->constant) return TSLIM_OK;
    s->matrices.constant = true;
    s->matrices.data = operand->data;
    if (!s->copied) return TSLIM_OK;
    size_t bytes = (size_t)tsl_tensor_elements(&s->dense) * sizeof(float);
    s->dense.data = tsl_arena_alloc_aligned(p->arena, bytes);
    TSL_REQUIRE_MEMORY(s->dense.data, bytes);
    s->view.data = operand->data;
    tsl_copy(p->ctx, &s->view, &s->dense);
    s->matrices.data = s->dense.data;
    s->copied = false;
    return TSLIM_OK;
}

static tslim_status prepare_matmul(tsl_prepare *p, tsl_kernel *kernel, tsl_einsum_product *m) {
    m->inputs[0] = m->a.matrices;
    m->inputs[1] = m->b.matrices;
    m->step = *p->step;
    m->step.op = TSL_OP_MATMUL;
    m->step.inputs = m->inputs;
    m->step.n_inputs = 2;
    m->step.outputs = &m->y.matrices;
    m->step.n_outputs = 1;
    tsl_prepare inner = *p;
    inner.step = &m->step;
    TSL_TRY(tsl_cpu_prepare_matmul(&inner, &m->matmul));
    kernel->name = m->matmul.name;
    return tsl_scratch_reserve(kernel, m->matmul.scratch_bytes, &m->scratch);
}

tslim_status tsl_einsum_product_prepare(tsl_prepare *p, tsl_kernel *kernel, const tsl_einsum *e,
    const tsl_einsum_roles *roles, tsl_einsum_product **product) {
    const tsl_tensor *a = &p->step->inputs[0], *b = &p->step->inputs[1], *y = &p->step->outputs[0];
    const tsl_einsum_term *of_a = &e->operands[0], *of_b = &e->operands[1], *of_y = &e->output;
    int64_t dims[TSL_EINSUM_LABELS] = {0}, batch, rows, columns, summed;
    for (int label = 0; label < TSL_EINSUM_LABELS; label++)
        if (roles->of[label] == 1 || roles->of[label] == 2) return TSLIM_OK;
    for (uint32_t d = 0; d < a->rank; d++) dims[of_a->labels[d]] = a->dims[d];
    for (uint32_t d = 0; d < b->rank; d++)
        if (b->dims[d] != 1 || dims[of_b->labels[d]] == 0) dims[of_b->labels[d]] = b->dims[d];
    tsl_einsum_product *m = tsl_arena_array(p->arena, 1, sizeof(*m));
    TSL_REQUIRE_MEMORY(m, sizeof(*m));
    m->a.view.dtype = m->b.view.dtype = m->y.view.dtype = TSLIM_DTYPE_FLOAT;
    bool fits = add_labels(of_y, roles, BATCH, dims, of_a, a, &m->a.view, &batch) &&
                add_labels(of_y, roles, ROW, dims, of_a, a, &m->a.view, &rows) &&
                add_labels(of_a, roles, SUMMED, dims, of_a, a, &m->a.view, &summed) &&
                add_labels(of_y, roles, BATCH, dims, of_b, b, &m->b.view, &batch) &&
                add_labels(of_a, roles, SUMMED, dims, of_b, b, &m->b.view, &summed) &&
                add_labels(of_y, roles, COLUMN, dims, of_b, b, &m->b.view, &columns) &&
                add_labels(of_y, roles, BATCH, dims, of_y, y, &m->y.view, &batch) &&
                add_labels(of_y, roles, ROW, dims, of_y, y, &m->y.view, &rows) &&
                add_labels(of_y, roles, COLUMN, dims, of_y, y, &m->y.view, &columns);
    if (!fits) return TSLIM_OK;
    TSL_TRY(finish_side(kernel, batch, rows, summed, &m->a));
    TSL_TRY(finish_side(kernel, batch, summed, columns, &m->b));
    TSL_TRY(finish_side(kernel, batch, rows, columns, &m->y));
    TSL_TRY(fix_constant(p, a, &m->a));
    TSL_TRY(fix_constant(p, b, &m->b));
    TSL_TRY(prepare_matmul(p, kernel, m));
    *product = m;
    return TSLIM_OK;
}

// The matrices of an operand in this run.
static tsl_tensor bring(const side *s, const tsl_tensor *operand, const tsl_run *run) {
    tsl_tensor matrices = s->matrices;
    if (matrices.constant) return matrices;
    matrices.data = operand->data;
    if (s->copied) {
        tsl_tensor from = s->view, to = s->dense;
        from.data = operand->data;
        matrices.data = to.data = run->scratch + s->scratch;
        tsl_copy(run->ctx, &from, &to);
    }
    return matrices;
}

tslim_status tsl_einsum_product_run(const tsl_einsum_product *m, const tsl_run *run) {
    tsl_tensor inputs[2] = {bring(&m->a, &run->inputs[0], run), bring(&m->b, &run->inputs[1], run)};
    tsl_tensor result = m->y.matrices;
    result.data = m->y.copied ? run->scratch + m->y.scratch : run->outputs[0].data;
    tsl_run inner = {.ctx = run->ctx,
        .kernel = &m->matmul,
        .inputs = inputs,
        .outputs = &result,
        .scratch = run->scratch + m->scratch};
    TSL_TRY(m->matmul.run(&inner));
    if (!m->y.copied) return TSLIM_OK;
    tsl_tensor from = m->y.dense, to = m->y.view;
    from.data = result.data;
    to.data = run->outputs[0].data;
    tsl_copy(run->ctx, &from, &to);
    return TSLIM_OK;
}
