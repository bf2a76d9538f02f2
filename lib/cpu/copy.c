// SPDX-License-Identifier: Apache-2.0
// Strided copies: the whole of Transpose, Slice, Concat, Reorder and their like.
#include <string.h>

#include "cpu/operator.h"

// ---- Runs of elements ----

#define COPY_LOOP(bytes)                                                                                     \
    for (size_t i = 0; i < count; i++)                                                                       \
    memcpy(data[0] + (ptrdiff_t)i * strides[0], data[1] + (ptrdiff_t)i * strides[1], bytes)

static void copy_run(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const size_t size = *(const size_t *)user;
    if (strides[0] == (ptrdiff_t)size && strides[1] == (ptrdiff_t)size) {
        if (data[0] != data[1]) memcpy(data[0], data[1], count * size);
        return;
    }
    switch (size) {
    case 1:
        COPY_LOOP(1);
        break;
    case 2:
        COPY_LOOP(2);
        break;
    case 4:
        COPY_LOOP(4);
        break;
    default:
        COPY_LOOP(8);
        break;
    }
}

// A block of bytes that is contiguous on both sides is an element by itself: the pieces of a concatenation
// along the channels are short, and a call for each costs more than the copy.
#define MOST_BLOCK_BYTES ((size_t)512)

static inline void copy_block(uint8_t *to, const uint8_t *from, size_t bytes) {
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) memcpy(to + i, from + i, 32);
    if (bytes & 16) memcpy(to + i, from + i, 16), i += 16;
    if (bytes & 8) memcpy(to + i, from + i, 8), i += 8;
    if (bytes & 4) memcpy(to + i, from + i, 4), i += 4;
    if (bytes & 2) memcpy(to + i, from + i, 2), i += 2;
    if (bytes & 1) to[i] = from[i];
}

static void copy_blocks_run(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const size_t bytes = *(const size_t *)user;
    if (data[0] == data[1]) return;
    for (size_t i = 0; i < count; i++)
        copy_block(data[0] + (ptrdiff_t)i * strides[0], data[1] + (ptrdiff_t)i * strides[1], bytes);
}

// Makes the innermost dim the element where that is such a block; its bytes, or `size` as it was.
static size_t take_block(tsl_iteration *it, size_t size) {
    const size_t sizes[] = {size, size};
    bool taken = tsl_iteration_take_row(it, sizes, (int64_t)(MOST_BLOCK_BYTES / size));
    return taken ? (size_t)it->block * size : size;
}

static void table_run(const void *user, uint8_t *const *data, const ptrdiff_t *strides, size_t count) {
    const uint8_t *table = user;
    for (size_t i = 0; i < count; i++)
        data[0][(ptrdiff_t)i * strides[0]] = table[data[1][(ptrdiff_t)i * strides[1]]];
}

// ---- Transposition: the source is contiguous along another dim than the destination ----

// Both sides of a square of this many elements stay in the first cache.
#define TILE 16
// Where the destination is narrower than a square (a picture's three colours), pieces are long instead.
#define LONG_TILE 1024

typedef struct transposition {
    const tsl_iteration *it; // the last dim is contiguous in the destination, `fast` in the source
    uint32_t fast;
    size_t size;
    int64_t tile, tiles; // along `fast`
    const tsl_cpu_functions *planes; // where it makes pixels of three planes of bytes
} transposition;

// Squares inside along the destination, long pieces along the source.
#define TILE_LOOP(bytes)                                                                                     \
    if (columns < TILE) {                                                                                    \
        for (int64_t c = 0; c < columns; c++) {                                                              \
            uint8_t *y = to + c * (bytes);                                                                   \
            const uint8_t *x = from + c * from_column;                                                       \
            for (int64_t r = 0; r < rows; r++, y += to_row, x += (bytes)) memcpy(y, x, (bytes));             \
        }                                                                                                    \
        return;                                                                                              \
    }                                                                                                        \
    for (int64_t c = 0; c < columns; c += TILE) {                                                            \
        int64_t end = c + TILE < columns ? c + TILE : columns;                                               \
        for (int64_t r = 0; r < rows; r++) {                                                                 \
            uint8_t *y = to + r * to_row + c * (bytes);                                                      \
            const uint8_t *x = from + r * (bytes) + c * from_column;                                         \
            for (int64_t i = c; i < end; i++, y += (bytes), x += from_column) memcpy(y, x, (bytes));         \
        }                                                                                                    \
    }                                                                                                        \
    return

static void copy_tile(uint8_t *to, ptrdiff_t to_row, const uint8_t *from, ptrdiff_t from_column, int64_t rows,
    int64_t columns, size_t size) {
    switch (size) {
    case 1:
        TILE_LOOP(1);
    case 2:
        TILE_LOOP(2);
    case 4:
        TILE_LOOP(4);
    default:
        TILE_LOOP(8);
    }
}

static void run_tiles(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const transposition *t = task_data;
    const tsl_iteration *it = t->it;
    const uint32_t last = it->rank - 1;
    for (size_t item = begin; item < end; item++) {
        int64_t first = (int64_t)item % t->tiles * t->tile, rest = (int64_t)item / t->tiles;
        ptrdiff_t to = (ptrdiff_t)first * it->strides[0][t->fast];
        ptrdiff_t from = (ptrdiff_t)first * it->strides[1][t->fast];
        for (uint32_t d = last; d-- > 0;) {
            if (d == t->fast) continue;
            to += (ptrdiff_t)(rest % it->dims[d]) * it->strides[0][d];
            from += (ptrdiff_t)(rest % it->dims[d]) * it->strides[1][d];
            rest /= it->dims[d];
        }
        int64_t rows = it->dims[t->fast] - first < t->tile ? it->dims[t->fast] - first : t->tile;
        const uint8_t *x = it->data[1] + from;
        const ptrdiff_t plane = it->strides[1][last];
        if (t->planes) {
            tsl_interleave_bytes_args args = {
                .x = {x, x + plane, x + 2 * plane}, .y = it->data[0] + to, .n = (size_t)rows};
            t->planes->interleave_bytes(&args);
            continue;
        }
        copy_tile(it->data[0] + to, it->strides[0][t->fast], x, plane, rows, it->dims[last], t->size);
    }
}

// True when it was such a copy.
static bool transpose(tslim_context *ctx, const tsl_iteration *it, size_t size) {
    const uint32_t last = it->rank - 1;
    const ptrdiff_t unit = (ptrdiff_t)size;
    if (it->strides[0][last] != unit || it->strides[1][last] == unit || it->strides[1][last] == 0)
        return false;
    transposition t = {.it = it, .size = size, .fast = last};
    int64_t outer = 1;
    for (uint32_t d = 0; d < last; d++) {
        if (it->strides[1][d] == unit && it->dims[d] > 1) t.fast = d;
        outer *= it->dims[d];
    }
    if (t.fast == last || outer == 0) return false;
    t.tile = it->dims[last] < TILE ? LONG_TILE : TILE;
    if (size == 1 && it->dims[last] == 3 && it->strides[0][t.fast] == 3)
        t.planes = tsl_cpu_functions_get(ctx->isa);
    t.tiles = (it->dims[t.fast] + t.tile - 1) / t.tile;
    size_t items = (size_t)(outer / it->dims[t.fast] * t.tiles);
    size_t per_item = (size_t)(it->dims[last] * t.tile);
    tsl_parallel_for(ctx, items, (16384 + per_item - 1) / per_item, run_tiles, &t);
    return true;
}

void tsl_copy(tslim_context *ctx, const tsl_tensor *from, const tsl_tensor *to) {
    tsl_move(ctx, NULL, from, to);
}

void tsl_move(tslim_context *ctx, const uint8_t *table, const tsl_tensor *from, const tsl_tensor *to) {
    tsl_iteration it;
    const tsl_tensor *operands[] = {to, from};
    size_t size = tslim_dtype_size(to->dtype);
    tsl_iteration_init(&it, operands, 2);
    if (table) {
        tsl_iterate(ctx, &it, table_run, table);
        return;
    }
    size = take_block(&it, size);
    if (size != 1 && size != 2 && size != 4 && size != 8)
        tsl_iterate(ctx, &it, copy_blocks_run, &size);
    else if (it.dims[it.rank - 1] > 0 && !transpose(ctx, &it, size))
        tsl_iterate(ctx, &it, copy_run, &size);
}

// ---- Mapped copies ----

typedef struct mapped_task {
    const tsl_tensor *from, *to;
    const int64_t *const *map;
    const uint8_t *table;
    uint32_t order[TSLIM_MAX_RANK]; // axes, by the strides of the result, the largest first
    size_t size, run; // bytes of an element; elements of the last axis that are copied at once
} mapped_task;

static void copy_bytes(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t *table) {
    if (table)
        for (size_t i = 0; i < bytes; i++) to[i] = table[from[i]];
    else if (bytes >= 16 && bytes <= 64) { // a pixel's channels: a call would take longer
        uint8_t end[16];
        memcpy(end, from + bytes - 16, 16);
        for (size_t i = 0; i + 16 <= bytes; i += 16) memcpy(to + i, from + i, 16);
        memcpy(to + bytes - 16, end, 16);
    } else
        memcpy(to, from, bytes);
}

// One row along the last axis of the order.
static void copy_row(const mapped_task *t, uint8_t *to, const uint8_t *from) {
    const uint32_t last = t->order[t->to->rank - 1];
    const ptrdiff_t size = (ptrdiff_t)t->size;
    const int64_t *map = t->map[last];
    for (int64_t i = 0; i < t->to->dims[last]; i += (int64_t)t->run) {
        int64_t source = map ? map[i] : i;
        copy_bytes(to + (ptrdiff_t)(i * t->to->strides[last]) * size,
            from + (ptrdiff_t)(source * t->from->strides[last]) * size, t->run * t->size, t->table);
    }
}

// Item i is the i-th plane of the last two axes of the order (of the last one, if there is no other): its
// rows one after the other. A plane whose source is that of the one before, as in magnification, is copied
// from it.
static void run_mapped(void *task_data, size_t begin, size_t end, uint32_t worker) {
    (void)worker;
    const mapped_task *t = task_data;
    const tsl_tensor *x = t->from, *y = t->to;
    const ptrdiff_t size = (ptrdiff_t)t->size;
    const uint32_t last = t->order[y->rank - 1], second = y->rank > 1 ? t->order[y->rank - 2] : last;
    const int64_t rows = y->rank > 1 ? y->dims[second] : 1;
    const int64_t *map = t->map[second];
    const bool gapless =
        t->run == (size_t)y->dims[last] && (rows == 1 || y->strides[second] == y->dims[last]);
    const uint8_t *earlier_from = NULL, *earlier_to = NULL;
    for (size_t item = begin; item < end; item++) {
        int64_t rest = (int64_t)item;
        ptrdiff_t from_offset = 0, to_offset = 0;
        for (uint32_t d = y->rank > 2 ? y->rank - 2 : 0; d-- > 0;) {
            uint32_t axis = t->order[d];
            int64_t index = rest % y->dims[axis];
            rest /= y->dims[axis];
            to_offset += (ptrdiff_t)(index * y->strides[axis]);
            from_offset += (ptrdiff_t)((t->map[axis] ? t->map[axis][index] : index) * x->strides[axis]);
        }
        const uint8_t *from = (const uint8_t *)x->data + from_offset * size;
        uint8_t *to = (uint8_t *)y->data + to_offset * size;
        if (gapless && from == earlier_from) {
            memcpy(to, earlier_to, (size_t)(rows * y->dims[last]) * t->size);
            continue;
        }
        earlier_from = from;
        earlier_to = to;
        for (int64_t row = 0; row < rows; row++) {
            if (y->rank == 1) {
                copy_row(t, to, from);
                break;
            }
            int64_t source = map ? map[row] : row;
            copy_row(t, to + (ptrdiff_t)(row * y->strides[second]) * size,
                from + (ptrdiff_t)(source * x->strides[second]) * size);
        }
    }
}

void tsl_move_mapped(tslim_context *ctx, const uint8_t *table, const tsl_tensor *from, const tsl_tensor *to,
    const int64_t *const *map) {
    if (to->rank == 0 || tsl_tensor_elements(to) == 0) {
        if (to->rank == 0) tsl_move(ctx, table, from, to);
        return;
    }
    mapped_task t = {.from = from, .to = to, .map = map, .table = table, .size = tslim_dtype_size(to->dtype)};
    for (uint32_t i = 0; i < to->rank; i++) {
        uint32_t at = i;
        for (; at > 0 && to->strides[t.order[at - 1]] < to->strides[i]; at--) t.order[at] = t.order[at - 1];
        t.order[at] = i;
    }
    // Where the last axis is contiguous on both sides and not mapped, it is one copy.
    uint32_t last = t.order[to->rank - 1];
    bool contiguous = !map[last] && to->strides[last] == 1 && from->strides[last] == 1;
    t.run = contiguous ? (size_t)to->dims[last] : 1;
    int64_t plane = to->dims[last] * (to->rank > 1 ? to->dims[t.order[to->rank - 2]] : 1);
    size_t items = (size_t)(tsl_tensor_elements(to) / plane);
    tsl_parallel_for(ctx, items, 16384 / (size_t)plane + 1, run_mapped, &t);
}
