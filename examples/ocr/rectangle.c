// SPDX-License-Identifier: Apache-2.0
#include "rectangle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Twice the area of the triangle; its sign says on which side of a-b the point c lies.
static double cross(point a, point b, point c) {
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

static int by_x(const void *left, const void *right) {
    const point *a = left, *b = right;
    if (a->x != b->x) return a->x < b->x ? -1 : 1;
    return (a->y > b->y) - (a->y < b->y);
}

size_t convex_hull(point *points, size_t count, point *hull) {
    qsort(points, count, sizeof(*points), by_x);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) { // the lower side
        while (n >= 2 && cross(hull[n - 2], hull[n - 1], points[i]) <= 0) n--;
        hull[n++] = points[i];
    }
    size_t lower = n + 1;
    for (size_t i = count; i-- > 1;) { // back along the upper one
        while (n >= lower && cross(hull[n - 2], hull[n - 1], points[i - 1]) <= 0) n--;
        hull[n++] = points[i - 1];
    }
    return n > 1 ? n - 1 : n; // the first one is there twice
}

static rectangle rectangle_along(const point *hull, size_t count, point along) {
    double low_u = INFINITY, high_u = -INFINITY, low_v = INFINITY, high_v = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double u = hull[i].x * along.x + hull[i].y * along.y, v = hull[i].y * along.x - hull[i].x * along.y;
        low_u = fmin(low_u, u);
        high_u = fmax(high_u, u);
        low_v = fmin(low_v, v);
        high_v = fmax(high_v, v);
    }
    double u = (low_u + high_u) / 2, v = (low_v + high_v) / 2;
    return (rectangle){.centre = {u * along.x - v * along.y, u * along.y + v * along.x},
        .along = along,
        .width = high_u - low_u,
        .height = high_v - low_v};
}

rectangle least_rectangle(const point *hull, size_t count) {
    rectangle best = rectangle_along(hull, count, (point){1, 0});
    for (size_t i = 0; i < count; i++) {
        point a = hull[i], b = hull[(i + 1) % count];
        double length = hypot(b.x - a.x, b.y - a.y);
        if (length == 0) continue;
        rectangle r = rectangle_along(hull, count, (point){(b.x - a.x) / length, (b.y - a.y) / length});
        if (r.width * r.height < best.width * best.height) best = r;
    }
    return best;
}

void rectangle_corners(const rectangle *r, point corners[4]) {
    static const double u[4] = {-0.5, 0.5, 0.5, -0.5}, v[4] = {-0.5, -0.5, 0.5, 0.5};
    for (int i = 0; i < 4; i++) {
        double a = u[i] * r->width, b = v[i] * r->height;
        corners[i] = (point){
            r->centre.x + a * r->along.x - b * r->along.y, r->centre.y + a * r->along.y + b * r->along.x};
    }
}

// ---- Intersection ----

#define MOST_CORNERS 16 // of two quadrilaterals' intersection there are at most 8

static double signed_area(const point *polygon, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        point a = polygon[i], b = polygon[(i + 1) % count];
        sum += a.x * b.y - a.y * b.x;
    }
    return sum / 2;
}

// What of the polygon lies left of a-b (Sutherland and Hodgman, 1974).
static size_t clip(const point *polygon, size_t count, point a, point b, point *result) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        point p = polygon[i], q = polygon[(i + 1) % count];
        double side_p = cross(a, b, p), side_q = cross(a, b, q);
        if (side_p >= 0) result[n++] = p;
        if ((side_p > 0 && side_q < 0) || (side_p < 0 && side_q > 0)) {
            double t = side_p / (side_p - side_q);
            result[n++] = (point){p.x + t * (q.x - p.x), p.y + t * (q.y - p.y)};
        }
    }
    return n;
}

double overlap(const point a[4], const point b[4]) {
    point common[MOST_CORNERS], clipped[MOST_CORNERS];
    size_t count = 4;
    memcpy(common, a, 4 * sizeof(*a));
    double area_a = signed_area(a, 4), area_b = signed_area(b, 4);
    for (int i = 0; i < 4 && count > 0; i++) {
        point from = b[i], to = b[(i + 1) % 4];
        count = area_b >= 0 ? clip(common, count, from, to, clipped) : clip(common, count, to, from, clipped);
        memcpy(common, clipped, count * sizeof(*common));
    }
    double shared = count ? fabs(signed_area(common, count)) : 0, all = fabs(area_a) + fabs(area_b) - shared;
    return all > 0 ? shared / all : 0;
}
