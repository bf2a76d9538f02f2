// SPDX-License-Identifier: Apache-2.0
// A transposed convolution whose kernel is as large as its stride makes each output pixel from one input
// pixel: it is a 1x1 convolution to block x block times as many channels, and DepthToSpace (the sub-pixel
// convolution of Shi et al., 2016, arXiv:1609.05158). With few output channels that fills the panels of the
// matrix product, which one channel a kernel position leaves all but empty: the last layer of a text detector
// has a single one.
#include "pass/pass.h"

// Beyond this a panel is half full by itself, and the second pass over memory costs more than it saves.
#define MOST_CHANNELS 8

static bool all_are(const tsl_attrs *attrs, tsl_attr_id id, int64_t wanted) {
    size_t count;
    const int64_t *values = tsl_attrs_ints(attrs, id, &count);
    for (size_t i = 0; values && i < count; i++)
        if (values[i] != wanted) return false;
    return true;
}

static bool is_plain_float_constant(const tsl_value *value) {
    return tsl_value_is_constant(value) && value->dtype == TSLIM_DTYPE_FLOAT &&
           value->packing == TSL_PACKING_NONE;
}

// The block size, or 0 where the node is of another kind.
static int64_t block_of(const tslim_graph *graph, const tsl_node *node) {
    if (node->op != TSL_OP_CONV_TRANSPOSE || node->epilogue.residual >= 0) return 0;
    const tsl_value *x = tsl_node_input(graph, node, 0), *w = tsl_node_input(graph, node, 1),
                    *bias = tsl_node_input(graph, node, 2);
    if (!x || !w || x->shape.rank != 4 || !is_plain_float_constant(w) ||
        (bias && !is_plain_float_constant(bias)))
        return 0;
    const int64_t *dims = w->shape.dims, block = dims[2];
    size_t count;
    bool fits = w->shape.rank == 4 && dims[0] > 0 && dims[1] > 0 && dims[1] <= MOST_CHANNELS && block > 1 &&
                block <= 8 && dims[3] == block && tsl_attrs_int(&node->attrs, TSL_ATTR_group, 1) == 1 &&
                (!bias || bias->bytes == (size_t)dims[1] * sizeof(float)) &&
                tsl_attrs_ints(&node->attrs, TSL_ATTR_strides, &count) &&
                all_are(&node->attrs, TSL_ATTR_strides, block) &&
                all_are(&node->attrs, TSL_ATTR_dilations, 1) && all_are(&node->attrs, TSL_ATTR_pads, 0) &&
                all_are(&node->attrs, TSL_ATTR_output_padding, 0) &&
                !tsl_attrs_find(&node->attrs, TSL_ATTR_output_shape) &&
                !tsl_attrs_find(&node->attrs, TSL_ATTR_auto_pad);
    return fits ? block : 0;
}

// [in][out][row][column] to [(row, column), out][in].
static tslim_status shuffle_weights(tslim_graph *graph, uint32_t n, int64_t block) {
    const tsl_value *old = tsl_node_input(graph, &graph->nodes[n], 1);
    size_t in = (size_t)old->shape.dims[0], out = (size_t)old->shape.dims[1], taps = (size_t)(block * block);
    const float *from = old->data;
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(graph, old->name, TSLIM_DTYPE_FLOAT, 4,
        (const int64_t[]){(int64_t)(taps * out), (int64_t)in, 1, 1}, &id, &data));
    float *to = data;
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++) to[(tap * out + o) * in + i] = from[(i * out + o) * taps + tap];
    graph->nodes[n].inputs[1] = id;
    return TSLIM_OK;
}

static tslim_status repeat_bias(tslim_graph *graph, uint32_t n, int64_t block) {
    const tsl_value *old = tsl_node_input(graph, &graph->nodes[n], 2);
    if (!old) return TSLIM_OK;
    size_t out = old->bytes / sizeof(float), taps = (size_t)(block * block);
    const float *from = old->data;
    uint32_t id;
    void *data;
    TSL_TRY(tsl_graph_add_constant(
        graph, old->name, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){(int64_t)(taps * out)}, &id, &data));
    for (size_t i = 0; i < taps * out; i++) ((float *)data)[i] = from[i % out];
    graph->nodes[n].inputs[2] = id;
    return TSLIM_OK;
}

static tslim_status shuffle(tslim_graph *graph, uint32_t n, int64_t block) {
    TSL_TRY(shuffle_weights(graph, n, block));
    TSL_TRY(repeat_bias(graph, n, block));
    uint32_t y = graph->nodes[n].outputs[0], deep, index;
    TSL_TRY(tsl_graph_add_value(graph, graph->values[y].name, TSLIM_DTYPE_FLOAT, &deep));
    const tsl_value *x = tsl_node_input(graph, &graph->nodes[n], 0),
                    *w = tsl_node_input(graph, &graph->nodes[n], 1);
    graph->values[deep].shape = x->shape;
    graph->values[deep].shape.dims[1] = w->shape.dims[0];
    graph->values[deep].shape.symbols[1] = NULL;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_DEPTH_TO_SPACE, graph->nodes[n].name, 1, &deep, 1, &y, &index));
    TSL_TRY(tsl_node_set_int(graph, &graph->nodes[index], TSL_ATTR_blocksize, block));
    tsl_node *conv = &graph->nodes[n];
    conv->op = TSL_OP_CONV;
    conv->op_type = tsl_op_get_info(TSL_OP_CONV)->name;
    conv->attrs.count = 0; // 1x1, stride 1: all at their defaults
    conv->outputs[0] = deep;
    graph->values[deep].producer = n;
    return TSLIM_OK;
}

tslim_status tsl_pass_pixel_shuffle(tslim_graph *graph) {
    bool changed = false;
    for (uint32_t n = 0, count = graph->n_nodes; n < count; n++) {
        int64_t block = block_of(graph, &graph->nodes[n]);
        if (block == 0) continue;
        TSL_TRY(shuffle(graph, n, block));
        changed = true;
    }
    return changed ? tsl_graph_sort(graph) : TSLIM_OK;
}
