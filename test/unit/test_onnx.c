// SPDX-License-Identifier: Apache-2.0
// Reading ONNX: every form in which a file may say a thing, every way in which it may be wrong, and damage at
// every byte. Nothing may crash, hang or leak (the sanitizers look), and what loads is a sound graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "format/onnx.h"
#include "support/failing_allocator.h"
#include "support/onnx_builder.h"

static tslim_context *ctx;
static tslim_graph *graph;

#define DIMS(...)                                                                                            \
    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]) {                            \
        __VA_ARGS__                                                                                          \
    }

static void add_node(proto *g, const char *op, const char *name, const char *inputs, const char *outputs) {
    proto node = {0};
    onnx_node(&node, op, name, inputs, outputs);
    proto_message(g, ONNX_GRAPH_NODE, &node);
}

static tslim_status load(const proto *model) {
    graph = NULL;
    return tslim_graph_load_memory(ctx, model->data, model->size, &graph);
}

static void load_graph(int64_t opset, const proto *g) {
    // The graph's weights stay where they are: the file must outlive it.
    static proto model;
    memset(&model, 0, sizeof(model));
    onnx_model(&model, opset, g);
    if (load(&model) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
    assert_int_equal(tsl_graph_verify(graph, TSLIM_ERROR_INTERNAL), TSLIM_OK);
}

static void expect_failure(int64_t opset, const proto *g, tslim_status wanted, const char *part) {
    proto model = {0};
    onnx_model(&model, opset, g);
    assert_int_equal(load(&model), wanted);
    assert_null(graph);
    if (!strstr(tslim_context_message(ctx), part))
        fail_msg("'%s' is not in '%s'", part, tslim_context_message(ctx));
}

// x -> Relu -> y, to which a test adds what it is about.
static void start_relu(proto *g) {
    onnx_value(g, ONNX_GRAPH_INPUT, "x", DIMS(-1, 3));
    onnx_value(g, ONNX_GRAPH_OUTPUT, "y", DIMS(-1, 3));
    add_node(g, "Relu", "", "x", "y");
}

// ---- What is read ----

static void test_interface(void **state) {
    (void)state;
    proto g = {0};
    start_relu(&g);
    load_graph(17, &g);
    tslim_tensor_info info;
    assert_int_equal(tslim_graph_input_count(graph), 1);
    assert_int_equal(tslim_graph_input_info(graph, 0, &info), TSLIM_OK);
    assert_string_equal(info.name, "x");
    assert_int_equal(info.dtype, TSLIM_DTYPE_FLOAT);
    assert_int_equal(info.rank, 2);
    assert_int_equal(info.dims[0], -1);
    assert_string_equal(info.symbols[0], "N");
    assert_int_equal(info.dims[1], 3);
    assert_null(info.symbols[1]);
    assert_int_equal(graph->opset, 17);
    assert_int_equal(graph->nodes[0].op, TSL_OP_RELU);
    assert_true(*graph->nodes[0].name != '\0');
    tslim_graph_destroy(graph);
}

// Constant number `index` of elements 1, 2 (and 3) must be there whatever form the file gives it.
static const tsl_value *constant(const char *name) {
    uint32_t id = tsl_graph_find_value(graph, name);
    assert_int_not_equal(id, TSL_NONE);
    assert_true(tsl_value_is_constant(&graph->values[id]));
    return &graph->values[id];
}

static void load_tensor(proto *tensor) {
    proto g = {0};
    start_relu(&g);
    proto_message(&g, ONNX_GRAPH_INITIALIZER, tensor);
    add_node(&g, "Identity", "", "w", "z");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "z", DIMS(2));
    load_graph(17, &g);
}

static void expect_bytes(const char *name, tslim_dtype dtype, const void *wanted, size_t bytes) {
    const tsl_value *value = constant(name);
    assert_int_equal(value->dtype, dtype);
    assert_int_equal(value->bytes, bytes);
    assert_int_equal((uintptr_t)value->data % tslim_dtype_size(dtype), 0);
    assert_memory_equal(value->data, wanted, bytes);
}

static void test_raw_data(void **state) {
    (void)state;
    const float wanted[2] = {1.5f, -2};
    // Some position of four is aligned, and borrowed; the others are copied.
    int borrowed = 0;
    for (size_t shift = 0; shift < 4; shift++) {
        proto tensor = {0};
        onnx_tensor(&tensor, "w", TSLIM_DTYPE_FLOAT, DIMS(2));
        proto_bytes(&tensor, 12, "....", shift); // documentation, to be skipped
        proto_bytes(&tensor, ONNX_TENSOR_RAW, wanted, sizeof(wanted));
        load_tensor(&tensor);
        expect_bytes("w", TSLIM_DTYPE_FLOAT, wanted, sizeof(wanted));
        borrowed += constant("w")->buffer == graph->file;
        tslim_graph_destroy(graph);
    }
    assert_int_equal(borrowed, 1);
}

static void load_list(tslim_dtype dtype, uint32_t field, bool packed) {
    const int64_t values[2] = {1, -2};
    proto tensor = {0};
    onnx_tensor(&tensor, "w", dtype, DIMS(2));
    if (packed)
        proto_packed(&tensor, field, 2, values);
    else
        for (size_t i = 0; i < 2; i++) proto_number(&tensor, field, values[i]);
    load_tensor(&tensor);
}

static void test_integer_data(void **state) {
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        load_list(TSLIM_DTYPE_INT8, ONNX_TENSOR_INT32S, packed);
        expect_bytes("w", TSLIM_DTYPE_INT8, (const int8_t[]){1, -2}, 2);
        tslim_graph_destroy(graph);
        load_list(TSLIM_DTYPE_UINT8, ONNX_TENSOR_INT32S, packed);
        expect_bytes("w", TSLIM_DTYPE_UINT8, (const uint8_t[]){1, 254}, 2);
        tslim_graph_destroy(graph);
        load_list(TSLIM_DTYPE_FLOAT16, ONNX_TENSOR_INT32S, packed);
        expect_bytes("w", TSLIM_DTYPE_FLOAT16, (const uint16_t[]){1, 0xfffe}, 4);
        tslim_graph_destroy(graph);
        load_list(TSLIM_DTYPE_INT32, ONNX_TENSOR_INT32S, packed);
        expect_bytes("w", TSLIM_DTYPE_INT32, (const int32_t[]){1, -2}, 8);
        tslim_graph_destroy(graph);
        load_list(TSLIM_DTYPE_INT64, ONNX_TENSOR_INT64S, packed);
        expect_bytes("w", TSLIM_DTYPE_INT64, (const int64_t[]){1, -2}, 16);
        tslim_graph_destroy(graph);
        load_list(TSLIM_DTYPE_UINT64, ONNX_TENSOR_UINT64S, packed);
        expect_bytes("w", TSLIM_DTYPE_UINT64, (const int64_t[]){1, -2}, 16);
        tslim_graph_destroy(graph);
    }
}

static void test_float_data(void **state) {
    (void)state;
    const float floats[2] = {0.5f, -3};
    const double doubles[2] = {0.25, -7};
    for (int packed = 0; packed < 2; packed++) {
        proto tensor = {0};
        onnx_tensor(&tensor, "w", TSLIM_DTYPE_FLOAT, DIMS(2));
        if (packed)
            proto_bytes(&tensor, ONNX_TENSOR_FLOATS, floats, sizeof(floats));
        else
            for (size_t i = 0; i < 2; i++) proto_float(&tensor, ONNX_TENSOR_FLOATS, floats[i]);
        load_tensor(&tensor);
        expect_bytes("w", TSLIM_DTYPE_FLOAT, floats, sizeof(floats));
        tslim_graph_destroy(graph);
        proto wide = {0};
        onnx_tensor(&wide, "w", TSLIM_DTYPE_DOUBLE, DIMS(2));
        if (packed)
            proto_bytes(&wide, ONNX_TENSOR_DOUBLES, doubles, sizeof(doubles));
        else
            for (size_t i = 0; i < 2; i++) proto_double(&wide, ONNX_TENSOR_DOUBLES, doubles[i]);
        load_tensor(&wide);
        expect_bytes("w", TSLIM_DTYPE_DOUBLE, doubles, sizeof(doubles));
        tslim_graph_destroy(graph);
    }
}

static void test_constant_nodes(void **state) {
    (void)state;
    proto g = {0}, a = {0}, b = {0}, c = {0}, d = {0}, tensor = {0};
    start_relu(&g);
    onnx_node(&a, "Constant", "a", "", "a");
    a.size = 0; // a Constant has no operands, not an empty one
    proto_text(&a, 2, "a");
    proto_text(&a, 4, "Constant");
    onnx_attr_int(&a, "value_int", -5);
    proto_text(&b, 2, "b");
    proto_text(&b, 4, "Constant");
    onnx_attr_float(&b, "value_float", 2.5f);
    proto_text(&c, 2, "c");
    proto_text(&c, 4, "Constant");
    onnx_attr_ints(&c, "value_ints", 3, (const int64_t[]){7, -8, 9});
    proto_text(&d, 2, "d");
    proto_text(&d, 4, "Constant");
    onnx_tensor(&tensor, "some other name", TSLIM_DTYPE_INT64, DIMS(1));
    proto_number(&tensor, ONNX_TENSOR_INT64S, 11);
    onnx_attr_tensor(&d, "value", &tensor);
    const proto *nodes[4] = {&a, &b, &c, &d};
    const char *names[4] = {"a", "b", "c", "d"}, *results[4] = {"ra", "rb", "rc", "rd"};
    for (size_t i = 0; i < 4; i++) {
        proto_message(&g, ONNX_GRAPH_NODE, nodes[i]);
        add_node(&g, "Identity", "", names[i], results[i]);
        onnx_value(&g, ONNX_GRAPH_OUTPUT, results[i], DIMS(1));
    }
    load_graph(13, &g);
    expect_bytes("a", TSLIM_DTYPE_INT64, (const int64_t[]){-5}, 8);
    assert_int_equal(constant("a")->shape.rank, 0);
    expect_bytes("b", TSLIM_DTYPE_FLOAT, (const float[]){2.5f}, 4);
    expect_bytes("c", TSLIM_DTYPE_INT64, (const int64_t[]){7, -8, 9}, 24);
    assert_int_equal(constant("c")->shape.rank, 1);
    expect_bytes("d", TSLIM_DTYPE_INT64, (const int64_t[]){11}, 8);
    assert_int_equal(graph->n_nodes, 5);
    tslim_graph_destroy(graph);
}

static void test_any_order(void **state) {
    (void)state;
    proto g = {0};
    add_node(&g, "Neg", "last", "b", "y");
    add_node(&g, "Relu", "second", "a", "b");
    add_node(&g, "Add", "first", "x,w", "a");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "y", DIMS(-1, 3));
    onnx_value(&g, ONNX_GRAPH_INPUT, "x", DIMS(-1, 3));
    onnx_value(&g, ONNX_GRAPH_INPUT, "w", DIMS(3));
    onnx_weights(&g, "w", DIMS(3));
    load_graph(17, &g);
    assert_string_equal(graph->nodes[0].name, "first");
    assert_string_equal(graph->nodes[2].name, "last");
    assert_int_equal(tslim_graph_input_count(graph), 1); // w is a constant
    tslim_graph_destroy(graph);
}

static void test_unknown_operators(void **state) {
    (void)state;
    proto g = {0}, node = {0}, attribute = {0}, body = {0};
    start_relu(&g);
    onnx_node(&node, "Loop", "loop", "x,,x", "z,,");
    proto_text(&node, 7, "com.example");
    proto_text(&body, 2, "a graph within");
    proto_text(&attribute, 1, "body");
    proto_message(&attribute, 6, &body);
    proto_number(&attribute, 20, 5);
    proto_message(&node, ONNX_NODE_ATTRIBUTE, &attribute);
    onnx_attr_int(&node, "no_such_attribute", 42);
    proto_message(&g, ONNX_GRAPH_NODE, &node);
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "z", DIMS(1));
    load_graph(17, &g);
    const tsl_node *loop = &graph->nodes[tsl_graph_find_node(graph, "loop")];
    assert_int_equal(loop->op, TSL_OP_UNKNOWN);
    assert_string_equal(loop->op_type, "Loop");
    assert_string_equal(loop->domain, "com.example");
    assert_int_equal(loop->inputs[1], TSL_NONE);
    assert_int_equal(loop->attrs.count, 2);
    assert_int_equal(loop->attrs.items[0].type, TSL_ATTR_TYPE_GRAPH);
    assert_string_equal(graph->bodies[loop->attrs.items[0].i]->name, "a graph within");
    assert_string_equal(loop->attrs.items[1].name, "no_such_attribute");
    assert_int_equal(loop->attrs.items[1].i, 42);
    tslim_graph_destroy(graph);
}

// ---- What is refused ----

static void test_opsets(void **state) {
    (void)state;
    proto g = {0};
    start_relu(&g);
    expect_failure(0, &g, TSLIM_ERROR_UNSUPPORTED, "opset 0 (1 to 21 are supported)");
    expect_failure(22, &g, TSLIM_ERROR_UNSUPPORTED, "opset 22 (1 to 21 are supported)");
    load_graph(1, &g); // each operator says from which opset on its meaning is implemented
    tslim_graph_destroy(graph);
    load_graph(7, &g);
    tslim_graph_destroy(graph);
    load_graph(21, &g);
    tslim_graph_destroy(graph);
}

static void test_wrong_connections(void **state) {
    (void)state;
    proto twice = {0}, dangling = {0}, cycle = {0}, no_output = {0}, weights_twice = {0}, input_twice = {0};
    start_relu(&twice);
    add_node(&twice, "Neg", "", "x", "y");
    expect_failure(17, &twice, TSLIM_ERROR_BAD_FILE, "'y'");
    start_relu(&dangling);
    add_node(&dangling, "Neg", "reader", "nothing", "z");
    onnx_value(&dangling, ONNX_GRAPH_OUTPUT, "z", DIMS(1));
    expect_failure(17, &dangling, TSLIM_ERROR_BAD_FILE, "node 'reader' (Neg) reads 'nothing'");
    start_relu(&cycle);
    add_node(&cycle, "Add", "", "x,b", "a");
    add_node(&cycle, "Relu", "", "a", "b");
    onnx_value(&cycle, ONNX_GRAPH_OUTPUT, "b", DIMS(1));
    expect_failure(17, &cycle, TSLIM_ERROR_BAD_FILE, "cycle");
    start_relu(&no_output);
    onnx_value(&no_output, ONNX_GRAPH_OUTPUT, "nobody", DIMS(1));
    expect_failure(17, &no_output, TSLIM_ERROR_BAD_FILE, "'nobody'");
    start_relu(&weights_twice);
    onnx_weights(&weights_twice, "w", DIMS(2));
    onnx_weights(&weights_twice, "w", DIMS(2));
    expect_failure(17, &weights_twice, TSLIM_ERROR_BAD_FILE, "'w'");
    start_relu(&input_twice);
    onnx_value(&input_twice, ONNX_GRAPH_INPUT, "x", DIMS(-1, 3));
    expect_failure(17, &input_twice, TSLIM_ERROR_BAD_FILE, "'x'");
}

static void test_operands(void **state) {
    (void)state;
    proto few = {0}, residual = {0};
    start_relu(&few);
    add_node(&few, "Add", "sum", "x", "z");
    onnx_value(&few, ONNX_GRAPH_OUTPUT, "z", DIMS(1));
    expect_failure(17, &few, TSLIM_ERROR_BAD_FILE, "'sum'");
    start_relu(&residual);
    onnx_weights(&residual, "w", DIMS(3, 3));
    add_node(&residual, "MatMul", "product", "x,w,x", "z");
    onnx_value(&residual, ONNX_GRAPH_OUTPUT, "z", DIMS(1));
    expect_failure(17, &residual, TSLIM_ERROR_BAD_FILE, "'product'");
}

static void expect_bad_tensor(const proto *tensor, tslim_status wanted, const char *part) {
    proto g = {0};
    start_relu(&g);
    proto_message(&g, ONNX_GRAPH_INITIALIZER, tensor);
    add_node(&g, "Identity", "", "w", "z");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "z", DIMS(2));
    expect_failure(17, &g, wanted, part);
}

static void test_wrong_tensors(void **state) {
    (void)state;
    proto short_data = {0}, huge = {0}, wraps = {0}, empty = {0}, negative = {0}, deep = {0}, text = {0},
          complex = {0};
    onnx_tensor(&short_data, "w", TSLIM_DTYPE_FLOAT, DIMS(2));
    proto_bytes(&short_data, ONNX_TENSOR_RAW, "abcd", 4);
    expect_bad_tensor(&short_data, TSLIM_ERROR_BAD_FILE, "'w'");
    onnx_tensor(&huge, "w", TSLIM_DTYPE_FLOAT, DIMS(1 << 20, 1 << 20));
    expect_bad_tensor(&huge, TSLIM_ERROR_LIMIT, "'w'");
    onnx_tensor(&wraps, "w", TSLIM_DTYPE_FLOAT, DIMS(INT64_C(1) << 62, 8));
    expect_bad_tensor(&wraps, TSLIM_ERROR_LIMIT, "'w'");
    onnx_tensor(&empty, "w", TSLIM_DTYPE_FLOAT, DIMS(1 << 28)); // says a gigabyte, has nothing
    expect_bad_tensor(&empty, TSLIM_ERROR_BAD_FILE, "'w'");
    onnx_tensor(&negative, "w", TSLIM_DTYPE_FLOAT, DIMS(-2));
    expect_bad_tensor(&negative, TSLIM_ERROR_BAD_FILE, "'w'");
    onnx_tensor(&deep, "w", TSLIM_DTYPE_FLOAT, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1));
    expect_bad_tensor(&deep, TSLIM_ERROR_LIMIT, "'w'");
    onnx_tensor(&text, "w", TSLIM_DTYPE_STRING, DIMS(2));
    expect_bad_tensor(&text, TSLIM_ERROR_UNSUPPORTED, "'w'");
    onnx_tensor(&complex, "w", 14, DIMS(2));
    expect_bad_tensor(&complex, TSLIM_ERROR_UNSUPPORTED, "'w'");
}

static void test_wrong_names(void **state) {
    (void)state;
    proto zero = {0}, node = {0}, sparse = {0}, values = {0};
    start_relu(&zero);
    proto_bytes(&node, 1, "x", 1);
    proto_bytes(&node, 2, "a\0b", 3);
    proto_text(&node, 4, "Relu");
    proto_message(&zero, ONNX_GRAPH_NODE, &node);
    expect_failure(17, &zero, TSLIM_ERROR_BAD_FILE, "NUL");
    start_relu(&sparse);
    proto_message(&sparse, ONNX_GRAPH_SPARSE, &values);
    expect_failure(17, &sparse, TSLIM_ERROR_UNSUPPORTED, "sparse");
}

// A number, and other wire types, in each field that holds bytes or a message.
static void test_wrong_wire_types(void **state) {
    (void)state;
    for (uint32_t field = 1; field <= 25; field++) {
        proto model = {0}, g = {0}, node = {0}, info = {0}, tensor = {0}, attribute = {0};
        proto *messages[] = {&model, &g, &node, &info, &tensor, &attribute};
        for (size_t i = 0; i < 6; i++) {
            proto_text(messages[i], 1, "x");
            proto_number(messages[i], field, INT64_MAX);
            proto_float(messages[i], field, 1);
            proto_double(messages[i], field, 1);
        }
        const struct {
            uint32_t field;
            const proto *message;
        } parts[] = {{ONNX_GRAPH_NODE, &node}, {ONNX_GRAPH_INPUT, &info}, {ONNX_GRAPH_OUTPUT, &info},
            {ONNX_GRAPH_INITIALIZER, &tensor}};
        if (load(&model) == TSLIM_OK) tslim_graph_destroy(graph);
        proto around = {0};
        onnx_model(&around, 17, &g);
        if (load(&around) == TSLIM_OK) tslim_graph_destroy(graph);
        for (size_t i = 0; i < 4; i++) {
            proto whole = {0}, one = {0};
            start_relu(&one);
            proto_message(&one, parts[i].field, parts[i].message);
            onnx_model(&whole, 17, &one);
            if (load(&whole) == TSLIM_OK) tslim_graph_destroy(graph);
        }
        proto whole = {0}, one = {0}, relu = {0};
        start_relu(&one);
        onnx_node(&relu, "Relu", "", "x", "z");
        proto_message(&relu, ONNX_NODE_ATTRIBUTE, &attribute);
        proto_message(&one, ONNX_GRAPH_NODE, &relu);
        onnx_model(&whole, 17, &one);
        if (load(&whole) == TSLIM_OK) tslim_graph_destroy(graph);
    }
    proto number = {0}; // a graph that is a number
    proto_number(&number, 7, 1);
    assert_int_equal(load(&number), TSLIM_ERROR_BAD_FILE);
}

static void test_limits(void **state) {
    (void)state;
    proto g = {0}, model = {0};
    start_relu(&g);
    add_node(&g, "Neg", "", "x", "z");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "z", DIMS(1));
    onnx_model(&model, 17, &g);
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.limits.nodes = 1;
    tslim_context *small;
    assert_int_equal(tslim_context_create(&options, &small), TSLIM_OK);
    assert_int_equal(tslim_graph_load_memory(small, model.data, model.size, &graph), TSLIM_ERROR_LIMIT);
    tslim_context_destroy(small);
    options.limits.nodes = 0;
    options.limits.file_bytes = 10;
    assert_int_equal(tslim_context_create(&options, &small), TSLIM_OK);
    assert_int_equal(tslim_graph_load_memory(small, model.data, model.size, &graph), TSLIM_ERROR_LIMIT);
    tslim_context_destroy(small);
}

// ---- External data ----

static char folder[] = "/tmp/tsl_onnx_XXXXXX";

static void in_folder(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", folder, name);
}

static void write_file(const char *name, const void *data, size_t size) {
    char path[256];
    in_folder(path, sizeof(path), name);
    assert_int_equal(tsl_file_write(ctx, path, data, size), TSLIM_OK);
}

static void add_entry(proto *tensor, const char *key, const char *value) {
    proto entry = {0};
    proto_text(&entry, 1, key);
    proto_text(&entry, 2, value);
    proto_message(tensor, ONNX_TENSOR_EXTERNAL, &entry);
}

// A model in the folder, whose weights of two floats lie in another file.
static tslim_status load_external(const char *location, const char *offset, const char *length) {
    proto g = {0}, model = {0}, tensor = {0};
    start_relu(&g);
    onnx_tensor(&tensor, "w", TSLIM_DTYPE_FLOAT, DIMS(2));
    proto_number(&tensor, ONNX_TENSOR_LOCATION, 1);
    add_entry(&tensor, "location", location);
    if (offset) add_entry(&tensor, "offset", offset);
    if (length) add_entry(&tensor, "length", length);
    proto_message(&g, ONNX_GRAPH_INITIALIZER, &tensor);
    add_node(&g, "Identity", "", "w", "z");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "z", DIMS(2));
    onnx_model(&model, 17, &g);
    write_file("models/model.onnx", model.data, model.size);
    char path[256];
    in_folder(path, sizeof(path), "models/model.onnx");
    graph = NULL;
    return tslim_graph_load_file(ctx, path, &graph);
}

static void test_external_data(void **state) {
    (void)state;
    const float data[6] = {0, 1, 2, 3, 4, 5};
    write_file("models/weights.bin", data, sizeof(data));
    assert_int_equal(load_external("weights.bin", NULL, "8"), TSLIM_OK);
    expect_bytes("w", TSLIM_DTYPE_FLOAT, &data[0], 8);
    tslim_graph_destroy(graph);
    assert_int_equal(load_external("./weights.bin", "16", NULL), TSLIM_OK);
    expect_bytes("w", TSLIM_DTYPE_FLOAT, &data[4], 8);
    tslim_graph_destroy(graph);
    // Past the end, also where the sum wraps; too short; not a number; not there.
    assert_int_equal(load_external("weights.bin", "20", "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("weights.bin", "18446744073709551612", "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("weights.bin", "0", "4"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("weights.bin", "-4", "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("nothing.bin", NULL, "8"), TSLIM_ERROR_IO);
}

static void test_external_data_elsewhere(void **state) {
    (void)state;
    const float data[2] = {6, 7};
    char outside[256], link[256], neighbour[256];
    in_folder(outside, sizeof(outside), "outside.bin");
    in_folder(link, sizeof(link), "models/link.bin");
    write_file("outside.bin", data, sizeof(data));
    write_file("models_too/weights.bin", data, sizeof(data)); // the folder's name is a prefix of this one's
    in_folder(neighbour, sizeof(neighbour), "models_too/weights.bin");
    assert_int_equal(symlink("../outside.bin", link), 0);
    assert_int_equal(load_external("../outside.bin", NULL, "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("../models_too/weights.bin", NULL, "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external(outside, NULL, "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("link.bin", NULL, "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external("", NULL, "8"), TSLIM_ERROR_BAD_FILE);
    assert_int_equal(load_external(".", NULL, "8"), TSLIM_ERROR_BAD_FILE);
    proto g = {0}, tensor = {0};
    start_relu(&g);
    onnx_tensor(&tensor, "w", TSLIM_DTYPE_FLOAT, DIMS(2));
    proto_number(&tensor, ONNX_TENSOR_LOCATION, 1);
    add_entry(&tensor, "location", "weights.bin");
    proto_message(&g, ONNX_GRAPH_INITIALIZER, &tensor);
    expect_failure(17, &g, TSLIM_ERROR_UNSUPPORTED, "weights.bin"); // in memory there is no folder
    unlink(link);
    unlink(outside);
    unlink(neighbour);
}

// ---- Damage ----

// One of everything that the reader treats specially.
static void make_rich_model(proto *model) {
    proto g = {0}, conv = {0}, fill = {0}, tensor = {0}, typed = {0};
    onnx_value(&g, ONNX_GRAPH_INPUT, "x", DIMS(-1, 3, 5, 5));
    onnx_weights(&g, "w", DIMS(2, 3, 1, 1));
    onnx_tensor(&typed, "shape", TSLIM_DTYPE_INT64, DIMS(2));
    proto_packed(&typed, ONNX_TENSOR_INT64S, 2, (const int64_t[]){0, -1});
    proto_message(&g, ONNX_GRAPH_INITIALIZER, &typed);
    onnx_node(&conv, "Conv", "conv", "x,w,", "c");
    onnx_attr_ints(&conv, "strides", 2, (const int64_t[]){1, 1});
    onnx_attr_int(&conv, "group", 1);
    proto_message(&g, ONNX_GRAPH_NODE, &conv);
    add_node(&g, "Reshape", "", "c,shape", "flat");
    proto_text(&fill, 2, "k");
    proto_text(&fill, 4, "Constant");
    onnx_tensor(&tensor, NULL, TSLIM_DTYPE_FLOAT, DIMS(1));
    proto_float(&tensor, ONNX_TENSOR_FLOATS, 0.5f);
    onnx_attr_tensor(&fill, "value", &tensor);
    proto_message(&g, ONNX_GRAPH_NODE, &fill);
    add_node(&g, "Mul", "", "flat,k", "y");
    onnx_value(&g, ONNX_GRAPH_OUTPUT, "y", DIMS(-1, 50));
    onnx_model(model, 13, &g);
}

static void load_damaged(const uint8_t *data, size_t size) {
    tslim_graph *loaded = NULL;
    tslim_status status = tslim_graph_load_memory(ctx, data, size, &loaded);
    if (status == TSLIM_OK) {
        assert_int_equal(tsl_graph_verify(loaded, TSLIM_ERROR_INTERNAL), TSLIM_OK);
        tslim_graph_destroy(loaded);
    } else {
        assert_null(loaded);
        assert_true(status == TSLIM_ERROR_BAD_FILE || status == TSLIM_ERROR_UNSUPPORTED ||
                    status == TSLIM_ERROR_LIMIT);
        assert_true(*tslim_context_message(ctx) != '\0');
    }
}

static void test_truncation(void **state) {
    (void)state;
    proto model = {0};
    make_rich_model(&model);
    for (size_t size = 0; size < model.size; size++) {
        uint8_t *copy = test_malloc(size ? size : 1); // so that the sanitizer sees the end
        memcpy(copy, model.data, size);
        load_damaged(copy, size);
        test_free(copy);
    }
}

static void test_flipped_bytes(void **state) {
    (void)state;
    proto model = {0};
    make_rich_model(&model);
    assert_int_equal(load(&model), TSLIM_OK);
    tslim_graph_destroy(graph);
    uint8_t *copy = test_malloc(model.size);
    memcpy(copy, model.data, model.size);
    for (size_t i = 0; i < model.size; i++)
        for (unsigned value = 0; value < 256; value++) {
            copy[i] = (uint8_t)value;
            load_damaged(copy, model.size);
            copy[i] = model.data[i];
        }
    test_free(copy);
}

static void test_failing_allocations(void **state) {
    (void)state;
    proto model = {0};
    make_rich_model(&model);
    for (uint64_t n = 1;; n++) {
        failing_allocator allocator = {.fail_at = n};
        tslim_context_options options;
        tslim_context_options_init(&options);
        options.n_threads = 1;
        options.allocator = failing_allocator_interface(&allocator);
        tslim_context *failing = NULL;
        tslim_graph *loaded = NULL;
        tslim_status status = tslim_context_create(&options, &failing);
        if (status == TSLIM_OK) status = tslim_graph_load_memory(failing, model.data, model.size, &loaded);
        tslim_graph_destroy(loaded);
        tslim_context_destroy(failing);
        assert_int_equal(allocator.live, 0);
        if (allocator.calls < n) {
            assert_int_equal(status, TSLIM_OK);
            break;
        }
        assert_int_equal(status, TSLIM_ERROR_NO_MEMORY);
    }
}

static int set_up(void **state) {
    (void)state;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    char models[256], models_too[256];
    if (!mkdtemp(folder)) return -1;
    in_folder(models, sizeof(models), "models");
    in_folder(models_too, sizeof(models_too), "models_too");
    if (mkdir(models, 0700) != 0 || mkdir(models_too, 0700) != 0) return -1;
    return tslim_context_create(&options, &ctx) == TSLIM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const left[] = {"models/model.onnx", "models/weights.bin", "models", "models_too", ""};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        char path[256];
        in_folder(path, sizeof(path), left[i]);
        remove(path);
    }
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interface),
        cmocka_unit_test(test_raw_data),
        cmocka_unit_test(test_integer_data),
        cmocka_unit_test(test_float_data),
        cmocka_unit_test(test_constant_nodes),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_unknown_operators),
        cmocka_unit_test(test_opsets),
        cmocka_unit_test(test_wrong_connections),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_wrong_names),
        cmocka_unit_test(test_wrong_wire_types),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_external_data),
        cmocka_unit_test(test_external_data_elsewhere),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
