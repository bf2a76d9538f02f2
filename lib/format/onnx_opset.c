// SPDX-License-Identifier: Apache-2.0
// Raising a graph of opset 7 to 12 to 13. What changed is listed in ONNX's operator changelog
// (https://github.com/onnx/onnx/blob/main/docs/Changelog.md): attributes that became operands, Softmax over
// one axis instead of all that follow, Upsample and the older Resize.
#include "format/onnx_opset.h"

#include <string.h>

// Makes room for operand `slot` and sets it to a constant of the given numbers.
static tslim_status set_operand(tslim_graph *graph, uint32_t n, uint32_t slot, const char *name,
    tslim_dtype dtype, bool scalar, const void *numbers, size_t count) {
    uint32_t id;
    void *data;
    int64_t dims[1] = {(int64_t)count};
    const char *full_name = tsl_arena_format(&graph->arena, "%s_%s", graph->nodes[n].name, name);
    TSL_REQUIRE_MEMORY(full_name, 1);
    TSL_TRY(tsl_graph_add_constant(graph, full_name, dtype, scalar ? 0 : 1, dims, &id, &data));
    if (count > 0) memcpy(data, numbers, count * tslim_dtype_size(dtype));
    while (graph->nodes[n].n_inputs <= slot) TSL_TRY(tsl_node_add_input(graph, &graph->nodes[n], TSL_NONE));
    graph->nodes[n].inputs[slot] = id;
    return TSLIM_OK;
}

// An attribute of integers becomes operand `slot`.
static tslim_status move_ints(tslim_graph *graph, uint32_t n, tsl_attr_id attr, uint32_t slot) {
    size_t count;
    const int64_t *numbers = tsl_attrs_ints(&graph->nodes[n].attrs, attr, &count);
    if (!numbers) return TSLIM_OK;
    TSL_TRY(set_operand(graph, n, slot, tsl_attr_name(attr), TSLIM_DTYPE_INT64, false, numbers, count));
    tsl_node_remove_attr(&graph->nodes[n], attr);
    return TSLIM_OK;
}

// An attribute that is one float becomes operand `slot`.
static tslim_status move_float(tslim_graph *graph, uint32_t n, tsl_attr_id attr, uint32_t slot) {
    const tsl_attr *found = tsl_attrs_find(&graph->nodes[n].attrs, attr);
    if (!found || found->type != TSL_ATTR_TYPE_FLOAT) return TSLIM_OK;
    float number = found->f;
    TSL_TRY(set_operand(graph, n, slot, tsl_attr_name(attr), TSLIM_DTYPE_FLOAT, true, &number, 1));
    tsl_node_remove_attr(&graph->nodes[n], attr);
    return TSLIM_OK;
}

static tslim_status raise_slice(tslim_graph *graph, uint32_t n) {
    TSL_TRY(move_ints(graph, n, TSL_ATTR_starts, 1));
    TSL_TRY(move_ints(graph, n, TSL_ATTR_ends, 2));
    return move_ints(graph, n, TSL_ATTR_axes, 3);
}

static tslim_status raise_pad(tslim_graph *graph, uint32_t n) {
    TSL_TRY(move_ints(graph, n, TSL_ATTR_pads, 1));
    return move_float(graph, n, TSL_ATTR_value, 2);
}

static tslim_status raise_clip(tslim_graph *graph, uint32_t n) {
    TSL_TRY(move_float(graph, n, TSL_ATTR_min, 1));
    return move_float(graph, n, TSL_ATTR_max, 2);
}

// Upsample, and Resize before opset 11, read element floor(i / scale), and interpolate from there.
static tslim_status raise_resize(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    bool upsample = node->op == TSL_OP_UPSAMPLE;
    if (!upsample && graph->opset >= 11) return TSLIM_OK;
    size_t count;
    const float *scales = tsl_attrs_floats(&node->attrs, TSL_ATTR_scales, &count);
    if (scales) {
        TSL_TRY(set_operand(graph, n, 2, "scales", TSLIM_DTYPE_FLOAT, false, scales, count));
        tsl_node_remove_attr(&graph->nodes[n], TSL_ATTR_scales);
    } else {
        TSL_REQUIRE(node->n_inputs == 2, TSLIM_ERROR_UNSUPPORTED, "node '%s' (%s) has no scales", node->name,
            node->op_type);
        TSL_TRY(tsl_node_add_input(graph, node, node->inputs[1]));
        graph->nodes[n].inputs[1] = TSL_NONE; // the region of interest, which this mode does not use
    }
    node = &graph->nodes[n];
    node->op = TSL_OP_RESIZE;
    node->op_type = tsl_op_get_info(TSL_OP_RESIZE)->name;
    TSL_TRY(tsl_node_set_string(graph, node, TSL_ATTR_coordinate_transformation_mode, "asymmetric"));
    return tsl_node_set_string(graph, node, TSL_ATTR_nearest_mode, "floor");
}

static tslim_status add_value_like(tslim_graph *graph, uint32_t like, const char *ending, uint32_t *id) {
    const char *name = tsl_arena_format(&graph->arena, "%s_%s", graph->values[like].name, ending);
    TSL_REQUIRE_MEMORY(name, 1);
    return tsl_graph_add_value(graph, name, graph->values[like].dtype, id);
}

// Over all axes from `axis` on together: as a matrix, and back to the input's shape.
static tslim_status flatten_softmax(tslim_graph *graph, uint32_t n, int64_t axis) {
    uint32_t x = graph->nodes[n].inputs[0], y = graph->nodes[n].outputs[0], matrix, result, shape, added;
    TSL_TRY(add_value_like(graph, x, "matrix", &matrix));
    TSL_TRY(add_value_like(graph, y, "matrix", &result));
    TSL_TRY(add_value_like(graph, x, "shape", &shape));
    graph->values[shape].dtype = TSLIM_DTYPE_INT64;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_FLATTEN, NULL, 1, &x, 1, &matrix, &added));
    TSL_TRY(tsl_node_set_int(graph, &graph->nodes[added], TSL_ATTR_axis, axis));
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_SHAPE, NULL, 1, &x, 1, &shape, &added));
    graph->nodes[n].inputs[0] = matrix;
    graph->nodes[n].outputs[0] = result;
    graph->values[result].producer = n;
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_RESHAPE, NULL, 2, (uint32_t[]){result, shape}, 1, &y, &added));
    return tsl_node_set_int(graph, &graph->nodes[n], TSL_ATTR_axis, 1);
}

static tslim_status raise_softmax(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    const tsl_value *x = tsl_node_input(graph, node, 0);
    int64_t axis = tsl_attrs_int(&node->attrs, TSL_ATTR_axis, 1);
    bool last = axis == -1 || (x && x->shape.known && axis == (int64_t)x->shape.rank - 1);
    return last ? tsl_node_set_int(graph, node, TSL_ATTR_axis, -1) : flatten_softmax(graph, n, axis);
}

static tslim_status raise_node(tslim_graph *graph, uint32_t n) {
    tsl_node *node = &graph->nodes[n];
    switch (node->op) {
    case TSL_OP_UNKNOWN:
        return *node->domain ? TSLIM_OK
                             : tsl_fail(TSLIM_ERROR_UNSUPPORTED,
                                   "node '%s' (%s): what opset 13 changes of it is not known", node->name,
                                   node->op_type);
    case TSL_OP_CLIP:
        return raise_clip(graph, n);
    case TSL_OP_PAD:
        return raise_pad(graph, n);
    case TSL_OP_SLICE:
        return raise_slice(graph, n);
    case TSL_OP_DROPOUT:
        tsl_node_remove_attr(node, TSL_ATTR_ratio);
        return TSLIM_OK; // not used in inference
    case TSL_OP_SQUEEZE:
    case TSL_OP_UNSQUEEZE:
    case TSL_OP_REDUCE_SUM:
        return move_ints(graph, n, TSL_ATTR_axes, 1);
    case TSL_OP_SPLIT:
        return move_ints(graph, n, TSL_ATTR_split, 1);
    case TSL_OP_SOFTMAX:
    case TSL_OP_LOG_SOFTMAX:
        return raise_softmax(graph, n);
    case TSL_OP_RESIZE:
    case TSL_OP_UPSAMPLE:
        return raise_resize(graph, n);
    default:
        return TSLIM_OK;
    }
}

tslim_status tsl_onnx_raise_opset(tslim_graph *graph, uint32_t opset) {
    for (uint32_t i = 0; i < graph->n_bodies; i++) TSL_TRY(tsl_onnx_raise_opset(graph->bodies[i], opset));
    uint32_t n_nodes = graph->n_nodes; // what is added is in the new form
    for (uint32_t n = 0; n < n_nodes; n++) TSL_TRY(raise_node(graph, n));
    graph->opset = opset;
    return TSLIM_OK;
}
