// SPDX-License-Identifier: Apache-2.0
#include "detect.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define THRESHOLD 0.3f
#define LEAST_SCORE 0.6
#define LEAST_SIDE 3
#define UNCLIP 1.5

typedef struct search {
    const float *probability;
    int width, height;
    uint8_t *seen;
    int *queue; // pixels of the region at hand
    point *edge, *hull; // its outermost pixels of each row, and their hull
} search;

static void visit(search *s, int x, int y, size_t *count) {
    if (x < 0 || y < 0 || x >= s->width || y >= s->height) return;
    int at = y * s->width + x;
    if (s->seen[at] || !(s->probability[at] > THRESHOLD)) return;
    s->seen[at] = 1;
    s->queue[(*count)++] = at;
}

// All pixels that hang together with the first, also over corners.
static size_t fill_region(search *s, int x, int y) {
    size_t count = 0;
    visit(s, x, y, &count);
    for (size_t next = 0; next < count; next++) {
        int at_x = s->queue[next] % s->width, at_y = s->queue[next] / s->width;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) visit(s, at_x + dx, at_y + dy, &count);
    }
    return count;
}

static int by_place(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

// The first and last pixel of each row are enough for a hull.
static size_t find_edge(search *s, size_t count) {
    size_t n = 0;
    qsort(s->queue, count, sizeof(*s->queue), by_place);
    for (size_t i = 0; i < count; i++) {
        int row = s->queue[i] / s->width;
        bool first = i == 0 || s->queue[i - 1] / s->width != row;
        bool last = i + 1 == count || s->queue[i + 1] / s->width != row;
        if (first || last) s->edge[n++] = (point){s->queue[i] % s->width, row};
    }
    return n;
}

// The mean over the pixels within.
static double score_of(const search *s, const rectangle *r) {
    point corners[4];
    rectangle_corners(r, corners);
    double low_x = corners[0].x, high_x = low_x, low_y = corners[0].y, high_y = low_y, sum = 0;
    for (int i = 1; i < 4; i++) {
        low_x = fmin(low_x, corners[i].x);
        high_x = fmax(high_x, corners[i].x);
        low_y = fmin(low_y, corners[i].y);
        high_y = fmax(high_y, corners[i].y);
    }
    size_t count = 0;
    for (int y = (int)fmax(0, floor(low_y)); y <= high_y && y < s->height; y++)
        for (int x = (int)fmax(0, floor(low_x)); x <= high_x && x < s->width; x++) {
            double dx = x - r->centre.x, dy = y - r->centre.y;
            double u = fabs(dx * r->along.x + dy * r->along.y), v = fabs(dy * r->along.x - dx * r->along.y);
            if (u > r->width / 2 + 0.5 || v > r->height / 2 + 0.5) continue;
            sum += s->probability[y * s->width + x];
            count++;
        }
    return count ? sum / (double)count : 0;
}

static bool make_box(search *s, size_t count, box *b) {
    size_t n = convex_hull(s->edge, find_edge(s, count), s->hull);
    rectangle r = least_rectangle(s->hull, n);
    if (fmin(r.width, r.height) < LEAST_SIDE || score_of(s, &r) < LEAST_SCORE) return false;
    double grow = r.width * r.height * UNCLIP / (2 * (r.width + r.height));
    r.width += 2 * grow;
    r.height += 2 * grow;
    rectangle_corners(&r, b->corners);
    return true;
}

size_t detect_boxes(const float *probability, int width, int height, box *boxes, size_t room) {
    size_t pixels = (size_t)width * (size_t)height, edge = 2 * (size_t)height, found = 0;
    search s = {.probability = probability,
        .width = width,
        .height = height,
        .seen = calloc(pixels, 1),
        .queue = malloc(pixels * sizeof(*s.queue)),
        .edge = malloc(edge * sizeof(*s.edge)),
        .hull = malloc((edge + 1) * sizeof(*s.hull))};
    bool ready = s.seen && s.queue && s.edge && s.hull;
    for (int y = 0; ready && y < height; y++)
        for (int x = 0; x < width && found < room; x++) {
            size_t count = fill_region(&s, x, y);
            if (count > 0 && make_box(&s, count, &boxes[found])) found++;
        }
    free(s.hull);
    free(s.edge);
    free(s.queue);
    free(s.seen);
    return found;
}
