// SPDX-License-Identifier: Apache-2.0
// A mapped model is checked at the speed of memory: with the processor's carry-less multiplication, by
// libdeflate, or where there is one for vectors of 64 bytes by the loop below.
//
// Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009):
// what has been read is a polynomial, of which only the rest modulo CRC-32's matters. A block of 128 bits
// moved on by n bits is its lower half times x^(n + 32) and its upper half times x^(n - 32), each modulo the
// polynomial, in the reversed order of bits that CRC-32 has.
#include "base/crc32.h"

#include <libdeflate.h>

#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_info.h"

#define BLOCK ((size_t)256) // four vectors, so that multiplications wait for no other
#define WIDE __attribute__((target("avx512f,vpclmulqdq")))

// x^(n + 32) and x^(n - 32) modulo the polynomial, reversed, for each quarter of a vector.
static WIDE inline __m512i moved_by(int64_t lower, int64_t upper) {
    return _mm512_broadcast_i32x4(_mm_set_epi64x(upper, lower));
}

static WIDE inline __m512i fold(__m512i x, __m512i by, __m512i next) {
    __m512i lower = _mm512_clmulepi64_epi128(x, by, 0x00), upper = _mm512_clmulepi64_epi128(x, by, 0x11);
    return _mm512_ternarylogic_epi64(lower, upper, next, 0x96); // exclusive or of all
}

// `size` is a multiple of BLOCK, and not 0.
static WIDE uint32_t crc_of_blocks(uint32_t crc, const uint8_t *data, size_t size) {
    const __m512i by_2048 = moved_by(0x11542778a, 0x1322d1430), by_512 = moved_by(0x154442bd4, 0x1c6e41596);
    __m512i x[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_loadu_si512(data + 64 * i);
    // The checksum so far, as it is before its last inversion, belongs to the first four bytes.
    x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
    for (size_t at = BLOCK; at < size; at += BLOCK)
        for (int i = 0; i < 4; i++)
            x[i] = fold(x[i], by_2048, _mm512_loadu_si512(data + at + 64 * (size_t)i));
    for (int i = 1; i < 4; i++) x[i] = fold(x[i - 1], by_512, x[i]);
    // The last 64 bytes stand for all: their checksum, begun with nothing, is that of the whole.
    uint8_t rest[64];
    _mm512_storeu_si512(rest, x[3]);
    return libdeflate_crc32(UINT32_MAX, rest, sizeof(rest));
}

static size_t take_blocks(uint32_t *crc, const void *data, size_t size) {
    const size_t taken = size / BLOCK * BLOCK;
    if (size < 16 * BLOCK || !tsl_cpu_has_vpclmulqdq()) return 0;
    *crc = crc_of_blocks(*crc, data, taken);
    return taken;
}
#else
static size_t take_blocks(uint32_t *crc, const void *data, size_t size) {
    (void)crc, (void)data, (void)size;
    return 0;
}
#endif

uint32_t tsl_crc32(uint32_t crc, const void *data, size_t size) {
    const size_t taken = take_blocks(&crc, data, size);
    return libdeflate_crc32(crc, (const uint8_t *)data + taken, size - taken);
}
