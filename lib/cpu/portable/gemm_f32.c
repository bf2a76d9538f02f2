// SPDX-License-Identifier: Apache-2.0
// Float matrix product over gathered rows: the plain definition.
#include <math.h>

#include "cpu/portable/portable.h"
#include "cpu/portable/requantize.h"

// `bytes` need not be a multiple of the element's size away from an array that the compiler knows.
static inline const float *floats_at(const float *base, ptrdiff_t bytes) {
    return (const float *)(const void *)((const char *)base + bytes);
}

// One row, one panel.
static void accumulate(const tsl_gemm_f32_args *g, size_t row, size_t panel, float sums[TSL_PANEL]) {
    const float *w = g->w + panel * g->panel_stride;
    for (size_t j = 0; j < TSL_PANEL; j++) sums[j] = g->bias[panel * TSL_PANEL + j];
    for (size_t t = 0; t < g->n_taps; t++) {
        const float *a = floats_at(g->a, g->a_row[row] + g->tap[t]);
        for (size_t i = 0; i < g->k; i++, w += TSL_PANEL)
            for (size_t j = 0; j < TSL_PANEL; j++) sums[j] = fmaf(a[i], w[j], sums[j]);
    }
}

void tsl_portable_gemm_f32(const tsl_gemm_f32_args *g) {
    for (size_t panel = 0; panel * TSL_PANEL < g->n; panel++) {
        size_t first = panel * TSL_PANEL;
        size_t width = g->n - first < TSL_PANEL ? g->n - first : TSL_PANEL;
        for (size_t row = 0; row < g->m; row++) {
            float sums[TSL_PANEL];
            accumulate(g, row, panel, sums);
            if (g->finish) {
                tsl_gemm_f32_finish(g, row, 1, first, TSL_PANEL, sums);
                continue;
            }
            float *c = (float *)(void *)((char *)g->c + g->c_row[row]) + first;
            const float *z = g->z ? floats_at(g->z, g->z_row[row]) + first : NULL;
            for (size_t j = 0; j < width; j++) c[j] = tsl_clamp(z ? sums[j] + z[j] : sums[j], g->lo, g->hi);
        }
    }
}
