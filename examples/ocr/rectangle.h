// SPDX-License-Identifier: Apache-2.0
// Plane geometry for text boxes.
#ifndef OCR_RECTANGLE_H
#define OCR_RECTANGLE_H

#include <stddef.h>

typedef struct point {
    double x, y;
} point;

// A rectangle at any angle.
typedef struct rectangle {
    point centre;
    point along; // of length 1: the direction of `width`
    double width, height;
} rectangle;

// The convex hull (Andrew's monotone chain, 1979). Sorts `points`; `hull` needs room for count + 1.
size_t convex_hull(point *points, size_t count, point *hull);
// The rectangle of least area around a convex hull; one of its sides lies along the hull's (Freeman and
// Shapira, 1975).
rectangle least_rectangle(const point *hull, size_t count);
void rectangle_corners(const rectangle *r, point corners[4]);

// Intersection over union of two convex quadrilaterals.
double overlap(const point a[4], const point b[4]);

#endif
