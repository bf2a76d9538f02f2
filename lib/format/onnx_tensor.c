// SPDX-License-Identifier: Apache-2.0
// TensorProto: the data of a constant, borrowed from the file where its alignment allows.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "format/onnx_reader.h"

#define EXTERNAL 1 // of TensorProto.DataLocation

// Everything that the message says.
typedef struct tensor {
    tsl_onnx_Tensor message;
    tsl_view name, raw, string;
    tsl_numbers dims, varints, floats, doubles, int64s, uint64s;
    tsl_views external;
} tensor;

static void free_tensor(tensor *t) {
    tsl_numbers *all[] = {&t->dims, &t->varints, &t->floats, &t->doubles, &t->int64s, &t->uint64s};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) tsl_numbers_free(all[i]);
    tsl_views_free(&t->external);
}

static tslim_status parse(tsl_onnx_reader *reader, tsl_view message, tensor *t) {
    *t = (tensor){.message = tsl_onnx_Tensor_init_zero};
    tsl_proto_want_varints(&t->message.dims, &t->dims, &reader->proto);
    tsl_proto_want_varints(&t->message.int32_data, &t->varints, &reader->proto);
    tsl_proto_want_varints(&t->message.int64_data, &t->int64s, &reader->proto);
    tsl_proto_want_varints(&t->message.uint64_data, &t->uint64s, &reader->proto);
    tsl_proto_want_floats(&t->message.float_data, &t->floats, &reader->proto);
    tsl_proto_want_doubles(&t->message.double_data, &t->doubles, &reader->proto);
    tsl_proto_want_view(&t->message.name, &t->name);
    tsl_proto_want_view(&t->message.raw_data, &t->raw);
    tsl_proto_want_view(&t->message.string_data, &t->string);
    tsl_proto_want_views(&t->message.external_data, &t->external, &reader->proto);
    return tsl_proto_parse(&reader->proto, message, tsl_onnx_Tensor_fields, &t->message, "tensor");
}

static tslim_status read_shape(tsl_onnx_reader *reader, const tensor *t, tsl_shape *shape, size_t *bytes) {
    tslim_dtype dtype = (tslim_dtype)t->message.data_type;
    TSL_REQUIRE(dtype != TSLIM_DTYPE_STRING, TSLIM_ERROR_UNSUPPORTED, "strings are not supported");
    TSL_REQUIRE(t->message.data_type > 0 && tslim_dtype_size(dtype) > 0, TSLIM_ERROR_UNSUPPORTED,
        "element type %" PRId32 " is not supported", t->message.data_type);
    TSL_REQUIRE(t->dims.count <= reader->ctx->limits.rank, TSLIM_ERROR_LIMIT, "rank %zu, the limit is %u",
        t->dims.count, reader->ctx->limits.rank);
    const int64_t *dims = t->dims.data;
    for (size_t i = 0; i < t->dims.count; i++)
        TSL_REQUIRE(dims[i] >= 0, TSLIM_ERROR_BAD_FILE, "dim %zu is %" PRId64, i, dims[i]);
    tsl_shape_set(shape, (uint32_t)t->dims.count, dims);
    uint64_t elements;
    TSL_TRY(tsl_shape_elements(reader->ctx, shape, &elements));
    TSL_REQUIRE(tsl_mul_size((size_t)elements, tslim_dtype_size(dtype), bytes), TSLIM_ERROR_LIMIT,
        "%" PRIu64 " elements", elements);
    return TSLIM_OK;
}

// Data that lies in a mapped file as it is needed: kept there, or copied when it is not aligned.
static tslim_status use_bytes(
    tsl_onnx_reader *reader, uint32_t id, tsl_buffer *buffer, tsl_view data, size_t bytes, size_t alignment) {
    TSL_REQUIRE(data.size == bytes, TSLIM_ERROR_BAD_FILE, "its shape asks for %zu bytes, the file has %zu",
        bytes, data.size);
    if ((uintptr_t)data.data % alignment == 0 && bytes > 0) {
        tsl_value_set_data(&reader->graph->values[id], buffer, data.data, bytes);
        return TSLIM_OK;
    }
    void *copy;
    TSL_TRY(tsl_value_new_data(reader->graph, id, bytes, &copy));
    if (bytes > 0) memcpy(copy, data.data, bytes);
    return TSLIM_OK;
}

// The list that holds elements of this type when they are not raw bytes.
static const tsl_numbers *typed_data(const tensor *t, tslim_dtype dtype) {
    switch (dtype) {
    case TSLIM_DTYPE_FLOAT:
        return &t->floats;
    case TSLIM_DTYPE_DOUBLE:
        return &t->doubles;
    case TSLIM_DTYPE_INT64:
        return &t->int64s;
    case TSLIM_DTYPE_UINT32:
    case TSLIM_DTYPE_UINT64:
        return &t->uint64s;
    default:
        return &t->varints;
    }
}

static tslim_status use_numbers(
    tsl_onnx_reader *reader, uint32_t id, const tsl_numbers *numbers, size_t bytes, size_t element_size) {
    size_t count = bytes / element_size;
    TSL_REQUIRE(numbers->count == count, TSLIM_ERROR_BAD_FILE,
        "its shape asks for %zu elements, the file has %zu", count, numbers->count);
    void *data;
    TSL_TRY(tsl_value_new_data(reader->graph, id, bytes, &data));
    // Little-endian, as the file: the low bytes of a wider number are the narrower one.
    for (size_t i = 0; i < count; i++)
        memcpy((uint8_t *)data + i * element_size, (const uint8_t *)numbers->data + i * numbers->element_size,
            element_size);
    return TSLIM_OK;
}

static tslim_status read_data(tsl_onnx_reader *reader, const tensor *t, uint32_t id, size_t bytes) {
    tslim_dtype dtype = (tslim_dtype)t->message.data_type;
    size_t element_size = tslim_dtype_size(dtype);
    if (t->message.data_location == EXTERNAL) {
        tsl_buffer *buffer;
        tsl_view data;
        TSL_TRY(tsl_onnx_external_data(reader, t->external.items, t->external.count, &buffer, &data));
        TSL_REQUIRE(data.size >= bytes, TSLIM_ERROR_BAD_FILE,
            "its shape asks for %zu bytes, the data file has %zu", bytes, data.size);
        data.size = bytes;
        return use_bytes(reader, id, buffer, data, bytes, element_size);
    }
    if (t->raw.data) return use_bytes(reader, id, reader->file, t->raw, bytes, element_size);
    return use_numbers(reader, id, typed_data(t, dtype), bytes, element_size);
}

static tslim_status make_constant(tsl_onnx_reader *reader, const tensor *t, const char *name, uint32_t *id) {
    tsl_shape shape;
    size_t bytes = 0;
    TSL_TRY(read_shape(reader, t, &shape, &bytes));
    if (name)
        TSL_TRY(tsl_graph_add_value(reader->graph, name, TSLIM_DTYPE_NONE, id));
    else
        TSL_TRY(tsl_onnx_value(reader, t->name, id));
    TSL_REQUIRE(*id != TSL_NONE, TSLIM_ERROR_BAD_FILE, "it has no name");
    TSL_REQUIRE(
        !tsl_value_is_constant(&reader->graph->values[*id]), TSLIM_ERROR_BAD_FILE, "it is defined twice");
    reader->graph->values[*id].dtype = (tslim_dtype)t->message.data_type;
    reader->graph->values[*id].shape = shape;
    return read_data(reader, t, *id, bytes);
}

tslim_status tsl_onnx_read_tensor(tsl_onnx_reader *reader, tsl_view message, const char *name, uint32_t *id) {
    tensor t;
    tslim_status status = parse(reader, message, &t);
    if (status == TSLIM_OK) status = make_constant(reader, &t, name, id);
    if (status != TSLIM_OK && status != TSLIM_ERROR_NO_MEMORY) {
        if (name)
            status = tsl_fail_prefix(status, "constant '%.200s'", name);
        else
            status = tsl_fail_prefix(status, "constant '%.*s'", t.name.size < 200 ? (int)t.name.size : 200,
                t.name.data ? (const char *)t.name.data : "");
    }
    free_tensor(&t);
    return status;
}
