// SPDX-License-Identifier: Apache-2.0
// NodeProto and AttributeProto.
#include <inttypes.h>
#include <string.h>

#include "format/onnx_reader.h"

// ---- Attributes ----

typedef struct attribute {
    tsl_onnx_Attribute message;
    tsl_view name, s, t, g, reference;
    tsl_numbers ints, floats;
    tsl_views strings;
} attribute;

static tslim_status parse_attribute(tsl_onnx_reader *reader, tsl_view message, attribute *a) {
    *a = (attribute){.message = tsl_onnx_Attribute_init_zero};
    tsl_proto_want_view(&a->message.name, &a->name);
    tsl_proto_want_view(&a->message.s, &a->s);
    tsl_proto_want_view(&a->message.t, &a->t);
    tsl_proto_want_view(&a->message.g, &a->g);
    tsl_proto_want_view(&a->message.ref_attr_name, &a->reference);
    tsl_proto_want_varints(&a->message.ints, &a->ints, &reader->proto);
    tsl_proto_want_floats(&a->message.floats, &a->floats, &reader->proto);
    tsl_proto_want_views(&a->message.strings, &a->strings, &reader->proto);
    return tsl_proto_parse(&reader->proto, message, tsl_onnx_Attribute_fields, &a->message, "attribute");
}

// Files of IR version 2 and older leave the type out; then it is that of the field that is there.
static int attribute_type(const attribute *a) {
    if (a->message.has_type) return a->message.type;
    if (a->message.has_f) return TSL_ATTR_TYPE_FLOAT;
    if (a->message.has_i) return TSL_ATTR_TYPE_INT;
    if (a->s.data) return TSL_ATTR_TYPE_STRING;
    if (a->t.data) return TSL_ATTR_TYPE_TENSOR;
    if (a->g.data) return TSL_ATTR_TYPE_GRAPH;
    if (a->floats.count) return TSL_ATTR_TYPE_FLOATS;
    if (a->strings.count) return TSL_ATTR_TYPE_STRINGS;
    return a->ints.count ? TSL_ATTR_TYPE_INTS : 0;
}

static tslim_status copy_numbers(
    tsl_onnx_reader *reader, const tsl_numbers *numbers, size_t element_size, const void **copy) {
    *copy = tsl_arena_copy(&reader->graph->arena, numbers->data, numbers->count * element_size);
    TSL_REQUIRE_MEMORY(*copy, numbers->count * element_size);
    return TSLIM_OK;
}

// One behind the other, each with a 0 at its end.
static tslim_status copy_strings(tsl_onnx_reader *reader, const tsl_views *strings, tsl_attr *attr) {
    size_t bytes = 0; // all of them lie in the file
    for (size_t i = 0; i < strings->count; i++) bytes += strings->items[i].size + 1;
    char *copy = tsl_arena_alloc(&reader->graph->arena, bytes + 1);
    TSL_REQUIRE_MEMORY(copy, bytes + 1);
    attr->s = copy;
    attr->count = bytes;
    for (size_t i = 0; i < strings->count; i++) {
        const char *text;
        TSL_TRY(tsl_proto_text(&reader->proto, strings->items[i], &text));
        memcpy(copy, text, strings->items[i].size + 1);
        copy += strings->items[i].size + 1;
    }
    *copy = '\0';
    return TSLIM_OK;
}

static tslim_status convert_attribute(
    tsl_onnx_reader *reader, tsl_view message, const attribute *a, const char *node_name, tsl_attr *attr) {
    TSL_TRY(tsl_proto_text(&reader->proto, a->name, &attr->name));
    attr->id = tsl_attr_find_id(attr->name);
    int type = attribute_type(a);
    attr->type = (tsl_attr_type)type;
    const void *copy = NULL;
    switch (type) {
    case TSL_ATTR_TYPE_FLOAT:
        attr->f = a->message.f;
        return TSLIM_OK;
    case TSL_ATTR_TYPE_INT:
        attr->i = a->message.i;
        return TSLIM_OK;
    case TSL_ATTR_TYPE_STRING:
        attr->count = a->s.size;
        return tsl_proto_text(&reader->proto, a->s, &attr->s);
    case TSL_ATTR_TYPE_TENSOR: {
        uint32_t id;
        TSL_REQUIRE(a->t.data, TSLIM_ERROR_BAD_FILE, "attribute '%s' has no tensor", attr->name);
        // A name that no value of the file is likely to have: those are looked up by theirs.
        const char *name = tsl_arena_format(&reader->graph->arena, "%s of %s", attr->name, node_name);
        TSL_REQUIRE_MEMORY(name, strlen(node_name));
        TSL_TRY(tsl_onnx_read_tensor(reader, a->t, name, &id));
        attr->i = id;
        return TSLIM_OK;
    }
    case TSL_ATTR_TYPE_GRAPH: {
        uint32_t index;
        TSL_REQUIRE(a->g.data, TSLIM_ERROR_BAD_FILE, "attribute '%s' has no graph", attr->name);
        tslim_status status = tsl_onnx_read_body(reader, a->g, &index, &attr->count);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "in '%s'", attr->name);
        attr->i = index;
        return TSLIM_OK;
    }
    case TSL_ATTR_TYPE_FLOATS:
        TSL_TRY(copy_numbers(reader, &a->floats, sizeof(float), &copy));
        attr->floats = copy;
        attr->count = a->floats.count;
        return TSLIM_OK;
    case TSL_ATTR_TYPE_INTS:
        TSL_TRY(copy_numbers(reader, &a->ints, sizeof(int64_t), &copy));
        attr->ints = copy;
        attr->count = a->ints.count;
        return TSLIM_OK;
    case TSL_ATTR_TYPE_STRINGS:
        return copy_strings(reader, &a->strings, attr);
    default: // several graphs, ...: kept as they are, to be written back
        attr->type = TSL_ATTR_TYPE_OPAQUE;
        attr->count = message.size;
        attr->s = tsl_arena_string_n(&reader->graph->arena, (const char *)message.data, message.size);
        TSL_REQUIRE_MEMORY(attr->s, message.size);
        return TSLIM_OK;
    }
}

static tslim_status read_attribute(
    tsl_onnx_reader *reader, tsl_view message, const char *node_name, tsl_attr *attr) {
    attribute a;
    tslim_status status = parse_attribute(reader, message, &a);
    if (status == TSLIM_OK && a.reference.data)
        status = tsl_fail(TSLIM_ERROR_UNSUPPORTED, "an attribute refers to that of a function");
    if (status == TSLIM_OK) status = convert_attribute(reader, message, &a, node_name, attr);
    tsl_numbers_free(&a.ints);
    tsl_numbers_free(&a.floats);
    tsl_views_free(&a.strings);
    return status;
}

// ---- Nodes ----

typedef struct node_message {
    tsl_onnx_Node message;
    tsl_views inputs, outputs, attributes;
    tsl_view name_view, op_type_view, domain_view;
    const char *name, *op_type, *domain;
} node_message;

static tslim_status parse_node(tsl_onnx_reader *reader, tsl_view message, node_message *m) {
    *m = (node_message){.message = tsl_onnx_Node_init_zero};
    tsl_proto_want_views(&m->message.input, &m->inputs, &reader->proto);
    tsl_proto_want_views(&m->message.output, &m->outputs, &reader->proto);
    tsl_proto_want_views(&m->message.attribute, &m->attributes, &reader->proto);
    tsl_proto_want_view(&m->message.name, &m->name_view);
    tsl_proto_want_view(&m->message.op_type, &m->op_type_view);
    tsl_proto_want_view(&m->message.domain, &m->domain_view);
    TSL_TRY(tsl_proto_parse(&reader->proto, message, tsl_onnx_Node_fields, &m->message, "node"));
    TSL_TRY(tsl_proto_text(&reader->proto, m->name_view, &m->name));
    TSL_TRY(tsl_proto_text(&reader->proto, m->op_type_view, &m->op_type));
    TSL_TRY(tsl_proto_text(&reader->proto, m->domain_view, &m->domain));
    if (strcmp(m->domain, "ai.onnx") == 0) m->domain = "";
    // The library's own operators are made by its passes; a file cannot have them.
    TSL_REQUIRE(strcmp(m->domain, "tinyslim") != 0, TSLIM_ERROR_BAD_FILE,
        "node '%s': the domain 'tinyslim' is reserved", m->name);
    return TSLIM_OK;
}

static tslim_status read_attributes(tsl_onnx_reader *reader, const node_message *m, tsl_attrs *attrs) {
    const char *name = *m->name ? m->name : m->op_type;
    attrs->items = tsl_arena_array(&reader->graph->arena, m->attributes.count, sizeof(*attrs->items));
    TSL_REQUIRE_MEMORY(attrs->items, m->attributes.count * sizeof(*attrs->items));
    for (size_t i = 0; i < m->attributes.count; i++)
        TSL_TRY(read_attribute(reader, m->attributes.items[i], name, &attrs->items[attrs->count++]));
    return TSLIM_OK;
}

static tslim_status claim_output(tsl_onnx_reader *reader, tsl_view name, uint32_t *id) {
    TSL_TRY(tsl_onnx_value(reader, name, id));
    if (*id == TSL_NONE) return TSLIM_OK;
    const tsl_value *value = &reader->graph->values[*id];
    TSL_REQUIRE(value->producer == TSL_NONE && !tsl_value_is_constant(value), TSLIM_ERROR_BAD_FILE,
        "value '%s' is defined twice", value->name);
    return TSLIM_OK;
}

// Numbers in an attribute of Constant, as a tensor of rank 0 or 1.
static tslim_status constant_of(
    tsl_onnx_reader *reader, uint32_t id, tslim_dtype dtype, const void *numbers, size_t count, bool scalar) {
    tsl_value *value = &reader->graph->values[id];
    int64_t dims[1] = {(int64_t)count};
    value->dtype = dtype;
    tsl_shape_set(&value->shape, scalar ? 0 : 1, dims);
    size_t bytes = count * tslim_dtype_size(dtype);
    void *data;
    TSL_TRY(tsl_value_new_data(reader->graph, id, bytes, &data));
    if (bytes) memcpy(data, numbers, bytes);
    return TSLIM_OK;
}

// A Constant node is a constant value: true in *done when it was one of a kind that is known.
static tslim_status read_constant(
    tsl_onnx_reader *reader, const node_message *m, const tsl_attrs *attrs, bool *done) {
    *done = false;
    if (*m->domain || strcmp(m->op_type, "Constant") != 0 || attrs->count != 1 || m->outputs.count != 1)
        return TSLIM_OK;
    const tsl_attr *attr = &attrs->items[0];
    uint32_t id;
    TSL_TRY(claim_output(reader, m->outputs.items[0], &id));
    TSL_REQUIRE(id != TSL_NONE, TSLIM_ERROR_BAD_FILE, "its output has no name");
    *done = true;
    if (attr->id == TSL_ATTR_value && attr->type == TSL_ATTR_TYPE_TENSOR) {
        tsl_value *value = &reader->graph->values[id], *tensor = &reader->graph->values[attr->i];
        value->dtype = tensor->dtype;
        value->shape = tensor->shape;
        tsl_value_set_data(value, tensor->buffer, tensor->data, tensor->bytes);
        return TSLIM_OK;
    }
    if (attr->id == TSL_ATTR_value_float && attr->type == TSL_ATTR_TYPE_FLOAT)
        return constant_of(reader, id, TSLIM_DTYPE_FLOAT, &attr->f, 1, true);
    if (attr->id == TSL_ATTR_value_int && attr->type == TSL_ATTR_TYPE_INT)
        return constant_of(reader, id, TSLIM_DTYPE_INT64, &attr->i, 1, true);
    if (attr->id == TSL_ATTR_value_floats && attr->type == TSL_ATTR_TYPE_FLOATS)
        return constant_of(reader, id, TSLIM_DTYPE_FLOAT, attr->floats, attr->count, false);
    if (attr->id == TSL_ATTR_value_ints && attr->type == TSL_ATTR_TYPE_INTS)
        return constant_of(reader, id, TSLIM_DTYPE_INT64, attr->ints, attr->count, false);
    *done = false; // strings, sparse tensors: a node that check names
    return TSLIM_OK;
}

// The operands that only the library's passes add, a residual and MatMul's bias, are not for files to have.
static size_t most_inputs(tsl_op op) {
    switch (op) {
    case TSL_OP_CONV:
    case TSL_OP_CONV_TRANSPOSE:
    case TSL_OP_GEMM:
        return 3;
    case TSL_OP_MATMUL:
        return 2;
    default:
        return SIZE_MAX; // the verifier knows
    }
}

static tslim_status add_node(tsl_onnx_reader *reader, const node_message *m, const tsl_attrs *attrs) {
    tslim_graph *graph = reader->graph;
    tsl_op op = tsl_op_find(m->domain, m->op_type);
    TSL_REQUIRE(m->inputs.count <= most_inputs(op), TSLIM_ERROR_BAD_FILE, "%zu operands, at most %zu",
        m->inputs.count, most_inputs(op));
    TSL_REQUIRE(m->inputs.count <= reader->ctx->limits.nodes && m->outputs.count <= reader->ctx->limits.nodes,
        TSLIM_ERROR_LIMIT, "%zu inputs and %zu outputs", m->inputs.count, m->outputs.count);
    uint32_t *outputs = tsl_arena_array(&graph->arena, m->outputs.count, sizeof(*outputs));
    TSL_REQUIRE_MEMORY(outputs, m->outputs.count * sizeof(*outputs));
    for (size_t i = 0; i < m->outputs.count; i++)
        TSL_TRY(claim_output(reader, m->outputs.items[i], &outputs[i]));
    const char *name = *m->name ? m->name : NULL;
    if (!name && (m->outputs.count == 0 || outputs[0] == TSL_NONE)) name = m->op_type;
    uint32_t index;
    TSL_TRY(tsl_graph_add_node(
        graph, op, name, (uint32_t)m->inputs.count, NULL, (uint32_t)m->outputs.count, outputs, &index));
    graph->nodes[index].op_type = m->op_type;
    graph->nodes[index].domain = m->domain;
    graph->nodes[index].attrs = *attrs;
    for (size_t i = 0; i < m->inputs.count; i++) {
        uint32_t input;
        TSL_TRY(tsl_onnx_value(reader, m->inputs.items[i], &input));
        graph->nodes[index].inputs[i] = input;
    }
    return tsl_onnx_capture(reader, index);
}

tslim_status tsl_onnx_read_node(tsl_onnx_reader *reader, tsl_view message) {
    node_message m;
    tsl_attrs attrs = {0};
    bool done = false;
    tslim_status status = parse_node(reader, message, &m);
    if (status == TSLIM_OK) status = read_attributes(reader, &m, &attrs);
    if (status == TSLIM_OK) status = read_constant(reader, &m, &attrs, &done);
    if (status == TSLIM_OK && !done) status = add_node(reader, &m, &attrs);
    if (status != TSLIM_OK && status != TSLIM_ERROR_NO_MEMORY && m.op_type)
        status = tsl_fail_prefix(status, "node '%.200s' (%.100s)", m.name ? m.name : "", m.op_type);
    tsl_views_free(&m.inputs);
    tsl_views_free(&m.outputs);
    tsl_views_free(&m.attributes);
    return status;
}
