// SPDX-License-Identifier: Apache-2.0
// Weights from row-major order into panels and back.
#include "cpu/pack.h"

#include <string.h>

#include "base/checked.h"
#include "cpu/kernels.h"

#define MATRIX 2 // rank

bool tsl_taps_next(const tsl_taps *taps, size_t at[2]) {
    size_t phase[2] = {at[0] % taps->period[0], at[1] % taps->period[1]};
    at[1] += taps->period[1];
    if (at[1] < taps->kernel[1]) return true;
    at[1] = phase[1];
    at[0] += taps->period[0];
    if (at[0] < taps->kernel[0]) return true;
    at[0] = phase[0];
    at[1] = phase[1] + 1;
    if (at[1] < taps->period[1] && at[1] < taps->kernel[1]) return true;
    at[1] = 0;
    at[0] = phase[0] + 1;
    return at[0] < taps->period[0] && at[0] < taps->kernel[0];
}

static size_t common_divisor(size_t a, size_t b) {
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// Entry `axis` of an attribute with one number for each spatial axis; 1 where it is absent.
static size_t spatial_attribute(const tsl_attrs *attrs, tsl_attr_id id, uint32_t axis) {
    size_t count;
    const int64_t *values = tsl_attrs_ints(attrs, id, &count);
    return values && axis < count && values[axis] > 0 ? (size_t)values[axis] : 1;
}

// Dims of the kernel, and for a transposed convolution the period of its phases: positions y and y' make the
// same output rows when their distance times the dilation is a multiple of the stride.
static void read_taps(const tsl_pack_request *request, tsl_taps *taps) {
    const tsl_tensor *w = &request->weights;
    *taps = (tsl_taps){{1, 1}, {1, 1}};
    if (request->op != TSL_OP_CONV && request->op != TSL_OP_CONV_TRANSPOSE) return;
    if (w->rank > 4) { // in row-major order, also when transposed: see conv_nd.c
        for (uint32_t axis = 2; axis < w->rank; axis++)
            taps->kernel[axis + 1 == w->rank] *= (size_t)w->dims[axis];
        return;
    }
    for (uint32_t axis = 0; axis + 2 < w->rank; axis++) {
        uint32_t i = axis + (4 - w->rank); // a 1-D kernel has one row
        taps->kernel[i] = (size_t)w->dims[axis + 2];
        if (request->op != TSL_OP_CONV_TRANSPOSE) continue;
        size_t stride = spatial_attribute(request->attrs, TSL_ATTR_strides, axis);
        taps->period[i] =
            stride / common_divisor(stride, spatial_attribute(request->attrs, TSL_ATTR_dilations, axis));
    }
}

// Gates of a recurrent operator; 0 for any other.
static int64_t gate_count(tsl_op op) {
    return op == TSL_OP_LSTM ? 4 : op == TSL_OP_GRU ? 3 : op == TSL_OP_RNN ? 1 : 0;
}

static bool is_packable(const tsl_pack_request *request) {
    const tsl_tensor *w = &request->weights;
    const int64_t gates = gate_count(request->op);
    if (gates) // W and R
        return (request->input_index == 1 || request->input_index == 2) && w->dtype == TSLIM_DTYPE_FLOAT &&
               w->rank == 3 && w->dims[1] % gates == 0;
    if (request->input_index != 1 || (w->dtype != TSLIM_DTYPE_FLOAT && w->dtype != TSLIM_DTYPE_INT8))
        return false;
    switch (request->op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE: {
        int64_t group = tsl_attrs_int(request->attrs, TSL_ATTR_group, 1);
        bool known = w->rank == 3 || w->rank == 4 || (w->rank > 4 && w->dtype == TSLIM_DTYPE_FLOAT);
        return known && group >= 1 && w->dims[0] % group == 0;
    }
    case TSL_OP_GEMM:
    case TSL_OP_MATMUL:
        return w->rank == MATRIX;
    default:
        return false;
    }
}

static bool set_sources(const tsl_pack_request *request, tsl_pack_geometry *g) {
    const int64_t *dims = request->weights.dims;
    size_t rows = (size_t)dims[0], columns = (size_t)dims[1];
    bool transposed = request->op == TSL_OP_GEMM && tsl_attrs_int(request->attrs, TSL_ATTR_transB, 0) != 0;
    if (request->op == TSL_OP_CONV || request->op == TSL_OP_CONV_TRANSPOSE) {
        g->groups = (size_t)tsl_attrs_int(request->attrs, TSL_ATTR_group, 1);
        if (!tsl_mul_size(g->taps.kernel[0], g->taps.kernel[1], &g->n_taps)) return false;
        rows /= g->groups;
        if (!tsl_mul_size(columns, g->n_taps, &columns) || !tsl_mul_size(rows, columns, &g->source_group))
            return false;
        transposed = request->op == TSL_OP_CONV;
        g->source_n = transposed ? columns : g->n_taps;
        g->source_k = transposed ? g->n_taps : columns;
        columns = (size_t)dims[1];
    } else if (gate_count(request->op)) {
        size_t gates = (size_t)gate_count(request->op);
        g->n_taps = 1;
        rows = columns / gates;
        columns = (size_t)dims[2];
        transposed = true;
        g->source_n = columns;
        g->source_k = 1;
        if (!tsl_mul_size((size_t)dims[0], gates, &g->groups) ||
            !tsl_mul_size(rows, columns, &g->source_group))
            return false;
    } else {
        g->groups = g->n_taps = 1;
        g->source_n = transposed ? columns : 1;
        g->source_k = transposed ? 1 : columns;
    }
    g->n = transposed ? rows : columns;
    g->k = transposed ? columns : rows;
    return true;
}

static bool set_sizes(tslim_dtype dtype, tsl_pack_geometry *g) {
    size_t element = tslim_dtype_size(dtype);
    size_t n_padded, channels;
    if (g->packing == TSL_PACKING_DEPTHWISE) {
        g->panels = tsl_round_up(g->groups, TSL_PANEL) / TSL_PANEL;
        g->k_padded = 1;
        g->panel_stride = g->group_stride = g->panels * TSL_PANEL;
        return tsl_mul_size(g->panel_stride, g->n_taps, &g->bytes) &&
               tsl_mul_size(g->bytes, element, &g->bytes);
    }
    if (!tsl_align_size(g->n, TSL_PANEL, &n_padded)) return false;
    g->panels = n_padded / TSL_PANEL;
    if (!tsl_align_size(g->k, dtype == TSLIM_DTYPE_INT8 ? TSL_K_GROUP : 1, &g->k_padded)) return false;
    if (!tsl_mul_size(g->k_padded, g->n_taps, &g->panel_stride) ||
        !tsl_mul_size(g->panel_stride, TSL_PANEL, &g->panel_stride) ||
        !tsl_mul_size(g->panel_stride, g->panels, &g->group_stride) ||
        !tsl_mul_size(g->group_stride, g->groups, &g->bytes) || !tsl_mul_size(g->bytes, element, &g->bytes))
        return false;
    if (dtype != TSLIM_DTYPE_INT8) return true;
    return tsl_align_size(g->bytes, 64, &g->sums_offset) && tsl_mul_size(n_padded, g->groups, &channels) &&
           tsl_mul_size(channels, sizeof(int32_t), &channels) &&
           tsl_add_size(g->sums_offset, channels, &g->bytes);
}

tslim_status tsl_pack_geometry_get(const tsl_pack_request *request, tsl_pack_geometry *geometry) {
    *geometry = (tsl_pack_geometry){0};
    if (!is_packable(request))
        return tsl_fail(TSLIM_ERROR_UNSUPPORTED, "%s: operand %u (%s, rank %u) cannot be packed",
            tsl_op_get_info(request->op)->name, request->input_index,
            tslim_dtype_name(request->weights.dtype), request->weights.rank);
    tsl_pack_geometry g = {.packing = TSL_PACKING_PANELS};
    read_taps(request, &g.taps);
    bool fits = set_sources(request, &g);
    if (request->op == TSL_OP_CONV && request->weights.rank <= 4 && g.groups > 1 && g.n == 1 && g.k == 1)
        g.packing = TSL_PACKING_DEPTHWISE;
    TSL_REQUIRE(fits && set_sizes(request->weights.dtype, &g), TSLIM_ERROR_LIMIT,
        "%s: packed weights too large", tsl_op_get_info(request->op)->name);
    *geometry = g;
    return TSLIM_OK;
}

tslim_status tsl_cpu_packed_size(const tsl_pack_request *request, tsl_packing *packing, size_t *bytes) {
    *packing = TSL_PACKING_NONE;
    *bytes = 0;
    if (!is_packable(request)) return TSLIM_OK;
    tsl_pack_geometry geometry;
    TSL_TRY(tsl_pack_geometry_get(request, &geometry));
    *packing = geometry.packing;
    *bytes = geometry.bytes;
    return TSLIM_OK;
}

// Where element (tap, channel in, channel out) of a panel lies in it.
static size_t packed_index(const tsl_pack_geometry *g, tslim_dtype dtype, size_t tap, size_t i, size_t j) {
    size_t row = tap * g->k_padded + i;
    if (dtype == TSLIM_DTYPE_FLOAT) return row * TSL_PANEL + j;
    return (row / TSL_K_GROUP * TSL_PANEL + j) * TSL_K_GROUP + row % TSL_K_GROUP;
}

// Moves one panel's elements, one way or the other.
static void move_panel(
    const tsl_pack_geometry *g, tslim_dtype dtype, char *row_major, char *packed, size_t width, bool pack) {
    size_t element = tslim_dtype_size(dtype);
    size_t at[2] = {0, 0};
    if (g->n_taps == 0) return;
    for (size_t tap = 0; tap < g->n_taps; tap++) {
        char *source = row_major + (at[0] * g->taps.kernel[1] + at[1]) * element;
        for (size_t i = 0; i < g->k; i++) {
            for (size_t j = 0; j < width; j++) {
                char *plain = source + (i * g->source_k + j * g->source_n) * element;
                char *place = packed + packed_index(g, dtype, tap, i, j) * element;
                memcpy(pack ? place : plain, pack ? plain : place, element);
            }
        }
        tsl_taps_next(&g->taps, at);
    }
}

static size_t panel_width(const tsl_pack_geometry *g, size_t panel) {
    size_t rest = g->n - panel * TSL_PANEL;
    return rest < TSL_PANEL ? rest : TSL_PANEL;
}

// Four rows side by side, or four elements of each column.
static bool pack_int8_panel(const tsl_pack_geometry *g, const int8_t *from, int8_t *to) {
    if (g->source_n != 1 && g->source_k != 1) return false;
    for (size_t i = 0; i < g->k; i += TSL_K_GROUP, to += TSL_PANEL * TSL_K_GROUP) {
        const size_t rows = g->k - i < TSL_K_GROUP ? g->k - i : TSL_K_GROUP;
        if (rows < TSL_K_GROUP) memset(to, 0, TSL_PANEL * TSL_K_GROUP);
        if (g->source_k == 1) {
            for (size_t j = 0; j < TSL_PANEL; j++)
                memcpy(to + j * TSL_K_GROUP, from + j * g->source_n + i, rows);
            continue;
        }
        for (size_t b = 0; b < rows; b++)
            for (size_t j = 0; j < TSL_PANEL; j++) to[j * TSL_K_GROUP + b] = from[(i + b) * g->source_k + j];
    }
    return true;
}

// A panel of a plain matrix: what is packed at each run where an operand is computed. False when it is not
// so.
static bool pack_matrix_panel(
    const tsl_pack_geometry *g, tslim_dtype dtype, const char *source, char *packed, size_t width) {
    if (g->n_taps != 1 || width != TSL_PANEL) return false;
    if (dtype == TSLIM_DTYPE_INT8) return pack_int8_panel(g, (const int8_t *)source, (int8_t *)packed);
    if (dtype != TSLIM_DTYPE_FLOAT) return false;
    const float *from = (const float *)(const void *)source;
    float *to = (float *)(void *)packed;
    if (g->source_n == 1) {
        for (size_t i = 0; i < g->k; i++)
            memcpy(to + i * TSL_PANEL, from + i * g->source_k, TSL_PANEL * sizeof(float));
        return true;
    }
    if (g->source_k != 1) return false;
    for (size_t i = 0; i < g->k; i++)
        for (size_t j = 0; j < TSL_PANEL; j++) to[i * TSL_PANEL + j] = from[i + j * g->source_n];
    return true;
}

void tsl_pack_panels(const tsl_pack_geometry *g, tslim_dtype dtype, const void *row_major, void *packed,
    size_t group, size_t first, size_t last) {
    size_t element = tslim_dtype_size(dtype);
    // move_panel only reads it when packing.
    char *source = (char *)(uintptr_t)row_major + group * g->source_group * element;
    for (size_t panel = first; panel < last; panel++) {
        char *place = (char *)packed + (group * g->group_stride + panel * g->panel_stride) * element;
        const size_t width = panel_width(g, panel);
        char *plain = source + panel * TSL_PANEL * g->source_n * element;
        if (pack_matrix_panel(g, dtype, plain, place, width)) continue;
        memset(place, 0, g->panel_stride * element);
        move_panel(g, dtype, plain, place, width, true);
    }
}

void tsl_pack_panel_sums(const int8_t *packed, size_t rows, int32_t *sums) {
    for (size_t j = 0; j < TSL_PANEL; j++) sums[j] = 0;
    for (size_t i = 0; i < rows; i += TSL_K_GROUP, packed += TSL_PANEL * TSL_K_GROUP)
        for (size_t j = 0; j < TSL_PANEL; j++)
            for (size_t b = 0; b < TSL_K_GROUP; b++) sums[j] += packed[j * TSL_K_GROUP + b];
}

void tsl_pack_sums(
    const tsl_pack_geometry *g, const int8_t *packed, size_t first_tap, size_t n_taps, int32_t *sums) {
    packed += first_tap * g->k_padded * TSL_PANEL;
    for (size_t panel = 0; panel < g->groups * g->panels; panel++)
        tsl_pack_panel_sums(packed + panel * g->panel_stride, n_taps * g->k_padded, sums + panel * TSL_PANEL);
}

static void pack_depthwise(const tsl_pack_geometry *g, size_t element, const char *row_major, char *packed) {
    memset(packed, 0, g->bytes);
    for (size_t tap = 0; tap < g->n_taps; tap++)
        for (size_t j = 0; j < g->groups; j++)
            memcpy(packed + (tap * g->panel_stride + j) * element,
                row_major + (j * g->n_taps + tap) * element, element);
}

void tsl_cpu_pack(const tsl_pack_request *request, void *packed) {
    tsl_pack_geometry g;
    tslim_dtype dtype = request->weights.dtype;
    if (tsl_pack_geometry_get(request, &g) != TSLIM_OK) return;
    if (g.packing == TSL_PACKING_DEPTHWISE) {
        pack_depthwise(&g, tslim_dtype_size(dtype), request->weights.data, packed);
        return;
    }
    for (size_t group = 0; group < g.groups; group++)
        tsl_pack_panels(&g, dtype, request->weights.data, packed, group, 0, g.panels);
    if (dtype != TSLIM_DTYPE_INT8) return;
    size_t end = g.groups * g.group_stride;
    memset((char *)packed + end, 0, g.sums_offset - end);
    tsl_pack_sums(&g, packed, 0, g.n_taps, (int32_t *)(void *)((char *)packed + g.sums_offset));
}

void tsl_cpu_unpack(const tsl_pack_request *request, const void *packed, void *row_major) {
    tsl_pack_geometry g;
    tslim_dtype dtype = request->weights.dtype;
    size_t element = tslim_dtype_size(dtype);
    if (tsl_pack_geometry_get(request, &g) != TSLIM_OK) return;
    if (g.packing == TSL_PACKING_DEPTHWISE) {
        for (size_t j = 0; j < g.groups; j++)
            for (size_t tap = 0; tap < g.n_taps; tap++)
                memcpy((char *)row_major + (j * g.n_taps + tap) * element,
                    (const char *)packed + (tap * g.panel_stride + j) * element, element);
        return;
    }
    for (size_t panel = 0; panel < g.groups * g.panels; panel++) {
        size_t group = panel / g.panels, within = panel % g.panels;
        // move_panel only reads it when unpacking.
        char *place = (char *)(uintptr_t)packed + panel * g.panel_stride * element;
        char *plain =
            (char *)row_major + (group * g.source_group + within * TSL_PANEL * g.source_n) * element;
        move_panel(&g, dtype, plain, place, panel_width(&g, within), false);
    }
}
