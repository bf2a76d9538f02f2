// SPDX-License-Identifier: Apache-2.0
// NonMaxSuppression: of each class of each image, boxes in the order of their scores, without those that
// overlap one that has been taken (ONNX's operator; equal scores in the order of their boxes, as in ONNX
// Runtime).
#include "cpu/operator.h"
#include "cpu/product.h"
#include "cpu/sort.h"

typedef struct suppression_state {
    uint32_t n_inputs;
    bool centered; // boxes are centre x, centre y, width, height; else two corners y, x
    size_t order, room; // scratch offsets: lists of as many int64 as there are boxes
} suppression_state;

typedef struct box {
    float y0, x0, y1, x1;
} box;

static box read_box(const float *b, bool centered) {
    if (centered) {
        float half_width = b[2] / 2, half_height = b[3] / 2;
        return (box){b[1] - half_height, b[0] - half_width, b[1] + half_height, b[0] + half_width};
    }
    return (box){fminf(b[0], b[2]), fminf(b[1], b[3]), fmaxf(b[0], b[2]), fmaxf(b[1], b[3])};
}

// Intersection over union is larger than the threshold. Boxes without area overlap nothing.
static bool overlaps(box a, box b, float threshold) {
    float height = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0), width = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0);
    if (!(height > 0) || !(width > 0)) return false;
    float both = height * width;
    float area_a = (a.y1 - a.y0) * (a.x1 - a.x0), area_b = (b.y1 - b.y0) * (b.x1 - b.x0);
    float either = area_a + area_b - both;
    if (area_a <= 0 || area_b <= 0 || either <= 0) return false;
    return both / either > threshold;
}

static bool scores_higher(const void *user, int64_t a, int64_t b) {
    const float *scores = user;
    return scores[a] > scores[b];
}

typedef struct limits {
    int64_t most;
    float overlap, score;
    bool has_score;
} limits;

static const void *operand(const tsl_run *run, uint32_t n_inputs, uint32_t i) {
    return i < n_inputs && run->inputs[i].dtype != TSLIM_DTYPE_NONE ? run->inputs[i].data : NULL;
}

typedef struct suppression {
    const suppression_state *s;
    int64_t *order, *room;
    const float *boxes, *scores; // of one image, of one class
    int64_t n_boxes;
} suppression;

// Writes (image, class, box) for each box taken; returns how many.
static int64_t suppress(
    const suppression *c, const limits *l, int64_t image, int64_t class_index, int64_t *taken) {
    int64_t candidates = 0, count = 0;
    for (int64_t i = 0; i < c->n_boxes; i++)
        if (!l->has_score || c->scores[i] > l->score) c->order[candidates++] = i;
    tsl_sort_indices(c->order, c->room, (size_t)candidates, scores_higher, c->scores);
    for (int64_t k = 0; k < candidates && count < l->most; k++) {
        box next = read_box(c->boxes + 4 * c->order[k], c->s->centered);
        bool free = true;
        for (int64_t t = 0; t < count && free; t++)
            free = !overlaps(read_box(c->boxes + 4 * taken[3 * t + 2], c->s->centered), next, l->overlap);
        if (!free) continue;
        taken[3 * count] = image;
        taken[3 * count + 1] = class_index;
        taken[3 * count + 2] = c->order[k];
        count++;
    }
    return count;
}

static tslim_status run_suppression(const tsl_run *run) {
    const suppression_state *s = run->kernel->state;
    const tsl_tensor *boxes = &run->inputs[0], *scores = &run->inputs[1];
    tsl_tensor *y = &run->found[0];
    const int64_t *most = operand(run, s->n_inputs, 2);
    const float *overlap = operand(run, s->n_inputs, 3), *score = operand(run, s->n_inputs, 4);
    int64_t n = boxes->dims[1], classes = scores->dims[1], count = 0, *to = y->data;
    limits l = {most && *most > 0 ? *most : 0, overlap ? *overlap : 0, score ? *score : 0, score != NULL};
    suppression c = {.s = s,
        .order = (int64_t *)(void *)(run->scratch + s->order),
        .room = (int64_t *)(void *)(run->scratch + s->room),
        .n_boxes = n};
    for (int64_t image = 0; image < boxes->dims[0] && l.most > 0; image++)
        for (int64_t k = 0; k < classes; k++) {
            c.boxes = (const float *)boxes->data + image * n * 4;
            c.scores = (const float *)scores->data + (image * classes + k) * n;
            count += suppress(&c, &l, image, k, to + 3 * count);
        }
    y->dims[0] = count;
    tsl_tensor_set_row_major(y);
    return TSLIM_OK;
}

tslim_status tsl_cpu_prepare_non_max_suppression(tsl_prepare *p, tsl_kernel *kernel) {
    static const tslim_dtype types[5] = {
        TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_INT64, TSLIM_DTYPE_FLOAT, TSLIM_DTYPE_FLOAT};
    const tsl_step *step = p->step;
    TSL_NEW_STATE(suppression_state, s);
    kernel->run = run_suppression;
    kernel->name = "non-max suppression";
    for (uint32_t i = 0; i < step->n_inputs; i++) {
        const tsl_tensor *x = tsl_step_input(step, i);
        if (x && (x->dtype != types[i] || tsl_is_quantized(x))) return tsl_cpu_unsupported(p);
        TSL_REQUIRE(!x || i < 2 || tsl_tensor_elements(x) == 1, TSLIM_ERROR_INVALID_ARGUMENT,
            "node '%s': operand %u is not one number", step->name, i);
    }
    s->centered = tsl_attrs_int(step->attrs, TSL_ATTR_center_point_box, 0) != 0;
    s->n_inputs = step->n_inputs;
    size_t bytes = (size_t)step->inputs[0].dims[1] * sizeof(int64_t);
    TSL_TRY(tsl_scratch_reserve(kernel, bytes, &s->order));
    return tsl_scratch_reserve(kernel, bytes, &s->room);
}
