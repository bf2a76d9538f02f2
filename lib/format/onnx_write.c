// SPDX-License-Identifier: Apache-2.0
// ONNX out. Each message is a small struct whose repeated fields are callbacks over the graph: nothing is
// built in memory, weights go from the graph to the file.
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "format/onnx.h"
#include "format/onnx_captures.h"
#include "format/onnx_spell_out.h"
#include "format/proto_writer.h"
#include "onnx.pb.h"

#define IR_VERSION 8 // the oldest that knows every opset written here
#define LARGEST_MESSAGE INT32_MAX // of protobuf

typedef struct writer {
    const tslim_graph *graph;
    tsl_file_writer *file;
    tslim_status status; // of the file
} writer;

static bool write_bytes(pb_ostream_t *stream, const pb_byte_t *bytes, size_t count) {
    writer *w = stream->state;
    w->status = tsl_file_writer_write(w->file, bytes, count);
    return w->status == TSLIM_OK;
}

// ---- Pieces ----

typedef struct ints_argument {
    const int64_t *values;
    size_t count;
} ints_argument;

static bool encode_ints(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const ints_argument *ints = *arg;
    for (size_t i = 0; i < ints->count; i++)
        if (!pb_encode_tag(stream, PB_WT_VARINT, field->tag) ||
            !pb_encode_varint(stream, (uint64_t)ints->values[i]))
            return false;
    return true;
}

typedef struct floats_argument {
    const float *values;
    size_t count;
} floats_argument;

static bool encode_floats(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const floats_argument *floats = *arg;
    for (size_t i = 0; i < floats->count; i++)
        if (!pb_encode_tag(stream, PB_WT_32BIT, field->tag) || !pb_encode_fixed32(stream, &floats->values[i]))
            return false;
    return true;
}

// ---- Tensors ----

static bool encode_tensor(pb_ostream_t *stream, const pb_field_t *field, const tsl_value *value) {
    tsl_onnx_Tensor message = tsl_onnx_Tensor_init_zero;
    tsl_proto_text_argument name, raw;
    ints_argument dims = {value->shape.dims, value->shape.rank};
    message.dims.funcs.encode = encode_ints;
    message.dims.arg = &dims;
    message.has_data_type = true;
    message.data_type = (int32_t)value->dtype;
    tsl_proto_put_text(&message.name, &name, value->name, strlen(value->name));
    tsl_proto_put_text(&message.raw_data, &raw, value->data, value->bytes);
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_Tensor_fields, &message);
}

static bool encode_one_tensor(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    return encode_tensor(stream, field, *arg);
}

// What is written, and which of its constants as initializers: all but those that only an attribute holds.
typedef struct graph_argument {
    tslim_graph *graph;
    const uint8_t *is_initializer;
    uint32_t n_inputs; // those that are not captured
} graph_argument;

static void find_initializers(const tslim_graph *graph, uint8_t *is_initializer) {
    memset(is_initializer, 1, graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++)
            if (graph->nodes[n].attrs.items[i].type == TSL_ATTR_TYPE_TENSOR)
                is_initializer[graph->nodes[n].attrs.items[i].i] = 0;
    for (uint32_t i = 0; i < graph->n_outputs; i++) is_initializer[graph->outputs[i]] = 1;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != TSL_NONE) is_initializer[graph->nodes[n].inputs[i]] = 1;
}

static bool encode_initializers(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const graph_argument *argument = *arg;
    const tslim_graph *graph = argument->graph;
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (argument->is_initializer[v] && tsl_value_is_constant(&graph->values[v]) &&
            !encode_tensor(stream, field, &graph->values[v]))
            return false;
    return true;
}

// ---- Nodes ----

typedef struct node_argument {
    const tslim_graph *graph;
    const tsl_node *node;
} node_argument;

static bool encode_names(pb_ostream_t *stream, const pb_field_t *field, const tslim_graph *graph,
    const uint32_t *ids, uint32_t count) {
    while (count > 0 && ids[count - 1] == TSL_NONE) count--; // absent ones at the end are left out
    for (uint32_t i = 0; i < count; i++) {
        const char *name = ids[i] == TSL_NONE ? "" : graph->values[ids[i]].name;
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_string(stream, (const pb_byte_t *)name, strlen(name)))
            return false;
    }
    return true;
}

static bool encode_inputs(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const node_argument *n = *arg;
    return encode_names(stream, field, n->graph, n->node->inputs, n->node->n_inputs - n->node->n_captured);
}

static bool encode_outputs(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const node_argument *n = *arg;
    return encode_names(stream, field, n->graph, n->node->outputs, n->node->n_outputs);
}

// Strings that lie one behind the other, each with a 0 at its end.
static bool encode_strings(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tsl_proto_text_argument *text = *arg;
    for (size_t at = 0; at < text->size;) {
        size_t length = strlen(text->data + at);
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_string(stream, (const pb_byte_t *)text->data + at, length))
            return false;
        at += length + 1;
    }
    return true;
}

static bool encode_attribute(
    pb_ostream_t *stream, const pb_field_t *field, const tslim_graph *graph, const tsl_attr *attr) {
    if (!pb_encode_tag_for_field(stream, field)) return false;
    if (attr->type == TSL_ATTR_TYPE_OPAQUE) // as it came
        return pb_encode_string(stream, (const pb_byte_t *)attr->s, attr->count);
    tsl_onnx_Attribute message = tsl_onnx_Attribute_init_zero;
    tsl_proto_text_argument name, s;
    ints_argument ints = {attr->ints, attr->count};
    floats_argument floats = {attr->floats, attr->count};
    tsl_proto_put_text(&message.name, &name, attr->name, strlen(attr->name));
    message.has_type = true;
    message.type = (int32_t)attr->type;
    switch (attr->type) {
    case TSL_ATTR_TYPE_FLOAT:
        message.has_f = true;
        message.f = attr->f;
        break;
    case TSL_ATTR_TYPE_INT:
        message.has_i = true;
        message.i = attr->i;
        break;
    case TSL_ATTR_TYPE_STRING:
        tsl_proto_put_text(&message.s, &s, attr->s, attr->count);
        break;
    case TSL_ATTR_TYPE_TENSOR:
        message.t.funcs.encode = encode_one_tensor;
        message.t.arg = &graph->values[attr->i];
        break;
    case TSL_ATTR_TYPE_FLOATS:
        message.floats.funcs.encode = encode_floats;
        message.floats.arg = &floats;
        break;
    case TSL_ATTR_TYPE_INTS:
        message.ints.funcs.encode = encode_ints;
        message.ints.arg = &ints;
        break;
    case TSL_ATTR_TYPE_STRINGS:
        s = (tsl_proto_text_argument){attr->s, attr->count};
        message.strings.funcs.encode = encode_strings;
        message.strings.arg = &s;
        break;
    case TSL_ATTR_TYPE_GRAPH: // encoded by now
    case TSL_ATTR_TYPE_OPAQUE:
        break;
    }
    return pb_encode_submessage(stream, tsl_onnx_Attribute_fields, &message);
}

static bool encode_attributes(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const node_argument *n = *arg;
    for (uint32_t i = 0; i < n->node->attrs.count; i++)
        if (!encode_attribute(stream, field, n->graph, &n->node->attrs.items[i])) return false;
    return true;
}

static bool encode_nodes(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tsl_node *node = &graph->nodes[i];
        tsl_onnx_Node message = tsl_onnx_Node_init_zero;
        node_argument argument = {graph, node};
        tsl_proto_text_argument name, op_type, domain;
        message.input.funcs.encode = encode_inputs;
        message.output.funcs.encode = encode_outputs;
        message.attribute.funcs.encode = encode_attributes;
        message.input.arg = message.output.arg = message.attribute.arg = &argument;
        tsl_proto_put_text(&message.name, &name, node->name, strlen(node->name));
        tsl_proto_put_text(&message.op_type, &op_type, node->op_type, strlen(node->op_type));
        if (*node->domain) tsl_proto_put_text(&message.domain, &domain, node->domain, strlen(node->domain));
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_onnx_Node_fields, &message))
            return false;
    }
    return true;
}

// ---- Inputs and outputs ----

static bool encode_dimensions(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tsl_shape *shape = *arg;
    for (uint32_t d = 0; d < shape->rank; d++) {
        tsl_onnx_Dimension message = tsl_onnx_Dimension_init_zero;
        tsl_proto_text_argument symbol;
        message.has_dim_value = shape->dims[d] >= 0;
        message.dim_value = shape->dims[d];
        if (shape->dims[d] < 0 && shape->symbols[d])
            tsl_proto_put_text(&message.dim_param, &symbol, shape->symbols[d], strlen(shape->symbols[d]));
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_onnx_Dimension_fields, &message))
            return false;
    }
    return true;
}

static bool encode_shape(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    tsl_onnx_TensorShape message = tsl_onnx_TensorShape_init_zero;
    message.dim.funcs.encode = encode_dimensions;
    message.dim.arg = *arg;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_TensorShape_fields, &message);
}

static bool encode_tensor_type(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    tsl_value *value = *arg;
    tsl_onnx_TensorType message = tsl_onnx_TensorType_init_zero;
    message.has_elem_type = true;
    message.elem_type = (int32_t)value->dtype;
    if (value->shape.known) {
        message.shape.funcs.encode = encode_shape;
        message.shape.arg = &value->shape;
    }
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_TensorType_fields, &message);
}

static bool encode_type(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    tsl_onnx_Type message = tsl_onnx_Type_init_zero;
    message.tensor_type.funcs.encode = encode_tensor_type;
    message.tensor_type.arg = *arg;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_Type_fields, &message);
}

static bool encode_value_infos(pb_ostream_t *stream, const pb_field_t *field, const tslim_graph *graph,
    const uint32_t *ids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        tsl_value *value = &graph->values[ids[i]];
        tsl_onnx_ValueInfo message = tsl_onnx_ValueInfo_init_zero;
        tsl_proto_text_argument name;
        tsl_proto_put_text(&message.name, &name, value->name, strlen(value->name));
        if (value->dtype != TSLIM_DTYPE_NONE) { // what a body was given may never have been said
            message.type.funcs.encode = encode_type;
            message.type.arg = value;
        }
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_onnx_ValueInfo_fields, &message))
            return false;
    }
    return true;
}

static bool encode_graph_inputs(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const graph_argument *argument = *arg;
    return encode_value_infos(stream, field, argument->graph, argument->graph->inputs, argument->n_inputs);
}

static bool encode_graph_outputs(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    return encode_value_infos(stream, field, graph, graph->outputs, graph->n_outputs);
}

// ---- The model ----

static bool encode_graph_message(pb_ostream_t *stream, const pb_field_t *field, graph_argument *argument) {
    tslim_graph *graph = argument->graph;
    tsl_onnx_Graph message = tsl_onnx_Graph_init_zero;
    tsl_proto_text_argument name;
    const char *graph_name = *graph->name ? graph->name : "graph"; // ONNX wants one
    tsl_proto_put_text(&message.name, &name, graph_name, strlen(graph_name));
    message.node.funcs.encode = encode_nodes;
    message.initializer.funcs.encode = encode_initializers;
    message.input.funcs.encode = encode_graph_inputs;
    message.output.funcs.encode = encode_graph_outputs;
    message.node.arg = message.output.arg = graph;
    message.input.arg = message.initializer.arg = argument;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_Graph_fields, &message);
}

static bool encode_graph(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    return encode_graph_message(stream, field, *arg);
}

// ---- Bodies ----

// A body is encoded before the graph around it: as a part of it, it would be gone through anew at each level
// to find its size.
static tslim_status encode_body(tslim_graph *graph, tsl_attr *attr, graph_argument *body) {
    tsl_onnx_Attribute message = tsl_onnx_Attribute_init_zero;
    tsl_proto_text_argument name;
    tsl_proto_put_text(&message.name, &name, attr->name, strlen(attr->name));
    message.has_type = true;
    message.type = TSL_ATTR_TYPE_GRAPH;
    message.g.funcs.encode = encode_graph;
    message.g.arg = body;
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    TSL_REQUIRE(pb_encode(&sizing, tsl_onnx_Attribute_fields, &message), TSLIM_ERROR_INTERNAL,
        "a body cannot be sized: %s", PB_GET_ERROR(&sizing));
    uint8_t *bytes = tsl_arena_alloc(&graph->arena, sizing.bytes_written);
    TSL_REQUIRE_MEMORY(bytes, sizing.bytes_written);
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizing.bytes_written);
    TSL_REQUIRE(pb_encode(&stream, tsl_onnx_Attribute_fields, &message), TSLIM_ERROR_INTERNAL,
        "a body cannot be encoded: %s", PB_GET_ERROR(&stream));
    attr->type = TSL_ATTR_TYPE_OPAQUE;
    attr->s = (const char *)bytes;
    attr->count = sizing.bytes_written;
    return TSLIM_OK;
}

static tslim_status encode_bodies(tslim_graph *graph) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++) {
            tsl_attr *attr = &graph->nodes[n].attrs.items[i];
            if (attr->type != TSL_ATTR_TYPE_GRAPH) continue;
            tslim_graph *body = graph->bodies[attr->i];
            TSL_TRY(encode_bodies(body));
            uint8_t *is_initializer = tsl_arena_array(&body->arena, body->n_values, 1);
            TSL_REQUIRE_MEMORY(is_initializer, body->n_values);
            if (body->n_values) find_initializers(body, is_initializer);
            graph_argument argument = {body, is_initializer, body->n_inputs - graph->nodes[n].n_captured};
            TSL_TRY(encode_body(graph, attr, &argument));
        }
    return TSLIM_OK;
}

static bool encode_opset(pb_ostream_t *stream, const pb_field_t *field, const char *domain, int64_t version) {
    tsl_onnx_OperatorSetId message = tsl_onnx_OperatorSetId_init_zero;
    tsl_proto_text_argument text;
    tsl_proto_put_text(&message.domain, &text, domain, strlen(domain));
    message.has_version = true;
    message.version = version;
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_onnx_OperatorSetId_fields, &message);
}

// Other domains of nodes that are written back as they came; their version is not kept, and 1 is what they
// have.
static bool encode_domains(
    pb_ostream_t *stream, const pb_field_t *field, const tslim_graph *graph, tsl_name_map *seen) {
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const char *domain = graph->nodes[n].domain;
        if (!*domain || tsl_name_map_get(seen, domain) != TSL_NAME_ABSENT) continue;
        if (!tsl_name_map_set(seen, domain, n) || !encode_opset(stream, field, domain, 1)) return false;
    }
    for (uint32_t i = 0; i < graph->n_bodies; i++)
        if (!encode_domains(stream, field, graph->bodies[i], seen)) return false;
    return true;
}

static bool encode_opsets(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    tsl_name_map seen;
    tsl_name_map_init(&seen, graph->ctx);
    bool encoded =
        encode_opset(stream, field, "", graph->opset) && encode_domains(stream, field, graph, &seen);
    tsl_name_map_clear(&seen);
    return encoded;
}

static bool encode_metadata(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    for (uint32_t i = 0; i < graph->n_metadata; i++) {
        const tsl_metadata *entry = &graph->metadata[i];
        tsl_onnx_StringStringEntry message = tsl_onnx_StringStringEntry_init_zero;
        tsl_proto_text_argument key, value;
        tsl_proto_put_text(&message.key, &key, entry->key, strlen(entry->key));
        tsl_proto_put_text(&message.value, &value, entry->value, entry->value_bytes);
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_onnx_StringStringEntry_fields, &message))
            return false;
    }
    return true;
}

static tslim_status encode_model(tslim_graph *graph, const uint8_t *is_initializer, tsl_file_writer *file) {
    graph_argument argument = {graph, is_initializer, graph->n_inputs};
    tsl_onnx_Model model = tsl_onnx_Model_init_zero;
    tsl_proto_text_argument producer;
    model.has_ir_version = true;
    model.ir_version = graph->opset > 18 ? 10 : IR_VERSION;
    tsl_proto_put_text(&model.producer_name, &producer, "tinyslim", 8);
    model.graph.funcs.encode = encode_graph;
    model.opset_import.funcs.encode = encode_opsets;
    model.graph.arg = &argument;
    model.metadata_props.funcs.encode = encode_metadata;
    model.opset_import.arg = model.metadata_props.arg = graph;
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    TSL_REQUIRE(pb_encode(&sizing, tsl_onnx_Model_fields, &model), TSLIM_ERROR_INTERNAL,
        "the model cannot be sized: %s", PB_GET_ERROR(&sizing));
    TSL_REQUIRE(sizing.bytes_written <= LARGEST_MESSAGE, TSLIM_ERROR_LIMIT,
        "the model has %zu bytes, an ONNX file can have %d", sizing.bytes_written, LARGEST_MESSAGE);
    writer w = {.graph = graph, .file = file};
    pb_ostream_t stream = {.callback = write_bytes, .state = &w, .max_size = SIZE_MAX};
    if (pb_encode(&stream, tsl_onnx_Model_fields, &model)) return TSLIM_OK;
    if (w.status != TSLIM_OK) return w.status;
    return tsl_fail(TSLIM_ERROR_INTERNAL, "the model cannot be encoded: %s", PB_GET_ERROR(&stream));
}

tslim_status tsl_onnx_write(const tslim_graph *graph, const char *path) {
    tslim_graph *plain;
    TSL_TRY(tslim_graph_clone(graph, &plain));
    tsl_file_writer *file = NULL;
    tslim_status status = tsl_onnx_spell_out(plain);
    if (status == TSLIM_OK) status = tsl_onnx_name_captures(plain);
    if (status == TSLIM_OK) status = encode_bodies(plain);
    uint32_t n_values = plain->n_values;
    uint8_t *is_initializer = status == TSLIM_OK ? tsl_allocate_zeroed(plain->ctx, n_values) : NULL;
    if (status == TSLIM_OK && !is_initializer) status = tsl_no_memory(n_values);
    if (status == TSLIM_OK && n_values) find_initializers(plain, is_initializer);
    if (status == TSLIM_OK) status = tsl_file_writer_open(graph->ctx, path, &file);
    if (status == TSLIM_OK) status = encode_model(plain, is_initializer, file);
    if (status == TSLIM_OK)
        status = tsl_file_writer_commit(file);
    else
        tsl_file_writer_abort(file);
    tsl_free(plain->ctx, is_initializer, n_values);
    tslim_graph_destroy(plain);
    return status;
}
