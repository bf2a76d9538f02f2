// SPDX-License-Identifier: Apache-2.0
// ModelProto and GraphProto.
#include <inttypes.h>
#include <string.h>

#include "format/onnx.h"
#include "format/onnx_fused.h"
#include "format/onnx_quantized.h"
#include "format/onnx_reader.h"
#include "ir/bodies.h"

#define FIRST_OPSET 1
#define LAST_OPSET 21

tslim_status tsl_onnx_value(tsl_onnx_reader *reader, tsl_view name, uint32_t *id) {
    *id = TSL_NONE;
    if (name.size == 0) return TSLIM_OK;
    const char *text;
    TSL_TRY(tsl_proto_text(&reader->proto, name, &text));
    return tsl_onnx_value_of_name(reader, text, id);
}

tslim_status tsl_onnx_value_of_name(tsl_onnx_reader *reader, const char *name, uint32_t *id) {
    *id = tsl_graph_find_value(reader->graph, name);
    return *id == TSL_NONE ? tsl_graph_add_value(reader->graph, name, TSLIM_DTYPE_NONE, id) : TSLIM_OK;
}

// ---- Inputs and outputs ----

typedef struct shape_reader {
    tsl_onnx_reader *reader;
    tsl_shape shape;
} shape_reader;

static bool decode_dimension(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    shape_reader *s = *arg;
    tsl_onnx_reader *reader = s->reader;
    tsl_onnx_Dimension dim = tsl_onnx_Dimension_init_zero;
    tsl_view symbol = {0};
    tsl_proto_want_view(&dim.dim_param, &symbol);
    if (!pb_decode(stream, tsl_onnx_Dimension_fields, &dim)) return false;
    if (s->shape.rank >= reader->ctx->limits.rank)
        return tsl_proto_failed(
            &reader->proto, tsl_fail(TSLIM_ERROR_LIMIT, "rank over %u", reader->ctx->limits.rank));
    uint32_t d = s->shape.rank++;
    s->shape.dims[d] = dim.has_dim_value && dim.dim_value >= 0 && !symbol.data ? dim.dim_value : -1;
    // A size of 0 stands for "not known" in the files of some exporters.
    if (dim.has_dim_value && dim.dim_value == 0 && !symbol.data) s->shape.dims[d] = -1;
    s->shape.symbols[d] = NULL;
    if (symbol.size > 0)
        return tsl_proto_failed(&reader->proto, tsl_proto_text(&reader->proto, symbol, &s->shape.symbols[d]));
    return true;
}

static tslim_status read_tensor_type(tsl_onnx_reader *reader, tsl_view message, tsl_value *value) {
    tsl_onnx_TensorType type = tsl_onnx_TensorType_init_zero;
    tsl_view shape_view = {0};
    tsl_proto_want_view(&type.shape, &shape_view);
    TSL_TRY(tsl_proto_parse(&reader->proto, message, tsl_onnx_TensorType_fields, &type, "tensor type"));
    value->dtype = (tslim_dtype)type.elem_type;
    TSL_REQUIRE(type.elem_type > 0 && tslim_dtype_size(value->dtype) > 0, TSLIM_ERROR_UNSUPPORTED,
        "element type %" PRId32 " is not supported", type.elem_type);
    if (!shape_view.data) return TSLIM_OK; // not even the rank is known
    tsl_onnx_TensorShape shape = tsl_onnx_TensorShape_init_zero;
    shape_reader s = {.reader = reader, .shape.known = true};
    shape.dim.funcs.decode = decode_dimension;
    shape.dim.arg = &s;
    TSL_TRY(tsl_proto_parse(&reader->proto, shape_view, tsl_onnx_TensorShape_fields, &shape, "shape"));
    value->shape = s.shape;
    return TSLIM_OK;
}

// Types that are no tensors, in words; NULL when there is none of them.
static const char *other_type(
    const tsl_view *sequence, const tsl_view *map, const tsl_view *sparse, const tsl_view *optional) {
    return sequence->data   ? "a sequence"
           : map->data      ? "a map"
           : sparse->data   ? "a sparse tensor"
           : optional->data ? "an optional"
                            : NULL;
}

static tslim_status read_value_info(tsl_onnx_reader *reader, tsl_view message, bool is_input, uint32_t *id) {
    tsl_onnx_ValueInfo info = tsl_onnx_ValueInfo_init_zero;
    tsl_onnx_Type type = tsl_onnx_Type_init_zero;
    tsl_view name = {0}, type_view = {0}, tensor_view = {0}, sequence = {0}, map = {0}, sparse = {0},
             optional = {0};
    tsl_proto_want_view(&info.name, &name);
    tsl_proto_want_view(&info.type, &type_view);
    tsl_proto_want_view(&type.tensor_type, &tensor_view);
    tsl_proto_want_view(&type.sequence_type, &sequence);
    tsl_proto_want_view(&type.map_type, &map);
    tsl_proto_want_view(&type.sparse_tensor_type, &sparse);
    tsl_proto_want_view(&type.optional_type, &optional);
    TSL_TRY(tsl_proto_parse(&reader->proto, message, tsl_onnx_ValueInfo_fields, &info, "value info"));
    TSL_TRY(tsl_onnx_value(reader, name, id));
    TSL_REQUIRE(*id != TSL_NONE, TSLIM_ERROR_BAD_FILE, "an %s without a name", is_input ? "input" : "output");
    tsl_value *value = &reader->graph->values[*id];
    if (tsl_value_is_constant(value)) return TSLIM_OK; // an initializer that is listed as an input too
    if (type_view.data)
        TSL_TRY(tsl_proto_parse(&reader->proto, type_view, tsl_onnx_Type_fields, &type, "type"));
    tslim_status status = TSLIM_OK;
    if (tensor_view.data)
        status = read_tensor_type(reader, tensor_view, value);
    else if (is_input && other_type(&sequence, &map, &sparse, &optional))
        status = tsl_fail(TSLIM_ERROR_UNSUPPORTED, "its type is %s, not a tensor",
            other_type(&sequence, &map, &sparse, &optional));
    else if (is_input && reader->depth == 0) // a body learns its inputs' types from the node
        status = tsl_fail(TSLIM_ERROR_UNSUPPORTED, "its type is not a tensor");
    if (status != TSLIM_OK)
        return tsl_fail_prefix(status, "%s '%s'", is_input ? "input" : "output", value->name);
    return TSLIM_OK;
}

static bool append_id(tsl_onnx_reader *reader, uint32_t **ids, size_t *count, size_t *capacity, uint32_t id) {
    if (!tsl_grow(reader->ctx, (void **)ids, capacity, *count + 1, sizeof(**ids)))
        return tsl_proto_failed(&reader->proto, tsl_no_memory(*count * sizeof(**ids)));
    (*ids)[(*count)++] = id;
    return true;
}

// ---- Fields of the graph; each callback hands its message on ----

static bool decode_input(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *r = *arg;
    uint32_t id;
    if (!tsl_proto_failed(&r->proto, read_value_info(r, tsl_view_take(stream), true, &id))) return false;
    return append_id(r, &r->inputs, &r->n_inputs, &r->inputs_capacity, id);
}

static bool decode_output(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *r = *arg;
    uint32_t id;
    if (!tsl_proto_failed(&r->proto, read_value_info(r, tsl_view_take(stream), false, &id))) return false;
    return append_id(r, &r->outputs, &r->n_outputs, &r->outputs_capacity, id);
}

static bool decode_initializer(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *reader = *arg;
    uint32_t id;
    return tsl_proto_failed(&reader->proto, tsl_onnx_read_tensor(reader, tsl_view_take(stream), NULL, &id));
}

static bool decode_node(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *reader = *arg;
    return tsl_proto_failed(&reader->proto, tsl_onnx_read_node(reader, tsl_view_take(stream)));
}

static bool decode_sparse(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)stream;
    (void)field;
    tsl_onnx_reader *reader = *arg;
    return tsl_proto_failed(
        &reader->proto, tsl_fail(TSLIM_ERROR_UNSUPPORTED, "sparse initializers are not supported"));
}

static tslim_status parse_graph(tsl_onnx_reader *reader, tsl_view message) {
    tsl_onnx_Graph graph = tsl_onnx_Graph_init_zero;
    tsl_view name = {0};
    graph.node.funcs.decode = decode_node;
    graph.initializer.funcs.decode = decode_initializer;
    graph.input.funcs.decode = decode_input;
    graph.output.funcs.decode = decode_output;
    graph.sparse_initializer.funcs.decode = decode_sparse;
    graph.node.arg = graph.initializer.arg = graph.input.arg = graph.output.arg =
        graph.sparse_initializer.arg = reader;
    tsl_proto_want_view(&graph.name, &name);
    TSL_TRY(tsl_proto_parse(&reader->proto, message, tsl_onnx_Graph_fields, &graph, "graph"));
    return tsl_proto_text(&reader->proto, name, &reader->graph->name);
}

static bool decode_graph(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *reader = *arg;
    return tsl_proto_failed(&reader->proto, parse_graph(reader, tsl_view_take(stream)));
}

static bool decode_opset(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *reader = *arg;
    tsl_onnx_OperatorSetId id = tsl_onnx_OperatorSetId_init_zero;
    tsl_view domain = {0};
    tsl_proto_want_view(&id.domain, &domain);
    if (!pb_decode(stream, tsl_onnx_OperatorSetId_fields, &id)) return false;
    bool is_onnx = domain.size == 0 || (domain.size == 7 && memcmp(domain.data, "ai.onnx", 7) == 0);
    if (!is_onnx) return true;
    if (id.version < FIRST_OPSET || id.version > LAST_OPSET)
        return tsl_proto_failed(
            &reader->proto, tsl_fail(TSLIM_ERROR_UNSUPPORTED, "opset %" PRId64 " (%d to %d are supported)",
                                id.version, FIRST_OPSET, LAST_OPSET));
    reader->graph->opset = (uint32_t)id.version;
    return true;
}

static tslim_status read_metadata(tsl_onnx_reader *reader, tsl_view view) {
    tsl_onnx_StringStringEntry entry = tsl_onnx_StringStringEntry_init_zero;
    tsl_view key_view = {0}, value = {0};
    const char *key;
    tsl_proto_want_view(&entry.key, &key_view);
    tsl_proto_want_view(&entry.value, &value);
    TSL_TRY(tsl_proto_parse(&reader->proto, view, tsl_onnx_StringStringEntry_fields, &entry, "metadata"));
    TSL_TRY(tsl_proto_text(&reader->proto, key_view, &key));
    return tsl_graph_set_metadata_bytes(reader->graph, key, (const char *)value.data, value.size);
}

static bool decode_metadata(pb_istream_t *stream, const pb_field_t *field, void **arg) {
    (void)field;
    tsl_onnx_reader *reader = *arg;
    return tsl_proto_failed(&reader->proto, read_metadata(reader, tsl_view_take(stream)));
}

// ---- The model ----

static tslim_status parse_model(tsl_onnx_reader *reader) {
    tsl_onnx_Model model = tsl_onnx_Model_init_zero;
    tsl_view producer = {0}, all = {reader->file->data, reader->file->size};
    model.graph.funcs.decode = decode_graph;
    model.opset_import.funcs.decode = decode_opset;
    model.metadata_props.funcs.decode = decode_metadata;
    model.graph.arg = model.opset_import.arg = model.metadata_props.arg = reader;
    tsl_proto_want_view(&model.producer_name, &producer);
    TSL_TRY(tsl_proto_parse(&reader->proto, all, tsl_onnx_Model_fields, &model, "model"));
    TSL_TRY(tsl_proto_text(&reader->proto, producer, &reader->graph->producer_name));
    TSL_REQUIRE(
        reader->graph->opset != 0, TSLIM_ERROR_BAD_FILE, "the model names no opset of ONNX's own operators");
    TSL_REQUIRE(reader->n_outputs > 0, TSLIM_ERROR_BAD_FILE, "the model has no outputs");
    return TSLIM_OK;
}

// Inputs that no initializer stands for; outputs.
static tslim_status set_interface(tsl_onnx_reader *reader) {
    tslim_graph *graph = reader->graph;
    graph->inputs = tsl_arena_array(&graph->arena, reader->n_inputs, sizeof(uint32_t));
    graph->outputs = tsl_arena_copy(&graph->arena, reader->outputs, reader->n_outputs * sizeof(uint32_t));
    TSL_REQUIRE_MEMORY(graph->inputs && graph->outputs ? graph : NULL, sizeof(uint32_t));
    for (size_t i = 0; i < reader->n_inputs; i++) {
        const tsl_value *value = &graph->values[reader->inputs[i]];
        if (tsl_value_is_constant(value)) continue;
        TSL_REQUIRE(value->producer == TSL_NONE, TSLIM_ERROR_BAD_FILE, "input '%s' is made by node '%s'",
            value->name, graph->nodes[value->producer].name);
        graph->inputs[graph->n_inputs++] = reader->inputs[i];
    }
    graph->n_outputs = (uint32_t)reader->n_outputs;
    return TSLIM_OK;
}

static tslim_status check_sources(const tslim_graph *graph) {
    uint8_t *has_source = tsl_allocate_zeroed(graph->ctx, graph->n_values);
    TSL_REQUIRE_MEMORY(has_source, graph->n_values);
    tslim_status status = TSLIM_OK;
    for (uint32_t i = 0; i < graph->n_inputs; i++) has_source[graph->inputs[i]] = 1;
    for (uint32_t n = 0; n < graph->n_nodes && status == TSLIM_OK; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs && status == TSLIM_OK; i++) {
            const tsl_value *value = tsl_node_input(graph, &graph->nodes[n], i);
            if (value && value->producer == TSL_NONE && !tsl_value_is_constant(value) &&
                !has_source[graph->nodes[n].inputs[i]])
                status = tsl_fail(TSLIM_ERROR_BAD_FILE, "node '%s' (%s) reads '%s', which nothing makes",
                    graph->nodes[n].name, graph->nodes[n].op_type, value->name);
        }
    for (uint32_t i = 0; i < graph->n_outputs && status == TSLIM_OK; i++) {
        const tsl_value *value = &graph->values[graph->outputs[i]];
        if (value->producer == TSL_NONE && !tsl_value_is_constant(value) && !has_source[graph->outputs[i]])
            status = tsl_fail(TSLIM_ERROR_BAD_FILE, "nothing makes output '%s'", value->name);
    }
    tsl_free(graph->ctx, has_source, graph->n_values);
    return status;
}

tslim_status tsl_onnx_read_graph(tsl_onnx_reader *reader, tsl_view message) {
    TSL_TRY(parse_graph(reader, message));
    TSL_TRY(set_interface(reader));
    TSL_TRY(tsl_graph_sort(reader->graph));
    return tsl_graph_compact(reader->graph);
}

void tsl_onnx_reader_clear(tsl_onnx_reader *reader) {
    tsl_free(reader->ctx, reader->inputs, reader->inputs_capacity * sizeof(uint32_t));
    tsl_free(reader->ctx, reader->outputs, reader->outputs_capacity * sizeof(uint32_t));
}

static tslim_status read_all(tsl_onnx_reader *reader) {
    TSL_TRY(parse_model(reader));
    TSL_TRY(set_interface(reader));
    TSL_TRY(check_sources(reader->graph));
    TSL_TRY(tsl_onnx_expand_quantized(reader->graph));
    TSL_TRY(tsl_onnx_expand_fused(reader->graph));
    TSL_TRY(tsl_graph_sort(reader->graph));
    TSL_TRY(tsl_graph_compact(reader->graph));
    tsl_graph_set_opset(reader->graph, reader->graph->opset);
    return tsl_graph_verify(reader->graph, TSLIM_ERROR_BAD_FILE);
}

tslim_status tsl_onnx_read(tslim_context *ctx, tsl_buffer *buffer, const char *folder, tslim_graph **result) {
    tsl_external_files external = {0};
    tsl_onnx_reader reader = {.ctx = ctx, .file = buffer, .folder = folder, .external = &external};
    TSL_TRY(tsl_graph_create(ctx, &reader.graph));
    external.arena = &reader.graph->arena;
    reader.graph->file = tsl_buffer_retain(buffer);
    reader.proto = (tsl_proto){.ctx = ctx, .arena = &reader.graph->arena, .start = buffer->data};
    tslim_status status = read_all(&reader);
    for (size_t i = 0; i < external.count; i++) tsl_buffer_release(external.files[i].buffer);
    tsl_free(ctx, external.files, external.capacity * sizeof(*external.files));
    tsl_onnx_reader_clear(&reader);
    if (status != TSLIM_OK) {
        tslim_graph_destroy(reader.graph);
        return status;
    }
    *result = reader.graph;
    return TSLIM_OK;
}
