// SPDX-License-Identifier: Apache-2.0
// INT8 matrix product over gathered rows: the plain definition.
#include <math.h>

#include "cpu/portable/portable.h"
#include "cpu/portable/requantize.h"

static inline int32_t activation(const void *a, size_t i, tsl_activation_kind kind) {
    return kind == TSL_ACTIVATION_U8 ? ((const uint8_t *)a)[i] : ((const int8_t *)a)[i];
}

// One row, one panel.
static void accumulate(const tsl_gemm_s8_args *g, size_t row, size_t panel, int32_t sums[TSL_PANEL]) {
    const int8_t *w = g->w + panel * g->panel_stride;
    for (size_t j = 0; j < TSL_PANEL; j++) {
        sums[j] = g->acc_init ? g->acc_init[panel * TSL_PANEL + j] : 0;
        if (g->a_sum) sums[j] += g->a_sum[row] * g->w_zero[panel * TSL_PANEL + j];
    }
    for (size_t t = 0; t < g->n_taps; t++) {
        const char *a = (const char *)g->a + g->a_row[row] + g->tap[t];
        for (size_t i = 0; i < g->k4 * TSL_K_GROUP; i += TSL_K_GROUP, w += TSL_PANEL * TSL_K_GROUP)
            for (size_t j = 0; j < TSL_PANEL; j++)
                for (size_t b = 0; b < TSL_K_GROUP; b++)
                    sums[j] += activation(a, i + b, g->a_kind) * w[j * TSL_K_GROUP + b];
    }
}

static void store(const tsl_gemm_s8_args *g, size_t row, size_t panel, const int32_t sums[TSL_PANEL]) {
    size_t first = panel * TSL_PANEL;
    if (g->finish) {
        tsl_gemm_s8_finish(g, row, 1, first, TSL_PANEL, sums);
        return;
    }
    size_t width = g->n - first < TSL_PANEL ? g->n - first : TSL_PANEL;
    const int8_t *z = g->z ? g->z + g->z_row[row] + first : NULL;
    for (size_t j = 0; j < width; j++) {
        float y = fmaf((float)sums[j], g->scale[first + j], g->bias[first + j]);
        if (z) y = fmaf((float)z[j], g->z_scale, y);
        if (g->c_s8)
            (g->c_s8 + g->c_row[row])[first + j] = tsl_requantize(y, g->lo, g->hi);
        else
            ((float *)(void *)((char *)g->c_f32 + g->c_row[row]))[first + j] = tsl_clamp(y, g->lo, g->hi);
    }
}

void tsl_portable_gemm_s8(const tsl_gemm_s8_args *g) {
    for (size_t panel = 0; panel * TSL_PANEL < g->n; panel++) {
        for (size_t row = 0; row < g->m; row++) {
            int32_t sums[TSL_PANEL];
            accumulate(g, row, panel, sums);
            store(g, row, panel, sums);
        }
    }
}
