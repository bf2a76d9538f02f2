// SPDX-License-Identifier: Apache-2.0
// CumSum: sums of all elements up to each one along an axis, with it or without; from the end where reversed.
// Reals are summed in double, integers wrap around.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"

typedef struct cum_sum_state {
    bool exclusive, reverse, integers;
} cum_sum_state;

typedef struct cum_sum_task {
    const cum_sum_state *s;
    const tsl_tensor *x, *y;
    tsl_rows_along rows;
    int64_t blocks; // of TSL_BLOCK along the inner axes
} cum_sum_task;

// Sums so far of elements that lie side by side.
typedef union sums {
    double real[TSL_BLOCK];
    int64_t integer[TSL_BLOCK];
} sums;

static void load(const cum_sum_task *t, int64_t at, size_t n, sums *x) {
    const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->x->dtype);
    const uint8_t *from = (const uint8_t *)t->x->data + at * size;
    if (t->s->integers)
        tsl_load_ints(t->x->dtype, from, size, n, x->integer);
    else
        tsl_load_doubles(t->x->dtype, from, size, n, x->real);
}

static void store(const cum_sum_task *t, int64_t at, size_t n, const sums *x) {
    const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->y->dtype);
    uint8_t *to = (uint8_t *)t->y->data + at * size;
    if (t->s->integers)
        tsl_store_ints(t->y->dtype, to, size, n, x->integer);
    else
        tsl_store_doubles(t->y->dtype, to, size, n, x->real);
}

static void add(const cum_sum_task *t, size_t n, const sums *x, sums *sum) {
    for (size_t i = 0; i < n; i++) {
        if (t->s->integers)
            sum->integer[i] = (int64_t)((uint64_t)sum->integer[i] + (uint64_t)x->integer[i]);
        else
            sum->real[i] += x->real[i];
    }
}

// Item i is a block of rows that lie side by side.
static void run_blocks(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const cum_sum_task *t = task_data;
    const int64_t length = t->rows.length, inner = t->rows.inner;
    for (size_t item = begin; item < end; item++) {
        int64_t outer = (int64_t)item / t->blocks, first = (int64_t)item % t->blocks * TSL_BLOCK;
        size_t n = inner - first < TSL_BLOCK ? (size_t)(inner - first) : TSL_BLOCK;
        sums sum, x;
        memset(&sum, 0, sizeof(sum));
        for (int64_t i = 0; i < length; i++) {
            int64_t at = (outer * length + (t->s->reverse ? length - 1 - i : i)) * inner + first;
            load(t, at, n, &x);
            if (t->s->exclusive) store(t, at, n, &sum);
            add(t, n, &x, &sum);
            if (!t->s->exclusive) store(t, at, n, &sum);
        }
    }
}

static tslim_status run_cum_sum(const tsl_run *run) {
    const tsl_tensor *x = &run->inputs[0], *operand = &run->inputs[1];
    const int64_t axis = tsl_load_int(operand->dtype, operand->data), rank = x->rank;
    TSL_REQUIRE(axis >= -rank && axis < rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "axis %" PRId64 " of a tensor of rank %u", axis, x->rank);
    if (tsl_tensor_elements(x) == 0) return TSLIM_OK;
    cum_sum_task t = {.s = run->kernel->state, .x = x, .y = &run->outputs[0]};
    t.rows = tsl_along_axis(x, (uint32_t)(axis < 0 ? axis + rank : axis));
    t.blocks = (t.rows.inner + TSL_BLOCK - 1) / TSL_BLOCK;
    size_t work = (size_t)(t.rows.length * tsl_min_i64(t.rows.inner, TSL_BLOCK));
    tsl_parallel_for(run->ctx, (size_t)(t.rows.outer * t.blocks), 16384 / work + 1, run_blocks, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_cum_sum(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *axis = &step->inputs[1];
    TSL_NEW_STATE(cum_sum_state, s);
    kernel->run = run_cum_sum;
    kernel->name = "cumulative sum";
    s->exclusive = tsl_attrs_int(step->attrs, TSL_ATTR_exclusive, 0) != 0;
    s->reverse = tsl_attrs_int(step->attrs, TSL_ATTR_reverse, 0) != 0;
    s->integers = tsl_element_is_integer(x->dtype);
    TSL_REQUIRE(tsl_element_is_integer(axis->dtype) && tsl_tensor_elements(axis) == 1,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': its axis is not one number", step->name);
    bool types = (s->integers || tsl_element_is_real(x->dtype)) && step->outputs[0].dtype == x->dtype;
    return types && !tsl_is_quantized(x) ? TSLIM_OK : tsl_cpu_unsupported(p);
}
