// SPDX-License-Identifier: Apache-2.0
// Convolution and pooling windows. The formulas are those of the ONNX operator specifications of Conv,
// ConvTranspose, MaxPool and AveragePool.
#include "ir/window.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "ir/graph.h"

// Every number is at most this, so that a product of two and a sum of a few of those fit in 63 bits.
#define LARGEST ((int64_t)1 << 30)
// Room for the numbers of all axes in a message.
#define DIMS_TEXT 160

typedef enum padding { PADDING_EXPLICIT, PADDING_VALID, PADDING_SAME_UPPER, PADDING_SAME_LOWER } padding;

// Reads one list into `values`; what is absent stays as it is.
static tslim_status read_list(
    const tsl_attrs *attrs, tsl_attr_id id, uint32_t spatial_rank, int64_t least, int64_t *values) {
    size_t count;
    const int64_t *ints = tsl_attrs_ints(attrs, id, &count);
    if (!ints || count == 0) return TSLIM_OK;
    TSL_REQUIRE(count == spatial_rank, TSLIM_ERROR_INVALID_ARGUMENT, "%s has %zu numbers, not %u",
        tsl_attr_name(id), count, spatial_rank);
    for (size_t i = 0; i < count; i++) {
        TSL_REQUIRE(ints[i] >= least && ints[i] <= LARGEST, TSLIM_ERROR_INVALID_ARGUMENT,
            "%s holds %" PRId64 ", which is not in %" PRId64 "..%" PRId64, tsl_attr_name(id), ints[i], least,
            LARGEST);
        values[i] = ints[i];
    }
    return TSLIM_OK;
}

static tslim_status read_kernel(const tsl_attrs *attrs, const int64_t *kernel, tsl_window_nd *window) {
    int64_t named[TSL_MOST_SPATIAL];
    for (uint32_t i = 0; i < window->rank; i++) named[i] = -1;
    TSL_TRY(read_list(attrs, TSL_ATTR_kernel_shape, window->rank, 1, named));
    TSL_REQUIRE(kernel || named[0] >= 0, TSLIM_ERROR_INVALID_ARGUMENT, "kernel_shape is missing");
    for (uint32_t i = 0; i < window->rank; i++) {
        int64_t actual = kernel ? kernel[i] : -1;
        TSL_REQUIRE(actual < 0 || named[i] < 0 || actual == named[i], TSLIM_ERROR_INVALID_ARGUMENT,
            "kernel_shape holds %" PRId64 ", but the weights have %" PRId64, named[i], actual);
        window->kernel[i] = actual >= 0 ? actual : named[i];
        TSL_REQUIRE(window->kernel[i] != 0 && window->kernel[i] <= LARGEST, TSLIM_ERROR_INVALID_ARGUMENT,
            "a kernel of size %" PRId64, window->kernel[i]);
    }
    return TSLIM_OK;
}

static tslim_status read_padding(const tsl_attrs *attrs, tsl_window_nd *window, padding *mode) {
    const char *auto_pad = tsl_attrs_string(attrs, TSL_ATTR_auto_pad, "NOTSET");
    if (strcmp(auto_pad, "SAME_UPPER") == 0)
        *mode = PADDING_SAME_UPPER;
    else if (strcmp(auto_pad, "SAME_LOWER") == 0)
        *mode = PADDING_SAME_LOWER;
    else if (strcmp(auto_pad, "VALID") == 0)
        *mode = PADDING_VALID;
    else if (strcmp(auto_pad, "NOTSET") == 0 || !*auto_pad)
        *mode = PADDING_EXPLICIT;
    else
        return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT, "auto_pad is '%.40s'", auto_pad);
    size_t count;
    const int64_t *pads = tsl_attrs_ints(attrs, TSL_ATTR_pads, &count);
    if (*mode != PADDING_EXPLICIT || !pads || count == 0) return TSLIM_OK;
    TSL_REQUIRE(count == 2 * (size_t)window->rank, TSLIM_ERROR_INVALID_ARGUMENT,
        "pads has %zu numbers, not %u", count, 2 * window->rank);
    for (size_t i = 0; i < count; i++)
        TSL_REQUIRE(pads[i] >= 0 && pads[i] <= LARGEST, TSLIM_ERROR_INVALID_ARGUMENT,
            "pads holds %" PRId64 ", which is not in 0..%" PRId64, pads[i], LARGEST);
    for (uint32_t i = 0; i < window->rank; i++) {
        window->pad_begin[i] = pads[i];
        window->pad_end[i] = pads[window->rank + i];
    }
    return TSLIM_OK;
}

// From the first to the last position that one window reads.
static int64_t extent(int64_t kernel, int64_t dilation) {
    return (kernel - 1) * dilation + 1;
}

// Shares what SAME needs among the two sides.
static void share_padding(tsl_window_nd *window, uint32_t d, int64_t total, bool more_at_end) {
    window->pad_begin[d] = more_at_end ? total / 2 : total - total / 2;
    window->pad_end[d] = total - window->pad_begin[d];
}

static tslim_status does_not_fit(const tsl_window_nd *w) {
    char kernel[DIMS_TEXT], dilation[DIMS_TEXT], in[DIMS_TEXT], begin[DIMS_TEXT], end[DIMS_TEXT];
    return tsl_fail(TSLIM_ERROR_INVALID_ARGUMENT,
        "kernel %s with dilation %s does not fit input %s with pads %s and %s",
        tsl_dims_format(w->rank, w->kernel, kernel, sizeof(kernel)),
        tsl_dims_format(w->rank, w->dilation, dilation, sizeof(dilation)),
        tsl_dims_format(w->rank, w->in, in, sizeof(in)),
        tsl_dims_format(w->rank, w->pad_begin, begin, sizeof(begin)),
        tsl_dims_format(w->rank, w->pad_end, end, sizeof(end)));
}

static tslim_status slide(tsl_window_nd *w, uint32_t d, padding mode) {
    int64_t in = w->in[d], stride = w->stride[d], reach = extent(w->kernel[d], w->dilation[d]);
    if (mode == PADDING_SAME_UPPER || mode == PADDING_SAME_LOWER) {
        w->out[d] = (in + stride - 1) / stride;
        int64_t total = tsl_max_i64((w->out[d] - 1) * stride + reach - in, 0);
        share_padding(w, d, total, mode == PADDING_SAME_UPPER);
        return TSLIM_OK;
    }
    int64_t room = in + w->pad_begin[d] + w->pad_end[d] - reach;
    // With ceil_mode a window may begin inside and end behind the padding.
    if (room < 0 && !(w->ceil_mode && room > -stride)) return does_not_fit(w);
    w->out[d] = (w->ceil_mode ? room + stride - 1 : room) / stride + 1;
    // A window of ceil_mode must start inside the input or the padding before it.
    if (w->ceil_mode && (w->out[d] - 1) * stride >= in + w->pad_begin[d]) w->out[d]--;
    return TSLIM_OK;
}

// ConvTranspose: the window slides over the output.
static tslim_status slide_back(tsl_window_nd *w, uint32_t d, padding mode, int64_t wanted) {
    int64_t full =
        (w->in[d] - 1) * w->stride[d] + w->output_padding[d] + extent(w->kernel[d], w->dilation[d]);
    bool same = mode == PADDING_SAME_UPPER || mode == PADDING_SAME_LOWER;
    if (wanted < 0 && same) wanted = w->in[d] * w->stride[d];
    if (wanted >= 0) {
        share_padding(w, d, tsl_max_i64(full - wanted, 0), mode == PADDING_SAME_UPPER);
        w->output_padding[d] += tsl_max_i64(wanted - full, 0); // positions that nothing is spread to
        w->out[d] = wanted;
    } else {
        w->out[d] = full - w->pad_begin[d] - w->pad_end[d];
    }
    TSL_REQUIRE(w->out[d] >= 1, TSLIM_ERROR_INVALID_ARGUMENT,
        "input %" PRId64 " spread with stride %" PRId64 " to %" PRId64 " leaves nothing after pads %" PRId64
        ",%" PRId64,
        w->in[d], w->stride[d], full, w->pad_begin[d], w->pad_end[d]);
    return TSLIM_OK;
}

static bool is_pool(tsl_op op) {
    return op == TSL_OP_MAX_POOL || op == TSL_OP_AVERAGE_POOL || op == TSL_OP_LP_POOL;
}

static tslim_status read_numbers(
    const tsl_attrs *attrs, tsl_op op, const int64_t *kernel, tsl_window_nd *w, padding *mode) {
    TSL_TRY(read_kernel(attrs, kernel, w));
    TSL_TRY(read_list(attrs, TSL_ATTR_strides, w->rank, 1, w->stride));
    TSL_TRY(read_list(attrs, TSL_ATTR_dilations, w->rank, 1, w->dilation));
    TSL_TRY(read_padding(attrs, w, mode));
    if (op == TSL_OP_CONV_TRANSPOSE)
        TSL_TRY(read_list(attrs, TSL_ATTR_output_padding, w->rank, 0, w->output_padding));
    w->group = tsl_attrs_int(attrs, TSL_ATTR_group, 1);
    TSL_REQUIRE(
        w->group >= 1 && w->group <= LARGEST, TSLIM_ERROR_INVALID_ARGUMENT, "group is %" PRId64, w->group);
    w->ceil_mode = is_pool(op) && tsl_attrs_int(attrs, TSL_ATTR_ceil_mode, 0) != 0;
    for (uint32_t d = 0; is_pool(op) && d < w->rank; d++) // or a window would lie in the padding alone
        TSL_REQUIRE(w->pad_begin[d] < w->kernel[d] && w->pad_end[d] < w->kernel[d],
            TSLIM_ERROR_INVALID_ARGUMENT,
            "pads %" PRId64 ",%" PRId64 " are not smaller than the kernel, %" PRId64, w->pad_begin[d],
            w->pad_end[d], w->kernel[d]);
    return TSLIM_OK;
}

tslim_status tsl_window_nd_read(const tsl_attrs *attrs, tsl_op op, uint32_t spatial_rank, const int64_t *in,
    const int64_t *kernel, tsl_window_nd *window) {
    TSL_REQUIRE(spatial_rank >= 1 && spatial_rank <= TSL_MOST_SPATIAL, TSLIM_ERROR_UNSUPPORTED,
        "%u spatial dims", spatial_rank);
    tsl_window_nd w = {.rank = spatial_rank};
    int64_t wanted[TSL_MOST_SPATIAL];
    for (uint32_t d = 0; d < spatial_rank; d++) {
        w.stride[d] = w.dilation[d] = 1;
        w.in[d] = in[d];
        w.out[d] = wanted[d] = -1;
    }
    padding mode;
    TSL_TRY(read_numbers(attrs, op, kernel, &w, &mode));
    if (op == TSL_OP_CONV_TRANSPOSE)
        TSL_TRY(read_list(attrs, TSL_ATTR_output_shape, spatial_rank, 1, wanted));
    for (uint32_t d = 0; d < spatial_rank; d++) {
        char text[DIMS_TEXT];
        TSL_REQUIRE(w.in[d] != 0, TSLIM_ERROR_INVALID_ARGUMENT, "an input of %s",
            tsl_dims_format(spatial_rank, in, text, sizeof(text)));
        TSL_REQUIRE(w.in[d] <= LARGEST, TSLIM_ERROR_LIMIT, "an input of %s",
            tsl_dims_format(spatial_rank, in, text, sizeof(text)));
        if (op == TSL_OP_CONV_TRANSPOSE && wanted[d] >= 0) w.out[d] = wanted[d];
        if (w.in[d] < 0 || w.kernel[d] < 0) continue;
        TSL_TRY(op == TSL_OP_CONV_TRANSPOSE ? slide_back(&w, d, mode, wanted[d]) : slide(&w, d, mode));
    }
    *window = w;
    return TSLIM_OK;
}

tslim_status tsl_window_read(const tsl_attrs *attrs, tsl_op op, uint32_t spatial_rank, const int64_t *in,
    const int64_t *kernel, tsl_window *window) {
    TSL_REQUIRE(spatial_rank == 1 || spatial_rank == 2, TSLIM_ERROR_UNSUPPORTED,
        "%u spatial dims (1 and 2 are supported)", spatial_rank);
    tsl_window_nd nd;
    TSL_TRY(tsl_window_nd_read(attrs, op, spatial_rank, in, kernel, &nd));
    tsl_window w = {.kernel = {1, 1},
        .stride = {1, 1},
        .dilation = {1, 1},
        .in = {1, 1},
        .out = {1, 1},
        .group = nd.group,
        .ceil_mode = nd.ceil_mode};
    for (uint32_t i = 0; i < spatial_rank; i++) {
        const uint32_t d = 2 - spatial_rank + i;
        w.kernel[d] = nd.kernel[i];
        w.stride[d] = nd.stride[i];
        w.dilation[d] = nd.dilation[i];
        w.pad_begin[d] = nd.pad_begin[i];
        w.pad_end[d] = nd.pad_end[i];
        w.output_padding[d] = nd.output_padding[i];
        w.in[d] = nd.in[i];
        w.out[d] = nd.out[i];
    }
    *window = w;
    return TSLIM_OK;
}

tslim_status tsl_unpool_dims(const tsl_attrs *attrs, uint32_t rank, const int64_t *dims, int64_t *unpooled) {
    tsl_window_nd w = {.rank = rank - 2};
    padding mode;
    for (uint32_t d = 0; d < w.rank; d++) w.stride[d] = w.dilation[d] = 1;
    TSL_TRY(read_numbers(attrs, TSL_OP_MAX_UNPOOL, NULL, &w, &mode));
    for (uint32_t i = 0; i < rank; i++) {
        unpooled[i] = dims[i];
        if (i < 2 || dims[i] < 0) continue;
        const uint32_t d = i - 2;
        TSL_REQUIRE(dims[i] <= LARGEST, TSLIM_ERROR_LIMIT, "dim %u of the input is %" PRId64, i, dims[i]);
        unpooled[i] = (dims[i] - 1) * w.stride[d] + w.kernel[d] - w.pad_begin[d] - w.pad_end[d];
        TSL_REQUIRE(unpooled[i] >= 0, TSLIM_ERROR_INVALID_ARGUMENT,
            "dim %u of %" PRId64 " leaves nothing after pads %" PRId64 ",%" PRId64, i, dims[i],
            w.pad_begin[d], w.pad_end[d]);
    }
    return TSLIM_OK;
}

tslim_status tsl_window_border(const tsl_window *window, tsl_op op, uint16_t border[4]) {
    for (uint32_t d = 0; d < 2; d++) {
        int64_t before, after;
        if (op == TSL_OP_CONV_TRANSPOSE) {
            // Output o takes input (o + pad - k * dilation) / stride for each k of the kernel.
            int64_t first = (window->kernel[d] - 1) * window->dilation[d] - window->pad_begin[d];
            before = first > 0 ? first / window->stride[d] : 0;
            after = (window->out[d] - 1 + window->pad_begin[d]) / window->stride[d] - (window->in[d] - 1);
        } else {
            before = window->pad_begin[d];
            after = (window->out[d] - 1) * window->stride[d] +
                    extent(window->kernel[d], window->dilation[d]) - window->pad_begin[d] - window->in[d];
        }
        before = tsl_max_i64(before, 0);
        after = tsl_max_i64(after, 0);
        TSL_REQUIRE(before <= UINT16_MAX && after <= UINT16_MAX, TSLIM_ERROR_UNSUPPORTED,
            "padding of %" PRId64 " and %" PRId64 ", the most is %d", before, after, UINT16_MAX);
        border[d] = (uint16_t)before;
        border[2 + d] = (uint16_t)after;
    }
    return TSLIM_OK;
}
