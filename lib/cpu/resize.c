// SPDX-License-Identifier: Apache-2.0
// Resize and Upsample. Nearest is a mapped copy along any axes. Linear and cubic are weighted sums of 2 or 4
// taps along each of the last one or two axes; weights are computed at prepare, in float as ONNX Runtime
// does.
#include <inttypes.h>
#include <string.h>

#include "cpu/resize.h"

typedef struct resize_state {
    const tsl_cpu_functions *functions;
    const uint8_t *table;
    int64_t *map[TSLIM_MAX_RANK]; // nearest
    tsl_resize_axis axes[2]; // rows and columns
    bool side_by_side;
    float multiplier, lo, hi;
    float x_zero, y_zero; // zero points
} resize_state;

// ---- Nearest ----

static tslim_status run_nearest(const tsl_run *run) {
    const resize_state *s = run->kernel->state;
    const int64_t *map[TSLIM_MAX_RANK];
    for (uint32_t i = 0; i < TSLIM_MAX_RANK; i++) map[i] = s->map[i];
    tsl_move_mapped(run->ctx, s->table, &run->inputs[0], &run->outputs[0], map);
    return TSLIM_OK;
}

// ---- Weighted ----

typedef struct resize_task {
    const resize_state *s;
    const tsl_run *run;
    int64_t in[4], out[4]; // byte strides of N, C, H, W
} resize_task;

static void plane_strides(const tsl_tensor *t, int64_t strides[4]) {
    const int64_t size = (int64_t)tslim_dtype_size(t->dtype);
    strides[0] = t->strides[0] * size;
    strides[1] = t->strides[1] * size;
    strides[2] = t->rank == 4 ? t->strides[2] * size : 0;
    strides[3] = t->strides[t->rank - 1] * size;
}

static void sum_doubles(const tsl_window_sum_args *args, int64_t channels, const uint8_t *x, int64_t x_step,
    uint8_t *y, int64_t y_step) {
    for (int64_t c = 0; c < channels; c++, x += x_step, y += y_step) {
        double sum = 0;
        for (size_t i = 0; i < args->n_taps; i++)
            sum += (double)args->weights[i] * *(const double *)(const void *)(x + args->taps[i]);
        *(double *)(void *)y = sum;
    }
}

static void run_pixel(const resize_task *t, int64_t n, int64_t h, int64_t w) {
    const resize_state *s = t->s;
    const tsl_resize_axis *rows = &s->axes[0], *columns = &s->axes[1];
    const tsl_tensor *x = &t->run->inputs[0], *y = &t->run->outputs[0];
    ptrdiff_t taps[TSL_RESIZE_MAX_TAPS * TSL_RESIZE_MAX_TAPS];
    float weights[TSL_RESIZE_MAX_TAPS * TSL_RESIZE_MAX_TAPS];
    tsl_window_sum_args args = {
        .taps = taps, .weights = weights, .scale = s->multiplier, .lo = s->lo, .hi = s->hi};
    args.shift = s->x_zero; // the weights' sum is 1
    args.offset = s->y_zero;
    for (uint32_t i = 0; i < rows->taps; i++) {
        for (uint32_t j = 0; j < columns->taps; j++) {
            int64_t at_row = h * rows->taps + i, at_column = w * columns->taps + j;
            float weight = rows->weight[at_row] * columns->weight[at_column];
            if (weight == 0.0f) continue;
            weights[args.n_taps] = weight;
            taps[args.n_taps++] =
                (ptrdiff_t)(rows->index[at_row] * t->in[2] + columns->index[at_column] * t->in[3]);
        }
    }
    const uint8_t *from = (const uint8_t *)x->data + n * t->in[0];
    uint8_t *to = (uint8_t *)y->data + n * t->out[0] + h * t->out[2] + w * t->out[3];
    if (x->dtype == TSLIM_DTYPE_DOUBLE) {
        sum_doubles(&args, x->dims[1], from, t->in[1], to, t->out[1]);
        return;
    }
    int64_t calls = s->side_by_side ? 1 : x->dims[1];
    args.channels = s->side_by_side ? (size_t)x->dims[1] : 1;
    for (int64_t c = 0; c < calls; c++, from += t->in[1], to += t->out[1]) {
        args.x = from;
        args.y = y->dtype == TSLIM_DTYPE_FLOAT ? (float *)(void *)to : NULL;
        args.y_s8 = args.y ? NULL : (int8_t *)to;
        if (x->dtype == TSLIM_DTYPE_FLOAT)
            s->functions->window_sum_f32(&args);
        else
            s->functions->window_sum_s8(&args);
    }
}

static void run_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const resize_task *t = task_data;
    const int64_t height = t->s->axes[0].out, width = t->s->axes[1].out;
    for (size_t item = begin; item < end; item++)
        for (int64_t w = 0; w < width; w++) run_pixel(t, (int64_t)item / height, (int64_t)item % height, w);
}

static tslim_status run_weighted(const tsl_run *run) {
    const resize_state *s = run->kernel->state;
    if (tsl_tensor_elements(&run->outputs[0]) == 0) return TSLIM_OK;
    resize_task task = {.s = s, .run = run};
    plane_strides(&run->inputs[0], task.in);
    plane_strides(&run->outputs[0], task.out);
    tsl_parallel_for(run->ctx, (size_t)(run->inputs[0].dims[0] * s->axes[0].out), 1, run_rows, &task);
    return TSLIM_OK;
}

// ---- Coordinates ----

static float unbounded_source(
    const tsl_resize_rule *rule, uint32_t axis, int64_t i, int64_t in, int64_t out) {
    const float x = (float)i, scale = rule->scale[axis];
    const char *mode = rule->coordinates;
    if (out == in && scale == 1.0f) return x;
    if (strcmp(mode, "asymmetric") == 0) return x / scale;
    if (strcmp(mode, "align_corners") == 0) return out == 1 ? 0.0f : x * (float)(in - 1) / (float)(out - 1);
    if (strcmp(mode, "pytorch_half_pixel") == 0) return out > 1 ? (x + 0.5f) / scale - 0.5f : 0.0f;
    if (strcmp(mode, "tf_half_pixel_for_nn") == 0) return (x + 0.5f) / scale;
    float half_pixel = (x + 0.5f) / scale - 0.5f;
    if (strcmp(mode, "half_pixel_symmetric") != 0) return half_pixel;
    float adjustment = (float)out / (scale * (float)in);
    return (float)in / 2.0f * (1.0f - adjustment) + half_pixel;
}

// Far outside is as good as outside: what follows converts to integers.
static float source_of(const tsl_resize_rule *rule, uint32_t axis, int64_t i, int64_t in, int64_t out) {
    return fminf(fmaxf(unbounded_source(rule, axis, i, in, out), -4.0f), (float)in + 4.0f);
}

static int64_t nearest_index(const tsl_resize_rule *rule, float x, bool smaller) {
    const char *mode = rule->nearest;
    if (strcmp(mode, "simple") == 0) return (int64_t)(smaller ? ceilf(x) : floorf(x));
    if (strcmp(mode, "floor") == 0) return (int64_t)floorf(x);
    if (strcmp(mode, "ceil") == 0) return (int64_t)ceilf(x);
    if (strcmp(mode, "round_prefer_ceil") == 0) return (int64_t)floorf(x + 0.5f);
    return (int64_t)ceilf(x - 0.5f);
}

static int64_t limit(int64_t i, int64_t count) {
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

static tslim_status prepare_nearest(tsl_prepare *p, resize_state *s, const tsl_resize_rule *rule) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    for (uint32_t axis = 0; axis < x->rank; axis++) {
        int64_t in = x->dims[axis], out = y->dims[axis];
        if (in == out && rule->scale[axis] == 1.0f) continue;
        s->map[axis] = tsl_arena_array(p->arena, (size_t)out, sizeof(int64_t));
        TSL_REQUIRE_MEMORY(s->map[axis], (size_t)out * sizeof(int64_t));
        for (int64_t i = 0; i < out; i++) {
            float at = source_of(rule, axis, i, in, out);
            s->map[axis][i] = limit(nearest_index(rule, at, rule->scale[axis] < 1.0f), in);
        }
    }
    return tsl_move_prepare(p, x, y, &s->table);
}

static void linear_taps(float x, int64_t in, int64_t *index, float *weight) {
    x = x < 0.0f ? 0.0f : x > (float)(in - 1) ? (float)(in - 1) : x;
    index[0] = limit((int64_t)floorf(x), in);
    index[1] = limit(index[0] + 1, in);
    weight[1] = x - (float)index[0];
    weight[0] = 1.0f - weight[1];
}

// Keys, "Cubic convolution interpolation for digital image processing" (1981), with parameter a.
static void cubic_taps(const tsl_resize_rule *rule, float x, int64_t in, int64_t *index, float *weight) {
    const float a = rule->cubic_a, floor_x = floorf(x), t = x - floor_x, u = 1.0f - t;
    weight[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    weight[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    weight[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    weight[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
    float sum = 0.0f;
    for (int k = 0; k < 4; k++) {
        int64_t i = (int64_t)floor_x - 1 + k;
        index[k] = limit(i, in);
        if (rule->exclude_outside && index[k] != i) weight[k] = 0.0f;
        sum += weight[k];
    }
    for (int k = 0; rule->exclude_outside && k < 4; k++) weight[k] /= sum;
}

tslim_status tsl_resize_axis_prepare(const tsl_prepare *p, const tsl_resize_rule *rule, uint32_t axis,
    int64_t in, int64_t out, tsl_resize_axis *result) {
    const uint32_t taps = rule->taps;
    size_t count = (size_t)out * taps;
    int64_t *indices = tsl_arena_array(p->arena, count, sizeof(*indices));
    float *weights = tsl_arena_array(p->arena, count, sizeof(*weights));
    TSL_REQUIRE_MEMORY(indices && weights ? result : NULL, count * sizeof(*indices));
    *result = (tsl_resize_axis){.taps = taps, .in = in, .out = out, .index = indices, .weight = weights};
    for (int64_t i = 0; i < out; i++) {
        float x = source_of(rule, axis, i, in, out);
        int64_t *index = indices + i * taps;
        float *weight = weights + i * taps;
        if (taps == 1) {
            index[0] = in == out && rule->scale[axis] == 1.0f
                           ? i
                           : limit(nearest_index(rule, x, rule->scale[axis] < 1.0f), in);
            weight[0] = 1.0f;
        } else if (taps == 2) {
            linear_taps(x, in, index, weight);
        } else {
            cubic_taps(rule, x, in, index, weight);
        }
    }
    return TSLIM_OK;
}

static tslim_status prepare_weighted(
    tsl_prepare *p, tsl_kernel *kernel, resize_state *s, const tsl_resize_rule *rule) {
    const tsl_tensor *x = &p->step->inputs[0], *y = &p->step->outputs[0];
    static const int64_t first_index = 0;
    static const float whole = 1.0f;
    kernel->run = run_weighted;
    bool doubles =
        x->dtype == TSLIM_DTYPE_DOUBLE && y->dtype == TSLIM_DTYPE_DOUBLE && !p->step->epilogue.clamp;
    bool types = (x->dtype == TSLIM_DTYPE_FLOAT || tsl_is_plain_int8(x)) &&
                 (y->dtype == TSLIM_DTYPE_FLOAT || (tsl_is_plain_int8(x) && tsl_is_plain_int8(y)));
    types = types || doubles;
    if (!types) return tsl_cpu_unsupported(p);
    bool planes = (x->rank == 3 || x->rank == 4) && x->dims[0] == y->dims[0] && x->dims[1] == y->dims[1];
    TSL_REQUIRE(planes, TSLIM_ERROR_UNSUPPORTED, "node '%s': resampling of rank %u, or of the first two dims",
        p->step->name, x->rank);
    s->axes[0] = (tsl_resize_axis){.taps = 1, .in = 1, .out = 1, .index = &first_index, .weight = &whole};
    if (x->rank == 4) TSL_TRY(tsl_resize_axis_prepare(p, rule, 2, x->dims[2], y->dims[2], &s->axes[0]));
    const uint32_t last = x->rank - 1;
    TSL_TRY(tsl_resize_axis_prepare(p, rule, last, x->dims[last], y->dims[last], &s->axes[1]));
    s->side_by_side = (x->dims[1] == 1 || x->strides[1] == 1) && (y->dims[1] == 1 || y->strides[1] == 1);
    double in_scale = tsl_is_quantized(x) ? (double)tsl_scale(x) : 1.0;
    double out_scale = tsl_is_quantized(y) ? (double)tsl_scale(y) : 1.0;
    s->multiplier = (float)(in_scale / out_scale);
    if (tsl_is_quantized(x)) s->x_zero = (float)x->quant.zero_point;
    if (tsl_is_quantized(y)) s->y_zero = (float)y->quant.zero_point;
    if (tsl_is_quantized(y))
        tsl_step_quantized_bounds(p->step, y, &s->lo, &s->hi);
    else
        tsl_step_bounds(p->step, &s->lo, &s->hi);
    return TSLIM_OK;
}

// ---- Attributes and operands ----

static tslim_status read_scales(
    const tsl_prepare *p, const tsl_tensor *x, const tsl_tensor *y, tsl_resize_rule *rule) {
    const tsl_step *step = p->step;
    const bool old = step->op == TSL_OP_UPSAMPLE || step->opset < 11;
    for (uint32_t i = 0; i < x->rank; i++) {
        TSL_REQUIRE(x->dims[i] > 0 || y->dims[i] == 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': dim %u is empty", step->name, i);
        rule->scale[i] = x->dims[i] ? (float)y->dims[i] / (float)x->dims[i] : 1.0f;
    }
    size_t count = 0;
    const float *list = tsl_attrs_floats(step->attrs, TSL_ATTR_scales, &count);
    const tsl_tensor *operand = tsl_step_input(step, old ? 1 : 2);
    if (!list && operand && operand->dtype == TSLIM_DTYPE_FLOAT && tsl_tensor_elements(operand) > 0) {
        TSL_REQUIRE(
            operand->constant, TSLIM_ERROR_UNSUPPORTED, "node '%s': scales that are computed", step->name);
        count = (size_t)tsl_tensor_elements(operand);
        list = operand->data;
    }
    if (!list) return TSLIM_OK;
    size_t n_axes;
    const int64_t *axes = tsl_attrs_ints(step->attrs, TSL_ATTR_axes, &n_axes);
    TSL_REQUIRE(count == (axes ? n_axes : x->rank), TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': %zu scales for a tensor of rank %u", step->name, count, x->rank);
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes ? axes[i] : (int64_t)i;
        if (axis < 0) axis += x->rank;
        TSL_REQUIRE(axis >= 0 && axis < (int64_t)x->rank && list[i] > 0.0f && isfinite(list[i]),
            TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': scale %zu is %g, of axis %" PRId64, step->name, i,
            (double)list[i], axis);
        rule->scale[axis] = list[i];
    }
    return TSLIM_OK;
}

static const char *const coordinate_modes[] = {"half_pixel", "pytorch_half_pixel", "half_pixel_symmetric",
    "align_corners", "asymmetric", "tf_half_pixel_for_nn", NULL};
static const char *const nearest_modes[] = {
    "simple", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};

static bool is_one_of(const char *word, const char *const *words) {
    while (*words && strcmp(word, *words) != 0) words++;
    return *words != NULL;
}

tslim_status tsl_resize_read(
    const tsl_prepare *p, const tsl_tensor *x, const tsl_tensor *y, tsl_resize_rule *rule) {
    const tsl_step *step = p->step;
    const tsl_attrs *attrs = step->attrs;
    const bool old = step->op == TSL_OP_UPSAMPLE || step->opset < 11;
    *rule = (tsl_resize_rule){.coordinates = "asymmetric", .nearest = "simple"};
    if (!old) {
        rule->coordinates = tsl_attrs_string(attrs, TSL_ATTR_coordinate_transformation_mode, "half_pixel");
        rule->nearest = tsl_attrs_string(attrs, TSL_ATTR_nearest_mode, "round_prefer_floor");
    }
    rule->cubic_a = tsl_attrs_float(attrs, TSL_ATTR_cubic_coeff_a, -0.75f);
    rule->exclude_outside = tsl_attrs_int(attrs, TSL_ATTR_exclude_outside, 0) != 0;
    TSL_REQUIRE(is_one_of(rule->coordinates, coordinate_modes), TSLIM_ERROR_UNSUPPORTED,
        "node '%s': coordinates of '%.40s'", step->name, rule->coordinates);
    TSL_REQUIRE(is_one_of(rule->nearest, nearest_modes), TSLIM_ERROR_UNSUPPORTED,
        "node '%s': nearest_mode '%.40s'", step->name, rule->nearest);
    TSL_REQUIRE(tsl_attrs_int(attrs, TSL_ATTR_antialias, 0) == 0, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': resampling with antialias", step->name);
    const char *mode = tsl_attrs_string(attrs, TSL_ATTR_mode, "nearest");
    const bool linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0;
    rule->taps = strcmp(mode, "cubic") == 0 ? 4 : linear ? 2 : 1;
    TSL_REQUIRE(rule->taps > 1 || strcmp(mode, "nearest") == 0, TSLIM_ERROR_UNSUPPORTED,
        "node '%s': resampling mode '%.40s'", step->name, mode);
    return read_scales(p, x, y, rule);
}

tslim_status tsl_cpu_prepare_resize(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    TSL_NEW_STATE(resize_state, s);
    s->functions = p->functions;
    kernel->run = run_nearest;
    kernel->name = "resize";
    tsl_resize_rule rule;
    TSL_TRY(tsl_resize_read(p, &step->inputs[0], &step->outputs[0], &rule));
    if (rule.taps > 1) return prepare_weighted(p, kernel, s, &rule);
    return step->epilogue.clamp ? tsl_cpu_unsupported(p) : prepare_nearest(p, s, &rule);
}
