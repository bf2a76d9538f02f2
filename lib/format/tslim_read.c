// SPDX-License-Identifier: Apache-2.0
// .tslim in: everything is checked before the graph is handed out, and weights stay where they lie in the
// file.
#include <inttypes.h>
#include <string.h>

#include "base/crc32.h"
#include "format/proto_reader.h"
#include "format/tslim.h"
#include "format/tslim_layout.h"
#include "ir/bodies.h"
#include "tslim.pb.h"

typedef struct file_reader {
    tsl_proto proto;
    tslim_graph *graph;
    tsl_buffer *file;
    tsl_view graph_section, data_section;
} file_reader;

bool tsl_tslim_recognize(const tsl_buffer *buffer) {
    return buffer->size >= 8 && memcmp(buffer->data, TSL_FILE_MAGIC, 8) == 0;
}

// ---- The container ----

static tslim_status check_section(file_reader *r, uint32_t index, const tsl_file_section *section) {
    TSL_REQUIRE(section->offset % TSL_FILE_ALIGNMENT == 0 && section->offset <= r->file->size &&
                    section->bytes <= r->file->size - section->offset,
        TSLIM_ERROR_BAD_FILE, "section %u: bytes %" PRIu64 " to %" PRIu64 " of a file of %zu", index,
        section->offset, section->offset + section->bytes, r->file->size);
    tsl_view view = {(const uint8_t *)r->file->data + section->offset, (size_t)section->bytes};
    uint32_t crc = tsl_crc32(0, view.data, view.size);
    TSL_REQUIRE(crc == section->crc, TSLIM_ERROR_BAD_FILE,
        "section %u is damaged: checksum %08" PRIx32 ", not %08" PRIx32, index, crc, section->crc);
    tsl_view *place = section->type == TSL_SECTION_GRAPH  ? &r->graph_section
                      : section->type == TSL_SECTION_DATA ? &r->data_section
                                                          : NULL;
    if (!place) return TSLIM_OK; // of a later version
    TSL_REQUIRE(!place->data, TSLIM_ERROR_BAD_FILE, "section %u is the second of its kind", index);
    *place = view;
    return TSLIM_OK;
}

static tslim_status check_container(file_reader *r) {
    tsl_file_header header;
    tsl_file_section sections[TSL_FILE_MOST_SECTIONS];
    TSL_REQUIRE(r->file->size >= sizeof(header), TSLIM_ERROR_BAD_FILE, "%zu bytes are too few for a header",
        r->file->size);
    memcpy(&header, r->file->data, sizeof(header));
    TSL_REQUIRE(header.reader_version <= TSL_FILE_READER_VERSION, TSLIM_ERROR_UNSUPPORTED,
        "the file needs a reader of version %" PRIu32 ", this one has %u", header.reader_version,
        TSL_FILE_READER_VERSION);
    TSL_REQUIRE(header.file_bytes == r->file->size, TSLIM_ERROR_BAD_FILE,
        "the file has %zu bytes, its header says %" PRIu64, r->file->size, header.file_bytes);
    TSL_REQUIRE(header.n_sections <= TSL_FILE_MOST_SECTIONS &&
                    header.n_sections * sizeof(*sections) <= r->file->size - sizeof(header),
        TSLIM_ERROR_BAD_FILE, "%" PRIu32 " sections", header.n_sections);
    memcpy(sections, (const uint8_t *)r->file->data + sizeof(header), header.n_sections * sizeof(*sections));
    uint32_t expected = header.crc;
    header.crc = 0;
    uint32_t crc =
        tsl_crc32(tsl_crc32(0, &header, sizeof(header)), sections, header.n_sections * sizeof(*sections));
    TSL_REQUIRE(crc == expected, TSLIM_ERROR_BAD_FILE,
        "the header is damaged: checksum %08" PRIx32 ", not %08" PRIx32, crc, expected);
    for (uint32_t i = 0; i < header.n_sections; i++) TSL_TRY(check_section(r, i, &sections[i]));
    TSL_REQUIRE(r->graph_section.data, TSLIM_ERROR_BAD_FILE, "there is no graph in it");
    return TSLIM_OK;
}

// ---- Values ----

static tslim_status read_shape(
    file_reader *r, const tsl_numbers *dims, const tsl_views *symbols, tsl_shape *shape) {
    TSL_REQUIRE(dims->count <= r->proto.ctx->limits.rank, TSLIM_ERROR_LIMIT, "rank %zu, the limit is %u",
        dims->count, r->proto.ctx->limits.rank);
    tsl_shape_set(shape, (uint32_t)dims->count, dims->data);
    for (size_t d = 0; d < dims->count; d++)
        TSL_REQUIRE(shape->dims[d] >= -1, TSLIM_ERROR_BAD_FILE, "dim %zu is %" PRId64, d, shape->dims[d]);
    TSL_REQUIRE(symbols->count == 0 || symbols->count == dims->count, TSLIM_ERROR_BAD_FILE,
        "%zu names of %zu dims", symbols->count, dims->count);
    for (size_t d = 0; d < symbols->count; d++)
        if (symbols->items[d].size > 0)
            TSL_TRY(tsl_proto_text(&r->proto, symbols->items[d], &shape->symbols[d]));
    return TSLIM_OK;
}

static tslim_status read_zero_points(file_reader *r, const tsl_numbers *numbers, tsl_value *value) {
    int32_t *copy = tsl_arena_array(&r->graph->arena, numbers->count, sizeof(*copy));
    TSL_REQUIRE_MEMORY(copy, numbers->count * sizeof(*copy));
    for (size_t i = 0; i < numbers->count; i++) {
        int64_t number = ((const int64_t *)numbers->data)[i];
        TSL_REQUIRE(
            number >= -128 && number <= 127, TSLIM_ERROR_BAD_FILE, "zero point %zu is %" PRId64, i, number);
        copy[i] = (int32_t)number;
    }
    value->quant.zero_points = copy;
    return TSLIM_OK;
}

static tslim_status read_quant(file_reader *r, const tsl_file_Value *message, const tsl_numbers *scales,
    const tsl_numbers *zero_points, tsl_value *value) {
    TSL_REQUIRE(zero_points->count == 0 || zero_points->count == scales->count, TSLIM_ERROR_BAD_FILE,
        "%zu zero points for %zu scales", zero_points->count, scales->count);
    if (scales->count == 0) return TSLIM_OK;
    int32_t axis = message->quant_axis;
    bool fits =
        axis >= 0 && (uint32_t)axis < value->shape.rank && value->shape.dims[axis] == (int64_t)scales->count;
    TSL_REQUIRE(scales->count == 1 || fits, TSLIM_ERROR_BAD_FILE,
        "%zu scales on axis %d do not fit its shape", scales->count, (int)axis);
    const float *copy = tsl_arena_copy(&r->graph->arena, scales->data, scales->count * sizeof(float));
    TSL_REQUIRE_MEMORY(copy, scales->count * sizeof(float));
    for (size_t i = 0; i < scales->count; i++)
        TSL_REQUIRE(
            copy[i] > 0 && copy[i] <= 3.4e38f, TSLIM_ERROR_BAD_FILE, "scale %zu is %g", i, (double)copy[i]);
    value->quant = (tsl_quant){
        .scales = copy, .n_scales = (uint32_t)scales->count, .axis = axis, .zero_point = message->zero_point};
    TSL_REQUIRE(message->zero_point >= -128 && message->zero_point <= 255, TSLIM_ERROR_BAD_FILE,
        "zero point %d", (int)message->zero_point);
    return zero_points->count ? read_zero_points(r, zero_points, value) : TSLIM_OK;
}

static tslim_status read_constant(file_reader *r, const tsl_file_Value *message, tsl_value *value) {
    TSL_REQUIRE(message->data_offset % TSL_FILE_ALIGNMENT == 0 &&
                    message->data_offset <= r->data_section.size &&
                    message->data_bytes <= r->data_section.size - message->data_offset,
        TSLIM_ERROR_BAD_FILE, "data at %" PRIu64 ", %" PRIu64 " bytes, of a section of %zu",
        message->data_offset, message->data_bytes, r->data_section.size);
    TSL_REQUIRE(message->packing <= TSL_PACKING_DEPTHWISE, TSLIM_ERROR_BAD_FILE, "packing %" PRIu32,
        message->packing);
    value->packing = (tsl_packing)message->packing;
    const uint8_t *data = r->data_section.data + message->data_offset;
    if (message->data_bytes > 0 && (uintptr_t)data % TSL_FILE_ALIGNMENT == 0) {
        tsl_value_set_data(value, r->file, data, (size_t)message->data_bytes);
        return TSLIM_OK;
    }
    // A file in memory that the caller has not aligned.
    tsl_buffer *copy = tsl_buffer_create(r->proto.ctx, (size_t)message->data_bytes);
    TSL_REQUIRE_MEMORY(copy, (size_t)message->data_bytes);
    if (message->data_bytes > 0) memcpy(copy->data, data, (size_t)message->data_bytes);
    tsl_value_set_data(value, copy, copy->data, copy->size);
    tsl_buffer_release(copy);
    return TSLIM_OK;
}

static tslim_status convert_value(file_reader *r, const tsl_file_Value *message, tsl_view name_view,
    const tsl_numbers *dims, const tsl_views *symbols, const tsl_numbers *scales,
    const tsl_numbers *zero_points) {
    const char *name;
    uint32_t id;
    TSL_TRY(tsl_proto_text(&r->proto, name_view, &name));
    TSL_REQUIRE(*name && tsl_graph_find_value(r->graph, name) == TSL_NONE, TSLIM_ERROR_BAD_FILE,
        "the name '%s' %s", name, *name ? "is there twice" : "is empty");
    TSL_TRY(tsl_graph_add_value(r->graph, name, (tslim_dtype)message->dtype, &id));
    tsl_value *value = &r->graph->values[id];
    TSL_REQUIRE(message->dtype == 0 || tslim_dtype_size(value->dtype) > 0, TSLIM_ERROR_BAD_FILE,
        "'%s': element type %d", name, (int)message->dtype);
    tslim_status status = TSLIM_OK;
    if (message->shape_known) status = read_shape(r, dims, symbols, &value->shape);
    if (status == TSLIM_OK) status = read_quant(r, message, scales, zero_points, value);
    if (status == TSLIM_OK && message->has_data_bytes) status = read_constant(r, message, value);
    return status == TSLIM_OK ? status : tsl_fail_prefix(status, "value '%s'", name);
}

static bool decode_value(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    file_reader *r = *arg;
    tsl_file_Value message = tsl_file_Value_init_zero;
    tsl_view name = {0};
    tsl_numbers dims = {0}, scales = {0}, zero_points = {0};
    tsl_views symbols = {0};
    tsl_proto_want_view(&message.name, &name);
    tsl_proto_want_signed(&message.dims, &dims, &r->proto);
    tsl_proto_want_views(&message.symbols, &symbols, &r->proto);
    tsl_proto_want_floats(&message.scales, &scales, &r->proto);
    tsl_proto_want_signed(&message.zero_points, &zero_points, &r->proto);
    tslim_status status =
        tsl_proto_parse(&r->proto, tsl_view_take(stream), tsl_file_Value_fields, &message, "value");
    if (status == TSLIM_OK) status = convert_value(r, &message, name, &dims, &symbols, &scales, &zero_points);
    tsl_numbers_free(&dims);
    tsl_numbers_free(&scales);
    tsl_numbers_free(&zero_points);
    tsl_views_free(&symbols);
    return tsl_proto_failed(&r->proto, status);
}

// ---- Nodes ----

static tslim_status copy_numbers(file_reader *r, const tsl_numbers *numbers, const void **copy) {
    size_t bytes = numbers->count * numbers->element_size;
    *copy = tsl_arena_copy(&r->graph->arena, numbers->data, bytes);
    TSL_REQUIRE_MEMORY(*copy, bytes);
    return TSLIM_OK;
}

static tslim_status read_attribute(file_reader *r, tsl_view view, tsl_attr *attr) {
    tsl_file_Attribute message = tsl_file_Attribute_init_zero;
    tsl_view name = {0}, s = {0};
    tsl_numbers floats = {0}, ints = {0};
    tsl_proto_want_view(&message.name, &name);
    tsl_proto_want_view(&message.s, &s);
    tsl_proto_want_floats(&message.floats, &floats, &r->proto);
    tsl_proto_want_signed(&message.ints, &ints, &r->proto);
    tslim_status status = tsl_proto_parse(&r->proto, view, tsl_file_Attribute_fields, &message, "attribute");
    if (status == TSLIM_OK) status = tsl_proto_text(&r->proto, name, &attr->name);
    if (status == TSLIM_OK) {
        attr->id = tsl_attr_find_id(attr->name);
        attr->type = (tsl_attr_type)message.type;
        const void *copy = NULL;
        switch (message.type) {
        case TSL_ATTR_TYPE_FLOAT:
            attr->f = message.f;
            break;
        case TSL_ATTR_TYPE_INT:
            attr->i = message.i;
            break;
        case TSL_ATTR_TYPE_GRAPH: // of the file's list, until the list has been read
            attr->i = message.i;
            break;
        case TSL_ATTR_TYPE_TENSOR:
            attr->i = message.i;
            if (message.i < 0 || message.i >= r->graph->n_values ||
                !tsl_value_is_constant(&r->graph->values[message.i]))
                status = tsl_fail(TSLIM_ERROR_BAD_FILE, "attribute '%s': value %" PRId64 " is no constant",
                    attr->name, message.i);
            break;
        case TSL_ATTR_TYPE_STRING:
        case TSL_ATTR_TYPE_STRINGS:
        case TSL_ATTR_TYPE_OPAQUE:
            attr->count = s.size;
            attr->s = tsl_arena_string_n(&r->graph->arena, (const char *)s.data, s.size);
            if (!attr->s) status = tsl_no_memory(s.size);
            break;
        case TSL_ATTR_TYPE_FLOATS:
            status = copy_numbers(r, &floats, &copy);
            attr->floats = copy;
            attr->count = floats.count;
            break;
        case TSL_ATTR_TYPE_INTS:
            status = copy_numbers(r, &ints, &copy);
            attr->ints = copy;
            attr->count = ints.count;
            break;
        default:
            status =
                tsl_fail(TSLIM_ERROR_BAD_FILE, "attribute '%s' of type %" PRIu32, attr->name, message.type);
        }
    }
    tsl_numbers_free(&floats);
    tsl_numbers_free(&ints);
    return status;
}

// Value indices, one more than in the graph; 0 is an absent operand.
static tslim_status read_operands(file_reader *r, const tsl_numbers *numbers, uint32_t **ids) {
    *ids = tsl_arena_array(&r->graph->arena, numbers->count, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(*ids, numbers->count * sizeof(uint32_t));
    for (size_t i = 0; i < numbers->count; i++) {
        uint64_t number = ((const uint64_t *)numbers->data)[i];
        TSL_REQUIRE(number <= r->graph->n_values, TSLIM_ERROR_BAD_FILE,
            "operand %zu is value %" PRIu64 " of %u", i, number - 1, r->graph->n_values);
        (*ids)[i] = number == 0 ? TSL_NONE : (uint32_t)(number - 1);
    }
    return TSLIM_OK;
}

typedef struct node_parts {
    tsl_file_Node message;
    tsl_view name, op_type, domain;
    tsl_numbers inputs, outputs;
    tsl_views attributes;
} node_parts;

static tslim_status claim_outputs(file_reader *r, const uint32_t *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (outputs[i] == TSL_NONE) continue;
        const tsl_value *value = &r->graph->values[outputs[i]];
        TSL_REQUIRE(value->producer == TSL_NONE && !tsl_value_is_constant(value), TSLIM_ERROR_BAD_FILE,
            "value '%s' is defined twice", value->name);
    }
    return TSLIM_OK;
}

// Only a node that sums products adds a residual, and it comes behind what ONNX gives that node.
static bool can_have_residual(const tsl_node *node, int32_t residual) {
    bool sums = node->op == TSL_OP_CONV || node->op == TSL_OP_CONV_TRANSPOSE || node->op == TSL_OP_GEMM ||
                node->op == TSL_OP_MATMUL;
    return sums && residual == 3 && node->n_inputs == 4;
}

static tslim_status convert_node(file_reader *r, const node_parts *p) {
    const char *name, *op_type, *domain;
    uint32_t *inputs, *outputs, index;
    TSL_TRY(tsl_proto_text(&r->proto, p->name, &name));
    TSL_TRY(tsl_proto_text(&r->proto, p->op_type, &op_type));
    TSL_TRY(tsl_proto_text(&r->proto, p->domain, &domain));
    TSL_TRY(read_operands(r, &p->inputs, &inputs));
    TSL_TRY(read_operands(r, &p->outputs, &outputs));
    TSL_TRY(claim_outputs(r, outputs, p->outputs.count));
    TSL_TRY(tsl_graph_add_node(r->graph, tsl_op_find(domain, op_type), *name ? name : op_type,
        (uint32_t)p->inputs.count, inputs, (uint32_t)p->outputs.count, outputs, &index));
    tsl_node *node = &r->graph->nodes[index];
    node->op_type = op_type;
    node->domain = domain;
    node->attrs.items = tsl_arena_array(&r->graph->arena, p->attributes.count, sizeof(tsl_attr));
    TSL_REQUIRE_MEMORY(node->attrs.items, p->attributes.count * sizeof(tsl_attr));
    for (size_t i = 0; i < p->attributes.count; i++)
        TSL_TRY(read_attribute(r, p->attributes.items[i], &node->attrs.items[node->attrs.count++]));
    TSL_REQUIRE(p->message.captured <= node->n_inputs, TSLIM_ERROR_BAD_FILE,
        "node '%s' captures %u of %u operands", name, (unsigned)p->message.captured, node->n_inputs);
    node->n_captured = p->message.captured;
    if (p->message.has_residual) {
        TSL_REQUIRE(can_have_residual(node, p->message.residual), TSLIM_ERROR_BAD_FILE,
            "node '%s' (%s): residual %d of %u inputs", name, op_type, (int)p->message.residual,
            node->n_inputs);
        node->epilogue.residual = p->message.residual;
    }
    node->epilogue.clamp = p->message.clamp;
    node->epilogue.lo = p->message.lo;
    node->epilogue.hi = p->message.hi;
    TSL_REQUIRE(!node->epilogue.clamp || node->epilogue.lo <= node->epilogue.hi, TSLIM_ERROR_BAD_FILE,
        "node '%s': clamped to %g..%g", name, (double)node->epilogue.lo, (double)node->epilogue.hi);
    return TSLIM_OK;
}

static bool decode_node(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    file_reader *r = *arg;
    node_parts p = {.message = tsl_file_Node_init_zero};
    tsl_proto_want_view(&p.message.name, &p.name);
    tsl_proto_want_view(&p.message.op_type, &p.op_type);
    tsl_proto_want_view(&p.message.domain, &p.domain);
    tsl_proto_want_varints(&p.message.inputs, &p.inputs, &r->proto);
    tsl_proto_want_varints(&p.message.outputs, &p.outputs, &r->proto);
    tsl_proto_want_views(&p.message.attributes, &p.attributes, &r->proto);
    tslim_status status =
        tsl_proto_parse(&r->proto, tsl_view_take(stream), tsl_file_Node_fields, &p.message, "node");
    if (status == TSLIM_OK) status = convert_node(r, &p);
    tsl_numbers_free(&p.inputs);
    tsl_numbers_free(&p.outputs);
    tsl_views_free(&p.attributes);
    return tsl_proto_failed(&r->proto, status);
}

// ---- The graph ----

static tslim_status read_preparation(file_reader *r, tsl_view view) {
    tsl_file_Preparation message = tsl_file_Preparation_init_zero;
    tsl_numbers mean = {0}, std = {0};
    tsl_proto_want_floats(&message.mean, &mean, &r->proto);
    tsl_proto_want_floats(&message.std, &std, &r->proto);
    tslim_status status =
        tsl_proto_parse(&r->proto, view, tsl_file_Preparation_fields, &message, "preparation");
    if (status == TSLIM_OK && (mean.count != std.count || mean.count > 4))
        status = tsl_fail(
            TSLIM_ERROR_BAD_FILE, "preparation of %zu means and %zu deviations", mean.count, std.count);
    if (status == TSLIM_OK) {
        tslim_input_preparation p = {.struct_size = sizeof(p),
            .scale = message.scale,
            .n_channels = (uint32_t)mean.count,
            .layout = message.layout,
            .channels = message.channels,
            .height = message.height,
            .width = message.width};
        if (mean.count) memcpy(p.mean, mean.data, mean.count * sizeof(float));
        if (std.count) memcpy(p.std, std.data, std.count * sizeof(float));
        status = tslim_graph_set_preparation(r->graph, &p);
        if (status != TSLIM_OK) status = tsl_fail(TSLIM_ERROR_BAD_FILE, "a preparation that is not possible");
    }
    tsl_numbers_free(&mean);
    tsl_numbers_free(&std);
    return status;
}

static tslim_status read_interface(
    file_reader *r, const tsl_numbers *numbers, const char *what, uint32_t **ids, uint32_t *count) {
    *ids = tsl_arena_array(&r->graph->arena, numbers->count, sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(*ids, numbers->count * sizeof(uint32_t));
    for (size_t i = 0; i < numbers->count; i++) {
        uint64_t number = ((const uint64_t *)numbers->data)[i];
        TSL_REQUIRE(number < r->graph->n_values, TSLIM_ERROR_BAD_FILE, "%s %zu is value %" PRIu64 " of %u",
            what, i, number, r->graph->n_values);
        (*ids)[i] = (uint32_t)number;
    }
    *count = (uint32_t)numbers->count;
    return TSLIM_OK;
}

typedef struct graph_parts {
    tsl_file_Graph message;
    tsl_view name, preparation;
    tsl_numbers inputs, outputs;
    tsl_views history, metadata, bodies;
} graph_parts;

static tslim_status read_metadata(file_reader *r, tsl_view view) {
    tsl_file_Metadata message = tsl_file_Metadata_init_zero;
    tsl_view key_view = {0}, value = {0};
    const char *key;
    tsl_proto_want_view(&message.key, &key_view);
    tsl_proto_want_view(&message.value, &value);
    TSL_TRY(tsl_proto_parse(&r->proto, view, tsl_file_Metadata_fields, &message, "metadata"));
    TSL_TRY(tsl_proto_text(&r->proto, key_view, &key));
    return tsl_graph_set_metadata_bytes(r->graph, key, (const char *)value.data, value.size);
}

static tslim_status convert_graph(file_reader *r, const graph_parts *p) {
    tslim_graph *graph = r->graph;
    TSL_TRY(tsl_proto_text(&r->proto, p->name, &graph->name));
    graph->opset = p->message.opset;
    graph->optimized = p->message.optimized;
    TSL_TRY(read_interface(r, &p->inputs, "input", &graph->inputs, &graph->n_inputs));
    TSL_TRY(read_interface(r, &p->outputs, "output", &graph->outputs, &graph->n_outputs));
    TSL_REQUIRE(graph->n_outputs > 0, TSLIM_ERROR_BAD_FILE, "the graph has no outputs");
    if (p->preparation.data) TSL_TRY(read_preparation(r, p->preparation));
    for (size_t i = 0; i < p->history.count; i++) {
        const char *line;
        TSL_TRY(tsl_proto_text(&r->proto, p->history.items[i], &line));
        TSL_TRY(tslim_graph_history_add(graph, line));
    }
    for (size_t i = 0; i < p->metadata.count; i++) TSL_TRY(read_metadata(r, p->metadata.items[i]));
    return TSLIM_OK;
}

// `bodies` gets the messages of the file's bodies; NULL: this is one of them.
static tslim_status read_graph(file_reader *r, tsl_view message, tsl_views *bodies) {
    graph_parts p = {.message = tsl_file_Graph_init_zero};
    tsl_proto_want_view(&p.message.name, &p.name);
    tsl_proto_want_view(&p.message.preparation, &p.preparation);
    tsl_proto_want_varints(&p.message.inputs, &p.inputs, &r->proto);
    tsl_proto_want_varints(&p.message.outputs, &p.outputs, &r->proto);
    tsl_proto_want_views(&p.message.history, &p.history, &r->proto);
    tsl_proto_want_views(&p.message.metadata, &p.metadata, &r->proto);
    tsl_proto_want_views(&p.message.bodies, &p.bodies, &r->proto);
    p.message.values.funcs.decode = decode_value;
    p.message.nodes.funcs.decode = decode_node;
    p.message.values.arg = p.message.nodes.arg = r;
    tslim_status status = tsl_proto_parse(&r->proto, message, tsl_file_Graph_fields, &p.message, "graph");
    if (status == TSLIM_OK) status = convert_graph(r, &p);
    if (status == TSLIM_OK && !bodies && p.bodies.count > 0)
        status = tsl_fail(TSLIM_ERROR_BAD_FILE, "a body has a list of bodies");
    tsl_numbers_free(&p.inputs);
    tsl_numbers_free(&p.outputs);
    tsl_views_free(&p.history);
    tsl_views_free(&p.metadata);
    if (bodies)
        *bodies = p.bodies;
    else
        tsl_views_free(&p.bodies);
    return status;
}

// ---- Bodies ----

typedef struct body_list {
    tslim_graph **graphs; // NULL once a node has taken it
    tslim_graph **all;
    uint32_t *depth;
    size_t count;
} body_list;

// Each graph takes its bodies from the list. They lie behind it there, so no graph is within itself.
static tslim_status take_bodies(tslim_graph *graph, body_list *list, size_t first, uint32_t depth) {
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].attrs.count; i++) {
            tsl_attr *attr = &graph->nodes[n].attrs.items[i];
            if (attr->type != TSL_ATTR_TYPE_GRAPH) continue;
            TSL_REQUIRE(attr->i >= (int64_t)first && attr->i < (int64_t)list->count && list->graphs[attr->i],
                TSLIM_ERROR_BAD_FILE, "attribute '%s' of node '%s' is body %" PRId64 " of %zu", attr->name,
                graph->nodes[n].name, attr->i, list->count);
            TSL_REQUIRE(depth < tsl_nesting_limit(graph->ctx), TSLIM_ERROR_LIMIT,
                "graphs within nodes, more than %u deep", tsl_nesting_limit(graph->ctx));
            uint32_t index;
            TSL_TRY(tsl_graph_add_body(graph, list->graphs[attr->i], &index));
            list->graphs[attr->i] = NULL;
            list->depth[attr->i] = depth + 1;
            attr->i = index;
        }
    return TSLIM_OK;
}

static tslim_status read_bodies(file_reader *r, const tsl_views *messages, body_list *list) {
    tslim_context *ctx = r->proto.ctx;
    for (size_t i = 0; i < messages->count; i++) {
        TSL_TRY(tsl_graph_create(ctx, &list->graphs[i]));
        list->all[i] = list->graphs[i];
        file_reader inner = *r;
        inner.graph = list->graphs[i];
        inner.proto.arena = &inner.graph->arena;
        tslim_status status = read_graph(&inner, messages->items[i], NULL);
        if (status != TSLIM_OK) return tsl_fail_prefix(status, "body %zu", i);
    }
    TSL_TRY(take_bodies(r->graph, list, 0, 0));
    for (size_t i = 0; i < list->count; i++) {
        TSL_REQUIRE(!list->graphs[i], TSLIM_ERROR_BAD_FILE, "body %zu is no node's", i);
        TSL_TRY(take_bodies(list->all[i], list, i + 1, list->depth[i]));
    }
    return TSLIM_OK;
}

static tslim_status read_file(file_reader *r) {
    tsl_views messages;
    tslim_status status = read_graph(r, r->graph_section, &messages);
    body_list list = {.count = messages.count};
    if (status == TSLIM_OK && list.count > 0) {
        list.graphs = tsl_arena_array(&r->graph->arena, list.count, sizeof(*list.graphs));
        list.all = tsl_arena_array(&r->graph->arena, list.count, sizeof(*list.all));
        list.depth = tsl_arena_array(&r->graph->arena, list.count, sizeof(*list.depth));
        status = list.graphs && list.all && list.depth ? read_bodies(r, &messages, &list)
                                                       : tsl_no_memory(list.count * sizeof(*list.graphs));
        for (size_t i = 0; list.graphs && i < list.count; i++) tslim_graph_destroy(list.graphs[i]);
    }
    tsl_views_free(&messages);
    return status == TSLIM_OK ? tsl_graph_verify(r->graph, TSLIM_ERROR_BAD_FILE) : status;
}

tslim_status tsl_tslim_read(tslim_context *ctx, tsl_buffer *buffer, tslim_graph **result) {
    file_reader r = {.file = buffer};
    TSL_TRY(check_container(&r));
    TSL_TRY(tsl_graph_create(ctx, &r.graph));
    r.graph->file = tsl_buffer_retain(buffer);
    r.proto = (tsl_proto){.ctx = ctx, .arena = &r.graph->arena, .start = buffer->data};
    tslim_status status = read_file(&r);
    if (status != TSLIM_OK) {
        tslim_graph_destroy(r.graph);
        return status;
    }
    *result = r.graph;
    return TSLIM_OK;
}
