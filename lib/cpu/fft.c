// SPDX-License-Identifier: Apache-2.0
// Fourier transforms: see fft.h.
#include "cpu/fft.h"

#include <inttypes.h>
#include <math.h>

#define LONGEST ((int64_t)1 << 26)
#define PI 3.14159265358979323846

static tsl_complex multiply(tsl_complex a, tsl_complex b) {
    return (tsl_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static void reverse_bits(tsl_complex *data, size_t n) {
    for (size_t i = 1, j = 0; i < n; i++) {
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            tsl_complex swapped = data[i];
            data[i] = data[j];
            data[j] = swapped;
        }
    }
}

// Of a power of two, forward.
static void radix_2(const tsl_complex *roots, size_t n, tsl_complex *data) {
    reverse_bits(data, n);
    for (size_t half = 1; half < n; half *= 2) {
        const size_t step = n / (2 * half);
        for (size_t first = 0; first < n; first += 2 * half)
            for (size_t k = 0; k < half; k++) {
                tsl_complex *a = &data[first + k], *b = a + half, odd = multiply(*b, roots[k * step]);
                *b = (tsl_complex){a->re - odd.re, a->im - odd.im};
                *a = (tsl_complex){a->re + odd.re, a->im + odd.im};
            }
    }
}

// A convolution with the chirp, between products with it.
static void bluestein(const tsl_fft *fft, tsl_complex *data) {
    const size_t n = fft->length;
    tsl_complex *work = data + n;
    for (size_t i = 0; i < n; i++) work[i] = multiply(data[i], fft->chirp[i]);
    for (size_t i = n; i < fft->inner; i++) work[i] = (tsl_complex){0, 0};
    radix_2(fft->roots, fft->inner, work);
    for (size_t i = 0; i < fft->inner; i++) { // conjugated: a forward transform then does for the inverse
        work[i] = multiply(work[i], fft->filter[i]);
        work[i].im = -work[i].im;
    }
    radix_2(fft->roots, fft->inner, work);
    for (size_t i = 0; i < n; i++) data[i] = multiply((tsl_complex){work[i].re, -work[i].im}, fft->chirp[i]);
}

void tsl_fft_run(const tsl_fft *fft, tsl_complex *data) {
    const double scale = 1 / (double)fft->length;
    for (size_t i = 0; fft->inverse && i < fft->length; i++) data[i].im = -data[i].im;
    if (fft->chirp)
        bluestein(fft, data);
    else
        radix_2(fft->roots, fft->length, data);
    for (size_t i = 0; fft->inverse && i < fft->length; i++)
        data[i] = (tsl_complex){data[i].re * scale, -data[i].im * scale};
}

static tsl_complex unit(double turns) {
    return (tsl_complex){cos(2 * PI * turns), -sin(2 * PI * turns)};
}

static tslim_status prepare_bluestein(const tsl_prepare *p, tsl_fft *fft) {
    const size_t n = fft->length, inner = fft->inner;
    tsl_complex *chirp = tsl_arena_array(p->arena, n, sizeof(*chirp));
    tsl_complex *filter = tsl_arena_array(p->arena, inner, sizeof(*filter));
    TSL_REQUIRE_MEMORY(chirp && filter ? chirp : NULL, (n + inner) * sizeof(*chirp));
    for (size_t k = 0; k < n; k++) {
        chirp[k] = unit((double)(k * k % (2 * n)) / (double)(2 * n));
        const tsl_complex conjugate = {chirp[k].re / (double)inner, -chirp[k].im / (double)inner};
        filter[k] = conjugate;
        if (k > 0) filter[inner - k] = conjugate;
    }
    radix_2(fft->roots, inner, filter);
    fft->chirp = chirp;
    fft->filter = filter;
    return TSLIM_OK;
}

tslim_status tsl_fft_prepare(const tsl_prepare *p, int64_t length, bool inverse, tsl_fft *fft) {
    TSL_REQUIRE(length >= 1 && length <= LONGEST, TSLIM_ERROR_LIMIT,
        "node '%s': a Fourier transform of length %" PRId64, p->step->name, length);
    *fft = (tsl_fft){.length = (size_t)length, .inner = 1, .inverse = inverse};
    const bool power_of_2 = (length & (length - 1)) == 0;
    while (fft->inner < (power_of_2 ? fft->length : 2 * fft->length)) fft->inner *= 2;
    tsl_complex *roots = tsl_arena_array(p->arena, fft->inner / 2 + 1, sizeof(*roots));
    TSL_REQUIRE_MEMORY(roots, (fft->inner / 2 + 1) * sizeof(*roots));
    for (size_t k = 0; k < fft->inner / 2; k++) roots[k] = unit((double)k / (double)fft->inner);
    fft->roots = roots;
    return power_of_2 ? TSLIM_OK : prepare_bluestein(p, fft);
}
