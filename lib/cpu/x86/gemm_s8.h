// SPDX-License-Identifier: Apache-2.0
// Template of the INT8 matrix product. The level's file includes a dot_*.h first and
// defines
//   TSL_TILE_ROWS, TSL_TILE_PANELS   pixels and panels of a tile whose sums stay in registers
//   TSL_TILE_HEIGHTS(CASE)           CASE(1) ... CASE(TSL_TILE_ROWS)
//   TSL_TILES(CASE)                  optional: those of them that there are tiles of, ascending, with 1 and
//   the
//                                    greatest of each width: each is code of its own
//   TSL_WIDE_PANELS                  optional: where so many panels are left, tiles are as wide and lower
//   TSL_SHALLOW                      optional: products over few groups go to gemm_s8_shallow.h where they
//   can,
//                                    and TSL_SHALLOW_HALF(g, channel) does whole tiles of 8 channels
//
// Panels are outer and pixels inner, with all of K in registers: a tile's weights stay in the nearest cache
// while all pixels pass, and no sum is stored before it is complete.
#ifndef TSL_CPU_X86_GEMM_S8_H
#define TSL_CPU_X86_GEMM_S8_H

#include "cpu/x86/requantize.h"

#ifndef TSL_WIDE_PANELS
#define TSL_WIDE_PANELS TSL_TILE_PANELS
#endif
#ifndef TSL_TILES
#define TSL_TILES TSL_TILE_HEIGHTS
#endif
#define TSL_TILE_VECTORS (TSL_WIDE_PANELS * TSL_PANEL_VECTORS)
// Rows of a tile: as many sums whatever its width, but no more rows than there are heights.
#define TSL_ROWS_OF(panels)                                                                                  \
    ((panels) > TSL_TILE_PANELS ? TSL_TILE_ROWS * TSL_TILE_PANELS / (panels) : TSL_TILE_ROWS)
#define TSL_GROUP_BYTES (TSL_PANEL * TSL_K_GROUP)

#if TSL_LANES == 16

#include "cpu/x86/finish_s8_512.h"
#ifdef TSL_SHALLOW
#include "cpu/x86/gemm_s8_shallow.h"
#endif

// A tile of the greatest height, in groups of four vectors.
TSL_INLINE void finish_in_registers(const tsl_gemm_s8_args *g, size_t row, size_t channel, const int panels,
    const bool residual, tsl_vi sum[TSL_TILE_ROWS][TSL_TILE_VECTORS]) {
    const tsl_vi lo = tsl_vi_set_bytes((int)g->lo), hi = tsl_vi_set_bytes((int)g->hi);
    const int rows = TSL_ROWS_OF(panels), step = 4 / panels;
    tsl_vf scale[4], bias[4];
    TSL_UNROLL
    for (int p = 0; p < panels; p++) {
        scale[p] = tsl_vf_load(g->scale + channel + p * TSL_PANEL);
        bias[p] = tsl_vf_load(g->bias + channel + p * TSL_PANEL);
    }
#define TSL_ROW(height)                                                                                      \
    if (height <= rows && (height % step == 0 || height == rows)) {                                          \
        const int first = (height - 1) / step * step;                                                        \
        tsl_vi group[4];                                                                                     \
        TSL_UNROLL                                                                                           \
        for (int i = 0; i < 4; i++) {                                                                        \
            const int r = first + i / panels;                                                                \
            group[i] = sum[r < height ? r : first][i % panels];                                              \
        }                                                                                                    \
        tsl_finish_group(g, row + (size_t)first, (size_t)(height - first), channel, panels, scale, bias, lo, \
            hi, residual, group);                                                                            \
    }
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
}

TSL_INLINE bool is_bounded(const tsl_gemm_s8_args *g) {
    return tsl_is_bounded(g->scale, g->bias, g->n, g->z ? g->z_scale : 0);
}

#else

TSL_INLINE bool is_bounded(const tsl_gemm_s8_args *g) {
    (void)g;
    return false;
}

static __attribute__((noinline)) void store_few(
    const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel, const int32_t *sums, size_t width) {
    tsl_row_output output = {.scale = g->scale + channel,
        .bias = g->bias + channel,
        .z_scale = g->z_scale,
        .lo = g->lo,
        .hi = g->hi};
    for (size_t r = 0; r < rows; r++) {
        output.sums = sums + r * width;
        if (g->z) output.z = g->z + g->z_row[row + r] + channel;
        if (g->c_s8)
            output.c_s8 = g->c_s8 + g->c_row[row + r] + channel;
        else
            output.c_f32 = tsl_writable_floats_at(g->c_f32, g->c_row[row + r]) + channel;
        tsl_requantize_row(&output, tsl_smaller(g->n - channel, width));
    }
}

// One row's int8 outputs, of whole panels.
TSL_INLINE void store_row(const tsl_gemm_s8_args *g, size_t row, size_t channel, const int panels,
    const tsl_vi sum[TSL_TILE_VECTORS]) {
    tsl_vf lo = tsl_vf_set(g->lo), hi = tsl_vf_set(g->hi), z_scale = tsl_vf_set(g->z_scale);
    int8_t *c = g->c_s8 + g->c_row[row] + channel;
    const int8_t *z_row = g->z ? g->z + g->z_row[row] + channel : NULL;
    TSL_UNROLL
    for (int p = 0; p < panels; p++) {
        tsl_vi z[TSL_PANEL_VECTORS], q[TSL_PANEL_VECTORS];
        tsl_vf y[TSL_PANEL_VECTORS];
        TSL_UNROLL
        for (int v = 0; v < TSL_PANEL_VECTORS; v++) {
            size_t at = channel + (size_t)(p * TSL_PANEL + v * TSL_LANES);
            y[v] = tsl_vf_multiply_add(tsl_vi_to_float(sum[p * TSL_PANEL_VECTORS + v]),
                tsl_vf_load(g->scale + at), tsl_vf_load(g->bias + at));
        }
        if (z_row) {
            tsl_panel_load_s8(z_row + p * TSL_PANEL, z);
            TSL_UNROLL
            for (int v = 0; v < TSL_PANEL_VECTORS; v++)
                y[v] = tsl_vf_multiply_add(tsl_vi_to_float(z[v]), z_scale, y[v]);
        }
        TSL_UNROLL
        for (int v = 0; v < TSL_PANEL_VECTORS; v++) q[v] = tsl_vf_requantize(y[v], lo, hi);
        tsl_panel_store_s8(c + p * TSL_PANEL, q);
    }
}

#endif

static __attribute__((noinline)) void finish_rows(
    const tsl_gemm_s8_args *g, size_t row, size_t rows, size_t channel, size_t width, const int32_t *sums) {
    tsl_gemm_s8_finish(g, row, rows, channel, width, sums);
}

// Where a vector of sums starts: what is shifted away from the activations comes back as that times the
// weights.
TSL_INLINE tsl_vi first_sum(const tsl_gemm_s8_args *g, size_t channel, tsl_activation_kind kind) {
    tsl_vi sum = g->acc_init ? tsl_vi_load(g->acc_init + channel) : tsl_vi_zero();
    if (tsl_shift(kind) == 0) return sum;
    tsl_vi shifted = tsl_vi_times_128(tsl_vi_load(g->w_sum + channel));
    return tsl_shift(kind) > 0 ? tsl_vi_add(sum, shifted) : tsl_vi_subtract(sum, shifted);
}

// One row's next four channels, times those of `vectors` vectors of output channels.
TSL_INLINE void multiply_row(const char *a, const int8_t *w, size_t panel_stride, const int vectors,
    const tsl_activation_kind kind, tsl_vi sum[TSL_TILE_VECTORS]) {
    tsl_activation activation = tsl_activation_of(tsl_vi_broadcast(a), kind);
    TSL_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = tsl_dot(sum[v], activation,
            w + (size_t)(v / TSL_PANEL_VECTORS) * panel_stride + (v % TSL_PANEL_VECTORS) * TSL_VECTOR_BYTES,
            kind);
}

TSL_INLINE void copy_row(const tsl_vi *from, const int vectors, tsl_vi *to) {
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) to[v] = from[v];
}

// What zero points of weights add to a row's sums.
TSL_INLINE void add_row_sum(
    const tsl_gemm_s8_args *g, size_t row, size_t channel, const int vectors, tsl_vi *sum) {
    tsl_vi a_sum = tsl_vi_broadcast(&g->a_sum[row]);
    TSL_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = tsl_vi_add(
            sum[v], tsl_vi_multiply_32(a_sum, tsl_vi_load(g->w_zero + channel + (size_t)v * TSL_LANES)));
}

TSL_INLINE void spill_row(int32_t *to, const int vectors, const tsl_vi *from) {
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) tsl_vi_store(to + v * TSL_LANES, from[v]);
}

// The end of a tile: its sums become outputs.
TSL_INLINE void store_tile(const tsl_gemm_s8_args *g, size_t row, size_t channel, const int rows,
    const int panels, bool bounded, tsl_vi sum[TSL_TILE_ROWS][TSL_TILE_VECTORS]) {
    const int vectors = panels * TSL_PANEL_VECTORS;
    (void)bounded;
#if TSL_LANES == 16
    if (rows == TSL_ROWS_OF(panels) && bounded && g->c_s8 && !g->finish &&
        channel + (size_t)panels * TSL_PANEL <= g->n) {
        if (g->z)
            finish_in_registers(g, row, channel, panels, true, sum);
        else
            finish_in_registers(g, row, channel, panels, false, sum);
        return;
    }
#else
    if (g->c_s8 && !g->finish && channel + (size_t)panels * TSL_PANEL <= g->n) {
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) store_row(g, row + height - 1, channel, panels, sum[height - 1]);
        TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
        return;
    }
#endif
    _Alignas(64) int32_t sums[TSL_TILE_ROWS * TSL_TILE_VECTORS * TSL_LANES];
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) spill_row(sums + (height - 1) * vectors * TSL_LANES, vectors, sum[height - 1]);
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    if (g->finish) {
        finish_rows(g, row, (size_t)rows, channel, (size_t)panels * TSL_PANEL, sums);
        return;
    }
#if TSL_LANES == 16
    tsl_finish_s8(g, row, (size_t)rows, channel, panels, bounded, sums);
#else
    store_few(g, row, (size_t)rows, channel, sums, (size_t)vectors * TSL_LANES);
#endif
}

// `rows` pixels by `panels` panels; these and kind are constants after inlining. Rows are written out by
// macro, since an unrolled loop came too late for clang 14 to keep their sums in registers.
TSL_INLINE void tile(const tsl_gemm_s8_args *g, size_t row, size_t panel, const int rows, const int panels,
    const tsl_activation_kind kind, bool bounded, ptrdiff_t prefetch) {
    const int vectors = panels * TSL_PANEL_VECTORS;
    const size_t channel = panel * TSL_PANEL, n_taps = g->n_taps, k4 = g->k4, panel_stride = g->panel_stride;
    const char *a[TSL_TILE_ROWS];
    tsl_vi first[TSL_TILE_VECTORS], sum[TSL_TILE_ROWS][TSL_TILE_VECTORS];
    TSL_UNROLL
    for (int v = 0; v < vectors; v++) first[v] = first_sum(g, channel + (size_t)v * TSL_LANES, kind);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) {                                                                                    \
        a[height - 1] = (const char *)g->a + g->a_row[row + height - 1];                                     \
        copy_row(first, vectors, sum[height - 1]);                                                           \
        if (g->a_sum) add_row_sum(g, row + height - 1, channel, vectors, sum[height - 1]);                   \
    }
    TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
    const int8_t *w = g->w + panel * panel_stride;
    for (size_t t = 0; t < n_taps; t++) {
        ptrdiff_t offset = g->tap[t];
        for (size_t i = 0; i < k4; i++, offset += TSL_K_GROUP, w += TSL_GROUP_BYTES) {
            TSL_UNROLL
            for (int p = 0; p < panels; p++)
                _mm_prefetch((const char *)w + (size_t)p * panel_stride + prefetch, _MM_HINT_T1);
#define TSL_ROW(height)                                                                                      \
    if (height <= rows) multiply_row(a[height - 1] + offset, w, panel_stride, vectors, kind, sum[height - 1]);
            TSL_TILE_HEIGHTS(TSL_ROW)
#undef TSL_ROW
        }
    }
    store_tile(g, row, channel, rows, panels, bounded, sum);
}

// The height of the next tile when `rows` are left: shared out evenly over the fewest tiles, or near that.
TSL_INLINE size_t tile_height(size_t rows, size_t most) {
    const size_t even = tsl_tile_rows(rows, most), limit = tsl_smaller(rows, most);
    size_t height = 1;
#define TSL_CASE(listed)                                                                                     \
    if (listed <= limit && height < even) height = listed;
    TSL_TILES(TSL_CASE)
#undef TSL_CASE
    return height;
}

// Pixels from `row` on. The first tile fetches the next panels' weights into the second-level cache.
TSL_INLINE void all_rows(const tsl_gemm_s8_args *g, size_t row, size_t panel, const int panels,
    const tsl_activation_kind kind, bool bounded, ptrdiff_t prefetch) {
    for (size_t height; row < g->m; row += height) {
        height = tile_height(g->m - row, (size_t)TSL_ROWS_OF(panels));
        switch (height) {
#define TSL_CASE(rows)                                                                                       \
    case rows:                                                                                               \
        if (rows <= TSL_ROWS_OF(panels)) tile(g, row, panel, rows, panels, kind, bounded, prefetch);         \
        break;
            TSL_TILES(TSL_CASE)
#undef TSL_CASE
        }
        prefetch = 0;
    }
}

// Tiles of each width are a function, for all kinds that the level's tsl_dot treats unlike.
#define TSL_ROWS(name, panels)                                                                               \
    static __attribute__((noinline, unused)) void name(                                                      \
        const tsl_gemm_s8_args *g, size_t row, size_t panel, bool bounded, ptrdiff_t prefetch) {             \
        if (g->a_kind == TSL_ACTIVATION_S8)                                                                  \
            all_rows(g, row, panel, panels, TSL_ACTIVATION_S8, bounded, prefetch);                           \
        else if (g->a_kind == TSL_ACTIVATION_U8 && tsl_shift(TSL_ACTIVATION_U8) != 0)                        \
            all_rows(g, row, panel, panels, TSL_ACTIVATION_U8, bounded, prefetch);                           \
        else                                                                                                 \
            all_rows(g, row, panel, panels, TSL_ACTIVATION_NON_NEGATIVE, bounded, prefetch);                 \
    }
TSL_ROWS(wide_rows, TSL_WIDE_PANELS)
TSL_ROWS(usual_rows, TSL_TILE_PANELS)
TSL_ROWS(single_rows, 1)
#undef TSL_ROWS

#ifdef TSL_SHALLOW
typedef size_t (*shallow_function)(const shallow_panels *p);
typedef void (*rows_function)(
    const tsl_gemm_s8_args *g, size_t row, size_t panel, bool bounded, ptrdiff_t prefetch);

#define TSL_SHALLOW_ROWS(width)                                                                              \
    static __attribute__((noinline)) size_t shallow_rows_##width(const shallow_panels *p) {                  \
        if (p->g->a_kind == TSL_ACTIVATION_S8) return shallow_rows(p, width, TSL_ACTIVATION_S8);             \
        return shallow_rows(p, width, TSL_ACTIVATION_NON_NEGATIVE);                                          \
    }
TSL_SHALLOW_ROWS(1)
TSL_SHALLOW_ROWS(2)
TSL_SHALLOW_ROWS(4)
#undef TSL_SHALLOW_ROWS

// Whole panels, in tiles where they are whole too; returns the first panel that is left.
static size_t shallow_panels_of(
    shallow_panels *p, size_t panel, size_t width, shallow_function run, rows_function rest) {
    const tsl_gemm_s8_args *g = p->g;
    for (; (panel + width) * TSL_PANEL <= g->n; panel += width) {
        set_shallow_panels(p, panel * TSL_PANEL, width);
        const size_t row = run(p);
        if (row < g->m) rest(g, row, panel, true, 0);
    }
    return panel;
}

// The first panel that is left.
static size_t shallow_product(const tsl_gemm_s8_args *g, bool bounded) {
    shallow_panels p;
    if (!bounded || g->m < TSL_SHALLOW_SUMS || !set_shallow(g, &p)) return 0;
    size_t panel = shallow_panels_of(&p, 0, 4, shallow_rows_4, wide_rows);
    panel = shallow_panels_of(&p, panel, 2, shallow_rows_2, usual_rows);
    panel = shallow_panels_of(&p, panel, 1, shallow_rows_1, single_rows);
    if (g->n - panel * TSL_PANEL != TSL_PANEL / 2) return panel;
    const size_t row = TSL_SHALLOW_HALF(g, panel * TSL_PANEL);
    if (row < g->m) single_rows(g, row, panel, true, 0);
    return panel + 1;
}
#endif

TSL_INLINE void gemm_s8(const tsl_gemm_s8_args *g) {
    const size_t panels = (g->n + TSL_PANEL - 1) / TSL_PANEL;
    const bool bounded = is_bounded(g);
    size_t panel = 0;
#ifdef TSL_SHALLOW
    panel = shallow_product(g, bounded);
#endif
#if TSL_WIDE_PANELS > TSL_TILE_PANELS
    for (; panels - panel >= TSL_WIDE_PANELS; panel += TSL_WIDE_PANELS) {
        bool last = panel + 2 * TSL_WIDE_PANELS > panels;
        wide_rows(g, 0, panel, bounded, last ? 0 : (ptrdiff_t)(TSL_WIDE_PANELS * g->panel_stride));
    }
#endif
    for (; panels - panel >= TSL_TILE_PANELS; panel += TSL_TILE_PANELS) {
        bool last = panel + 2 * TSL_TILE_PANELS > panels;
        usual_rows(g, 0, panel, bounded, last ? 0 : (ptrdiff_t)(TSL_TILE_PANELS * g->panel_stride));
    }
#if TSL_TILE_PANELS > 1
    for (; panel < panels; panel++) single_rows(g, 0, panel, bounded, 0);
#endif
}

#endif
