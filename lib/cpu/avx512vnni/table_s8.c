// SPDX-License-Identifier: Apache-2.0
// Tables of bytes by AVX-512 VBMI: vpermi2b looks 64 bytes up in 128 entries, so two and a choice by the top
// bit make 256.
#include "cpu/avx512vnni/avx512vnni.h"
#include "cpu/x86/vector512.h"

#define VBMI __attribute__((target("avx512vbmi")))

typedef struct halves {
    __m512i low[2], high[2]; // entries 0..127 and 128..255
} halves;

VBMI static inline __m512i look_up(__m512i q, const halves *t) {
    __m512i low = _mm512_permutex2var_epi8(t->low[0], q, t->low[1]);
    __m512i high = _mm512_permutex2var_epi8(t->high[0], q, t->high[1]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(q), low, high);
}

VBMI void tsl_avx512vbmi_table_s8(const tsl_table_s8_args *args) {
    const size_t n_rows = args->row ? args->n_rows : 1;
    halves t;
    for (int i = 0; i < 2; i++) {
        t.low[i] = _mm512_loadu_si512(args->table + 64 * i);
        t.high[i] = _mm512_loadu_si512(args->table + 128 + 64 * i);
    }
    for (size_t r = 0, n; r < n_rows; r += n / args->n) {
        const int8_t *x = args->x + (args->row ? args->row[r] : 0);
        int8_t *y = args->y + (args->row ? args->row[r] : 0);
        size_t i = 0;
        n = tsl_table_run(args, r, n_rows);
        for (; i + 64 <= n; i += 64) _mm512_storeu_si512(y + i, look_up(_mm512_loadu_si512(x + i), &t));
        if (i < n) tsl_vi_store_few(y + i, look_up(tsl_vi_load_few(x + i, n - i), &t), n - i);
    }
}
