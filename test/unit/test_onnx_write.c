// SPDX-License-Identifier: Apache-2.0
// Writing ONNX: what only the library has is spelled out, what was kept comes back as it was, and a failed
// call leaves nothing behind. That other runtimes agree on the numbers is for test/conformance.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/onnx.h"
#include "support/failing_allocator.h"
#include "support/small_network.h"

static tslim_context *ctx;
static char folder[] = "/tmp/tsl_write_XXXXXX";
static char path[64];

static void check(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tsl_message());
}

// ---- Graphs ----

static uint32_t add_value(tslim_graph *graph, const char *name, tslim_dtype dtype) {
    uint32_t id;
    check(tsl_graph_add_value(graph, name, dtype, &id));
    return id;
}

static uint32_t add_weights(
    tslim_graph *graph, const char *name, tslim_dtype dtype, uint32_t rank, const int64_t *dims) {
    uint32_t id;
    void *data;
    check(tsl_graph_add_constant(graph, name, dtype, rank, dims, &id, &data));
    for (size_t i = 0; i < graph->values[id].bytes; i++) ((uint8_t *)data)[i] = (uint8_t)(i % 50);
    return id;
}

static uint32_t add_node(tslim_graph *graph, tsl_op op, uint32_t n_inputs, const uint32_t *inputs,
    const char *output, tslim_dtype dtype) {
    uint32_t id = add_value(graph, output, dtype), n;
    check(tsl_graph_add_node(graph, op, NULL, n_inputs, inputs, 1, &id, &n));
    return id;
}

static void set_scales(tslim_graph *graph, uint32_t value, uint32_t count, int32_t axis, int32_t zero_point) {
    float *scales = tsl_arena_array(&graph->arena, count, sizeof(float));
    assert_non_null(scales);
    for (uint32_t i = 0; i < count; i++) scales[i] = 0.5f / (float)(i + 1);
    graph->values[value].quant =
        (tsl_quant){.scales = scales, .n_scales = count, .axis = axis, .zero_point = zero_point};
}

static void set_ends(tslim_graph *graph, uint32_t input, uint32_t output) {
    uint32_t *ends = tsl_arena_array(&graph->arena, 2, sizeof(*ends));
    assert_non_null(ends);
    ends[0] = input;
    ends[1] = output;
    graph->inputs = &ends[0];
    graph->outputs = &ends[1];
    graph->n_inputs = graph->n_outputs = 1;
}

static tslim_graph *start(tslim_context *context, uint32_t opset, uint32_t *x) {
    tslim_graph *graph;
    check(tsl_graph_create(context, &graph));
    graph->opset = opset;
    *x = add_value(graph, "x", TSLIM_DTYPE_FLOAT);
    tsl_shape_set(&graph->values[*x].shape, 4, (const int64_t[]){-1, 2, 3, 3});
    return graph;
}

// x -> Quantize -> INT8 Conv with a residual and a clamp -> Dequantize -> Unsqueeze -> Silu
static tslim_graph *make_quantized(tslim_context *context) {
    uint32_t x;
    tslim_graph *graph = start(context, 9, &x);
    uint32_t w = add_weights(graph, "w", TSLIM_DTYPE_INT8, 4, (const int64_t[]){2, 2, 1, 1});
    set_scales(graph, w, 2, 0, 0);
    uint32_t q = add_node(graph, TSL_OP_QUANTIZE, 1, &x, "q", TSLIM_DTYPE_INT8);
    set_scales(graph, q, 1, 0, -3);
    uint32_t y =
        add_node(graph, TSL_OP_CONV, 4, (const uint32_t[]){q, w, TSL_NONE, q}, "y", TSLIM_DTYPE_INT8);
    set_scales(graph, y, 1, 0, 0);
    graph->nodes[1].epilogue = (tsl_epilogue){.residual = 3, .clamp = true, .lo = 0, .hi = 6};
    uint32_t z = add_node(graph, TSL_OP_DEQUANTIZE, 1, &y, "z", TSLIM_DTYPE_FLOAT);
    uint32_t u = add_node(graph, TSL_OP_UNSQUEEZE, 1, &z, "u", TSLIM_DTYPE_FLOAT);
    check(tsl_node_set_ints(graph, &graph->nodes[3], TSL_ATTR_axes, (const int64_t[]){0}, 1));
    set_ends(graph, x, add_node(graph, TSL_OP_SILU, 1, &u, "s", TSLIM_DTYPE_FLOAT));
    check(tsl_graph_verify(graph, TSLIM_ERROR_INTERNAL));
    return graph;
}

// ---- What is written ----

static tslim_graph *write_and_load(const tslim_graph *graph) {
    tslim_graph *loaded;
    check(tsl_onnx_write(graph, path));
    check(tslim_graph_load_file(ctx, path, &loaded));
    return loaded;
}

// Operators in order, with commas.
static void expect_operators(const tslim_graph *graph, const char *wanted) {
    char all[512] = "";
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        assert_string_equal(graph->nodes[n].domain, "");
        assert_false(graph->nodes[n].epilogue.clamp);
        assert_int_equal(graph->nodes[n].epilogue.residual, -1);
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", n ? "," : "", graph->nodes[n].op_type);
    }
    assert_string_equal(all, wanted);
}

static const tsl_node *find(const tslim_graph *graph, const char *output) {
    uint32_t value = tsl_graph_find_value(graph, output);
    assert_int_not_equal(value, TSL_NONE);
    assert_int_not_equal(graph->values[value].producer, TSL_NONE);
    return &graph->nodes[graph->values[value].producer];
}

static void test_quantized(void **state) {
    (void)state;
    tslim_graph *graph = make_quantized(ctx), *loaded = write_and_load(graph);
    assert_int_equal(graph->opset, 9); // what is saved does not change
    assert_int_equal(graph->nodes[1].epilogue.residual, 3);
    assert_int_equal(loaded->opset, 13);
    expect_operators(loaded, "QuantizeLinear,DequantizeLinear,DequantizeLinear,Conv,Add,Clip,QuantizeLinear,"
                             "DequantizeLinear,Unsqueeze,Sigmoid,Mul");
    const tsl_node *quantize = find(loaded, "q");
    const tsl_value *scale = tsl_node_input(loaded, quantize, 1),
                    *zero_point = tsl_node_input(loaded, quantize, 2);
    assert_int_equal(scale->shape.rank, 0);
    assert_true(*(const float *)scale->data == 0.5f);
    assert_int_equal(zero_point->dtype, TSLIM_DTYPE_INT8);
    assert_int_equal(*(const int8_t *)zero_point->data, -3);
    uint32_t conv = 0;
    while (loaded->nodes[conv].op != TSL_OP_CONV) conv++;
    const tsl_value *weights = tsl_node_input(loaded, &loaded->nodes[conv], 1);
    const tsl_node *dequantize = &loaded->nodes[weights->producer];
    assert_int_equal(tsl_attrs_int(&dequantize->attrs, TSL_ATTR_axis, -9), 0);
    scale = tsl_node_input(loaded, dequantize, 1);
    assert_int_equal(scale->shape.rank, 1);
    assert_true(((const float *)scale->data)[1] == 0.25f);
    assert_int_equal(tsl_node_input(loaded, dequantize, 0)->dtype, TSLIM_DTYPE_INT8);
    const tsl_node *unsqueeze = find(loaded, "u"); // the attribute has become an operand
    assert_int_equal(unsqueeze->attrs.count, 0);
    assert_int_equal(*(const int64_t *)tsl_node_input(loaded, unsqueeze, 1)->data, 0);
    assert_string_equal(loaded->values[loaded->outputs[0]].name, "s");
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
}

static void expect_metadata(const tslim_graph *graph) {
    assert_int_equal(tslim_graph_metadata_count(graph), 3);
    assert_string_equal(tslim_graph_metadata_key(graph, 0), "character");
    assert_string_equal(tslim_graph_metadata(graph, "character"), "a\n\xe7\x9a\x84");
    assert_string_equal(tslim_graph_metadata(graph, "empty"), "");
    assert_string_equal(tslim_graph_metadata(graph, ""), "no key");
    assert_null(tslim_graph_metadata(graph, "other"));
    assert_null(tslim_graph_metadata_key(graph, 3));
}

static void test_metadata(void **state) {
    (void)state;
    tslim_graph *graph = make_quantized(ctx), *clone, *from_tslim;
    check(tslim_graph_set_metadata(graph, "character", "of an older model"));
    check(tslim_graph_set_metadata(graph, "empty", ""));
    check(tslim_graph_set_metadata(graph, "", "no key"));
    check(tslim_graph_set_metadata(graph, "character", "a\n\xe7\x9a\x84"));
    check(tslim_graph_clone(graph, &clone));
    expect_metadata(clone);
    tslim_graph *from_onnx = write_and_load(clone);
    expect_metadata(from_onnx);
    check(tslim_graph_save_file(from_onnx, path, TSLIM_FORMAT_TSLIM));
    check(tslim_graph_load_file(ctx, path, &from_tslim));
    expect_metadata(from_tslim);
    tslim_graph_destroy(from_tslim);
    tslim_graph_destroy(from_onnx);
    tslim_graph_destroy(clone);
    for (int i = 0; i < 4093; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        check(tslim_graph_set_metadata(graph, key, "x"));
    }
    assert_int_equal(tslim_graph_set_metadata(graph, "one more", ""), TSLIM_ERROR_LIMIT);
    assert_int_equal(tslim_graph_set_metadata(graph, NULL, ""), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_graph_destroy(graph);
}

// The two clamps of one convolution after the other, in the form of an opset.
static void expect_clamp(uint32_t opset, float lo, float hi, const char *operators, bool operands) {
    uint32_t x;
    tslim_graph *graph = start(ctx, opset, &x);
    uint32_t w = add_weights(graph, "w", TSLIM_DTYPE_FLOAT, 4, (const int64_t[]){2, 2, 1, 1});
    set_ends(graph, x, add_node(graph, TSL_OP_CONV, 2, (const uint32_t[]){x, w}, "y", TSLIM_DTYPE_FLOAT));
    graph->nodes[0].epilogue.clamp = true;
    graph->nodes[0].epilogue.lo = lo;
    graph->nodes[0].epilogue.hi = hi;
    tslim_graph *loaded = write_and_load(graph);
    assert_int_equal(loaded->opset, opset);
    expect_operators(loaded, operators);
    const tsl_node *last = find(loaded, "y");
    if (last->op == TSL_OP_CLIP) {
        const tsl_value *low = tsl_node_input(loaded, last, 1), *high = tsl_node_input(loaded, last, 2);
        float found_lo = tsl_attrs_float(&last->attrs, TSL_ATTR_min, -INFINITY);
        float found_hi = tsl_attrs_float(&last->attrs, TSL_ATTR_max, INFINITY);
        assert_int_equal(low || high, operands);
        assert_true((low ? *(const float *)low->data : found_lo) == lo);
        assert_true((high ? *(const float *)high->data : found_hi) == hi);
    }
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
}

static void test_clamps(void **state) {
    (void)state;
    expect_clamp(17, 0, INFINITY, "Conv,Relu", false);
    expect_clamp(17, 0, 6, "Conv,Clip", true);
    expect_clamp(17, -INFINITY, 2, "Conv,Clip", true);
    expect_clamp(17, -1, INFINITY, "Conv,Clip", true);
    expect_clamp(17, -INFINITY, INFINITY, "Conv", false);
    expect_clamp(8, 0, 6, "Conv,Clip", false);
    expect_clamp(8, -1, INFINITY, "Conv,Clip", false);
}

static void test_own_operators(void **state) {
    (void)state;
    uint32_t x;
    tslim_graph *graph = start(ctx, 13, &x);
    uint32_t r = add_node(graph, TSL_OP_REORDER, 1, &x, "r", TSLIM_DTYPE_FLOAT);
    uint32_t h = add_node(graph, TSL_OP_HARD_SWISH, 1, &r, "h", TSLIM_DTYPE_FLOAT);
    uint32_t w = add_weights(graph, "w", TSLIM_DTYPE_FLOAT, 2, (const int64_t[]){3, 3});
    uint32_t b = add_weights(graph, "b", TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){3});
    set_ends(
        graph, x, add_node(graph, TSL_OP_MATMUL, 3, (const uint32_t[]){h, w, b}, "y", TSLIM_DTYPE_FLOAT));
    tslim_graph *loaded = write_and_load(graph);
    expect_operators(loaded, "Identity,HardSigmoid,Mul,MatMul,Add");
    tslim_graph_destroy(loaded);
    graph->opset = 14; // which has HardSwish
    loaded = write_and_load(graph);
    expect_operators(loaded, "Identity,HardSwish,MatMul,Add");
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
}

static void test_unknown_operator_keeps_its_opset(void **state) {
    (void)state;
    uint32_t x, y, n;
    tslim_graph *graph = start(ctx, 9, &x);
    uint32_t q = add_node(graph, TSL_OP_QUANTIZE, 1, &x, "q", TSLIM_DTYPE_INT8);
    set_scales(graph, q, 1, 0, 0);
    y = add_value(graph, "y", TSLIM_DTYPE_FLOAT);
    check(tsl_graph_add_node(graph, TSL_OP_UNKNOWN, "strange", 1, &q, 1, &y, &n));
    graph->nodes[n].op_type = "Strange";
    set_ends(graph, x, y);
    assert_int_equal(tsl_onnx_write(graph, path), TSLIM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tsl_message(), "'strange' (Strange)"));
    tslim_graph_destroy(graph);
}

static void test_plain_network(void **state) {
    (void)state;
    tslim_graph *graph;
    check(small_network_create(ctx, 1, &graph));
    tslim_graph *loaded = write_and_load(graph);
    assert_int_equal(loaded->n_nodes, graph->n_nodes);
    assert_int_equal(loaded->n_values, graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        assert_string_equal(loaded->nodes[n].name, graph->nodes[n].name);
        assert_string_equal(loaded->nodes[n].op_type, graph->nodes[n].op_type);
        assert_int_equal(loaded->nodes[n].attrs.count, graph->nodes[n].attrs.count);
    }
    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tsl_value *value = &graph->values[v];
        uint32_t id = tsl_graph_find_value(loaded, value->name);
        assert_int_not_equal(id, TSL_NONE);
        assert_int_equal(loaded->values[id].bytes, value->bytes);
        if (value->bytes) assert_memory_equal(loaded->values[id].data, value->data, value->bytes);
    }
    assert_string_equal(loaded->values[loaded->inputs[0]].shape.symbols[0], "N");
    tslim_graph_destroy(loaded);
    tslim_graph_destroy(graph);
}

// ---- Failures ----

static size_t count_files(void) {
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    size_t count = 0;
    while (readdir(directory)) count++;
    closedir(directory);
    return count - 2; // . and ..
}

static void test_failing_allocations(void **state) {
    (void)state;
    unlink(path);
    assert_int_equal(count_files(), 0);
    for (uint64_t n = 1;; n++) {
        failing_allocator allocator = {0};
        tslim_context_options options;
        tslim_context_options_init(&options);
        options.n_threads = 1;
        options.allocator = failing_allocator_interface(&allocator);
        tslim_context *failing;
        check(tslim_context_create(&options, &failing));
        tslim_graph *graph = make_quantized(failing);
        allocator.calls = 0;
        allocator.fail_at = n;
        tslim_status status = tsl_onnx_write(graph, path);
        tslim_graph_destroy(graph);
        tslim_context_destroy(failing);
        assert_int_equal(allocator.live, 0);
        if (allocator.calls < n) {
            assert_int_equal(status, TSLIM_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(status, TSLIM_ERROR_NO_MEMORY);
        assert_int_equal(count_files(), 0);
    }
    assert_int_equal(count_files(), 1);
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    rmdir(folder);
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_clamps),
        cmocka_unit_test(test_own_operators),
        cmocka_unit_test(test_unknown_operator_keeps_its_opset),
        cmocka_unit_test(test_plain_network),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
