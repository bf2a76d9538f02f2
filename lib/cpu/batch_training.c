// SPDX-License-Identifier: Apache-2.0
// BatchNormalization by the statistics of its own input, and its gradient (Ioffe and Szegedy, 2015,
// arXiv:1502.03167). Floats with channels side by side go through the dispatch table, a row of pixels at a
// time; other types and layouts element by element. Sums are made in a fixed number of parts and added up in
// their order, so that they are the same for any number of threads.
#include <string.h>

#include "cpu/normalization.h"

#define PARTS ((size_t)64)

typedef struct batch_training {
    const tsl_cpu_functions *functions;
    bool gradient, quick;
    bool fixed; // by the running statistics: at inference, of doubles
    double epsilon, momentum;
    float lo, hi;
    int64_t channels;
    size_t rows, parts; // image rows, in so many parts
    uint32_t n_outputs;
} batch_training;

// Two tensors that are walked together (the second may be the first), and what is computed for each channel.
typedef struct batch_task {
    const batch_training *s;
    const tsl_tensor *p, *q, *y;
    const float *p_shift, *q_shift, *a, *b, *shift;
    double *sums; // [part][2][channel]
} batch_task;

// ---- Numbers for each channel ----

static double load(const tsl_tensor *t, int64_t i) {
    return tsl_load_double(t->dtype, (const uint8_t *)t->data + i * (int64_t)tslim_dtype_size(t->dtype));
}
static void store(const tsl_tensor *t, int64_t i, double value) {
    tsl_store_doubles(t->dtype, (uint8_t *)t->data + i * (int64_t)tslim_dtype_size(t->dtype), 0, 1, &value);
}
static double vector(const tsl_tensor *t, int64_t c) {
    return load(t, c * t->strides[0]);
}

static double elements_of_channel(const tsl_tensor *x) {
    double count = (double)x->dims[0];
    for (uint32_t i = 2; i < x->rank; i++) count *= (double)x->dims[i];
    return count;
}

// ---- Rows of pixels ----

static float *row_of(const tsl_tensor *t, size_t row) {
    const int64_t height = t->dims[2], n = (int64_t)row / height, h = (int64_t)row % height;
    return (float *)t->data + n * t->strides[0] + h * t->strides[2];
}

static ptrdiff_t pixel_step(const tsl_tensor *t) {
    return (ptrdiff_t)(t->strides[3] * (int64_t)sizeof(float));
}

static void sum_parts(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const batch_task *t = task_data;
    const batch_training *s = t->s;
    tsl_channel_sums_f32_args args = {.pixels = (size_t)t->p->dims[3],
        .channels = (size_t)s->channels,
        .p_pixel = pixel_step(t->p),
        .q_pixel = pixel_step(t->q),
        .p_shift = t->p_shift,
        .q_shift = t->q_shift};
    for (size_t part = begin; part < end; part++) {
        args.sum = t->sums + part * 2 * (size_t)s->channels;
        args.product = args.sum + s->channels;
        memset(args.sum, 0, 2 * (size_t)s->channels * sizeof(double));
        for (size_t row = part * s->rows / s->parts; row < (part + 1) * s->rows / s->parts; row++) {
            args.p = row_of(t->p, row);
            args.q = row_of(t->q, row);
            s->functions->channel_sums_f32(&args);
        }
    }
}

// Into the first part.
static void add_up(const tslim_context *ctx, batch_task *t) {
    const batch_training *s = t->s;
    tsl_parallel_for((tslim_context *)(uintptr_t)ctx, s->parts, 1, sum_parts, t);
    for (size_t part = 1; part < s->parts; part++)
        for (int64_t i = 0; i < 2 * s->channels; i++)
            t->sums[i] += t->sums[part * 2 * (size_t)s->channels + (size_t)i];
}

static void write_rows(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const batch_task *t = task_data;
    tsl_channel_affine_f32_args args = {.pixels = (size_t)t->p->dims[3],
        .channels = (size_t)t->s->channels,
        .p_pixel = pixel_step(t->p),
        .y_pixel = pixel_step(t->y),
        .a = t->a,
        .b = t->b,
        .q_shift = t->q_shift,
        .shift = t->shift,
        .lo = t->s->lo,
        .hi = t->s->hi};
    if (t->q) args.q_pixel = pixel_step(t->q);
    for (size_t row = begin; row < end; row++) {
        args.p = row_of(t->p, row);
        args.q = t->q ? row_of(t->q, row) : NULL;
        args.y = row_of(t->y, row);
        t->s->functions->channel_affine_f32(&args);
    }
}

// ---- One channel, element by element ----

typedef struct element_task {
    const batch_training *s;
    const tsl_run *run;
} element_task;

// The offsets of element `i` of a channel, of both tensors.
static int64_t offset_of(const tsl_tensor *t, int64_t channel, int64_t i) {
    int64_t offset = channel * t->strides[1];
    for (uint32_t d = t->rank; d-- > 0;) {
        if (d == 1) continue;
        offset += i % t->dims[d] * t->strides[d];
        i /= t->dims[d];
    }
    return offset;
}

static void give_statistics(
    const batch_training *s, const tsl_run *run, int64_t c, double mean, double variance) {
    const double inverse = 1 / sqrt(variance + s->epsilon), fresh = 1 - s->momentum;
    const double values[5] = {0, vector(&run->inputs[3], c) * s->momentum + mean * fresh,
        vector(&run->inputs[4], c) * s->momentum + variance * fresh, mean, inverse};
    for (uint32_t i = 1; i < s->n_outputs; i++)
        if (run->outputs[i].dtype != TSLIM_DTYPE_NONE)
            store(&run->outputs[i], c * run->outputs[i].strides[0], values[i]);
}

static void normalize_channels(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const element_task *t = task_data;
    const batch_training *s = t->s;
    const tsl_tensor *x = &t->run->inputs[0], *y = &t->run->outputs[0];
    const int64_t count = (int64_t)elements_of_channel(x);
    for (int64_t c = (int64_t)begin; c < (int64_t)end; c++) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < count; i++) mean += load(x, offset_of(x, c, i)) / (double)count;
        for (int64_t i = 0; i < count; i++) {
            const double d = load(x, offset_of(x, c, i)) - mean;
            variance += d * d / (double)count;
        }
        if (s->fixed) {
            mean = vector(&t->run->inputs[3], c);
            variance = vector(&t->run->inputs[4], c);
        }
        give_statistics(s, t->run, c, mean, variance);
        const double a = vector(&t->run->inputs[1], c) / sqrt(variance + s->epsilon);
        for (int64_t i = 0; i < count; i++) {
            double value = (load(x, offset_of(x, c, i)) - mean) * a + vector(&t->run->inputs[2], c);
            value = value < (double)s->lo ? (double)s->lo : value > (double)s->hi ? (double)s->hi : value;
            store(y, offset_of(y, c, i), value);
        }
    }
}

static void differentiate_channels(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const element_task *t = task_data;
    const tsl_tensor *dy = &t->run->inputs[0], *x = &t->run->inputs[1], *dx = &t->run->outputs[0];
    const int64_t count = (int64_t)elements_of_channel(x);
    for (int64_t c = (int64_t)begin; c < (int64_t)end; c++) {
        const double mean = vector(&t->run->inputs[3], c), inverse = vector(&t->run->inputs[4], c);
        double sum = 0, product = 0;
        for (int64_t i = 0; i < count; i++) {
            const double g = load(dy, offset_of(dy, c, i));
            sum += g;
            product += g * (load(x, offset_of(x, c, i)) - mean) * inverse;
        }
        store(&t->run->outputs[1], c * t->run->outputs[1].strides[0], product);
        store(&t->run->outputs[2], c * t->run->outputs[2].strides[0], sum);
        const double a = vector(&t->run->inputs[2], c) * inverse;
        for (int64_t i = 0; i < count; i++) {
            const double n = (load(x, offset_of(x, c, i)) - mean) * inverse;
            store(dx, offset_of(dx, c, i),
                a * (load(dy, offset_of(dy, c, i)) - (sum + n * product) / (double)count));
        }
    }
}

static tslim_status run_elements(const tsl_run *run) {
    const batch_training *s = run->kernel->state;
    element_task task = {s, run};
    if (tsl_tensor_elements(&run->inputs[0]) == 0) return TSLIM_OK;
    tsl_parallel_for(
        run->ctx, (size_t)s->channels, 1, s->gradient ? differentiate_channels : normalize_channels, &task);
    return TSLIM_OK;
}

// ---- Rows ----

// Vectors of floats in the scratch, behind the sums.
static float *scratch_vector(const batch_training *s, const tsl_run *run, size_t index) {
    const size_t channels = (size_t)s->channels;
    return (float *)(void *)(run->scratch + s->parts * 2 * channels * sizeof(double)) + index * channels;
}

static void normalize_rows(const batch_training *s, const tsl_run *run) {
    const tsl_tensor *x = &run->inputs[0];
    float *first = scratch_vector(s, run, 0), *a = scratch_vector(s, run, 1),
          *shift = scratch_vector(s, run, 2);
    // Sums of differences from the first pixel, which is as good as the mean for keeping digits.
    for (int64_t c = 0; c < s->channels; c++) first[c] = ((const float *)x->data)[c * x->strides[1]];
    batch_task t = {.s = s,
        .p = x,
        .q = x,
        .y = &run->outputs[0],
        .p_shift = first,
        .q_shift = first,
        .a = a,
        .shift = shift,
        .sums = (double *)(void *)run->scratch};
    add_up(run->ctx, &t);
    const double count = elements_of_channel(x);
    for (int64_t c = 0; c < s->channels; c++) {
        const double difference = t.sums[c] / count, mean = (double)first[c] + difference;
        const double variance = fmax(t.sums[s->channels + c] / count - difference * difference, 0);
        const double scale = vector(&run->inputs[1], c) / sqrt(variance + s->epsilon);
        a[c] = (float)scale;
        shift[c] = (float)(vector(&run->inputs[2], c) - mean * scale);
        give_statistics(s, run, c, mean, variance);
    }
    t.q = NULL;
    tsl_parallel_for(run->ctx, s->rows, 8, write_rows, &t);
}

static void differentiate_rows(const batch_training *s, const tsl_run *run) {
    const tsl_tensor *dy = &run->inputs[0], *x = &run->inputs[1];
    float *zero = scratch_vector(s, run, 0), *mean = scratch_vector(s, run, 1),
          *a = scratch_vector(s, run, 2), *b = scratch_vector(s, run, 3);
    for (int64_t c = 0; c < s->channels; c++) {
        zero[c] = 0;
        mean[c] = (float)vector(&run->inputs[3], c);
    }
    batch_task t = {.s = s,
        .p = dy,
        .q = x,
        .y = &run->outputs[0],
        .p_shift = zero,
        .q_shift = mean,
        .a = a,
        .b = b,
        .shift = zero,
        .sums = (double *)(void *)run->scratch};
    add_up(run->ctx, &t);
    const double count = elements_of_channel(x);
    for (int64_t c = 0; c < s->channels; c++) {
        const double inverse = vector(&run->inputs[4], c), product = t.sums[s->channels + c] * inverse;
        const double scale = vector(&run->inputs[2], c) * inverse;
        store(&run->outputs[1], c * run->outputs[1].strides[0], product);
        store(&run->outputs[2], c * run->outputs[2].strides[0], t.sums[c]);
        a[c] = (float)scale;
        b[c] = (float)(-scale * inverse * product / count);
        zero[c] = (float)(-scale * t.sums[c] / count);
    }
    tsl_parallel_for(run->ctx, s->rows, 8, write_rows, &t);
}

static tslim_status run_rows(const tsl_run *run) {
    const batch_training *s = run->kernel->state;
    if (tsl_tensor_elements(&run->inputs[0]) == 0) return TSLIM_OK;
    if (s->gradient)
        differentiate_rows(s, run);
    else
        normalize_rows(s, run);
    return TSLIM_OK;
}

// ---- Prepare ----

static bool is_quick(const tsl_tensor *t) {
    return t->rank == 4 && t->dtype == TSLIM_DTYPE_FLOAT && t->strides[1] == 1;
}

// The first `n_wide` operands and output 0 have the shape of x, all other operands and outputs a number a
// channel.
static tslim_status prepare(tsl_prepare *p, tsl_kernel *kernel, uint32_t n_wide, batch_training *s) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0];
    if (x->dtype != TSLIM_DTYPE_FLOAT && x->dtype != TSLIM_DTYPE_DOUBLE) return tsl_cpu_unsupported(p);
    bool fits = x->rank >= 2;
    s->quick = !s->fixed;
    for (uint32_t i = 0; i < step->n_inputs + step->n_outputs; i++) {
        const tsl_tensor *t = i < step->n_inputs ? &step->inputs[i] : &step->outputs[i - step->n_inputs];
        if (t->dtype == TSLIM_DTYPE_NONE) continue;
        if (!tsl_element_is_real(t->dtype)) return tsl_cpu_unsupported(p);
        if (i >= n_wide && i != step->n_inputs) {
            fits = fits && t->rank == 1 && t->dims[0] == x->dims[1];
            continue;
        }
        if (t->dtype != x->dtype) return tsl_cpu_unsupported(p);
        s->quick = s->quick && is_quick(t);
        fits = fits && t->rank == x->rank;
        for (uint32_t d = 0; fits && d < x->rank; d++) fits = t->dims[d] == x->dims[d];
    }
    TSL_REQUIRE(
        fits, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", step->name);
    s->functions = p->functions;
    s->channels = x->dims[1];
    s->n_outputs = step->n_outputs;
    tsl_step_bounds(step, &s->lo, &s->hi);
    kernel->run = s->quick ? run_rows : run_elements;
    if (!s->quick) return TSLIM_OK;
    s->rows = (size_t)(x->dims[0] * x->dims[2]);
    s->parts = s->rows < PARTS ? s->rows : PARTS;
    kernel->scratch_bytes = (size_t)s->channels * (s->parts * 2 * sizeof(double) + 4 * sizeof(float));
    return TSLIM_OK;
}

tslim_status tsl_batch_training_prepare(tsl_prepare *p, tsl_kernel *kernel) {
    TSL_NEW_STATE(batch_training, s);
    s->epsilon = (double)tsl_attrs_float(p->step->attrs, TSL_ATTR_epsilon, 1e-5f);
    s->momentum = (double)tsl_attrs_float(p->step->attrs, TSL_ATTR_momentum, 0.9f);
    s->fixed = tsl_attrs_int(p->step->attrs, TSL_ATTR_training_mode, 0) == 0;
    kernel->name = s->fixed ? "batch normalization of doubles" : "batch normalization in training";
    return prepare(p, kernel, 1, s);
}

tslim_status tsl_cpu_prepare_batch_normalization_gradient(tsl_prepare *p, tsl_kernel *kernel) {
    TSL_NEW_STATE(batch_training, s);
    s->gradient = true;
    kernel->name = "batch normalization gradient";
    return prepare(p, kernel, 2, s);
}
