// SPDX-License-Identifier: Apache-2.0
#include "picture.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h> // jpeglib.h needs it
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define PI 3.14159265358979323846

bool picture_create(picture *p, int width, int height, int planes) {
    *p = (picture){.width = width, .height = height, .planes = planes};
    p->pixels = calloc((size_t)width * (size_t)height * (size_t)planes, sizeof(float));
    return p->pixels;
}

void picture_destroy(picture *p) {
    free(p->pixels);
    p->pixels = NULL;
}

static void replace(picture *p, picture *by) {
    free(p->pixels);
    *p = *by;
}

// Between the four pixels around a place; 0 outside.
static float sample(const picture *p, int plane, double x, double y) {
    int left = (int)floor(x), top = (int)floor(y);
    double sum = 0;
    for (int dy = 0; dy < 2; dy++)
        for (int dx = 0; dx < 2; dx++) {
            int column = left + dx, row = top + dy;
            if (column < 0 || row < 0 || column >= p->width || row >= p->height) continue;
            sum += *picture_at(p, plane, column, row) * (1 - fabs(x - column)) * (1 - fabs(y - row));
        }
    return (float)sum;
}

bool picture_rotate(picture *p, double degrees) {
    picture turned;
    if (!picture_create(&turned, p->width, p->height, p->planes)) return false;
    double c = cos(degrees * PI / 180), s = sin(degrees * PI / 180);
    double middle_x = (p->width - 1) / 2.0, middle_y = (p->height - 1) / 2.0;
    for (int plane = 0; plane < p->planes; plane++)
        for (int y = 0; y < p->height; y++)
            for (int x = 0; x < p->width; x++) {
                double dx = x - middle_x, dy = y - middle_y;
                *picture_at(&turned, plane, x, y) =
                    sample(p, plane, middle_x + c * dx - s * dy, middle_y + s * dx + c * dy);
            }
    replace(p, &turned);
    return true;
}

// One direction: `count` pixels, `stride` apart; pixels beyond the ends are those at the ends.
static void blur_line(
    float *pixels, int count, size_t stride, const float *weights, int radius, float *copy) {
    for (int i = 0; i < count; i++) copy[i] = pixels[(size_t)i * stride];
    for (int i = 0; i < count; i++) {
        float sum = 0;
        for (int k = -radius; k <= radius; k++) {
            int at = i + k < 0 ? 0 : i + k >= count ? count - 1 : i + k;
            sum += weights[k + radius] * copy[at];
        }
        pixels[(size_t)i * stride] = sum;
    }
}

bool picture_blur(picture *p, double deviation) {
    enum { MOST_RADIUS = 16 };
    int radius = (int)ceil(3 * deviation);
    if (deviation < 0.1) return true;
    if (radius > MOST_RADIUS) radius = MOST_RADIUS;
    float weights[2 * MOST_RADIUS + 1], total = 0;
    for (int k = -radius; k <= radius; k++)
        total += weights[k + radius] = (float)exp(-k * k / (2 * deviation * deviation));
    for (int k = 0; k <= 2 * radius; k++) weights[k] /= total;
    int longest = p->width > p->height ? p->width : p->height;
    float *copy = malloc((size_t)longest * sizeof(*copy));
    if (!copy) return false;
    for (int plane = 0; plane < p->planes; plane++) {
        for (int y = 0; y < p->height; y++)
            blur_line(picture_at(p, plane, 0, y), p->width, 1, weights, radius, copy);
        for (int x = 0; x < p->width; x++)
            blur_line(picture_at(p, plane, x, 0), p->height, (size_t)p->width, weights, radius, copy);
    }
    free(copy);
    return true;
}

// The pixels that one of the new size covers, averaged; between two of them when it is smaller than they are.
static void resize_line(
    const float *from, int count, size_t stride, float *to, int new_count, size_t new_stride) {
    double step = (double)count / new_count;
    double reach = step > 1 ? step : 1;
    for (int i = 0; i < new_count; i++) {
        double centre = (i + 0.5) * step - 0.5, sum = 0, total = 0;
        for (int k = (int)ceil(centre - reach); k <= (int)floor(centre + reach); k++) {
            int at = k < 0 ? 0 : k >= count ? count - 1 : k;
            double weight = 1 - fabs(k - centre) / reach;
            sum += weight * from[(size_t)at * stride];
            total += weight;
        }
        to[(size_t)i * new_stride] = (float)(sum / total);
    }
}

bool picture_resize(const picture *from, picture *to, int width, int height) {
    picture wide;
    if (!picture_create(&wide, width, from->height, from->planes)) return false;
    if (!picture_create(to, width, height, from->planes)) {
        picture_destroy(&wide);
        return false;
    }
    for (int plane = 0; plane < from->planes; plane++) {
        for (int y = 0; y < from->height; y++)
            resize_line(
                picture_at(from, plane, 0, y), from->width, 1, picture_at(&wide, plane, 0, y), width, 1);
        for (int x = 0; x < width; x++)
            resize_line(picture_at(&wide, plane, x, 0), from->height, (size_t)width,
                picture_at(to, plane, x, 0), height, (size_t)width);
    }
    picture_destroy(&wide);
    return true;
}

// Stains and folds: a few waves of low frequency.
typedef struct wave {
    double x, y, phase, height;
} wave;
#define N_WAVES 4

typedef struct paper {
    double ink[3], ground[3];
    double slope_x, slope_y; // of the light
    wave waves[N_WAVES];
    double noise;
} paper;

static paper choose_paper(ocr_random *random, double least, double most, double noise) {
    paper p;
    double contrast = random_between(random, least, most), dark = random_between(random, 0, 255 - contrast);
    int inverted = random_chance(random, 0.2);
    for (int c = 0; c < 3; c++) {
        double bright = dark + contrast + random_between(random, -12, 12);
        double deep = dark + random_between(random, -12, 12);
        p.ground[c] = inverted ? deep : bright;
        p.ink[c] = inverted ? bright : deep;
    }
    p.slope_x = random_between(random, -0.15, 0.15);
    p.slope_y = random_between(random, -0.15, 0.15);
    for (int i = 0; i < N_WAVES; i++)
        p.waves[i] = (wave){random_between(random, -6, 6), random_between(random, -6, 6),
            random_between(random, 0, 2 * PI), random_between(random, 0, 2.5)};
    p.noise = random_between(random, 0, noise);
    return p;
}

bool picture_paint(
    ocr_random *random, const picture *coverage, double least, double most, double noise, picture *painted) {
    if (!picture_create(painted, coverage->width, coverage->height, 3)) return false;
    paper p = choose_paper(random, least, most, noise);
    for (int y = 0; y < coverage->height; y++)
        for (int x = 0; x < coverage->width; x++) {
            double u = 2.0 * x / coverage->width - 1, v = 2.0 * y / coverage->height - 1, stain = 0;
            for (int i = 0; i < N_WAVES; i++)
                stain += p.waves[i].height * cos(p.waves[i].x * u + p.waves[i].y * v + p.waves[i].phase);
            double light = 1 + p.slope_x * u + p.slope_y * v, cover = *picture_at(coverage, 0, x, y);
            for (int c = 0; c < 3; c++)
                *picture_at(painted, c, x, y) =
                    (float)((p.ground[c] + cover * (p.ink[c] - p.ground[c]) + stain) * light +
                            p.noise * random_normal(random));
        }
    return true;
}

void picture_to_bytes(const picture *p, uint8_t *bytes) {
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            for (int c = 0; c < 3; c++) {
                float value = rintf(*picture_at(p, c, x, y));
                *bytes++ = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
}

// ---- JPEG ----

typedef struct jpeg_failure {
    struct jpeg_error_mgr manager; // libjpeg knows this part
    jmp_buf back;
} jpeg_failure;

// libjpeg would end the process.
static void leave(j_common_ptr info) {
    jpeg_failure *failure = (jpeg_failure *)(void *)info->err;
    longjmp(failure->back, 1);
}

static bool encode(
    const uint8_t *bytes, int width, int height, int quality, unsigned char **file, unsigned long *size) {
    struct jpeg_compress_struct info;
    jpeg_failure failure;
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = leave;
    if (setjmp(failure.back)) {
        jpeg_destroy_compress(&info);
        return false;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, file, size);
    info.image_width = (JDIMENSION)width;
    info.image_height = (JDIMENSION)height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)&bytes[info.next_scanline * (size_t)width * 3]; // only read
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return true;
}

static bool decode(const unsigned char *file, unsigned long size, uint8_t *bytes, int width) {
    struct jpeg_decompress_struct info;
    jpeg_failure failure;
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = leave;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&info);
        return false;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, file, size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = &bytes[info.output_scanline * (size_t)width * 3];
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return true;
}

bool picture_compress(uint8_t *bytes, int width, int height, int quality) {
    unsigned char *file = NULL;
    unsigned long size = 0;
    bool done = encode(bytes, width, height, quality, &file, &size) && decode(file, size, bytes, width);
    free(file);
    return done;
}
