// SPDX-License-Identifier: Apache-2.0
// The loop over a gathered product: pieces of output pixels times ranges of panels, shared among threads.
#include "cpu/product.h"

#include <math.h>

#include "base/checked.h"

// A piece's offsets lie on the stack. Its rows fill tiles of any level: these have 6, 7, 12 or 14.
#define MAX_ROWS ((size_t)252)
#define TILE_ROWS ((size_t)14)
#define MIN_ROWS ((size_t)48)
// Activations of a piece stay in the second-level cache while the panels pass over them.
#define PIECE_BYTES ((size_t)256 * 1024)
// Less than this is not worth waking a thread.
#define GRAIN_MACS ((size_t)1 << 17)
#define PIECES_PER_THREAD ((size_t)8)
// Panels that a tile of the widest kernels holds.
#define TILE_PANELS ((size_t)2)

// How the output pixels fall into pieces: images, lines of an image and columns of a line, of which only the
// outermost that is not whole in a piece is cut. So the offsets of a piece's pixels from its first one are
// the same for all, but for the last ones, which have fewer.
typedef struct cut {
    size_t extent[3]; // of a piece
    size_t pieces[3];
} cut;

typedef struct loop {
    const tsl_product *product;
    const tsl_product_operands *operands;
    cut cut;
    size_t piece_rows, n_pieces; // of the output pixels
    size_t range_panels, n_ranges; // of one group's panels
} loop;

typedef struct offsets {
    ptrdiff_t a[MAX_ROWS], c[MAX_ROWS], z[MAX_ROWS];
} offsets;

// start, start + step, ...
static void fill(ptrdiff_t *to, ptrdiff_t start, ptrdiff_t step, size_t count) {
    for (size_t i = 0; i < count; i++, start += step) to[i] = start;
}

static ptrdiff_t offset_of(const ptrdiff_t steps[3], const size_t at[3]) {
    return (ptrdiff_t)at[0] * steps[0] + (ptrdiff_t)at[1] * steps[1] + (ptrdiff_t)at[2] * steps[2];
}

// Offsets from a piece's first pixel.
static void gather(const tsl_rows *rows, const size_t extent[3], bool residual, offsets *o) {
    size_t i = 0, at[3] = {0};
    for (at[0] = 0; at[0] < extent[0]; at[0]++)
        for (at[1] = 0; at[1] < extent[1]; at[1]++, i += extent[2]) {
            fill(o->a + i, offset_of(rows->a, at), rows->a[2], extent[2]);
            fill(o->c + i, offset_of(rows->c, at), rows->c[2], extent[2]);
            if (residual) fill(o->z + i, offset_of(rows->z, at), rows->z[2], extent[2]);
        }
}

typedef struct piece {
    size_t group, panel, m, n; // n output channels from panel `panel` of `group` on
    const offsets *offsets;
    const char *a, *z; // the first pixel
    char *c;
} piece;

// The chain from a padded channel on, or NULL.
static const tsl_finish *finish_at(const tsl_coefficients *c, size_t channel, tsl_finish *finish) {
    if (!c->finish) return NULL;
    *finish = *c->finish;
    finish->factor += channel;
    finish->shift += channel;
    return finish;
}

static void run_f32(const loop *l, const piece *q) {
    const tsl_product *p = l->product;
    const tsl_pack_geometry *g = p->geometry;
    const tsl_coefficients *c = p->coefficients;
    size_t first = q->panel * TSL_PANEL, channel = q->group * g->n + first;
    tsl_gemm_f32_args args = {.a = (const float *)(const void *)q->a + q->group * g->k,
        .a_row = q->offsets->a,
        .tap = p->taps,
        .m = q->m,
        .n = q->n,
        .n_taps = p->n_taps,
        .k = g->k,
        .panel_stride = g->panel_stride,
        .c_row = q->offsets->c,
        .z_row = q->offsets->z,
        .lo = c->lo,
        .hi = c->hi};
    args.w = (const float *)l->operands->w + q->group * g->group_stride + q->panel * g->panel_stride +
             p->first_tap * g->k_padded * TSL_PANEL;
    args.c = (float *)(void *)q->c + channel;
    args.z = q->z ? (const float *)(const void *)q->z + channel : NULL;
    args.bias = l->operands->bias + q->group * c->padded + first;
    tsl_finish finish;
    args.finish = finish_at(c, q->group * c->padded + first, &finish);
    p->functions->gemm_f32(&args);
}

// y = clamp(y + z), for a residual that the INT8 kernel does not know.
static void add_float_residual(const loop *l, const piece *q, float *y, const float *z) {
    const tsl_coefficients *c = l->product->coefficients;
    for (size_t row = 0; row < q->m; row++) {
        float *y_row = (float *)(void *)((char *)y + q->offsets->c[row]);
        const float *z_row = (const float *)(const void *)((const char *)z + q->offsets->z[row]);
        for (size_t j = 0; j < q->n; j++) {
            float sum = y_row[j] + z_row[j];
            sum = c->lo > sum ? c->lo : sum;
            y_row[j] = c->hi < sum ? c->hi : sum;
        }
    }
}

static void look_up(const loop *l, const piece *q, int8_t *c) {
    tsl_table_s8_args args = {.x = c,
        .y = c,
        .n = q->n,
        .row = q->offsets->c,
        .n_rows = q->m,
        .table = l->product->coefficients->table};
    l->product->functions->table_s8(&args);
}

static void run_s8(const loop *l, const piece *q) {
    const tsl_product *p = l->product;
    const tsl_pack_geometry *g = p->geometry;
    const tsl_coefficients *c = p->coefficients;
    size_t first = q->panel * TSL_PANEL, channel = q->group * g->n + first,
           padded = q->group * c->padded + first;
    const int8_t *w = l->operands->w;
    const int32_t *sums = p->w_sum ? p->w_sum : (const int32_t *)(const void *)(w + g->sums_offset);
    tsl_gemm_s8_args args = {.a = (const int8_t *)(const void *)q->a + q->group * g->k,
        .a_kind = c->a_kind,
        .a_row = q->offsets->a,
        .tap = p->taps,
        .m = q->m,
        .n = q->n,
        .n_taps = p->n_taps,
        .k4 = g->k_padded / TSL_K_GROUP,
        .panel_stride = g->panel_stride,
        .z_row = q->offsets->z,
        .z_scale = c->z_scale,
        .lo = c->lo,
        .hi = c->hi,
        .c_row = q->offsets->c};
    args.w =
        w + q->group * g->group_stride + q->panel * g->panel_stride + p->first_tap * g->k_padded * TSL_PANEL;
    args.w_sum = sums + padded;
    if (p->bundles) args.bundles = p->bundles + q->group * g->panels + q->panel;
    args.acc_init = p->start ? p->start + padded : NULL;
    args.scale = c->scale + padded;
    args.bias = l->operands->bias + padded;
    if (c->to_float)
        args.c_f32 = (float *)(void *)q->c + channel;
    else
        args.c_s8 = (int8_t *)(void *)q->c + channel;
    if (q->z && !c->residual_after) args.z = (const int8_t *)(const void *)q->z + channel;
    if (c->residual_after) {
        args.lo = -INFINITY;
        args.hi = INFINITY;
    }
    int32_t a_sum[MAX_ROWS];
    if (c->w_zero) {
        tsl_row_sums_args rows = {.a = args.a,
            .a_kind = args.a_kind,
            .a_row = args.a_row,
            .tap = args.tap,
            .m = args.m,
            .n_taps = args.n_taps,
            .k = g->k,
            .sum = a_sum};
        p->functions->row_sums_s8(&rows);
        args.a_sum = a_sum;
        args.w_zero = c->w_zero + padded;
    }
    tsl_finish finish;
    args.finish = finish_at(c, padded, &finish);
    p->functions->gemm_s8(&args);
    if (c->table) look_up(l, q, args.c_s8);
    if (c->residual_after) add_float_residual(l, q, args.c_f32, (const float *)(const void *)q->z + channel);
}

// The first pixel of piece `index`; returns how many pixels it has.
static size_t place_piece(const loop *l, size_t index, piece *q) {
    const tsl_rows *rows = &l->product->rows;
    const tsl_product_operands *operands = l->operands;
    size_t at[3], m = 1;
    for (int i = 3; i-- > 0;) {
        at[i] = index % l->cut.pieces[i] * l->cut.extent[i];
        index /= l->cut.pieces[i];
        m *= rows->count[i] - at[i] < l->cut.extent[i] ? rows->count[i] - at[i] : l->cut.extent[i];
    }
    q->a = (const char *)operands->a + offset_of(rows->a, at);
    q->c = (char *)operands->c + offset_of(rows->c, at);
    q->z = operands->z ? (const char *)operands->z + offset_of(rows->z, at) : NULL;
    return m;
}

static void run_pieces(void *data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const loop *l = data;
    const tsl_pack_geometry *g = l->product->geometry;
    offsets o;
    gather(&l->product->rows, l->cut.extent, l->operands->z != NULL, &o);
    for (size_t i = begin; i < end; i++) {
        size_t range = i / l->n_pieces % l->n_ranges;
        piece q = {.group = i / l->n_pieces / l->n_ranges, .panel = range * l->range_panels, .offsets = &o};
        q.m = place_piece(l, i % l->n_pieces, &q);
        size_t rest = g->n - q.panel * TSL_PANEL;
        q.n = rest < l->range_panels * TSL_PANEL ? rest : l->range_panels * TSL_PANEL;
        if (l->product->coefficients->is_int8)
            run_s8(l, &q);
        else
            run_f32(l, &q);
    }
}

static size_t divide_up(size_t a, size_t b) {
    return a / b + (a % b != 0);
}

// Pieces of at most `most` pixels, of equal size where that fills tiles.
static void cut_rows(const tsl_rows *rows, size_t most, cut *c) {
    size_t inner = 1; // pixels of what is whole in a piece
    for (int i = 3; i-- > 0;) {
        const size_t count = rows->count[i], fitting = most / inner;
        c->pieces[i] = fitting >= count ? 1 : fitting > 0 ? divide_up(count, fitting) : count;
        c->extent[i] = divide_up(count, c->pieces[i]);
        if (i == 2 && c->pieces[i] > 1) c->extent[i] = tsl_round_up(c->extent[i], TILE_ROWS);
        c->pieces[i] = divide_up(count, c->extent[i]);
        inner = c->pieces[i] > 1 ? most + 1 : inner * count;
    }
}

// Pieces of pixels as large as the cache likes; where they are too few for the threads, panels are divided
// too: the last layers of a network have few pixels and many channels.
static void divide(loop *l, size_t n_threads) {
    const tsl_pack_geometry *g = l->product->geometry;
    size_t row_bytes = g->k * (l->product->coefficients->is_int8 ? 1 : sizeof(float));
    size_t rows = PIECE_BYTES / (row_bytes ? row_bytes : 1);
    rows = rows < MIN_ROWS ? MIN_ROWS : rows > MAX_ROWS ? MAX_ROWS : rows;
    cut_rows(&l->product->rows, rows / TILE_ROWS * TILE_ROWS, &l->cut);
    l->piece_rows = l->cut.extent[0] * l->cut.extent[1] * l->cut.extent[2];
    l->n_pieces = l->cut.pieces[0] * l->cut.pieces[1] * l->cut.pieces[2];
    size_t wanted = n_threads > 1 ? divide_up(n_threads * PIECES_PER_THREAD, l->n_pieces * g->groups) : 1;
    if (wanted > g->panels) wanted = g->panels;
    l->range_panels = tsl_round_up(divide_up(g->panels, wanted), TILE_PANELS);
    l->n_ranges = divide_up(g->panels, l->range_panels);
}

void tsl_product_run(tslim_context *ctx, const tsl_product *product, const tsl_product_operands *operands) {
    const tsl_pack_geometry *g = product->geometry;
    loop l = {.product = product, .operands = operands};
    if (product->rows.count[0] * product->rows.count[1] * product->rows.count[2] * g->panels == 0) return;
    divide(&l, ctx ? ctx->n_threads : 1);
    size_t macs = l.piece_rows * l.range_panels * (product->n_taps * g->k + 1) * TSL_PANEL;
    size_t count = l.n_pieces * l.n_ranges * g->groups;
    if (ctx)
        tsl_parallel_for(ctx, count, divide_up(GRAIN_MACS, macs), run_pieces, &l);
    else
        run_pieces(&l, 0, count, 0);
}
