// SPDX-License-Identifier: Apache-2.0
// TopK: the k largest or smallest elements along an axis, the best first; of equal ones that of the lower
// index.
//
// Elements of every type become unsigned keys that order as they do, so that one comparison serves all. Each
// row keeps its best k in a heap whose root is the worst of them, which almost every element is compared with
// and nothing else.
#include <string.h>

#include "base/checked.h"
#include "cpu/operator.h"
#include "cpu/product.h"

typedef struct entry {
    uint64_t key; // larger is better
    int64_t index;
} entry;

typedef struct top_k_state {
    tsl_rows_along rows;
    int64_t k;
    bool largest;
    size_t scratch; // k entries for each thread
} top_k_state;

typedef struct top_k_task {
    const top_k_state *s;
    const tsl_tensor *x, *y, *indices;
    uint8_t *scratch;
} top_k_task;

static uint64_t key_of_real(double value) {
    uint64_t bits;
    if (isnan(value)) return UINT64_MAX; // counts as the largest
    value += 0.0; // -0 equals 0
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static void load_keys(
    const tsl_tensor *x, const uint8_t *from, ptrdiff_t stride, size_t n, bool largest, uint64_t *keys) {
    union {
        double real[TSL_BLOCK];
        int64_t integer[TSL_BLOCK];
    } values;
    if (tsl_element_is_integer(x->dtype)) {
        uint64_t sign = x->dtype == TSLIM_DTYPE_UINT64 ? 0 : UINT64_C(1) << 63;
        tsl_load_ints(x->dtype, from, stride, n, values.integer);
        for (size_t i = 0; i < n; i++) keys[i] = (uint64_t)values.integer[i] ^ sign;
    } else {
        tsl_load_doubles(x->dtype, from, stride, n, values.real);
        for (size_t i = 0; i < n; i++) keys[i] = key_of_real(values.real[i]);
    }
    for (size_t i = 0; !largest && i < n; i++) keys[i] = ~keys[i];
}

static bool is_worse(entry a, entry b) {
    return a.key < b.key || (a.key == b.key && a.index > b.index);
}

// Moves the entry at `at` down to where nothing below it is worse.
static void sift_down(entry *heap, int64_t count, int64_t at) {
    entry moved = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && is_worse(heap[child + 1], heap[child])) child++;
        if (!is_worse(heap[child], moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void select_row(const top_k_task *t, const uint8_t *from, ptrdiff_t stride, entry *heap) {
    const top_k_state *s = t->s;
    uint64_t keys[TSL_BLOCK];
    for (int64_t first = 0; first < s->rows.length; first += TSL_BLOCK) {
        size_t n = s->rows.length - first < TSL_BLOCK ? (size_t)(s->rows.length - first) : TSL_BLOCK;
        load_keys(t->x, from + (ptrdiff_t)first * stride, stride, n, s->largest, keys);
        for (size_t i = 0; i < n; i++) {
            entry e = {keys[i], first + (int64_t)i};
            if (e.index < s->k) {
                heap[e.index] = e;
                for (int64_t at = s->k / 2; e.index == s->k - 1 && at-- > 0;) sift_down(heap, s->k, at);
            } else if (e.key > heap[0].key) { // an equal one of a higher index is worse
                heap[0] = e;
                sift_down(heap, s->k, 0);
            }
        }
    }
    for (int64_t count = s->k; --count > 0;) { // the worst goes to the end
        entry worst = heap[0];
        heap[0] = heap[count];
        heap[count] = worst;
        sift_down(heap, count, 0);
    }
}

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    const top_k_task *t = task_data;
    const top_k_state *s = t->s;
    const size_t size = tslim_dtype_size(t->x->dtype), inner = (size_t)s->rows.inner;
    entry *heap = (entry *)(void *)(t->scratch + worker * (size_t)s->k * sizeof(entry));
    for (size_t row = begin; row < end; row++) {
        size_t outer = row / inner, column = row % inner;
        const uint8_t *from =
            (const uint8_t *)t->x->data + (outer * (size_t)s->rows.length * inner + column) * size;
        select_row(t, from, (ptrdiff_t)(inner * size), heap);
        for (size_t i = 0; i < (size_t)s->k; i++) {
            size_t to = (outer * (size_t)s->k + i) * inner + column;
            memcpy((uint8_t *)t->y->data + to * size, from + (size_t)heap[i].index * inner * size, size);
            if (t->indices) ((int64_t *)t->indices->data)[to] = heap[i].index;
        }
    }
}

static tslim_status run_top_k(const tsl_run *run) {
    const top_k_state *s = run->kernel->state;
    top_k_task t = {s, &run->inputs[0], &run->outputs[0], NULL, run->scratch + s->scratch};
    if (run->outputs[1].dtype == TSLIM_DTYPE_INT64) t.indices = &run->outputs[1];
    size_t rows = (size_t)(s->rows.outer * s->rows.inner);
    if (s->k > 0 && rows > 0)
        tsl_parallel_for(run->ctx, rows, 16384 / (size_t)s->rows.length + 1, run_rows, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_top_k(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(top_k_state, s);
    kernel->run = run_top_k;
    kernel->name = "top k";
    uint32_t axis;
    TSL_TRY(tsl_step_axis(p, -1, x->rank, &axis));
    s->rows = tsl_along_axis(x, axis);
    s->k = y->dims[axis];
    s->largest = tsl_attrs_int(step->attrs, TSL_ATTR_largest, 1) != 0;
    TSL_REQUIRE(y->rank == x->rank && s->k <= s->rows.length, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the result is longer than its operand", step->name);
    if (y->dtype != x->dtype || tslim_dtype_size(x->dtype) == 0 || tsl_is_quantized(x) || tsl_is_quantized(y))
        return tsl_cpu_unsupported(p);
    return tsl_scratch_reserve(kernel, p->ctx->n_threads * (size_t)s->k * sizeof(entry), &s->scratch);
}
