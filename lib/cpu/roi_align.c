// SPDX-License-Identifier: Apache-2.0
// RoiAlign (He et al., "Mask R-CNN", 2017): each region becomes a grid of bins, each the mean or the maximum
// of samples between pixels.
#include <inttypes.h>
#include <string.h>

#include "cpu/operator.h"

typedef struct roi_state {
    int64_t channels, height, width, bins[2],
        samples; // samples: along each axis of a bin; 0: as many as pixels
    double scale;
    bool half_pixel, maximum;
} roi_state;

typedef struct roi_task {
    const roi_state *s;
    const float *x, *rois;
    const tsl_tensor *batch;
    float *y;
} roi_task;

// The two pixels around a coordinate, and the weight of the second. False when it lies outside.
static bool around(double at, int64_t size, int64_t *low, int64_t *high, double *weight) {
    if (!(at >= -1 && at <= (double)size)) return false;
    if (at < 0) at = 0;
    *low = (int64_t)at;
    *high = *low + 1;
    if (*low >= size - 1) {
        *low = *high = size - 1;
        at = (double)*low;
    }
    *weight = at - (double)*low;
    return true;
}

// A region along one axis: where its first bin begins, how long a bin is, and how many samples it has.
typedef struct roi_axis {
    double start, bin;
    int64_t samples;
} roi_axis;

static roi_axis find_axis(const roi_state *s, double first, double last, int64_t bins, int64_t size) {
    const double offset = s->half_pixel ? 0.5 : 0;
    roi_axis a = {.start = first * s->scale - offset};
    double length = last * s->scale - offset - a.start;
    if (!s->half_pixel && !(length > 1)) length = 1;
    a.bin = length / (double)bins;
    // A region may be anywhere and of any size; more samples than this say nothing more.
    const double wanted = ceil(a.bin), most = 4 * (double)size + 4;
    a.samples = s->samples > 0  ? s->samples
                : wanted > most ? (int64_t)most
                : wanted > 0    ? (int64_t)wanted
                                : 0;
    return a;
}

static float pool_bin(
    const roi_state *s, const float *x, const roi_axis *rows, const roi_axis *columns, int64_t h, int64_t w) {
    double sum = 0, largest = 0;
    bool any = false;
    for (int64_t i = 0; i < rows->samples; i++) {
        const double y_at =
            rows->start + (double)h * rows->bin + ((double)i + 0.5) * rows->bin / (double)rows->samples;
        for (int64_t j = 0; j < columns->samples; j++) {
            const double x_at = columns->start + (double)w * columns->bin +
                                ((double)j + 0.5) * columns->bin / (double)columns->samples;
            int64_t top, bottom, left, right;
            double v = 0, u = 0, part[4] = {0};
            if (around(y_at, s->height, &top, &bottom, &v) && around(x_at, s->width, &left, &right, &u)) {
                part[0] = (1 - v) * (1 - u) * (double)x[top * s->width + left];
                part[1] = (1 - v) * u * (double)x[top * s->width + right];
                part[2] = v * (1 - u) * (double)x[bottom * s->width + left];
                part[3] = v * u * (double)x[bottom * s->width + right];
            }
            sum += part[0] + part[1] + part[2] + part[3];
            if (!any) largest = part[0];
            // ONNX's reference takes the largest of the weighted pixels, not of their sums.
            for (int k = 0; k < 4; k++) largest = part[k] > largest ? part[k] : largest;
            any = true;
        }
    }
    const int64_t count = rows->samples * columns->samples;
    return (float)(s->maximum ? largest : sum / (double)(count > 0 ? count : 1));
}

// An item is a channel of a region.
static void run_regions(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const roi_task *t = task_data;
    const roi_state *s = t->s;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t region = item / s->channels, channel = item % s->channels;
        const float *roi = t->rois + region * 4;
        const ptrdiff_t size = (ptrdiff_t)tslim_dtype_size(t->batch->dtype);
        const int64_t n = tsl_load_int(t->batch->dtype, (const uint8_t *)t->batch->data + region * size);
        const float *x = t->x + (n * s->channels + channel) * s->height * s->width;
        const roi_axis rows = find_axis(s, (double)roi[1], (double)roi[3], s->bins[0], s->height);
        const roi_axis columns = find_axis(s, (double)roi[0], (double)roi[2], s->bins[1], s->width);
        float *y = t->y + item * s->bins[0] * s->bins[1];
        for (int64_t h = 0; h < s->bins[0]; h++)
            for (int64_t w = 0; w < s->bins[1]; w++) *y++ = pool_bin(s, x, &rows, &columns, h, w);
    }
}

static tslim_status run_roi_align(const tsl_run *run) {
    const roi_state *s = run->kernel->state;
    const tsl_tensor *batch = &run->inputs[2];
    roi_task t = {s, run->inputs[0].data, run->inputs[1].data, batch, run->outputs[0].data};
    const int64_t regions = batch->dims[0];
    for (int64_t i = 0; i < regions; i++) {
        const int64_t n = tsl_load_int(
            batch->dtype, (const uint8_t *)batch->data + i * (int64_t)tslim_dtype_size(batch->dtype));
        TSL_REQUIRE(n >= 0 && n < run->inputs[0].dims[0], TSLIM_ERROR_INVALID_ARGUMENT,
            "region %" PRId64 " is of batch item %" PRId64 ", of %" PRId64, i, n, run->inputs[0].dims[0]);
    }
    tsl_parallel_for(run->ctx, (size_t)(regions * s->channels), 8, run_regions, &t);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_roi_align(tsl_prepare *p, tsl_kernel *kernel) {
    const tsl_step *step = p->step;
    const tsl_tensor *x = &step->inputs[0], *rois = &step->inputs[1], *batch = &step->inputs[2],
                     *y = &step->outputs[0];
    TSL_NEW_STATE(roi_state, s);
    kernel->run = run_roi_align;
    kernel->name = "roi align";
    if (x->dtype != TSLIM_DTYPE_FLOAT || rois->dtype != TSLIM_DTYPE_FLOAT ||
        !tsl_element_is_integer(batch->dtype) || y->dtype != TSLIM_DTYPE_FLOAT || step->epilogue.clamp)
        return tsl_cpu_unsupported(p);
    const char *mode = tsl_attrs_string(step->attrs, TSL_ATTR_mode, "avg");
    s->maximum = strcmp(mode, "max") == 0;
    TSL_REQUIRE(s->maximum || strcmp(mode, "avg") == 0, TSLIM_ERROR_UNSUPPORTED, "node '%s': mode '%.40s'",
        step->name, mode);
    const char *coordinates = tsl_attrs_string(step->attrs, TSL_ATTR_coordinate_transformation_mode,
        step->opset < 16 ? "output_half_pixel" : "half_pixel");
    s->half_pixel = strcmp(coordinates, "half_pixel") == 0;
    s->scale = (double)tsl_attrs_float(step->attrs, TSL_ATTR_spatial_scale, 1);
    s->samples = tsl_attrs_int(step->attrs, TSL_ATTR_sampling_ratio, 0);
    TSL_REQUIRE(
        s->samples <= 4096, TSLIM_ERROR_LIMIT, "node '%s': %" PRId64 " samples", step->name, s->samples);
    TSL_REQUIRE(x->rank == 4 && rois->rank == 2 && rois->dims[1] == 4 && batch->rank == 1 &&
                    batch->dims[0] == rois->dims[0] && y->rank == 4 && y->dims[0] == rois->dims[0] &&
                    y->dims[1] == x->dims[1] &&
                    ((x->dims[2] > 0 && x->dims[3] > 0) || tsl_tensor_elements(y) == 0),
        TSLIM_ERROR_INVALID_ARGUMENT, "node '%s': operands that do not fit each other", step->name);
    s->channels = x->dims[1];
    s->height = x->dims[2];
    s->width = x->dims[3];
    s->bins[0] = y->dims[2];
    s->bins[1] = y->dims[3];
    return TSLIM_OK;
}
