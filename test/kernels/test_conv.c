// SPDX-License-Identifier: Apache-2.0
// Conv and ConvTranspose as the plan uses them, at every level that this machine has, over random geometry:
// floats against sums in double precision, INT8 against exact integers and the formula of docs/numerics.md,
// for equality.
#include "kernels/kernel_test.h"

typedef struct conv_case {
    tsl_op op;
    int64_t groups, k, n; // channels of a group, in and out
    tsl_attr items[5];
    tsl_attrs attrs;
    int64_t kernel[2], stride[2], dilation[2], pads[4], output_padding[2];
    uint32_t spatial;
    tsl_window window;
    test_tensor x, w, bias, z, y;
    float x_scale, y_scale, z_scale;
    float w_scales[4096];
    tsl_tensor inputs[4];
    bool has_bias, has_residual, winograd; // winograd: of its shape, and by that method where it is possible
    tsl_step step;
    uint8_t table[256];
    tsl_chain chain;
    tsl_attr chain_items[2];
    double factor[4096], shift[4096];
} conv_case;

static tslim_context *context;

static tsl_attr ints_attr(tsl_attr_id id, const int64_t *ints, size_t count) {
    return (tsl_attr){
        .id = id, .type = TSL_ATTR_TYPE_INTS, .name = tsl_attr_name(id), .count = count, .ints = ints};
}

static void set_attributes(conv_case *t) {
    uint32_t s = t->spatial, first = 2 - s;
    t->items[0] =
        (tsl_attr){.id = TSL_ATTR_group, .type = TSL_ATTR_TYPE_INT, .name = "group", .i = t->groups};
    t->items[1] = ints_attr(TSL_ATTR_strides, t->stride + first, s);
    t->items[2] = ints_attr(TSL_ATTR_dilations, t->dilation + first, s);
    t->items[3] = ints_attr(TSL_ATTR_pads, t->pads, 2 * (size_t)s);
    t->items[4] = ints_attr(TSL_ATTR_output_padding, t->output_padding + first, s);
    t->attrs = (tsl_attrs){t->items, t->op == TSL_OP_CONV_TRANSPOSE ? 5 : 4};
}

// Draws dims until the window fits; false when it does not.
static bool draw_geometry(conv_case *t, int64_t x_dims[4], int64_t w_dims[4]) {
    t->spatial = one_in(6) ? 1 : 2;
    t->groups = one_in(3) ? random_between(2, 5) : 1;
    t->k = one_in(2) ? random_between(1, 5) : random_between(1, 37);
    t->n = one_in(3) ? random_between(17, 70) : random_between(1, 20);
    if (one_in(4)) {
        t->groups = random_between(2, 70);
        t->k = t->n = 1;
    }
    bool point = one_in(4);
    for (int i = 0; i < 2; i++) {
        t->kernel[i] = point ? 1 : random_between(1, 5);
        t->stride[i] = random_between(1, 3);
        t->dilation[i] = one_in(3) ? random_between(1, 3) : 1;
        t->output_padding[i] = t->op == TSL_OP_CONV_TRANSPOSE && t->stride[i] > 1 && one_in(3) ? 1 : 0;
    }
    for (int i = 0; i < 4; i++) t->pads[i] = one_in(2) ? random_between(0, 3) : 0;
    if (t->spatial == 1) t->kernel[0] = t->stride[0] = t->dilation[0] = 1;
    if (t->winograd) {
        t->spatial = 2;
        t->groups = 1;
        t->k = one_in(4)   ? random_between(2, 5)
               : one_in(4) ? random_between(120, 300)
                           : random_between(6, 70);
        for (int i = 0; i < 2; i++) {
            t->kernel[i] = 3;
            t->stride[i] = t->dilation[i] = 1;
        }
    }
    bool transposed = t->op == TSL_OP_CONV_TRANSPOSE;
    x_dims[0] = random_between(1, 2);
    x_dims[1] = t->groups * t->k;
    w_dims[0] = transposed ? t->groups * t->k : t->groups * t->n;
    w_dims[1] = transposed ? t->n : t->k;
    for (uint32_t i = 0; i < t->spatial; i++) {
        x_dims[2 + i] = one_in(20) ? 40 : random_between(1, 12);
        w_dims[2 + i] = t->kernel[2 - t->spatial + i];
    }
    set_attributes(t);
    return tsl_window_read(&t->attrs, t->op, t->spatial, x_dims + 2, w_dims + 2, &t->window) == TSLIM_OK;
}

static void set_tensor(test_tensor *m, tslim_dtype dtype, uint32_t rank, const int64_t *dims) {
    m->tensor = (tsl_tensor){.dtype = dtype, .rank = rank};
    memcpy(m->tensor.dims, dims, rank * sizeof(*dims));
}

static void set_scale(tsl_tensor *t, const float *scale) {
    t->quant.scales = scale;
    t->quant.n_scales = 1;
}

static void make_input(conv_case *t, tslim_dtype dtype, const int64_t *dims) {
    tsl_tensor *x = &t->x.tensor;
    set_tensor(&t->x, dtype, t->spatial + 2, dims);
    bool is_int8 = dtype != TSLIM_DTYPE_FLOAT;
    if (is_int8) set_scale(x, &t->x_scale);
    if (is_int8 && (dtype == TSLIM_DTYPE_UINT8 || one_in(5)))
        x->quant.zero_point = (int32_t)random_between(0, 100);
    x->non_negative = dtype == TSLIM_DTYPE_INT8 && x->quant.zero_point == 0 && one_in(2);
    bool last = !one_in(6);
    if (last && x->rank == 4) {
        assert_int_equal(tsl_window_border(&t->window, t->op, x->border), TSLIM_OK);
        for (int i = 0; i < 4; i++) x->border[i] = (uint16_t)(x->border[i] + (one_in(4) ? 1 : 0));
    }
    test_tensor_layout(x, last, one_in(3) ? random_between(1, 9) : 0);
    x->constant = one_in(10);
    if (x->constant) memset(x->border, 0, sizeof(x->border));
    if (x->constant) test_tensor_layout(x, last, 0);
    test_tensor_allocate(&t->x);
    int low = dtype == TSLIM_DTYPE_UINT8 || x->non_negative ? 0 : -128;
    test_tensor_randomize(x, low, dtype == TSLIM_DTYPE_UINT8 ? 255 : 127);
}

static void make_weights(conv_case *t, tslim_dtype dtype, const int64_t *dims) {
    tsl_tensor *w = &t->w.tensor;
    set_tensor(&t->w, dtype, t->spatial + 2, dims);
    test_tensor_layout(w, false, 0);
    w->constant = dtype == TSLIM_DTYPE_INT8 || !one_in(4);
    test_tensor_allocate(&t->w);
    test_tensor_randomize(w, one_in(8) ? -128 : -127, 127);
    if (dtype == TSLIM_DTYPE_FLOAT) return;
    uint32_t channels = (uint32_t)(t->groups * t->n);
    w->quant.n_scales = one_in(3) ? 1 : channels;
    w->quant.scales = t->w_scales;
    for (uint32_t i = 0; i < channels; i++) t->w_scales[i] = 0.001f + 0.02f * fabsf(random_real());
}

static void make_output(conv_case *t, tslim_dtype dtype) {
    int64_t dims[4] = {t->x.tensor.dims[0], t->groups * t->n};
    for (uint32_t i = 0; i < t->spatial; i++) dims[2 + i] = t->window.out[2 - t->spatial + i];
    set_tensor(&t->y, dtype, t->spatial + 2, dims);
    if (dtype == TSLIM_DTYPE_INT8) set_scale(&t->y.tensor, &t->y_scale);
    test_tensor_layout(&t->y.tensor, !one_in(6), one_in(2) ? random_between(1, 40) : 0);
    test_tensor_allocate(&t->y);
    test_tensor_remember(&t->y);
    bool is_int8 = t->w.tensor.dtype == TSLIM_DTYPE_INT8;
    bool depthwise = t->k == 1 && t->n == 1 && t->groups > 1;
    t->has_residual = t->op == TSL_OP_CONV && one_in(3);
    if (!t->has_residual) return;
    bool float_residual = !is_int8 || (dtype == TSLIM_DTYPE_FLOAT && !depthwise && one_in(2));
    set_tensor(&t->z, float_residual ? TSLIM_DTYPE_FLOAT : TSLIM_DTYPE_INT8, t->spatial + 2, dims);
    if (!float_residual) set_scale(&t->z.tensor, &t->z_scale);
    t->z.tensor.constant = one_in(8);
    test_tensor_layout(
        &t->z.tensor, !one_in(6), t->z.tensor.constant || one_in(2) ? 0 : random_between(1, 40));
    test_tensor_allocate(&t->z);
    test_tensor_randomize(&t->z.tensor, -128, 127);
}

// INT8 kernels add no floats before a chain.
static bool exact_with_floats(const conv_case *t) {
    return t->w.tensor.dtype == TSLIM_DTYPE_INT8 && t->z.tensor.dtype == TSLIM_DTYPE_FLOAT;
}

// A function, or a Clip with bounds or without, and a line: for each channel, for all channels, or none.
static void make_chain(conv_case *t) {
    static const tsl_op functions[] = {TSL_OP_CLIP, TSL_OP_CLIP, TSL_OP_HARD_SWISH, TSL_OP_HARD_SIGMOID,
        TSL_OP_LEAKY_RELU, TSL_OP_SIGMOID, TSL_OP_GELU};
    const bool exact = t->w.tensor.dtype == TSLIM_DTYPE_INT8; // the reference knows the cheap ones to the bit
    t->chain_items[0] =
        (tsl_attr){.id = TSL_ATTR_alpha, .type = TSL_ATTR_TYPE_FLOAT, .name = "alpha", .f = 0.2f};
    t->chain_items[1] =
        (tsl_attr){.id = TSL_ATTR_beta, .type = TSL_ATTR_TYPE_FLOAT, .name = "beta", .f = 0.4f};
    t->chain = (tsl_chain){.op = functions[random_between(0, exact ? 4 : 6)],
        .attrs = {t->chain_items, 2},
        .lo = -INFINITY,
        .hi = INFINITY,
        .factor = t->factor,
        .shift = t->shift,
        .n_channels = (uint32_t)(t->groups * t->n)};
    if (t->chain.op == TSL_OP_CLIP && one_in(2)) {
        t->chain.lo = one_in(2) ? 0 : -0.2f;
        t->chain.hi = one_in(2) ? INFINITY : 0.6f;
    }
    const bool each = one_in(2), has_shift = one_in(2), has_factor = one_in(4);
    for (uint32_t i = 0; i < t->chain.n_channels; i++) {
        t->factor[i] = has_factor ? 1 : 1.5 + (double)random_real();
        t->shift[i] = has_shift ? (double)random_real() : 0;
        if (!each) t->factor[i] = t->factor[0], t->shift[i] = t->shift[0];
    }
    if (one_in(6)) t->factor[0] = -0.7;
    t->step.epilogue.chain = &t->chain;
}

static void make_step(conv_case *t) {
    int64_t channels = t->groups * t->n;
    t->has_bias = !one_in(4);
    if (t->has_bias) {
        set_tensor(&t->bias, TSLIM_DTYPE_FLOAT, 1, &channels);
        test_tensor_layout(&t->bias.tensor, false, 0);
        t->bias.tensor.constant = !one_in(4);
        test_tensor_allocate(&t->bias);
        test_tensor_randomize(&t->bias.tensor, 0, 0);
    }
    t->inputs[0] = t->x.tensor;
    t->inputs[1] = t->w.tensor;
    t->inputs[2] = t->has_bias ? t->bias.tensor : (tsl_tensor){0};
    t->inputs[3] = t->z.tensor;
    t->step = (tsl_step){.op = t->op,
        .opset = 13,
        .name = "conv",
        .attrs = &t->attrs,
        .inputs = t->inputs,
        .outputs = &t->y.tensor,
        .n_inputs = t->has_residual ? 4
                    : t->has_bias   ? 3
                                    : 2,
        .n_outputs = 1,
        .epilogue = {.residual = -1, .lo = -INFINITY, .hi = INFINITY},
        .winograd = t->winograd ? TSL_WINOGRAD_WHERE_POSSIBLE : TSL_WINOGRAD_NEVER};
    if (t->has_residual) t->step.epilogue.residual = 3;
    if (t->y.tensor.dtype == TSLIM_DTYPE_INT8 && one_in(3)) {
        for (int i = 0; i < 256; i++) t->table[i] = (uint8_t)random_between(0, 255);
        t->step.epilogue.table = t->table;
    }
    if (one_in(2) && !(t->has_residual && exact_with_floats(t))) make_chain(t);
    if (one_in(2)) return;
    t->step.epilogue.clamp = true;
    t->step.epilogue.lo = one_in(2) ? 0 : -0.3f;
    t->step.epilogue.hi = one_in(2) ? INFINITY : 0.5f;
}

// ---- The definition ----
// The input index that kernel position k brings to output o along one axis, or -1.
static int64_t source(const conv_case *t, int axis, int64_t o, int64_t k) {
    const tsl_window *w = &t->window;
    int64_t at;
    if (t->op == TSL_OP_CONV) {
        at = o * w->stride[axis] + k * w->dilation[axis] - w->pad_begin[axis];
    } else {
        at = o + w->pad_begin[axis] - k * w->dilation[axis];
        if (at < 0 || at % w->stride[axis] != 0) return -1;
        at /= w->stride[axis];
    }
    return at >= 0 && at < w->in[axis] ? at : -1;
}

typedef struct sum {
    double value, magnitude;
} sum;

static sum sum_at(const conv_case *t, int64_t batch, int64_t channel, int64_t oy, int64_t ox) {
    const tsl_window *w = &t->window;
    int64_t group = channel / t->n, j = channel % t->n;
    sum s = {0, 0};
    for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
        for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
            int64_t iy = source(t, 0, oy, ky), ix = source(t, 1, ox, kx);
            if (iy < 0 || ix < 0) continue;
            for (int64_t c = 0; c < t->k; c++) {
                int64_t ci = group * t->k + c;
                int64_t xi = ((batch * t->groups * t->k + ci) * w->in[0] + iy) * w->in[1] + ix;
                int64_t pair = t->op == TSL_OP_CONV ? channel * t->k + c : ci * t->n + j;
                int64_t wi = (pair * w->kernel[0] + ky) * w->kernel[1] + kx;
                double product = (test_tensor_get(&t->x.tensor, xi) - t->x.tensor.quant.zero_point) *
                                 test_tensor_get(&t->w.tensor, wi);
                s.value += product;
                s.magnitude += fabs(product);
            }
        }
    }
    return s;
}

static float clamp(float y, float lo, float hi) {
    y = lo > y ? lo : y;
    return hi < y ? hi : y;
}

static float apply(const conv_case *t, float x) {
    switch (t->chain.op) {
    case TSL_OP_HARD_SWISH:
        return x * clamp(fmaf(x, 1.0f / 6, 0.5f), 0, 1);
    case TSL_OP_HARD_SIGMOID:
        return clamp(fmaf(x, 0.2f, 0.4f), 0, 1);
    case TSL_OP_LEAKY_RELU:
        return x < 0 ? x * 0.2f : x;
    case TSL_OP_SIGMOID:
        return (float)(1 / (1 + exp(-(double)x)));
    case TSL_OP_GELU:
        return (float)(0.5 * (double)x * (1 + erf((double)x * 0.70710678118654752440)));
    default:
        return clamp(x, t->chain.lo, t->chain.hi);
    }
}

// `tolerance` is absolute.
static void check_float(const conv_case *t, sum s, double tolerance, int64_t channel, int64_t index) {
    double y = s.value;
    if (t->has_bias) y += test_tensor_get(&t->bias.tensor, channel);
    if (t->has_residual) y += test_tensor_get(&t->z.tensor, index);
    const tsl_step_epilogue *e = &t->step.epilogue;
    if (e->chain) {
        y = (double)apply(t, (float)y) * t->factor[channel] + t->shift[channel];
        tolerance *= 3; // slopes of at most 2.5
    }
    if (e->clamp) y = fmin(fmax(y, (double)e->lo), (double)e->hi);
    double actual = test_tensor_get(&t->y.tensor, index);
    if (!(fabs(actual - y) <= tolerance)) fail_msg("%.9g, wanted %.9g", actual, y);
}

static float bound(float real, double scale, bool to_int8) {
    if (!to_int8) return real;
    return (float)fmin(fmax(nearbyint((double)real / scale), -128), 127);
}

// Whether multipliers, bias and bounds hold the chain: docs/numerics.md.
static bool is_line(const conv_case *t) {
    const tsl_chain *c = &t->chain;
    if (c->op != TSL_OP_CLIP || t->has_residual) return false;
    if (isinf(c->lo) && isinf(c->hi)) return true;
    bool same_factor = true, same_shift = true, positive = true;
    for (uint32_t i = 0; i < c->n_channels; i++) {
        same_factor &= t->factor[i] == t->factor[0];
        same_shift &= t->shift[i] == t->shift[0];
        positive &= t->factor[i] > 0;
    }
    return positive && same_shift && (same_factor || (c->lo == 0 && isinf(c->hi)));
}

static double bound_on_line(const conv_case *t, float real, int64_t channel) {
    return isinf(real) ? (double)real : (double)real * t->factor[channel] + t->shift[channel];
}

static void check_int8(const conv_case *t, sum s, int64_t channel, int64_t index) {
    const tsl_step_epilogue *e = &t->step.epilogue;
    const tsl_quant *w = &t->w.tensor.quant;
    bool to_int8 = t->y.tensor.dtype == TSLIM_DTYPE_INT8;
    double y_scale = to_int8 ? (double)t->y_scale : 1;
    const bool line = e->chain && is_line(t);
    const double unit = e->chain && !line ? 1 : y_scale; // of the sum
    const double factor = line ? t->factor[channel] : 1, shift = line ? t->shift[channel] * (1 / y_scale) : 0;
    const double real = t->has_bias ? test_tensor_get(&t->bias.tensor, channel) : 0;
    float scale = (float)((double)w->scales[channel % w->n_scales] * ((double)t->x_scale / unit) * factor);
    float y = fmaf((float)(int32_t)s.value, scale, (float)(real * (1 / unit) * factor + shift));
    if (t->has_residual) {
        double z = test_tensor_get(&t->z.tensor, index);
        if (t->z.tensor.dtype == TSLIM_DTYPE_FLOAT)
            y += (float)z;
        else
            y = fmaf((float)z, (float)((double)t->z_scale / unit), y);
    }
    if (e->chain && !line)
        y = fmaf(apply(t, y), (float)(t->factor[channel] / y_scale), (float)(t->shift[channel] / y_scale));
    if (line) {
        const double lo = bound_on_line(t, t->chain.lo, channel), hi = bound_on_line(t, t->chain.hi, channel);
        if (to_int8) y = nearbyintf(y);
        y = fmaxf(y, bound((float)lo, y_scale, to_int8));
        y = fminf(y, bound((float)hi, y_scale, to_int8));
    }
    if (to_int8) y = nearbyintf(y);
    y = fmaxf(y, bound(e->clamp ? e->lo : -INFINITY, y_scale, to_int8));
    y = fminf(y, bound(e->clamp ? e->hi : INFINITY, y_scale, to_int8));
    if (e->table) y = (float)(int8_t)e->table[(uint8_t)(int8_t)y];
    double actual = test_tensor_get(&t->y.tensor, index);
    if (!(actual == (double)y)) fail_msg("%.9g, wanted exactly %.9g (sum %.0f)", actual, (double)y, s.value);
}

// The sums of all outputs, computed once for all levels.
static sum *find_sums(const conv_case *t) {
    sum *sums = malloc((size_t)tsl_tensor_elements(&t->y.tensor) * sizeof(*sums)), *next = sums;
    assert_non_null(sums);
    for (int64_t b = 0; b < t->x.tensor.dims[0]; b++)
        for (int64_t c = 0; c < t->groups * t->n; c++)
            for (int64_t y = 0; y < t->window.out[0]; y++)
                for (int64_t x = 0; x < t->window.out[1]; x++) *next++ = sum_at(t, b, c, y, x);
    return sums;
}

static void check(const conv_case *t, const sum *sums) {
    int64_t elements = tsl_tensor_elements(&t->y.tensor), pixels = t->window.out[0] * t->window.out[1];
    // Winograd's outputs have their neighbours' errors.
    double largest = 0;
    for (int64_t i = 0; t->winograd && i < elements; i++) largest = fmax(largest, sums[i].magnitude);
    for (int64_t i = 0; i < elements; i++) {
        double tolerance = t->winograd ? 1e-6 * (largest + 1) : 1e-5 * (sums[i].magnitude + 1);
        int64_t channel = i / pixels % (t->groups * t->n);
        if (t->w.tensor.dtype == TSLIM_DTYPE_FLOAT)
            check_float(t, sums[i], tolerance, channel, i);
        else
            check_int8(t, sums[i], channel, i);
    }
}

// ---- Running ----
// The packed form of the case's weights, ending where touching faults.
static guarded pack_weights(conv_case *t) {
    tsl_pack_request request = {.op = t->op, .attrs = &t->attrs, .weights = t->w.tensor, .input_index = 1};
    tsl_packing packing;
    size_t bytes;
    assert_int_equal(tsl_cpu_backend.packed_size(&request, &packing, &bytes), TSLIM_OK);
    assert_int_not_equal(packing, TSL_PACKING_NONE);
    guarded memory = guarded_create(bytes + 64);
    guarded_resize(&memory, bytes);
    tsl_cpu_backend.pack(&request, memory.data);
    t->inputs[1].data = memory.data;
    t->inputs[1].packing = packing;
    return memory;
}

static void run_at_levels(conv_case *t, const sum *sums) {
    for (int i = 0; i < N_TEST_LEVELS; i++) {
        if (!tslim_isa_available(test_levels[i])) continue;
        memcpy(t->y.memory.data, t->y.before, t->y.memory.bytes);
        run_step_at(context, test_levels[i], &t->step);
        test_tensor_check_surroundings(&t->y);
        check(t, sums);
    }
}

static void run_case(tsl_op op, tslim_dtype x_type, tslim_dtype y_type, bool winograd) {
    static conv_case t;
    t = (conv_case){.op = op, .x_scale = 0.02f, .z_scale = 0.031f, .winograd = winograd};
    t.y_scale = one_in(2) ? 0.004f : 0.07f;
    int64_t x_dims[4], w_dims[4];
    while (!draw_geometry(&t, x_dims, w_dims)) {
    }
    make_input(&t, x_type, x_dims);
    make_weights(&t, x_type == TSLIM_DTYPE_FLOAT ? TSLIM_DTYPE_FLOAT : TSLIM_DTYPE_INT8, w_dims);
    make_output(&t, y_type);
    make_step(&t);
    sum *sums = find_sums(&t);
    run_at_levels(&t, sums);
    if (t.w.tensor.constant) {
        guarded packed = pack_weights(&t);
        run_at_levels(&t, sums);
        guarded_free(&packed);
    }
    free(sums);
    test_tensor *all[] = {&t.x, &t.w, &t.bias, &t.z, &t.y};
    for (int i = 0; i < 5; i++) test_tensor_free(all[i]);
}

enum { CASES = 80 };

static void test_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT, false);
}
static void test_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8, false);
}
static void test_int8_to_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT, false);
}
static void test_uint8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_INT8, false);
}
static void test_transposed_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++)
        run_case(TSL_OP_CONV_TRANSPOSE, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT, false);
}
static void test_transposed_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++)
        run_case(TSL_OP_CONV_TRANSPOSE, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8, false);
}
static void test_transposed_uint8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++)
        run_case(TSL_OP_CONV_TRANSPOSE, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_FLOAT, false);
}

static void test_winograd_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT, true);
}
static void test_winograd_int8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_INT8, TSLIM_DTYPE_INT8, true);
}
static void test_winograd_int8_to_float(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_INT8, TSLIM_DTYPE_FLOAT, true);
}
static void test_winograd_uint8(void **unused) {
    (void)unused;
    for (int i = 0; i < CASES; i++) run_case(TSL_OP_CONV, TSLIM_DTYPE_UINT8, TSLIM_DTYPE_INT8, true);
}

static int set_up(void **unused) {
    (void)unused;
    tsl_rng_seed(&test_rng, 1);
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 3;
    return tslim_context_create(&options, &context) == TSLIM_OK ? 0 : -1;
}
static int tear_down(void **unused) {
    (void)unused;
    tslim_context_destroy(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_int8_to_float),
        cmocka_unit_test(test_uint8),
        cmocka_unit_test(test_transposed_float),
        cmocka_unit_test(test_transposed_int8),
        cmocka_unit_test(test_transposed_uint8),
        cmocka_unit_test(test_winograd_float),
        cmocka_unit_test(test_winograd_int8),
        cmocka_unit_test(test_winograd_int8_to_float),
        cmocka_unit_test(test_winograd_uint8),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
