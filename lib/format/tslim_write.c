// SPDX-License-Identifier: Apache-2.0
// .tslim out: header, section table, GRAPH, DATA.
#include <string.h>

#include "base/checked.h"
#include "base/crc32.h"
#include "base/file.h"
#include "format/proto_writer.h"
#include "format/tslim.h"
#include "format/tslim_layout.h"
#include "tslim.pb.h"

_Static_assert(
    sizeof(tsl_file_header) == 32 && sizeof(tsl_file_section) == 32, "the file's structs have no padding");

// ---- Encoding callbacks; *arg is what stands behind the field ----

typedef struct numbers_argument {
    const void *values;
    size_t count;
    enum { FLOATS, SIGNED, SIGNED_32, INDICES, PLAIN_INDICES } kind;
} numbers_argument;

static bool encode_number(pb_ostream_t *stream, const numbers_argument *n, size_t i) {
    switch (n->kind) {
    case FLOATS:
        return pb_encode_fixed32(stream, (const float *)n->values + i);
    case SIGNED:
        return pb_encode_svarint(stream, ((const int64_t *)n->values)[i]);
    case SIGNED_32:
        return pb_encode_svarint(stream, ((const int32_t *)n->values)[i]);
    case INDICES: // 0 is absent: TSL_NONE + 1 wraps to it
        return pb_encode_varint(stream, (uint32_t)(((const uint32_t *)n->values)[i] + 1u));
    case PLAIN_INDICES:
        return pb_encode_varint(stream, ((const uint32_t *)n->values)[i]);
    }
    return false;
}

static bool encode_numbers(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const numbers_argument *n = *arg;
    if (n->count == 0) return true;
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    for (size_t i = 0; i < n->count; i++)
        if (!encode_number(&sizing, n, i)) return false;
    if (!pb_encode_tag(stream, PB_WT_STRING, field->tag) || !pb_encode_varint(stream, sizing.bytes_written))
        return false;
    for (size_t i = 0; i < n->count; i++)
        if (!encode_number(stream, n, i)) return false;
    return true;
}

static void set_numbers(
    pb_callback_t *callback, numbers_argument *argument, const void *values, size_t count, int kind) {
    argument->values = values;
    argument->count = count;
    argument->kind = kind == FLOATS      ? FLOATS
                     : kind == SIGNED    ? SIGNED
                     : kind == SIGNED_32 ? SIGNED_32
                     : kind == INDICES   ? INDICES
                                         : PLAIN_INDICES;
    callback->funcs.encode = encode_numbers;
    callback->arg = argument;
}

// ---- Values ----

// One graph of the file: the outermost first, then bodies, each graph's side by side and behind it.
typedef struct encoder {
    const tslim_graph *graph;
    uint64_t *offsets; // of each value's data in the DATA section
    uint32_t first_body; // the place in the file's list of its first body
} encoder;

static bool encode_symbols(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tsl_shape *shape = *arg;
    bool any = false;
    for (uint32_t d = 0; d < shape->rank; d++) any |= shape->symbols[d] != NULL;
    for (uint32_t d = 0; any && d < shape->rank; d++) {
        const char *symbol = shape->symbols[d] ? shape->symbols[d] : "";
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_string(stream, (const pb_byte_t *)symbol, strlen(symbol)))
            return false;
    }
    return true;
}

static bool encode_value(pb_ostream_t *stream, const pb_field_t *field, const encoder *e, uint32_t v) {
    tsl_value *value = &e->graph->values[v];
    tsl_file_Value message = tsl_file_Value_init_zero;
    tsl_proto_text_argument name;
    numbers_argument dims, scales, zero_points;
    tsl_proto_put_text(&message.name, &name, value->name, strlen(value->name));
    message.has_dtype = true;
    message.dtype = (int32_t)value->dtype;
    message.has_shape_known = message.shape_known = value->shape.known;
    set_numbers(&message.dims, &dims, value->shape.dims, value->shape.rank, SIGNED);
    message.symbols.funcs.encode = encode_symbols;
    message.symbols.arg = &value->shape;
    if (value->quant.scales) {
        set_numbers(&message.scales, &scales, value->quant.scales, value->quant.n_scales, FLOATS);
        message.has_quant_axis = value->quant.axis != 0;
        message.quant_axis = value->quant.axis;
        message.has_zero_point = value->quant.zero_point != 0;
        message.zero_point = value->quant.zero_point;
    }
    if (value->quant.zero_points)
        set_numbers(
            &message.zero_points, &zero_points, value->quant.zero_points, value->quant.n_scales, SIGNED_32);
    if (tsl_value_is_constant(value)) {
        message.has_data_offset = message.has_data_bytes = true;
        message.data_offset = e->offsets[v];
        message.data_bytes = value->bytes;
        message.has_packing = value->packing != TSL_PACKING_NONE;
        message.packing = (uint32_t)value->packing;
    }
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_file_Value_fields, &message);
}

static bool encode_values(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const encoder *e = *arg;
    for (uint32_t v = 0; v < e->graph->n_values; v++)
        if (!encode_value(stream, field, e, v)) return false;
    return true;
}

// ---- Nodes ----

typedef struct attributes_argument {
    const tsl_attrs *attrs;
    uint32_t first_body;
} attributes_argument;

static bool encode_attributes(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const attributes_argument *argument = *arg;
    const tsl_attrs *attrs = argument->attrs;
    for (uint32_t i = 0; i < attrs->count; i++) {
        const tsl_attr *attr = &attrs->items[i];
        tsl_file_Attribute message = tsl_file_Attribute_init_zero;
        tsl_proto_text_argument name, s;
        numbers_argument floats, ints;
        tsl_proto_put_text(&message.name, &name, attr->name, strlen(attr->name));
        message.has_type = true;
        message.type = (uint32_t)attr->type;
        message.has_f = attr->type == TSL_ATTR_TYPE_FLOAT;
        if (message.has_f) message.f = attr->f;
        message.has_i = attr->type == TSL_ATTR_TYPE_INT || attr->type == TSL_ATTR_TYPE_TENSOR;
        if (message.has_i) message.i = attr->i;
        if (attr->type == TSL_ATTR_TYPE_GRAPH) {
            message.has_i = true;
            message.i = argument->first_body + attr->i;
        }
        if (attr->type == TSL_ATTR_TYPE_STRING || attr->type == TSL_ATTR_TYPE_STRINGS ||
            attr->type == TSL_ATTR_TYPE_OPAQUE)
            tsl_proto_put_text(&message.s, &s, attr->s, attr->count);
        if (attr->type == TSL_ATTR_TYPE_FLOATS)
            set_numbers(&message.floats, &floats, attr->floats, attr->count, FLOATS);
        if (attr->type == TSL_ATTR_TYPE_INTS)
            set_numbers(&message.ints, &ints, attr->ints, attr->count, SIGNED);
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_file_Attribute_fields, &message))
            return false;
    }
    return true;
}

static bool encode_nodes(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const encoder *e = *arg;
    for (uint32_t n = 0; n < e->graph->n_nodes; n++) {
        tsl_node *node = &e->graph->nodes[n];
        tsl_file_Node message = tsl_file_Node_init_zero;
        tsl_proto_text_argument name, op_type, domain;
        numbers_argument inputs, outputs;
        tsl_proto_put_text(&message.name, &name, node->name, strlen(node->name));
        tsl_proto_put_text(&message.op_type, &op_type, node->op_type, strlen(node->op_type));
        if (*node->domain) tsl_proto_put_text(&message.domain, &domain, node->domain, strlen(node->domain));
        set_numbers(&message.inputs, &inputs, node->inputs, node->n_inputs, INDICES);
        set_numbers(&message.outputs, &outputs, node->outputs, node->n_outputs, INDICES);
        message.attributes.funcs.encode = encode_attributes;
        attributes_argument attributes = {&node->attrs, e->first_body};
        message.attributes.arg = &attributes;
        message.has_captured = node->n_captured > 0;
        message.captured = node->n_captured;
        message.has_residual = node->epilogue.residual >= 0;
        message.residual = node->epilogue.residual;
        message.has_clamp = message.has_lo = message.has_hi = message.clamp = node->epilogue.clamp;
        message.lo = node->epilogue.lo;
        message.hi = node->epilogue.hi;
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_file_Node_fields, &message))
            return false;
    }
    return true;
}

// ---- The graph ----

static bool encode_preparation(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_input_preparation *p = *arg;
    if (p->scale == 0) return true;
    tsl_file_Preparation message = tsl_file_Preparation_init_zero;
    numbers_argument mean, std;
    message.has_scale = message.has_layout = message.has_channels = message.has_height = message.has_width =
        true;
    message.scale = p->scale;
    message.layout = p->layout;
    message.channels = p->channels;
    message.height = p->height;
    message.width = p->width;
    set_numbers(&message.mean, &mean, p->mean, p->n_channels, FLOATS);
    set_numbers(&message.std, &std, p->std, p->n_channels, FLOATS);
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_file_Preparation_fields, &message);
}

static bool encode_history(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    for (uint32_t i = 0; i < graph->n_history; i++)
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_string(stream, (const pb_byte_t *)graph->history[i], strlen(graph->history[i])))
            return false;
    return true;
}

static bool encode_metadata(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const tslim_graph *graph = *arg;
    for (uint32_t i = 0; i < graph->n_metadata; i++) {
        const tsl_metadata *entry = &graph->metadata[i];
        tsl_file_Metadata message = tsl_file_Metadata_init_zero;
        tsl_proto_text_argument key, value;
        tsl_proto_put_text(&message.key, &key, entry->key, strlen(entry->key));
        tsl_proto_put_text(&message.value, &value, entry->value, entry->value_bytes);
        if (!pb_encode_tag_for_field(stream, field) ||
            !pb_encode_submessage(stream, tsl_file_Metadata_fields, &message))
            return false;
    }
    return true;
}

typedef struct file_graphs {
    tslim_context *ctx;
    encoder *items;
    size_t count, capacity;
} file_graphs;

static bool encode_bodies(pb_ostream_t *stream, const pb_field_t *field, void *const *arg);

// `graphs` NULL: a body.
static bool encode_graph(
    pb_ostream_t *stream, const pb_field_t *field, encoder *e, const file_graphs *graphs) {
    const tslim_graph *graph = e->graph;
    tsl_file_Graph message = tsl_file_Graph_init_zero;
    tsl_proto_text_argument name;
    numbers_argument inputs, outputs;
    // nanopb's callbacks take a pointer that is not const; they only read.
    union {
        const void *read;
        void *given;
    } preparation = {&graph->preparation}, whole = {graph}, all = {graphs};
    tsl_proto_put_text(&message.name, &name, graph->name, strlen(graph->name));
    message.has_opset = message.has_optimized = true;
    message.opset = graph->opset;
    message.optimized = graph->optimized;
    message.values.funcs.encode = encode_values;
    message.nodes.funcs.encode = encode_nodes;
    message.values.arg = message.nodes.arg = e;
    set_numbers(&message.inputs, &inputs, graph->inputs, graph->n_inputs, PLAIN_INDICES);
    set_numbers(&message.outputs, &outputs, graph->outputs, graph->n_outputs, PLAIN_INDICES);
    message.preparation.funcs.encode = encode_preparation;
    message.preparation.arg = preparation.given;
    message.history.funcs.encode = encode_history;
    message.metadata.funcs.encode = encode_metadata;
    message.history.arg = message.metadata.arg = whole.given;
    if (graphs) {
        message.bodies.funcs.encode = encode_bodies;
        message.bodies.arg = all.given;
        return pb_encode(stream, tsl_file_Graph_fields, &message);
    }
    return pb_encode_tag_for_field(stream, field) &&
           pb_encode_submessage(stream, tsl_file_Graph_fields, &message);
}

static bool encode_bodies(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
    const file_graphs *graphs = *arg;
    for (size_t i = 1; i < graphs->count; i++)
        if (!encode_graph(stream, field, &graphs->items[i], NULL)) return false;
    return true;
}

// ---- Sections ----

static tslim_status pad(tsl_file_writer *file) {
    static const uint8_t zeros[TSL_FILE_ALIGNMENT];
    size_t over = (size_t)(tsl_file_writer_position(file) % TSL_FILE_ALIGNMENT);
    return over ? tsl_file_writer_write(file, zeros, TSL_FILE_ALIGNMENT - over) : TSLIM_OK;
}

static tslim_status write_graph(file_graphs *graphs, tsl_file_writer *file, tsl_file_section *section) {
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    TSL_REQUIRE(encode_graph(&sizing, NULL, &graphs->items[0], graphs), TSLIM_ERROR_INTERNAL,
        "the graph cannot be sized: %s", PB_GET_ERROR(&sizing));
    size_t bytes = sizing.bytes_written;
    uint8_t *memory = tsl_allocate(graphs->ctx, bytes);
    TSL_REQUIRE_MEMORY(memory, bytes);
    pb_ostream_t stream = pb_ostream_from_buffer(memory, bytes);
    tslim_status status = TSLIM_OK;
    if (!encode_graph(&stream, NULL, &graphs->items[0], graphs))
        status = tsl_fail(TSLIM_ERROR_INTERNAL, "the graph cannot be encoded: %s", PB_GET_ERROR(&stream));
    *section = (tsl_file_section){.type = TSL_SECTION_GRAPH,
        .crc = tsl_crc32(0, memory, bytes),
        .offset = tsl_file_writer_position(file),
        .bytes = bytes};
    if (status == TSLIM_OK) status = tsl_file_writer_write(file, memory, bytes);
    tsl_free(graphs->ctx, memory, bytes);
    return status;
}

static tslim_status write_constants(
    const tslim_graph *graph, tsl_file_writer *file, tsl_file_section *section) {
    static const uint8_t zeros[TSL_FILE_ALIGNMENT];
    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tsl_value *value = &graph->values[v];
        if (!tsl_value_is_constant(value)) continue;
        size_t padding = (TSL_FILE_ALIGNMENT - value->bytes % TSL_FILE_ALIGNMENT) % TSL_FILE_ALIGNMENT;
        section->crc = tsl_crc32(section->crc, value->data, value->bytes);
        section->crc = tsl_crc32(section->crc, zeros, padding);
        TSL_TRY(tsl_file_writer_write(file, value->data, value->bytes));
        TSL_TRY(tsl_file_writer_write(file, zeros, padding));
    }
    return TSLIM_OK;
}

static tslim_status write_sections(file_graphs *graphs, tsl_file_writer *file) {
    struct {
        tsl_file_header header;
        tsl_file_section sections[2];
    } start = {.header = {.version = TSL_FILE_VERSION,
                   .reader_version = graphs->count > 1 ? TSL_FILE_BODIES_VERSION : 1,
                   .n_sections = 2}};
    memcpy(start.header.magic, TSL_FILE_MAGIC, sizeof(start.header.magic));
    TSL_TRY(tsl_file_writer_write(file, &start, sizeof(start)));
    TSL_TRY(pad(file));
    TSL_TRY(write_graph(graphs, file, &start.sections[0]));
    TSL_TRY(pad(file));
    tsl_file_section *data = &start.sections[1];
    *data = (tsl_file_section){.type = TSL_SECTION_DATA, .offset = tsl_file_writer_position(file)};
    for (size_t i = 0; i < graphs->count; i++) TSL_TRY(write_constants(graphs->items[i].graph, file, data));
    data->bytes = tsl_file_writer_position(file) - data->offset;
    start.header.file_bytes = tsl_file_writer_position(file);
    start.header.crc = tsl_crc32(0, &start, sizeof(start));
    return tsl_file_writer_patch(file, 0, &start, sizeof(start));
}

// Adds a graph, with the offsets of its constants from *end on.
static tslim_status add_graph(file_graphs *graphs, const tslim_graph *graph, uint64_t *end) {
    if (!tsl_grow(
            graphs->ctx, (void **)&graphs->items, &graphs->capacity, graphs->count + 1, sizeof(encoder)))
        return tsl_no_memory(sizeof(encoder));
    uint64_t *offsets = tsl_allocate_zeroed(graphs->ctx, graph->n_values * sizeof(uint64_t));
    TSL_REQUIRE_MEMORY(offsets, graph->n_values * sizeof(uint64_t));
    graphs->items[graphs->count++] = (encoder){graph, offsets, 0};
    for (uint32_t v = 0; v < graph->n_values; v++) {
        if (!tsl_value_is_constant(&graph->values[v])) continue;
        offsets[v] = *end;
        *end += tsl_round_up(graph->values[v].bytes, TSL_FILE_ALIGNMENT);
    }
    return TSLIM_OK;
}

static tslim_status list_graphs(file_graphs *graphs, const tslim_graph *graph) {
    uint64_t end = 0;
    TSL_TRY(add_graph(graphs, graph, &end));
    for (size_t i = 0; i < graphs->count; i++) { // grows on the way
        const tslim_graph *outer = graphs->items[i].graph;
        graphs->items[i].first_body = (uint32_t)graphs->count - 1; // the list in the file is of bodies only
        for (uint32_t b = 0; b < outer->n_bodies; b++) TSL_TRY(add_graph(graphs, outer->bodies[b], &end));
    }
    return TSLIM_OK;
}

tslim_status tsl_tslim_write(const tslim_graph *graph, const char *path) {
    file_graphs graphs = {.ctx = graph->ctx};
    tsl_file_writer *file = NULL;
    tslim_status status = list_graphs(&graphs, graph);
    if (status == TSLIM_OK) status = tsl_file_writer_open(graph->ctx, path, &file);
    if (status == TSLIM_OK) status = write_sections(&graphs, file);
    if (status == TSLIM_OK)
        status = tsl_file_writer_commit(file);
    else
        tsl_file_writer_abort(file);
    for (size_t i = 0; i < graphs.count; i++)
        tsl_free(graph->ctx, graphs.items[i].offsets, graphs.items[i].graph->n_values * sizeof(uint64_t));
    tsl_free(graph->ctx, graphs.items, graphs.capacity * sizeof(encoder));
    return status;
}
