// SPDX-License-Identifier: Apache-2.0
// Unique: the different elements, or slices along an axis, where each came first, and which is which. NaN
// counts as larger than any number, and as one value.
#include <string.h>

#include "cpu/operator.h"
#include "cpu/product.h"
#include "cpu/sort.h"

typedef struct unique_state {
    size_t outer, length, inner; // elements; slices are compared in row-major order
    bool sorted;
    uint32_t axis, n_outputs;
    size_t order, room, group, first; // scratch offsets: lists of `length` int64
} unique_state;

typedef struct slices {
    const unique_state *s;
    const uint8_t *x;
    tslim_dtype dtype;
    size_t size;
} slices;

static int compare_elements(const slices *c, const uint8_t *a, const uint8_t *b) {
    if (tsl_element_is_integer(c->dtype) || c->dtype == TSLIM_DTYPE_BOOL) {
        int64_t x = tsl_load_int(c->dtype, a), y = tsl_load_int(c->dtype, b);
        if (c->dtype == TSLIM_DTYPE_UINT64) return (uint64_t)x < (uint64_t)y ? -1 : (uint64_t)x > (uint64_t)y;
        return x < y ? -1 : x > y;
    }
    double x = tsl_load_double(c->dtype, a), y = tsl_load_double(c->dtype, b);
    if (isnan(x) || isnan(y)) return (isnan(x) != 0) - (isnan(y) != 0);
    return x < y ? -1 : x > y;
}

static int compare(const slices *c, int64_t a, int64_t b) {
    const unique_state *s = c->s;
    for (size_t o = 0; o < s->outer; o++)
        for (size_t i = 0; i < s->inner; i++) {
            size_t row = o * s->length;
            int order = compare_elements(c, c->x + ((row + (size_t)a) * s->inner + i) * c->size,
                c->x + ((row + (size_t)b) * s->inner + i) * c->size);
            if (order != 0) return order;
        }
    return 0;
}

static bool is_before(const void *user, int64_t a, int64_t b) {
    return compare(user, a, b) < 0;
}

static int64_t *list(const tsl_run *run, size_t offset) {
    return (int64_t *)(void *)(run->scratch + offset);
}

// Numbers the groups of equal slices: group[] of each slice, first[] of each group. Returns how many there
// are.
static int64_t find_groups(const tsl_run *run, const slices *c) {
    const unique_state *s = c->s;
    int64_t *order = list(run, s->order), *room = list(run, s->room);
    int64_t *group = list(run, s->group), *first = list(run, s->first), count = 0;
    for (size_t i = 0; i < s->length; i++) order[i] = (int64_t)i;
    tsl_sort_indices(order, room, s->length, is_before, c);
    for (size_t i = 0; i < s->length; i++) {
        if (i == 0 || compare(c, order[i - 1], order[i]) != 0)
            first[count++] = order[i]; // the least, as sorting is stable
        group[order[i]] = count - 1;
    }
    if (s->sorted) return count;
    for (int64_t g = 0; g < count; g++) room[g] = -1; // the groups anew, in the order in which they come
    int64_t next = 0;
    for (size_t i = 0; i < s->length; i++) {
        int64_t g = group[i];
        if (room[g] < 0) {
            room[g] = next;
            order[next++] = (int64_t)i;
        }
        group[i] = room[g];
    }
    memcpy(first, order, (size_t)count * sizeof(*first));
    return count;
}

static void set_length(tsl_tensor *y, uint32_t axis, int64_t length) {
    y->dims[axis] = length;
    tsl_tensor_set_row_major(y);
}

static void write_slices(const slices *c, const int64_t *first, int64_t count, tsl_tensor *y) {
    const unique_state *s = c->s;
    uint8_t *to = y->data;
    size_t bytes = s->inner * c->size;
    for (size_t o = 0; o < s->outer && bytes > 0; o++)
        for (int64_t g = 0; g < count; g++, to += bytes)
            memcpy(to, c->x + (o * s->length + (size_t)first[g]) * bytes, bytes);
    set_length(y, s->axis, count);
}

static tslim_status run_unique(const tsl_run *run) {
    const unique_state *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0];
    slices c = {s, x->data, x->dtype, tslim_dtype_size(x->dtype)};
    int64_t count = find_groups(run, &c);
    const int64_t *group = list(run, s->group), *first = list(run, s->first);
    for (uint32_t i = 0; i < s->n_outputs; i++) {
        tsl_tensor *y = &run->found[i];
        if (y->dtype == TSLIM_DTYPE_NONE) continue;
        int64_t *to = y->data;
        if (i == 0) {
            write_slices(&c, first, count, y);
        } else if (i == 1) {
            if (count > 0) memcpy(to, first, (size_t)count * sizeof(*to));
            set_length(y, 0, count);
        } else if (i == 2) {
            if (s->length > 0) memcpy(to, group, s->length * sizeof(*to));
        } else {
            if (count > 0) memset(to, 0, (size_t)count * sizeof(*to));
            for (size_t k = 0; k < s->length; k++) to[group[k]]++;
            set_length(y, 0, count);
        }
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_unique(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    TSL_NEW_STATE(unique_state, s);
    kernel->run = run_unique;
    kernel->name = "unique";
    if (tslim_dtype_size(x->dtype) == 0 || (step->outputs[0].dtype && step->outputs[0].dtype != x->dtype))
        return tsl_cpu_unsupported(p);
    s->sorted = tsl_attrs_int(step->attrs, TSL_ATTR_sorted, 1) != 0;
    s->n_outputs = step->n_outputs;
    s->outer = s->inner = 1;
    s->length = (size_t)tsl_tensor_elements(x);
    if (tsl_attrs_find(step->attrs, TSL_ATTR_axis)) {
        TSL_TRY(tsl_step_axis(p, 0, x->rank, &s->axis));
        for (uint32_t i = 0; i < s->axis; i++) s->outer *= (size_t)x->dims[i];
        s->length = (size_t)x->dims[s->axis];
        for (uint32_t i = s->axis + 1; i < x->rank; i++) s->inner *= (size_t)x->dims[i];
    }
    size_t *lists[] = {&s->order, &s->room, &s->group, &s->first};
    for (size_t i = 0; i < 4; i++)
        TSL_TRY(tsl_scratch_reserve(kernel, s->length * sizeof(int64_t), lists[i]));
    return TSLIM_OK;
}
