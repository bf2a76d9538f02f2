// SPDX-License-Identifier: Apache-2.0
// MatMul with numpy's rules: vectors, batches, broadcasting. Where operand 1 is one matrix, all rows of
// operand 0 make a single product; else there is a product for each pair of matrices.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/matrix.h"
#include "cpu/product_plain.h"

typedef struct matmul {
    tsl_matrix matrix;
    size_t n_products;
    size_t *a_index, *b_index; // which matrices product i takes; NULL with one product
    bool thin;
    size_t taps_scratch, taps_bytes; // of a worker
} matmul;

typedef struct shape {
    int64_t m, k, n, a_matrices, b_matrices, y_matrices;
} shape;

static int64_t product_of(const int64_t *dims, uint32_t count) {
    int64_t product = 1;
    for (uint32_t i = 0; i < count; i++) product *= dims[i];
    return product;
}

static tslim_status read_shape(const tsl_step *step, shape *s) {
    const tsl_tensor *a = &step->inputs[0], *b = &step->inputs[1], *y = &step->outputs[0];
    TSL_REQUIRE(a->rank >= 1 && b->rank >= 1, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': MatMul of a scalar",
        step->name);
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int64_t b_k = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    TSL_REQUIRE(s->k == b_k, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %" PRId64 " columns by %" PRId64 " rows", step->name, s->k, b_k);
    s->a_matrices = a->rank > 2 ? product_of(a->dims, a->rank - 2) : 1;
    s->b_matrices = b->rank > 2 ? product_of(b->dims, b->rank - 2) : 1;
    int64_t elements = tsl_tensor_elements(y), each = s->m * s->n;
    s->y_matrices = each > 0 ? elements / each : 0;
    TSL_REQUIRE(each == 0 ? elements == 0 : s->y_matrices * each == elements, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': an output of %" PRId64 " elements for products of %" PRId64, step->name, elements, each);
    return TSLIM_OK;
}

// Which matrix of an operand product `i` takes: batch dims of 1 are repeated, absent ones too. `y_dims` are
// the n_batch batch dims of the output.
static size_t matrix_index(const tsl_tensor *t, const int64_t *y_dims, uint32_t n_batch, size_t i) {
    size_t index = 0, step = 1;
    for (uint32_t d = 0; d < n_batch; d++) { // from the last dim
        size_t y_dim = (size_t)y_dims[n_batch - 1 - d], at = i % y_dim;
        i /= y_dim;
        if (t->rank < d + 3) continue;
        size_t dim = (size_t)t->dims[t->rank - 3 - d];
        if (dim != 1) index += at * step;
        step *= dim;
    }
    return index;
}

static tslim_status set_indices(tsl_prepare *p, const shape *s, matmul *m) {
    const tsl_tensor *a = &p->step->inputs[0], *b = &p->step->inputs[1], *y = &p->step->outputs[0];
    uint32_t n_batch = (a->rank > b->rank ? a->rank : b->rank) - 2;
    bool fits = y->rank >= n_batch;
    for (uint32_t d = 0; fits && d < n_batch; d++) {
        int64_t y_dim = y->dims[n_batch - 1 - d];
        int64_t a_dim = a->rank >= d + 3 ? a->dims[a->rank - 3 - d] : 1;
        int64_t b_dim = b->rank >= d + 3 ? b->dims[b->rank - 3 - d] : 1;
        fits = (a_dim == 1 || a_dim == y_dim) && (b_dim == 1 || b_dim == y_dim);
    }
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the batch dims do not broadcast to the output's", p->step->name);
    m->n_products = (size_t)s->y_matrices;
    m->a_index = tsl_arena_array(p->arena, m->n_products, sizeof(*m->a_index));
    m->b_index = tsl_arena_array(p->arena, m->n_products, sizeof(*m->b_index));
    TSL_REQUIRE_MEMORY(m->a_index && m->b_index, 2 * m->n_products * sizeof(*m->a_index));
    for (size_t i = 0; i < m->n_products; i++) {
        m->a_index[i] = matrix_index(a, y->dims, n_batch, i);
        m->b_index[i] = matrix_index(b, y->dims, n_batch, i);
    }
    return TSLIM_OK;
}

// ---- Few rows by a matrix that is computed: packing it would take longer than the product ----

#define FEW_ROWS 6

static bool is_thin(const tsl_matrix *t) {
    const tsl_coefficients *c = &t->coefficients;
    return !t->weights.packed && t->m <= FEW_ROWS && !c->is_int8 && !c->bias_tensor && !c->residual;
}

typedef struct thin_task {
    const matmul *matmul;
    const tsl_run *run;
    const float *a;
    size_t range, n_ranges; // of columns
} thin_task;

// A sum of B's rows, weighted by a row of A: as the taps of a window.
static void run_thin(void *data, size_t begin, size_t end, uint32_t worker) {
    const thin_task *task = data;
    const matmul *m = task->matmul;
    const tsl_matrix *t = &m->matrix;
    const size_t k = t->weights.geometry.k, n = t->weights.geometry.n;
    ptrdiff_t *taps = (ptrdiff_t *)(void *)(task->run->scratch + m->taps_scratch + worker * m->taps_bytes);
    for (size_t i = 0; i < k; i++) taps[i] = (ptrdiff_t)(i * n * sizeof(float));
    tsl_window_sum_args args = {
        .taps = taps, .n_taps = k, .scale = 1, .lo = t->coefficients.lo, .hi = t->coefficients.hi};
    for (size_t item = begin; item < end; item++) {
        const size_t product = item / task->n_ranges, first = item % task->n_ranges * task->range;
        const size_t a_index = m->a_index ? m->a_index[product] : 0,
                     b_index = m->b_index ? m->b_index[product] : 0;
        args.channels = n - first < task->range ? n - first : task->range;
        args.x = (const float *)task->run->inputs[1].data + b_index * k * n + first;
        for (size_t row = 0; row < t->m; row++) {
            args.weights = task->a + (a_index * t->m + row) * k;
            args.y = (float *)task->run->outputs[0].data + (product * t->m + row) * n + first;
            t->product.functions->window_sum_f32(&args);
        }
    }
}

static void run_few_rows(const matmul *m, const tsl_run *run) {
    const tsl_matrix *t = &m->matrix;
    const size_t n = t->weights.geometry.n, products = m->a_index ? m->n_products : 1;
    thin_task task = {m, run, t->a ? t->a : run->inputs[0].data, n, 1};
    if (products < run->ctx->n_threads) {
        task.range = (n / run->ctx->n_threads + TSL_PANEL) / TSL_PANEL * TSL_PANEL;
        task.n_ranges = (n + task.range - 1) / task.range;
    }
    const size_t work = t->m * t->weights.geometry.k * task.range + 1;
    tsl_parallel_for(run->ctx, products * task.n_ranges, 65536 / work + 1, run_thin, &task);
}

// ---- Products of packed matrices ----

typedef struct product_task {
    const matmul *matmul;
    const tsl_product *product; // of this run
    const tsl_product_operands *operands;
    tslim_context *ctx; // for the loop within each product, or NULL
} product_task;

static void run_products(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const product_task *task = data;
    const tsl_matrix *t = &task->matmul->matrix;
    for (size_t i = begin; i < end; i++) {
        tsl_product_operands o = *task->operands;
        o.a = (const char *)o.a + task->matmul->a_index[i] * t->a_bytes;
        o.w = (const char *)o.w + task->matmul->b_index[i] * t->weights.packed_stride;
        o.c = (char *)o.c + i * t->y_bytes;
        if (o.z) o.z = (const char *)o.z + i * t->m * (size_t)t->product.rows.z[2];
        tsl_product product = *task->product;
        if (product.start) product.start += task->matmul->b_index[i] * t->coefficients.padded;
        tsl_product_run(task->ctx, &product, &o);
    }
}

static tslim_status run_matmul(const tsl_run *run) {
    const matmul *m = run->kernel->state;
    if (m->thin) {
        run_few_rows(m, run);
        return TSLIM_OK;
    }
    tsl_product_operands operands = tsl_matrix_operands(&m->matrix, run);
    tsl_matrix_run now;
    const tsl_product *product = tsl_matrix_product(&m->matrix, run, &operands, &now);
    if (!m->a_index) {
        tsl_product_run(run->ctx, product, &operands);
        return TSLIM_OK;
    }
    // Threads share the products, or, where these are few, the insides of each.
    product_task task = {m, product, &operands, NULL};
    if (m->n_products >= run->ctx->n_threads) {
        tsl_parallel_for(run->ctx, m->n_products, 1, run_products, &task);
    } else {
        task.ctx = run->ctx;
        run_products(&task, 0, m->n_products, 0);
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_matmul(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    if (step->inputs[0].dtype == TSLIM_DTYPE_DOUBLE) return tsl_matmul_plain_prepare(p, kernel);
    shape s = {0};
    TSL_TRY(read_shape(step, &s));
    matmul *m = tsl_arena_array(p->arena, 1, sizeof(*m));
    TSL_REQUIRE_MEMORY(m, sizeof(*m));
    tsl_tensor first = step->inputs[1];
    first.rank = 2;
    first.dims[0] = s.k;
    first.dims[1] = s.n;
    const tsl_tensor *bias = step->epilogue.residual == 2 ? NULL : tsl_step_input(step, 2);
    if (bias && !tsl_is_column_bias(bias, s.n)) return tsl_cpu_unsupported(p);
    bool single = s.b_matrices == 1;
    int64_t rows = single ? s.m * s.y_matrices : s.m;
    TSL_REQUIRE(!single || s.y_matrices == s.a_matrices || rows == 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %" PRId64 " matrices give %" PRId64, step->name, s.a_matrices, s.y_matrices);
    TSL_TRY(
        tsl_matrix_prepare(p, kernel, &first, (size_t)s.b_matrices, (size_t)rows, bias, 1, 1, &m->matrix));
    if (!single) TSL_TRY(set_indices(p, &s, m));
    m->thin = is_thin(&m->matrix);
    if (m->thin) {
        m->taps_bytes = tsl_round_up((size_t)s.k * sizeof(ptrdiff_t) + 1, 64);
        TSL_TRY(tsl_scratch_reserve(kernel, m->taps_bytes * p->ctx->n_threads, &m->taps_scratch));
    }
    kernel->state = m;
    kernel->run = run_matmul;
    kernel->macs = (uint64_t)tsl_tensor_elements(&step->outputs[0]) * (uint64_t)s.k;
    return tsl_kernel_name(p, kernel, "matmul");
}
