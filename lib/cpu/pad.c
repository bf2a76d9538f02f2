// SPDX-License-Identifier: Apache-2.0
// Pad, and CenterCropPad. Constant padding is a fill and a copy of the inside; reflection, edges and wrapping
// go element by element through one map of indices for each axis.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

typedef struct pad_state {
    const uint8_t *table;
    int64_t begin[TSLIM_MAX_RANK]; // negative: cropped
    int64_t *map[TSLIM_MAX_RANK]; // source index of each result index; NULL with a constant
    bool constant, quantized, has_value;
} pad_state;

// ---- Constant ----

static void fill(const tsl_run *run, const pad_state *s) {
    uint8_t zero[8] = {0};
    const tsl_tensor *y = &run->outputs[0];
    tsl_tensor scalar = {.dtype = y->dtype, .data = zero};
    if (s->has_value && s->quantized) {
        const tsl_tensor *value = &run->inputs[2];
        double real = tsl_is_quantized(value)
                          ? tsl_dequantized(value, tsl_load_double(value->dtype, value->data))
                          : tsl_load_double(value->dtype, value->data);
        zero[0] = (uint8_t)(int)tsl_quantized(y, real);
    } else if (s->quantized) {
        zero[0] = (uint8_t)y->quant.zero_point;
    } else if (s->has_value) {
        scalar.data = run->inputs[2].data;
    }
    tsl_copy(run->ctx, &scalar, y);
}

static tslim_status run_constant(const tsl_run *run) {
    const pad_state *s = run->kernel->state;
    tsl_tensor from = run->inputs[0], to = run->outputs[0];
    fill(run, s);
    ptrdiff_t skip_from = 0, skip_to = 0;
    for (uint32_t i = 0; i < from.rank; i++) {
        int64_t source = s->begin[i] < 0 ? -s->begin[i] : 0, target = s->begin[i] > 0 ? s->begin[i] : 0;
        int64_t length =
            from.dims[i] - source < to.dims[i] - target ? from.dims[i] - source : to.dims[i] - target;
        if (length <= 0) return TSLIM_OK;
        from.dims[i] = to.dims[i] = length;
        skip_from += (ptrdiff_t)(source * from.strides[i]);
        skip_to += (ptrdiff_t)(target * to.strides[i]);
    }
    ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(to.dtype);
    from.data = (uint8_t *)from.data + skip_from * size;
    to.data = (uint8_t *)to.data + skip_to * size;
    tsl_move(run->ctx, s->table, &from, &to);
    return TSLIM_OK;
}

// ---- Mapped ----

static tslim_status run_mapped(const tsl_run *run) {
    const pad_state *s = run->kernel->state;
    const int64_t *map[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < TSLIM_MAX_RANK; i++) map[i] = s->map[i];
    tsl_move_mapped(run->ctx, s->table, &run->inputs[0], &run->outputs[0], map);
    return TSLIM_OK;
}

static int64_t map_index(char mode, int64_t i, int64_t dim) {
    if (mode == 'e') return i < 0 ? 0 : i >= dim ? dim - 1 : i;
    if (mode == 'w') return (i % dim + dim) % dim;
    if (dim == 1) return 0;
    int64_t period = 2 * (dim - 1); // reflect: 0 1 2 3 2 1 | 0 1 ...
    i = (i % period + period) % period;
    return i < dim ? i : period - i;
}

static tslim_status prepare_maps(tsl_prepare *p, pad_state *s, char mode) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    for (uint32_t axis = 0; axis < x->rank; axis++) {
        TSL_REQUIRE(x->dims[axis] > 0 || y->dims[axis] == 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %u is empty", p->step->name, axis);
        size_t length = (size_t)y->dims[axis];
        s->map[axis] = tsl_arena_array(p->arena, length, sizeof(int64_t));
        TSL_REQUIRE_MEMORY(s->map[axis], length * sizeof(int64_t));
        for (size_t i = 0; i < length; i++)
            s->map[axis][i] = map_index(mode, (int64_t)i - s->begin[axis], x->dims[axis]);
    }
    return TSLIM_OK;
}

// ---- Prepare ----

static tslim_status read_pads(tsl_prepare *p, pad_state *s) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    int64_t pads[2 * TSLIM_MAX_RANK], axes[TSLIM_MAX_RANK];
    size_t n_pads, n_axes;
    bool present, has_axes;
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_pads, 1, pads, 2 * TSLIM_MAX_RANK, &n_pads, &present));
    TSL_TRY(tsl_step_ints(p, TSL_ATTR_UNKNOWN, 3, axes, TSLIM_MAX_RANK, &n_axes, &has_axes));
    size_t count = has_axes ? n_axes : x->rank;
    uint32_t named = 0;
    TSL_REQUIRE(present && n_pads == 2 * count, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %zu pads for %zu axes", p->step->name, n_pads, count);
    for (size_t i = 0; i < count; i++) {
        int64_t axis = has_axes ? axes[i] : (int64_t)i;
        TSL_REQUIRE(axis >= -(int64_t)x->rank && axis < (int64_t)x->rank, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %" PRId64 " of a tensor of rank %u", p->step->name, axis, x->rank);
        uint32_t a = (uint32_t)(axis < 0 ? axis + x->rank : axis);
        s->begin[a] = pads[i];
        TSL_REQUIRE(x->dims[a] + pads[i] + pads[count + i] == y->dims[a], TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': axis %u of %" PRId64 " does not become %" PRId64, p->step->name, a, x->dims[a],
            y->dims[a]);
        named |= 1u << a;
    }
    for (uint32_t a = 0; a < x->rank; a++)
        TSL_REQUIRE(x->rank == y->rank && (named >> a & 1 || x->dims[a] == y->dims[a]),
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': axis %u is not padded, but changes", p->step->name, a);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_pad(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *y = &step->outputs[0];
    TSL_NEW_STATE(pad_state, s);
    TSL_TRY(tsl_move_prepare(p, x, y, &s->table));
    TSL_TRY(read_pads(p, s));
    const char *mode = tsl_attrs_string(step->attrs, TSL_ATTR_mode, "constant");
    kernel->name = "pad";
    if (strcmp(mode, "constant") != 0) {
        bool known = strcmp(mode, "edge") == 0 || strcmp(mode, "reflect") == 0 || strcmp(mode, "wrap") == 0;
        TSL_REQUIRE(known, TSLIM_ERROR_UNSUPPORTED, "node '%s': pad mode '%.40s'", step->name, mode);
        kernel->run = run_mapped;
        return prepare_maps(p, s, mode[0]);
    }
    kernel->run = run_constant;
    s->quantized = tsl_is_quantized(y);
    const tsl_tensor *value = tsl_step_input(step, 2);
    s->has_value = value != NULL;
    TSL_REQUIRE(!value || tsl_tensor_elements(value) == 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': its value is not a single number", step->name);
    if (value && !s->quantized && value->dtype != y->dtype) return tsl_cpu_unsupported(p);
    float old_value = tsl_attrs_float(step->attrs, TSL_ATTR_value, 0.0f); // opset 2
    TSL_REQUIRE(value || old_value == 0.0f, TSLIM_ERROR_UNSUPPORTED, "node '%s': padding with %g", step->name,
        (double)old_value);
    return TSLIM_OK;
}

// What is cut off or padded is the same on both sides; the odd element is at the end.
tslim_status tsl_cpu_prepare_center_crop_pad(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    TSL_NEW_STATE(pad_state, s);
    kernel->run = run_constant;
    kernel->name = "center crop pad";
    s->quantized = tsl_is_quantized(y);
    TSL_REQUIRE(x->rank == y->rank, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': a result of another rank",
        p->step->name);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t more = y->dims[i] - x->dims[i];
        s->begin[i] = more / 2; // toward zero
    }
    return tsl_move_prepare(p, x, y, &s->table);
}
