// SPDX-License-Identifier: Apache-2.0
#include "document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

enum { LINES = 1, PAGES = 2 };

// A text, a font that has it, and its extent.
static bool choose(glyphs *g, ocr_random *random, double size, text *t, int *font, extent *ink) {
    text_make(random, t);
    *font = glyphs_choose_font(random, g, t);
    return glyphs_measure(g, *font, (int)size, t, ink);
}

// Half of all documents went through a JPEG file.
static bool maybe_compress(ocr_random *random, uint8_t *bytes, int width, int height) {
    int quality = 50 + (int)random_below(random, 46);
    return random_chance(random, 0.5) || picture_compress(bytes, width, height, quality);
}

// ---- Lines ----

static bool draw_line(glyphs *g, ocr_random *random, text *t, picture *coverage) {
    int size = 18 + (int)random_below(random, 26), font;
    extent ink;
    if (!choose(g, random, size, t, &font, &ink)) return false;
    double margin[4];
    for (int i = 0; i < 4; i++)
        margin[i] = random_between(random, 0.1, 0.3) * size + 0.008 * (ink.right - ink.left);
    int width = (int)(ink.right - ink.left + margin[0] + margin[1]);
    int height = (int)(ink.bottom - ink.top + margin[2] + margin[3]);
    return picture_create(coverage, width, height, 1) &&
           glyphs_draw(g, font, size, t, (int)margin[0] - ink.left, (int)margin[2] - ink.top, 1, coverage) &&
           picture_rotate(coverage, random_between(random, -1, 1)) &&
           picture_blur(coverage, random_between(random, 0, 0.035) * size);
}

bool line_render(glyphs *g, uint64_t seed, uint64_t index, uint8_t *bytes, text *written) {
    ocr_random random = random_for(seed, LINES, index);
    picture coverage = {0}, painted = {0}, scaled = {0};
    uint8_t *small = NULL;
    bool done =
        draw_line(g, &random, written, &coverage) && picture_paint(&random, &coverage, 55, 200, 17, &painted);
    if (done) {
        int wide = (int)lround((double)painted.width * LINE_HEIGHT / painted.height);
        wide = wide < 8 ? 8 : wide > LINE_WIDTH ? LINE_WIDTH : wide;
        small = malloc((size_t)wide * LINE_HEIGHT * 3);
        done = small && picture_resize(&painted, &scaled, wide, LINE_HEIGHT);
        if (done) picture_to_bytes(&scaled, small);
        done = done && maybe_compress(&random, small, wide, LINE_HEIGHT);
        memset(bytes, 127, (size_t)LINE_WIDTH * LINE_HEIGHT * 3);
        for (int y = 0; done && y < LINE_HEIGHT; y++)
            memcpy(&bytes[(size_t)y * LINE_WIDTH * 3], &small[(size_t)(y * wide) * 3], (size_t)wide * 3);
    }
    free(small);
    picture_destroy(&scaled);
    picture_destroy(&painted);
    picture_destroy(&coverage);
    return done;
}

// ---- Pages ----

static void add_text(page *p, const text *t, double x, double y, const extent *ink) {
    quad *q = &p->corners[p->count];
    double right = x + ink->right - ink->left, bottom = y + ink->bottom - ink->top;
    *q = (quad){{x, right, right, x}, {y, y, bottom, bottom}};
    p->texts[p->count++] = *t;
}

// One row of texts from the left; the height of the tallest, -1 on failure.
static double draw_row(glyphs *g, ocr_random *random, double typical, double y, page *p, picture *coverage) {
    double x = random_between(random, 4, 120), tallest = 0;
    while (x < PAGE_SIZE - 40 && p->count < PAGE_MOST_TEXTS) {
        double size = fmin(fmax(typical * random_between(random, 0.75, 1.5), 11), 60);
        text t;
        int font;
        extent ink;
        if (!choose(g, random, size, &t, &font, &ink)) return -1;
        if (x + ink.right - ink.left > PAGE_SIZE - 4 || y + ink.bottom - ink.top > PAGE_SIZE - 4) break;
        float strength = (float)random_between(random, 0.6, 1);
        if (!glyphs_draw(g, font, (int)size, &t, (int)x - ink.left, (int)y - ink.top, strength, coverage))
            return -1;
        add_text(p, &t, (int)x, (int)y, &ink);
        tallest = fmax(tallest, ink.bottom - ink.top);
        x += ink.right - ink.left + size * random_between(random, 1.2, 6);
    }
    return tallest;
}

// As picture_rotate turns the pixels.
static void rotate_corners(page *p, double degrees) {
    double c = cos(degrees * PI / 180), s = sin(degrees * PI / 180), middle = (PAGE_SIZE - 1) / 2.0;
    for (size_t i = 0; i < p->count; i++)
        for (int k = 0; k < 4; k++) {
            double x = p->corners[i].x[k] - middle, y = p->corners[i].y[k] - middle;
            p->corners[i].x[k] = middle + c * x + s * y;
            p->corners[i].y[k] = middle - s * x + c * y;
        }
}

static bool draw_page(glyphs *g, ocr_random *random, page *p, picture *coverage) {
    double typical = random_between(random, 14, 34), y = random_between(random, 4, 30);
    if (!picture_create(coverage, PAGE_SIZE, PAGE_SIZE, 1)) return false;
    while (y < PAGE_SIZE - 16) {
        double tallest = draw_row(g, random, typical, y, p, coverage);
        if (tallest < 0) return false;
        y += tallest + typical * random_between(random, 0.25, 1.5);
    }
    double angle = random_between(random, -4, 4);
    rotate_corners(p, angle);
    return picture_rotate(coverage, angle) && picture_blur(coverage, random_between(random, 0, 1));
}

bool page_render(glyphs *g, uint64_t seed, uint64_t index, uint8_t *bytes, page *written) {
    ocr_random random = random_for(seed, PAGES, index);
    picture coverage = {0}, painted = {0};
    written->count = 0;
    bool done =
        draw_page(g, &random, written, &coverage) && picture_paint(&random, &coverage, 75, 220, 16, &painted);
    if (done) {
        picture_to_bytes(&painted, bytes);
        done = maybe_compress(&random, bytes, PAGE_SIZE, PAGE_SIZE);
    }
    picture_destroy(&painted);
    picture_destroy(&coverage);
    return done;
}
