// SPDX-License-Identifier: Apache-2.0
// Running normalizations: see normalization.h.
#include "cpu/normalization.h"

void tsl_normalization_set_axes(tsl_normalization *s, uint32_t rank, const int64_t *dims, uint32_t mask) {
    int64_t stride = 1;
    s->length = 1;
    s->groups = s->segments = (tsl_axes_walk){.total = 1};
    bool inside = true; // of the run of axes at the end that are all within a group
    for (uint32_t axis = rank; axis-- > 0;) {
        const bool within = mask >> axis & 1;
        inside = inside && within;
        if (inside) {
            s->length *= dims[axis];
        } else {
            tsl_axes_walk *walk = within ? &s->segments : &s->groups;
            walk->dims[walk->count] = dims[axis]; // the fastest first
            walk->strides[walk->count++] = stride;
            walk->total *= dims[axis];
        }
        stride *= dims[axis];
    }
}

static int64_t offset_of(const tsl_axes_walk *walk, int64_t index) {
    int64_t offset = 0;
    for (uint32_t i = 0; i < walk->count; i++) {
        offset += index % walk->dims[i] * walk->strides[i];
        index /= walk->dims[i];
    }
    return offset;
}

typedef struct normalization_task {
    const tsl_normalization *s;
    const float *x, *scale, *shift; // the last two may be NULL
    float *y, *first, *second; // outputs 1 and 2 may be NULL
} normalization_task;

// The mean of a group, or of its squared differences from `center`.
static double mean_of(const normalization_task *t, int64_t base, bool squares, float center) {
    const tsl_normalization *s = t->s;
    double sum = 0, part;
    tsl_sum_f32_args args = {.n = (size_t)s->length, .squares = squares, .center = center, .total = &part};
    for (int64_t i = 0; i < s->segments.total; i++) {
        args.x = t->x + base + offset_of(&s->segments, i);
        s->functions->sum_f32(&args);
        sum += part;
    }
    return sum / (double)(s->segments.total * s->length);
}

static void run_groups(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const normalization_task *t = task_data;
    const tsl_normalization *s = t->s;
    for (int64_t group = (int64_t)begin; group < (int64_t)end; group++) {
        const int64_t base = offset_of(&s->groups, group);
        const float mean = (float)mean_of(t, base, false, 0);
        const double variance = mean_of(t, base, true, mean);
        const double inverse =
            s->epsilon_outside ? 1 / (sqrt(variance) + s->epsilon) : 1 / sqrt(variance + s->epsilon);
        if (t->first) t->first[group] = mean;
        if (t->second) t->second[group] = (float)inverse;
        tsl_normalize_f32_args args = {
            .n = (size_t)s->length, .scalar = !s->by_element, .mean = mean, .inverse = (float)inverse};
        for (int64_t i = 0; i < s->segments.total; i++) {
            const int64_t offset = base + offset_of(&s->segments, i);
            const int64_t k = s->by_element ? 0 : group % s->period * s->group_step + i * s->segment_step;
            args.x = t->x + offset;
            args.y = t->y + offset;
            args.scale = t->scale ? t->scale + k : NULL;
            args.shift = t->shift ? t->shift + k : NULL;
            s->functions->normalize_f32(&args);
        }
    }
}

// The same of doubles, one element after the other.
static double load(const tsl_tensor *t, int64_t i) {
    return ((const double *)t->data)[i];
}

static double mean_of_doubles(
    const tsl_normalization *s, const tsl_tensor *x, int64_t base, double center, bool squares) {
    double sum = 0;
    for (int64_t i = 0; i < s->segments.total; i++) {
        const int64_t offset = base + offset_of(&s->segments, i);
        for (int64_t k = 0; k < s->length; k++) {
            const double d = load(x, offset + k) - center;
            sum += squares ? d * d : d;
        }
    }
    return sum / (double)(s->segments.total * s->length);
}

static void run_doubles(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const tsl_run *run = task_data;
    const tsl_normalization *s = run->kernel->state;
    const tsl_tensor *x = &run->inputs[0];
    double *y = run->outputs[0].data;
    for (int64_t group = (int64_t)begin; group < (int64_t)end; group++) {
        const int64_t base = offset_of(&s->groups, group);
        const double mean = mean_of_doubles(s, x, base, 0, false),
                     variance = mean_of_doubles(s, x, base, mean, true);
        const double inverse =
            s->epsilon_outside ? 1 / (sqrt(variance) + s->epsilon) : 1 / sqrt(variance + s->epsilon);
        if (s->has_mean) ((double *)run->outputs[1].data)[group] = mean;
        if (s->has_inverse) ((double *)run->outputs[2].data)[group] = inverse;
        for (int64_t i = 0; i < s->segments.total; i++) {
            const int64_t offset = base + offset_of(&s->segments, i);
            const int64_t first = s->by_element ? 0 : group % s->period * s->group_step + i * s->segment_step;
            for (int64_t k = 0; k < s->length; k++) {
                const int64_t at = first + (s->by_element ? k : 0);
                const double scale = s->has_scale ? load(&run->inputs[1], at) : 1,
                             shift = s->has_shift ? load(&run->inputs[2], at) : 0;
                y[offset + k] = (load(x, offset + k) - mean) * inverse * scale + shift;
            }
        }
    }
}

tslim_status tsl_normalization_run(const tsl_run *run) {
    const tsl_normalization *s = run->kernel->state;
    const int64_t size = s->segments.total * s->length;
    if (s->groups.total == 0 || size == 0) return TSLIM_OK;
    if (run->inputs[0].dtype == TSLIM_DTYPE_DOUBLE) {
        tsl_parallel_for(run->ctx, (size_t)s->groups.total, 1, run_doubles, (void *)(uintptr_t)run);
        return TSLIM_OK;
    }
    normalization_task t = {.s = s, .x = run->inputs[0].data, .y = run->outputs[0].data};
    if (s->has_scale) t.scale = run->inputs[1].data;
    if (s->has_shift) t.shift = run->inputs[2].data;
    if (s->has_mean) t.first = run->outputs[1].data;
    if (s->has_inverse) t.second = run->outputs[2].data;
    tsl_parallel_for(run->ctx, (size_t)s->groups.total, 16384 / (size_t)size + 1, run_groups, &t);
    return TSLIM_OK;
}
