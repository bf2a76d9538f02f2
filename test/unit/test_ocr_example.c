// SPDX-License-Identifier: Apache-2.0
// The text example's own code, which users copy: geometry, boxes from a map, text from probabilities.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "detect.h"
#include "recognize.h"

static void make_square(point corners[4], double x, double y, double side) {
    const double dx[4] = {0, 1, 1, 0}, dy[4] = {0, 0, 1, 1};
    for (int i = 0; i < 4; i++) corners[i] = (point){x + side * dx[i], y + side * dy[i]};
}

static void reverse(point corners[4]) {
    for (int i = 0; i < 2; i++) {
        point kept = corners[i];
        corners[i] = corners[3 - i];
        corners[3 - i] = kept;
    }
}

static void test_overlap(void **state) {
    (void)state;
    point a[4], b[4];
    make_square(a, 0, 0, 2);
    make_square(b, 1, 1, 2);
    assert_true(fabs(overlap(a, a) - 1) < 1e-12);
    assert_true(fabs(overlap(a, b) - 1.0 / 7) < 1e-12);
    reverse(b); // the direction around it does not matter
    assert_true(fabs(overlap(a, b) - 1.0 / 7) < 1e-12);
    make_square(b, 5, 5, 1);
    assert_true(overlap(a, b) == 0);
    make_square(b, 0.5, 0.5, 1);
    assert_true(fabs(overlap(a, b) - 0.25) < 1e-12);
    // A square and the same turned by 45 degrees share an octagon: 2 (sqrt(2) - 1) of each.
    const point turned[4] = {{1 - sqrt(2), 1}, {1, 1 - sqrt(2)}, {1 + sqrt(2), 1}, {1, 1 + sqrt(2)}};
    double shared = 8 * (sqrt(2) - 1);
    assert_true(fabs(overlap(a, turned) - shared / (8 - shared)) < 1e-12);
}

static void test_least_rectangle(void **state) {
    (void)state;
    point points[102], hull[103];
    double angle = 0.4;
    size_t count = 0;
    for (int u = 0; u <= 16; u++)
        for (int v = 0; v <= 5; v++)
            points[count++] =
                (point){10 + u * cos(angle) - v * sin(angle), 20 + u * sin(angle) + v * cos(angle)};
    assert_int_equal(count, 102);
    size_t n = convex_hull(points, count, hull);
    rectangle r = least_rectangle(hull, n);
    assert_true(fabs(fmax(r.width, r.height) - 16) < 1e-9 && fabs(fmin(r.width, r.height) - 5) < 1e-9);
    assert_true(fabs(r.centre.x - (10 + 8 * cos(angle) - 2.5 * sin(angle))) < 1e-9);
    point one = {3, 4}, single[2];
    assert_int_equal(convex_hull(&one, 1, single), 1);
    r = least_rectangle(single, 1);
    assert_true(r.width == 0 && r.height == 0 && r.centre.x == 3);
}

static void test_boxes(void **state) {
    (void)state;
    static float map[60 * 80];
    memset(map, 0, sizeof(map));
    for (int y = 10; y < 21; y++)
        for (int x = 20; x < 61; x++) map[y * 80 + x] = 0.9f;
    for (int y = 30; y < 41; y++)
        for (int x = 20; x < 61; x++) map[y * 80 + x] = 0.5f; // over the threshold, but unlikely
    map[50 * 80 + 5] = 1; // too small
    box boxes[4];
    assert_int_equal(detect_boxes(map, 80, 60, boxes, 4), 1);
    // 40 x 10 between centres of pixels, grown by 1.5 * 400 / 100 on each side.
    point wanted[4] = {{14, 4}, {66, 4}, {66, 26}, {14, 26}};
    assert_true(overlap(boxes[0].corners, wanted) > 1 - 1e-9);
    assert_int_equal(detect_boxes(map, 80, 60, boxes, 0), 0);
}

static void test_text(void **state) {
    (void)state;
    alphabet a;
    char text[16];
    size_t length;
    assert_true(alphabet_create(&a, "a\n\xe7\x9a\x84\nc"));
    assert_int_equal(a.count, 5); // and the blank and the space
    const int classes[] = {0, 1, 1, 0, 1, 2, 2, 4, 3, 0};
    float probabilities[10 * 5] = {0};
    for (int i = 0; i < 10; i++) probabilities[i * 5 + classes[i]] = 1;
    recognize(probabilities, 10, 5, &a, text, sizeof(text));
    assert_string_equal(text, "aa\xe7\x9a\x84 c");
    recognize(probabilities, 10, 5, &a, text, 4); // whole characters only
    assert_string_equal(text, "aa ");
    assert_int_equal(edit_distance("aa\xe7\x9a\x84 c",
                         "aa\xe7\x9a\x84"
                         "c",
                         &length),
        0);
    assert_int_equal(length, 4);
    assert_int_equal(edit_distance("kitten", "sitting", &length), 3);
    assert_int_equal(edit_distance("", "abc", &length), 3);
    alphabet_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_least_rectangle),
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
