// SPDX-License-Identifier: Apache-2.0
// ScatterElements (Scatter before opset 11) and ScatterND: a copy of the data in which updates take the place
// of elements, or are added to, multiplied with or compared with them. Updates go in their order, because
// several may meet.
#include <string.h>

#include "cpu/binary.h"
#include "cpu/tuples.h"

typedef struct scatter_state {
    const tsl_cpu_functions *functions;
    bool reduces;
    tsl_binary reduction;
    uint32_t axis; // ScatterElements
    tsl_tuples tuples; // ScatterND
} scatter_state;

// Slices of `count` elements that lie side by side.
static void update(const tsl_binary *reduction, uint8_t *to, const uint8_t *from, size_t count, size_t size) {
    if (!reduction) {
        memcpy(to, from, count * size);
        return;
    }
    const ptrdiff_t strides[3] = {(ptrdiff_t)size, (ptrdiff_t)size, (ptrdiff_t)size};
    uint8_t *const data[3] = {to, to, (uint8_t *)(uintptr_t)from};
    reduction->loop(reduction, data, strides, count);
}

// The reduction with this run's operands, or NULL.
static const tsl_binary *bind(const scatter_state *s, const tsl_run *run, tsl_binary *reduction) {
    if (!s->reduces) return NULL;
    *reduction = s->reduction;
    reduction->a = reduction->y = &run->outputs[0];
    reduction->b = &run->inputs[2];
    return reduction;
}

static void scatter_elements(const tsl_run *run, uint32_t axis, const tsl_binary *reduction) {
    const tsl_tensor *y = &run->outputs[0], *indices = &run->inputs[1], *updates = &run->inputs[2];
    const size_t size = tslim_dtype_size(y->dtype);
    const uint32_t last = y->rank - 1;
    const int64_t row = indices->dims[last], rows = tsl_tensor_elements(indices) / row;
    const int64_t step = y->strides[axis], along = axis == last ? 0 : 1;
    int64_t block[TSL_BLOCK];
    for (int64_t r = 0; r < rows; r++) {
        int64_t rest = r, to = 0;
        for (uint32_t d = last; d-- > 0;) {
            if (d != axis) to += rest % indices->dims[d] * y->strides[d];
            rest /= indices->dims[d];
        }
        for (int64_t first = 0; first < row; first += TSL_BLOCK) {
            size_t n = row - first < TSL_BLOCK ? (size_t)(row - first) : TSL_BLOCK;
            tsl_load_indices(indices, r * row + first, 1, n, y->dims[axis], block);
            for (size_t i = 0; i < n; i++) {
                int64_t at = to + block[i] * step + (first + (int64_t)i) * along;
                int64_t source = r * row + first + (int64_t)i;
                update(reduction, (uint8_t *)y->data + (size_t)at * size,
                    (const uint8_t *)updates->data + (size_t)source * size, 1, size);
            }
        }
    }
}

static tslim_status run_elements(const tsl_run *run) {
    const scatter_state *s = run->kernel->state;
    const tsl_tensor *indices = &run->inputs[1], *y = &run->outputs[0];
    tsl_binary reduction;
    tsl_copy(run->ctx, &run->inputs[0], y);
    if (tsl_tensor_elements(indices) == 0) return TSLIM_OK;
    TSL_TRY(tsl_check_indices(indices, 0, 1, s->axis, y->dims[s->axis]));
    scatter_elements(run, s->axis, bind(s, run, &reduction));
    return TSLIM_OK;
}

static tslim_status run_nd(const tsl_run *run) {
    const scatter_state *s = run->kernel->state;
    const tsl_tensor *indices = &run->inputs[1], *updates = &run->inputs[2], *y = &run->outputs[0];
    const size_t size = tslim_dtype_size(y->dtype), slice = s->tuples.slice;
    tsl_binary reduction;
    tsl_copy(run->ctx, &run->inputs[0], y);
    int64_t elements = tsl_tensor_elements(updates);
    if (elements == 0) return TSLIM_OK;
    TSL_TRY(tsl_tuples_check(&s->tuples, indices));
    const tsl_binary *bound = bind(s, run, &reduction);
    for (int64_t i = 0; i < elements / (int64_t)slice; i++) {
        size_t at = (size_t)tsl_tuples_offset(&s->tuples, indices, i);
        update(bound, (uint8_t *)y->data + at * size,
            (const uint8_t *)updates->data + (size_t)i * slice * size, slice, size);
    }
    return TSLIM_OK;
}

static tslim_status prepare(tsl_prepare *p, scatter_state *s) {
    const tsl_tensor *x = &p->step->inputs[0], *updates = &p->step->inputs[2], *y = &p->step->outputs[0];
    const char *r = tsl_attrs_string(p->step->attrs, TSL_ATTR_reduction, "none");
    const uint8_t *table;
    bool same = x->rank == y->rank;
    for (uint32_t i = 0; same && i < x->rank; i++) same = x->dims[i] == y->dims[i];
    TSL_REQUIRE(same, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': a result of another size", p->step->name);
    TSL_TRY(tsl_move_prepare(p, x, y, &table));
    if (table || tsl_is_quantized(y)) return tsl_cpu_unsupported(p);
    TSL_TRY(tsl_move_prepare(p, updates, y, &table));
    s->functions = p->functions;
    s->reduces = strcmp(r, "none") != 0;
    if (!s->reduces) return TSLIM_OK;
    tsl_op op = strcmp(r, "add") == 0   ? TSL_OP_ADD
                : strcmp(r, "mul") == 0 ? TSL_OP_MUL
                : strcmp(r, "max") == 0 ? TSL_OP_MAX
                                        : TSL_OP_MIN;
    return tsl_binary_choose(p, op, y, updates, y, &s->reduction) ? TSLIM_OK : tsl_cpu_unsupported(p);
}

tslim_status tsl_cpu_prepare_scatter_elements(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *indices = &p->step->inputs[1], *updates = &p->step->inputs[2];
    TSL_NEW_STATE(scatter_state, s);
    kernel->run = run_elements;
    kernel->name = "scatter elements";
    TSL_TRY(tsl_step_axis(p, 0, x->rank, &s->axis));
    bool fits = x->rank == indices->rank && updates->rank == x->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++)
        fits = updates->dims[i] == indices->dims[i] && (i == s->axis || indices->dims[i] <= x->dims[i]);
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': indices or updates that do not fit", p->step->name);
    if (!tsl_is_index(indices)) return tsl_cpu_unsupported(p);
    return prepare(p, s);
}

tslim_status tsl_cpu_prepare_scatter_nd(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *indices = &p->step->inputs[1], *updates = &p->step->inputs[2];
    TSL_NEW_STATE(scatter_state, s);
    kernel->run = run_nd;
    kernel->name = "scatter nd";
    TSL_TRY(tsl_tuples_init(p, x, indices, 0, &s->tuples));
    int64_t tuples = 1;
    for (uint32_t i = 0; i + 1 < indices->rank; i++) tuples *= indices->dims[i];
    TSL_REQUIRE(tsl_tensor_elements(updates) == tuples * (int64_t)s->tuples.slice,
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': updates that do not fit", p->step->name);
    return prepare(p, s);
}
