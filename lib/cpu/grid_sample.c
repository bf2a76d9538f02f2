// SPDX-License-Identifier: Apache-2.0
// GridSample: each result is taken from where the grid says, along two or more axes. Coordinates of -1..1
// span the input; x comes first. Rules are those of the ONNX operator specification.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

#define MOST_AXES 3
#define MOST_TAPS 64 // of cubics along three axes

typedef struct grid_state {
    uint32_t axes;
    enum { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } mode;
    enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } padding;
    bool align_corners;
    int64_t in[MOST_AXES],
        steps[MOST_AXES]; // of the input's axes, and from one index to the next, in elements
    int64_t channels, points, plane; // of the result, for a batch item and channel; of the input
} grid_state;

typedef struct grid_task {
    const grid_state *s;
    const float *x, *grid;
    float *y;
} grid_task;

// ---- One axis ----

// Folded back at the ends of lo..hi until it lies within.
static double reflect(double x, double lo, double hi) {
    const double range = hi - lo;
    if (range <= 0) return lo;
    const double beyond = x < lo ? lo - x : x > hi ? x - hi : 0;
    if (beyond == 0) return x;
    const double turns = floor(beyond / range), rest = beyond - turns * range;
    const bool even = fmod(turns, 2) == 0;
    return (x < lo) == even ? lo + rest : hi - rest;
}

static double pad(const grid_state *s, double x, int64_t n) {
    if (s->padding == GRID_BORDER) return x < 0 ? 0 : x > (double)(n - 1) ? (double)(n - 1) : x;
    if (s->padding == GRID_ZEROS) return x;
    return s->align_corners ? reflect(x, 0, (double)(n - 1)) : reflect(x, -0.5, (double)n - 0.5);
}

typedef struct axis_taps {
    uint32_t count;
    int64_t offset[4]; // of elements; -1: outside, where there are zeros
    double weight[4];
} axis_taps;

static void set_tap(const grid_state *s, uint32_t axis, double at, double weight, axis_taps *t) {
    const int64_t n = s->in[axis], i = (int64_t)pad(s, at, n);
    t->weight[t->count] = weight;
    t->offset[t->count++] = at < 0 || at > (double)(n - 1)
                                ? (s->padding == GRID_ZEROS || i < 0 || i >= n ? -1 : i * s->steps[axis])
                                : i * s->steps[axis];
}

// Keys' cubic with a = -0.75 at distance `d` of 0..2.
static double cubic(double d) {
    const double a = -0.75;
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

static void find_taps(const grid_state *s, uint32_t axis, float position, axis_taps *t) {
    const double n = (double)s->in[axis];
    double x = s->align_corners ? ((double)position + 1) / 2 * (n - 1) : (((double)position + 1) * n - 1) / 2;
    if (!(fabs(x) < 1e9)) x = x > 0 ? 1e9 : -1e9; // also what is not a number
    t->count = 0;
    if (s->mode == GRID_NEAREST) {
        set_tap(s, axis, nearbyint(x), 1, t);
        return;
    }
    if (s->mode == GRID_LINEAR) x = pad(s, x, s->in[axis]);
    const double first = floor(x), part = x - first;
    if (s->mode == GRID_LINEAR) {
        set_tap(s, axis, first, 1 - part, t);
        set_tap(s, axis, first + 1, part, t);
        return;
    }
    for (int k = -1; k < 3; k++) set_tap(s, axis, first + k, cubic(fabs(part - k)), t);
}

// ---- Points ----

typedef struct point_taps {
    uint32_t count;
    int64_t offset[MOST_TAPS];
    double weight[MOST_TAPS];
} point_taps;

static void join_taps(const grid_state *s, const float *position, point_taps *p) {
    p->count = 1;
    p->offset[0] = 0;
    p->weight[0] = 1;
    for (uint32_t axis = 0; axis < s->axes; axis++) {
        axis_taps t;
        find_taps(s, axis, position[s->axes - 1 - axis], &t);
        point_taps before = *p;
        p->count = 0;
        for (uint32_t i = 0; i < before.count; i++)
            for (uint32_t k = 0; k < t.count; k++) {
                if (t.offset[k] < 0 || t.weight[k] == 0) continue;
                p->offset[p->count] = before.offset[i] + t.offset[k];
                p->weight[p->count++] = before.weight[i] * t.weight[k];
            }
    }
}

// An item is a point of a batch item.
static void run_points(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const grid_task *t = task_data;
    const grid_state *s = t->s;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t n = item / s->points, point = item % s->points;
        point_taps taps;
        join_taps(s, t->grid + item * s->axes, &taps);
        const float *x = t->x + n * s->channels * s->plane;
        float *y = t->y + n * s->channels * s->points + point;
        for (int64_t c = 0; c < s->channels; c++, x += s->plane, y += s->points) {
            double sum = 0;
            for (uint32_t i = 0; i < taps.count; i++) sum += taps.weight[i] * (double)x[taps.offset[i]];
            *y = (float)sum;
        }
    }
}

static tslim_status run_grid_sample(const tsl_run *run) {
    const grid_state *s = run->kernel->state;
    grid_task t = {s, run->inputs[0].data, run->inputs[1].data, run->outputs[0].data};
    tsl_parallel_for(run->ctx, (size_t)(run->inputs[0].dims[0] * s->points), 64, run_points, &t);
    return TSLIM_OK;
}

static tslim_status read_modes(tsl_prepare *p, grid_state *s) {
    const tsl_attrs *attrs = p->step->attrs;
    const char *mode = tsl_attrs_string(attrs, TSL_ATTR_mode, "linear");
    const char *padding = tsl_attrs_string(attrs, TSL_ATTR_padding_mode, "zeros");
    s->align_corners = tsl_attrs_int(attrs, TSL_ATTR_align_corners, 0) != 0;
    if (strcmp(mode, "nearest") == 0)
        s->mode = GRID_NEAREST;
    else if (strcmp(mode, "bilinear") == 0 || strcmp(mode, "linear") == 0)
        s->mode = GRID_LINEAR;
    else if (strcmp(mode, "bicubic") == 0 || strcmp(mode, "cubic") == 0)
        s->mode = GRID_CUBIC;
    else
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': sampling mode '%.40s'", p->step->name, mode);
    if (strcmp(padding, "zeros") == 0)
        s->padding = GRID_ZEROS;
    else if (strcmp(padding, "border") == 0)
        s->padding = GRID_BORDER;
    else if (strcmp(padding, "reflection") == 0)
        s->padding = GRID_REFLECTION;
    else
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "node '%s': padding mode '%.40s'", p->step->name, padding);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_grid_sample(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *grid = &step->inputs[1], *y = &step->outputs[0];
    TSL_NEW_STATE(grid_state, s);
    kernel->run = run_grid_sample;
    kernel->name = "grid sample";
    if (x->dtype != TSLIM_DTYPE_FLOAT || grid->dtype != TSLIM_DTYPE_FLOAT || y->dtype != TSLIM_DTYPE_FLOAT ||
        step->epilogue.clamp || x->rank > 2 + MOST_AXES)
        return tsl_cpu_unsupported(p);
    TSL_TRY(read_modes(p, s));
    TSL_REQUIRE(x->rank >= 3 && grid->rank == x->rank && y->rank == x->rank &&
                    grid->dims[x->rank - 1] == x->rank - 2 && grid->dims[0] == x->dims[0],
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': a grid of rank %u for a tensor of rank %u", step->name,
        grid->rank, x->rank);
    s->axes = x->rank - 2;
    s->channels = x->dims[1];
    s->points = s->plane = 1;
    for (uint32_t i = s->axes; i-- > 0;) {
        s->in[i] = x->dims[i + 2];
        s->steps[i] = s->plane;
        s->plane *= s->in[i];
        s->points *= grid->dims[i + 1];
    }
    TSL_REQUIRE(s->plane > 0 || s->points == 0, TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': samples of nothing",
        step->name);
    TSL_REQUIRE(tsl_tensor_elements(y) == x->dims[0] * s->channels * s->points, TSLIM_ERROR_INVALID_ARGUMENT,
        "node '%s': the result has other dims than the grid", step->name);
    return TSLIM_OK;
}
