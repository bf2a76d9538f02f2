// SPDX-License-Identifier: Apache-2.0
// Discrete Fourier transforms of any length, in double: radix 2, and Bluestein's algorithm ("A linear
// filtering approach to the computation of discrete Fourier transform", 1970) for lengths that are no power
// of two.
#ifndef TSL_CPU_FFT_H
#define TSL_CPU_FFT_H

#include "cpu/cpu.h"

typedef struct tsl_complex {
    double re, im;
} tsl_complex;

typedef struct tsl_fft {
    size_t length, inner; // inner: a power of two, `length` itself or one for the convolution of Bluestein's
    const tsl_complex *roots; // exp(-2 pi i k / inner), k < inner / 2
    const tsl_complex *chirp; // exp(-pi i k^2 / length); NULL for powers of two
    const tsl_complex *filter; // the transform of the chirp's conjugate, divided by inner
    bool inverse;
} tsl_fft;

// Numbers that a transform works in: `length` of data in front, from and to which it goes.
static inline size_t tsl_fft_work(const tsl_fft *fft) {
    return fft->chirp ? fft->length + fft->inner : fft->length;
}
// LIMIT for a length over 2^26.
tslim_status tsl_fft_prepare(const tsl_prepare *p, int64_t length, bool inverse, tsl_fft *fft);
// An inverse transform is divided by the length.
void tsl_fft_run(const tsl_fft *fft, tsl_complex *data);

#endif
