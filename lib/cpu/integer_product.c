// SPDX-License-Identifier: Apache-2.0
// MatMulInteger and ConvInteger, as they are defined: sums of products in int32, which wrap around. Files
// that were quantized dynamically have them between DynamicQuantizeLinear and a multiplication; those are
// products of the quick kind (lib/pass/fold_dynamic.c), so these need not be quick.
#include <inttypes.h>

#include "cpu/operator.h"

typedef struct integer_state {
    uint32_t n_inputs;
    tsl_window window; // ConvInteger
    // MatMulInteger: products of m x k by k x n. ConvInteger: m images, k to n channels in each group.
    int64_t n_products, m, k, n;
    size_t *a_index, *b_index; // which matrices product i takes
} integer_state;

typedef struct operand {
    const uint8_t *data;
    bool is_signed;
    const uint8_t *zero; // NULL: 0
    size_t zero_step; // 0: one for all; else 1, for each row or column
} operand;

static int32_t value_at(const operand *o, size_t i, size_t zero) {
    if (o->is_signed) return (int8_t)o->data[i] - (o->zero ? (int8_t)o->zero[zero * o->zero_step] : 0);
    return o->data[i] - (o->zero ? o->zero[zero * o->zero_step] : 0);
}

static operand operand_of(const integer_state *s, const tsl_run *run, uint32_t index) {
    const tsl_tensor *t = &run->inputs[index];
    operand o = {.data = t->data, .is_signed = t->dtype == TSLIM_DTYPE_INT8};
    if (index + 2 >= s->n_inputs || run->inputs[index + 2].dtype == TSLIM_DTYPE_NONE) return o;
    o.zero = run->inputs[index + 2].data;
    o.zero_step = tsl_tensor_elements(&run->inputs[index + 2]) != 1;
    return o;
}

typedef struct integer_task {
    const integer_state *s;
    const tsl_run *run;
    operand a, b;
} integer_task;

// ---- MatMulInteger: an item is a row of the result ----

static void run_matrix_rows(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const integer_task *t = data;
    const integer_state *s = t->s;
    const size_t m = (size_t)s->m, k = (size_t)s->k, n = (size_t)s->n;
    int32_t *y = t->run->outputs[0].data;
    for (size_t item = begin; item < end; item++) {
        size_t product = item / m, row = item % m;
        size_t a = (s->a_index[product] * m + row) * k, b = s->b_index[product] * k * n;
        for (size_t j = 0; j < n; j++) {
            uint32_t sum = 0;
            for (size_t i = 0; i < k; i++)
                sum += (uint32_t)(value_at(&t->a, a + i, row) * value_at(&t->b, b + i * n + j, j));
            y[item * n + j] = (int32_t)sum;
        }
    }
}

static tslim_status run_matmul(const tsl_run *run) {
    const integer_state *s = run->kernel->state;
    integer_task task = {s, run, operand_of(s, run, 0), operand_of(s, run, 1)};
    size_t grain = 65536 / ((size_t)(s->k * s->n) + 1) + 1;
    tsl_parallel_for(run->ctx, (size_t)(s->n_products * s->m), grain, run_matrix_rows, &task);
    return TSLIM_OK;
}

// Which matrix of an operand product `i` takes: batch dims of 1 are repeated, absent ones too.
static size_t matrix_index(const tsl_tensor *t, const tsl_tensor *y, uint32_t y_batch, size_t i) {
    size_t index = 0, step = 1;
    for (uint32_t d = 0; d < y_batch; d++) { // from the last dim
        size_t y_dim = (size_t)y->dims[y_batch - 1 - d], at = i % y_dim;
        i /= y_dim;
        if (t->rank < d + 3) continue;
        size_t dim = (size_t)t->dims[t->rank - 3 - d];
        if (dim != 1) index += at * step;
        step *= dim;
    }
    return index;
}

// A zero point is one number, or one for each row of the first operand, each column of the second.
static tslim_status check_zero_point(const tsl_prepare *p, uint32_t index, int64_t count) {
    const tsl_tensor *t = &p->step->inputs[index], *zero = tsl_step_input(p->step, index + 2);
    if (t->dtype != TSLIM_DTYPE_INT8 && t->dtype != TSLIM_DTYPE_UINT8) return tsl_cpu_unsupported(p);
    if (!zero) return TSLIM_OK;
    int64_t elements = tsl_tensor_elements(zero);
    TSL_REQUIRE(zero->dtype == t->dtype && zero->rank <= 1 && (elements == 1 || elements == count),
        TSLIM_ERROR_UNSUPPORTED, "node '%s': %" PRId64 " zero points for %" PRId64 " rows or columns",
        p->step->name, elements, count);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_matmul_integer(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *a = &step->inputs[0], *b = &step->inputs[1], *y = &step->outputs[0];
    TSL_NEW_STATE(integer_state, s);
    kernel->run = run_matmul;
    kernel->name = "matmul integer";
    s->n_inputs = step->n_inputs;
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    TSL_REQUIRE(b->dims[b->rank > 1 ? b->rank - 2 : 0] == s->k, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %" PRId64 " columns by other rows", step->name, s->k);
    TSL_TRY(check_zero_point(p, 0, s->m));
    TSL_TRY(check_zero_point(p, 1, s->n));
    int64_t each = s->m * s->n;
    s->n_products = each > 0 ? tsl_tensor_elements(y) / each : 0;
    uint32_t most = a->rank > b->rank ? a->rank : b->rank, y_batch = most > 2 ? most - 2 : 0;
    s->a_index = tsl_arena_array(p->arena, (size_t)s->n_products, sizeof(*s->a_index));
    s->b_index = tsl_arena_array(p->arena, (size_t)s->n_products, sizeof(*s->b_index));
    TSL_REQUIRE_MEMORY(s->a_index && s->b_index ? s : NULL, (size_t)s->n_products * sizeof(size_t));
    for (size_t i = 0; i < (size_t)s->n_products; i++) {
        s->a_index[i] = matrix_index(a, y, y_batch, i);
        s->b_index[i] = matrix_index(b, y, y_batch, i);
    }
    kernel->macs = (uint64_t)tsl_tensor_elements(y) * (uint64_t)s->k;
    return TSLIM_OK;
}

// ---- ConvInteger: an item is a plane of the result ----

// Products of one kernel position row with the input inside; what lies outside is the zero point, hence 0.
static uint32_t sum_window(
    const integer_task *t, size_t x_plane, size_t w_plane, size_t feature, int64_t row, int64_t column) {
    const tsl_window *w = &t->s->window;
    uint32_t sum = 0;
    for (int64_t i = 0; i < w->kernel[0]; i++) {
        int64_t y = row * w->stride[0] - w->pad_begin[0] + i * w->dilation[0];
        if (y < 0 || y >= w->in[0]) continue;
        for (int64_t j = 0; j < w->kernel[1]; j++) {
            int64_t x = column * w->stride[1] - w->pad_begin[1] + j * w->dilation[1];
            if (x < 0 || x >= w->in[1]) continue;
            sum += (uint32_t)(value_at(&t->a, x_plane + (size_t)(y * w->in[1] + x), 0) *
                              value_at(&t->b, w_plane + (size_t)(i * w->kernel[1] + j), feature));
        }
    }
    return sum;
}

static void run_planes(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const integer_task *t = data;
    const tsl_window *w = &t->s->window;
    const size_t features = (size_t)t->s->n, channels = (size_t)t->s->k; // of one group
    const size_t groups = (size_t)w->group, x_size = (size_t)(w->in[0] * w->in[1]);
    const size_t w_size = (size_t)(w->kernel[0] * w->kernel[1]), y_size = (size_t)(w->out[0] * w->out[1]);
    for (size_t item = begin; item < end; item++) {
        size_t feature = item % (features * groups), image = item / (features * groups);
        size_t x_first = (image * groups + feature / features) * channels;
        int32_t *y = (int32_t *)t->run->outputs[0].data + item * y_size;
        for (size_t pixel = 0; pixel < y_size; pixel++) {
            uint32_t sum = 0;
            for (size_t c = 0; c < channels; c++)
                sum += sum_window(t, (x_first + c) * x_size, (feature * channels + c) * w_size, feature,
                    (int64_t)pixel / w->out[1], (int64_t)pixel % w->out[1]);
            y[pixel] = (int32_t)sum;
        }
    }
}

static tslim_status run_conv(const tsl_run *run) {
    const integer_state *s = run->kernel->state;
    integer_task task = {s, run, operand_of(s, run, 0), operand_of(s, run, 1)};
    tsl_parallel_for(run->ctx, (size_t)(s->m * s->n * s->window.group), 1, run_planes, &task);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_conv_integer(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *w = &step->inputs[1];
    TSL_NEW_STATE(integer_state, s);
    kernel->run = run_conv;
    kernel->name = "conv integer";
    s->n_inputs = step->n_inputs;
    TSL_REQUIRE((x->rank == 3 || x->rank == 4) && w->rank == x->rank, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': convolution of rank %u by rank %u", step->name, x->rank, w->rank);
    TSL_TRY(tsl_window_read(step->attrs, TSL_OP_CONV, x->rank - 2, x->dims + 2, w->dims + 2, &s->window));
    TSL_TRY(check_zero_point(p, 0, 1));
    TSL_TRY(check_zero_point(p, 1, w->dims[0]));
    TSL_REQUIRE(s->window.group > 0 && w->dims[0] % s->window.group == 0 &&
                    w->dims[1] * s->window.group == x->dims[1],
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': its weights do not fit its input", step->name);
    s->m = x->dims[0];
    s->k = w->dims[1];
    s->n = w->dims[0] / s->window.group;
    kernel->macs = (uint64_t)tsl_tensor_elements(&step->outputs[0]) *
                   (uint64_t)(s->k * s->window.kernel[0] * s->window.kernel[1]);
    return TSLIM_OK;
}
