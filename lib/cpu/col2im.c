// SPDX-License-Identifier: Apache-2.0
// Col2Im: blocks of an image that lie in columns are added where they were taken from, the reverse of the
// unfolding that turns a convolution into a matrix product.
#include <inttypes.h>
#include <string.h>

#include "cpu/binary.h"

#define MAX_DIMS (TSLIM_MAX_RANK - 2)

typedef struct col2im_state {
    uint32_t dims;
    int64_t image[MAX_DIMS], block[MAX_DIMS], steps[MAX_DIMS]; // steps: places of the block along each dim
    int64_t stride[MAX_DIMS], dilation[MAX_DIMS], pad[MAX_DIMS]; // pad: before
    int64_t planes; // batches times channels
    tsl_binary add;
} col2im_state;

typedef struct col2im_task {
    const col2im_state *s;
    const tsl_tensor *x, *y;
    tsl_binary add;
} col2im_task;

static int64_t product(const int64_t *values, uint32_t count) {
    int64_t result = 1;
    for (uint32_t i = 0; i < count; i++) result *= values[i];
    return result;
}

// Adds one row of places: position `offset` within the block, all places along the last dim, at `place`
// otherwise.
static void add_row(
    const col2im_task *t, const int64_t *offset, const int64_t *place, const uint8_t *from, uint8_t *plane) {
    const col2im_state *s = t->s;
    const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->x->dtype);
    const uint32_t last = s->dims - 1;
    int64_t to = 0;
    for (uint32_t d = 0; d < last; d++) {
        int64_t at = place[d] * s->stride[d] + offset[d] * s->dilation[d] - s->pad[d];
        if (at < 0 || at >= s->image[d]) return;
        to = (to + at) * s->image[d + 1];
    }
    int64_t start = offset[last] * s->dilation[last] - s->pad[last], stride = s->stride[last];
    int64_t first = start < 0 ? (-start + stride - 1) / stride : 0, end = s->steps[last];
    int64_t inside = start < s->image[last] ? (s->image[last] - 1 - start) / stride + 1 : 0;
    if (end > inside) end = inside;
    if (first >= end) return;
    uint8_t *at = plane + (ptrdiff_t)(to + start + first * stride) * size;
    uint8_t *const data[3] = {at, at, (uint8_t *)(uintptr_t)from + (ptrdiff_t)first * size};
    const ptrdiff_t strides[3] = {(ptrdiff_t)stride * size, (ptrdiff_t)stride * size, size};
    t->add.loop(&t->add, data, strides, (size_t)(end - first));
}

static bool advance(int64_t *index, const int64_t *dims, uint32_t count) {
    for (uint32_t d = count; d-- > 0;) {
        if (++index[d] < dims[d]) return true;
        index[d] = 0;
    }
    return false;
}

static void run_planes(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const col2im_task *t = task_data;
    const col2im_state *s = t->s;
    const size_t size = tslim_dtype_size(t->x->dtype);
    const size_t image = (size_t)product(s->image, s->dims) * size,
                 row = (size_t)s->steps[s->dims - 1] * size;
    const size_t columns = (size_t)(product(s->block, s->dims) * product(s->steps, s->dims)) * size;
    for (size_t i = begin; i < end; i++) {
        uint8_t *plane = (uint8_t *)t->y->data + i * image;
        const uint8_t *from = (const uint8_t *)t->x->data + i * columns;
        memset(plane, 0, image);
        int64_t offset[MAX_DIMS] = {0}, place[MAX_DIMS] = {0};
        do {
            do {
                add_row(t, offset, place, from, plane);
                from += row;
            } while (advance(place, s->steps, s->dims - 1));
        } while (advance(offset, s->block, s->dims));
    }
}

static tslim_status run_col2im(const tsl_run *run) {
    const col2im_state *s = run->kernel->state;
    col2im_task t = {s, &run->inputs[0], &run->outputs[0], s->add};
    if (tsl_tensor_elements(t.y) == 0) return TSLIM_OK;
    if (tsl_tensor_elements(t.x) == 0) {
        memset(t.y->data, 0, (size_t)tsl_tensor_elements(t.y) * tslim_dtype_size(t.y->dtype));
        return TSLIM_OK;
    }
    t.add.a = t.add.b = t.add.y = t.y;
    tsl_parallel_for(run->ctx, (size_t)s->planes, 1, run_planes, &t);
    return TSLIM_OK;
}

// Numbers of an attribute, or `otherwise` for each dim; within 0 (or 1) and 2^31.
static tslim_status read_numbers(
    const tsl_prepare *p, tsl_attr_id id, size_t count, int64_t otherwise, int64_t *values) {
    size_t n;
    const int64_t *given = tsl_attrs_ints(p->step->attrs, id, &n);
    TSL_REQUIRE(!given || n == count, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': %s has %zu numbers, not %zu",
        p->step->name, tsl_attr_name(id), n, count);
    for (size_t i = 0; i < count; i++) {
        values[i] = given ? given[i] : otherwise;
        TSL_REQUIRE(values[i] >= otherwise && values[i] <= INT32_MAX, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': %s holds %" PRId64, p->step->name, tsl_attr_name(id), values[i]);
    }
    return TSLIM_OK;
}

static tslim_status read_geometry(const tsl_prepare *p, col2im_state *s) {
    int64_t pads[2 * MAX_DIMS];
    size_t n_image, n_block;
    bool present;
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_UNKNOWN, 1, s->image, MAX_DIMS, &n_image, &present));
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_UNKNOWN, 2, s->block, MAX_DIMS, &n_block, &present));
    TSL_REQUIRE(n_image == n_block && n_image > 0, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': an image of %zu dims and blocks of %zu", p->step->name, n_image, n_block);
    s->dims = (uint32_t)n_image;
    TSL_TRY(read_numbers(p, TSL_ATTR_strides, n_image, 1, s->stride));
    TSL_TRY(read_numbers(p, TSL_ATTR_dilations, n_image, 1, s->dilation));
    TSL_TRY(read_numbers(p, TSL_ATTR_pads, 2 * n_image, 0, pads));
    for (uint32_t d = 0; d < s->dims; d++) {
        TSL_REQUIRE(
            s->image[d] >= 0 && s->image[d] <= INT32_MAX && s->block[d] >= 1 && s->block[d] <= INT32_MAX,
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': an image of %" PRId64 " and blocks of %" PRId64,
            p->step->name, s->image[d], s->block[d]);
        s->pad[d] = pads[d];
        int64_t room = s->image[d] + pads[d] + pads[s->dims + d] - s->dilation[d] * (s->block[d] - 1) - 1;
        s->steps[d] = room < 0 ? 0 : room / s->stride[d] + 1;
    }
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_col2im(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(col2im_state, s);
    kernel->run = run_col2im;
    kernel->name = "col2im";
    TSL_TRY(read_geometry(p, s));
    int64_t columns = 1, block = 1;
    bool fits = x->rank == 3 && y->rank == s->dims + 2 && y->dims[0] == x->dims[0];
    for (uint32_t d = 0; fits && d < s->dims; d++)
        fits = y->dims[d + 2] == s->image[d] && !__builtin_mul_overflow(columns, s->steps[d], &columns) &&
               !__builtin_mul_overflow(block, s->block[d], &block);
    fits = fits && columns == x->dims[2] && y->dims[1] <= INT32_MAX && block <= INT32_MAX &&
           y->dims[1] * block == x->dims[1];
    TSL_REQUIRE(fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': %" PRId64 " columns for %" PRId64 " places",
        p->step->name, x->rank == 3 ? x->dims[2] : -1, columns);
    s->planes = x->dims[0] * y->dims[1];
    if (tsl_is_quantized(x) || x->dtype != y->dtype || !tsl_binary_choose(p, TSL_OP_ADD, y, x, y, &s->add))
        return tsl_cpu_unsupported(p);
    return TSLIM_OK;
}
