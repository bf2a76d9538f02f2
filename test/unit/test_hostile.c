// SPDX-License-Identifier: Apache-2.0
// Defects that hostile models once reached, each by itself. test/fuzz/ looks for more.
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

#include <tinyslim/session.h>

#include "format/tslim.h"
#include "pass/pass.h"
#include "plan/evaluate_node.h"
#include "support/node_builder.h"
#include "support/small_network.h"

// ---- Weights that say of themselves that they are packed ----

typedef struct saved {
    tslim_context *ctx;
    tslim_graph *graph;
    char folder[64], path[96];
} saved;

static void saved_init(saved *s) {
    *s = (saved){.folder = "/tmp/test_hostile_XXXXXX"};
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof(s->path), "%s/model.tslim", s->folder);
    assert_int_equal(tslim_context_create(NULL, &s->ctx), TSLIM_OK);
    assert_int_equal(small_network_create(s->ctx, 1, &s->graph), TSLIM_OK);
    assert_int_equal(tslim_graph_optimize(s->graph), TSLIM_OK);
    assert_int_equal(tslim_graph_save_file(s->graph, s->path, TSLIM_FORMAT_TSLIM), TSLIM_OK);
    tslim_graph_destroy(s->graph);
    assert_int_equal(tslim_graph_load_file(s->ctx, s->path, &s->graph), TSLIM_OK);
}

static tsl_value *packed_value(tslim_graph *graph) {
    for (uint32_t v = 0; v < graph->n_values; v++)
        if (graph->values[v].packing == TSL_PACKING_PANELS) return &graph->values[v];
    fail();
    return NULL;
}

// What loading the changed graph gives, and if that works, a session of it and writing it as ONNX.
static tslim_status use_saved(saved *s) {
    tslim_graph *graph;
    tslim_session *session = NULL;
    char onnx[96];
    snprintf(onnx, sizeof(onnx), "%s/model.onnx", s->folder);
    assert_int_equal(tsl_tslim_write(s->graph, s->path), TSLIM_OK);
    tslim_status status = tslim_graph_load_file(s->ctx, s->path, &graph);
    if (status == TSLIM_OK) {
        status = tslim_session_create(graph, NULL, &session);
        tslim_session_destroy(session);
        assert_int_equal(tslim_graph_save_file(graph, onnx, TSLIM_FORMAT_ONNX), status);
        unlink(onnx);
        tslim_graph_destroy(graph);
    }
    tslim_graph_destroy(s->graph);
    tslim_context_destroy(s->ctx);
    unlink(s->path);
    rmdir(s->folder);
    return status;
}

static void packed_weights_stay_usable(void **state) {
    (void)state;
    saved s;
    saved_init(&s);
    assert_int_equal(use_saved(&s), TSLIM_OK);
}

static void packed_weights_must_have_their_size(void **state) {
    (void)state;
    saved s;
    saved_init(&s);
    packed_value(s.graph)->bytes -= 64;
    assert_int_equal(use_saved(&s), TSLIM_ERROR_BAD_FILE);
}

static void packed_weights_are_not_to_be_changed(void **state) {
    (void)state;
    saved s;
    saved_init(&s);
    s.graph->optimized = false; // then pruning would read them in plain order
    assert_int_equal(use_saved(&s), TSLIM_ERROR_BAD_FILE);
}

static void only_products_read_packed_weights(void **state) {
    (void)state;
    saved s;
    saved_init(&s);
    for (uint32_t n = 0; n < s.graph->n_nodes; n++) {
        tsl_node *node = &s.graph->nodes[n];
        tsl_value *weights = tsl_node_input(s.graph, node, 1);
        if (!weights || weights->packing == TSL_PACKING_NONE) continue;
        node->op_type = "Add";
        node->n_inputs = 2;
        node->epilogue = (tsl_epilogue){.residual = -1};
        break;
    }
    assert_int_equal(use_saved(&s), TSLIM_ERROR_BAD_FILE);
}

// ---- Operands that kernels read without looking ----

static tslim_status status_of(node_builder *b) {
    tslim_session *session = NULL;
    tslim_graph *graph = b->graph;
    uint32_t inputs[BUILDER_MAX_INPUTS], output = graph->nodes[b->node].outputs[0];
    for (uint32_t i = 0; i < b->n_inputs; i++)
        if (b->inputs[i] != TSL_NONE && !tsl_value_is_constant(&graph->values[b->inputs[i]]))
            inputs[graph->n_inputs++] = b->inputs[i];
    graph->inputs = inputs;
    graph->outputs = &output;
    graph->n_outputs = 1;
    tslim_status status = tslim_session_create(graph, NULL, &session);
    tslim_session_destroy(session);
    node_builder_free(b);
    return status;
}

static void bounds_are_single_numbers(void **state) {
    (void)state;
    node_builder b;
    assert_true(node_builder_init(&b, 17));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){4});
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){0});
    node_builder_add(&b, TSL_OP_CLIP, 1);
    assert_int_equal(status_of(&b), TSLIM_ERROR_INVALID_ARGUMENT);
}

static void training_mode_is_a_single_number(void **state) {
    (void)state;
    node_builder b;
    assert_true(node_builder_init(&b, 17));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){4});
    node_builder_absent(&b);
    node_builder_ints(&b, 0, NULL);
    static const uint8_t no = 0; // what was read, though it is not the operand's
    tsl_buffer *buffer = tsl_buffer_borrow(b.ctx, &no, 0);
    assert_non_null(buffer);
    tsl_value_set_data(&b.graph->values[b.inputs[2]], buffer, &no, 0);
    tsl_buffer_release(buffer);
    b.graph->values[b.inputs[2]].dtype = TSLIM_DTYPE_BOOL;
    node_builder_add(&b, TSL_OP_DROPOUT, 2); // with its mask, it is not taken away as an identity
    assert_int_equal(status_of(&b), TSLIM_ERROR_INVALID_ARGUMENT);
}

static void kernels_read_lists_as_shape_inference_does(void **state) {
    (void)state;
    float numbers[16], sums[2] = {0};
    for (int i = 0; i < 16; i++) numbers[i] = (float)(i / 8 + 1);
    node_builder b;
    tslim_session *session;
    assert_true(node_builder_init(&b, 11));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 2, (const int64_t[]){2, 8});
    tsl_node *node = node_builder_add(&b, TSL_OP_REDUCE_SUM, 1);
    assert_int_equal(tsl_node_set_int(b.graph, node, TSL_ATTR_axes, 1), TSLIM_OK); // one axis, not in a list
    assert_int_equal(tsl_node_set_int(b.graph, node, TSL_ATTR_keepdims, 0), TSLIM_OK);
    b.graph->inputs = b.inputs;
    b.graph->outputs = node->outputs;
    b.graph->n_inputs = b.graph->n_outputs = 1;
    assert_int_equal(tslim_session_create(b.graph, NULL, &session), TSLIM_OK);
    tslim_tensor in = {TSLIM_DTYPE_FLOAT, 2, {2, 8}, numbers, sizeof(numbers)};
    tslim_tensor out = {.data = sums, .bytes = sizeof(sums)};
    assert_int_equal(tslim_session_run(session, &in, 1, &out, 1), TSLIM_OK);
    assert_true(sums[0] == 8 && sums[1] == 16);
    tslim_session_destroy(session);
    node_builder_free(&b);
}

static void unknown_attributes_are_no_operands(void **state) {
    (void)state;
    static const int64_t pads[4] = {1, 0, 0, 0}, axes[1] = {5};
    node_builder b;
    assert_true(node_builder_init(&b, 17));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 2, (const int64_t[]){2, 8});
    node_builder_ints(&b, 4, pads);
    tsl_node *node = node_builder_add(&b, TSL_OP_PAD, 1);
    tsl_attr stranger = {.type = TSL_ATTR_TYPE_INTS, .name = "stranger", .count = 1, .ints = axes};
    node->attrs = (tsl_attrs){&stranger, 1};
    assert_int_equal(status_of(&b), TSLIM_OK);
}

static void a_product_has_three_operands(void **state) {
    (void)state;
    node_builder b;
    assert_true(node_builder_init(&b, 17));
    for (int i = 0; i < 4; i++) node_builder_value(&b, TSLIM_DTYPE_FLOAT, 2, (const int64_t[]){4, 4});
    node_builder_add(&b, TSL_OP_GEMM, 1);
    b.graph->inputs = b.inputs;
    b.graph->n_inputs = 4;
    assert_int_equal(tsl_graph_verify(b.graph, TSLIM_ERROR_BAD_FILE), TSLIM_ERROR_BAD_FILE);
    node_builder_free(&b);
}

static void nodes_without_results_are_measured(void **state) {
    (void)state;
    node_builder b;
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    assert_true(node_builder_init(&b, 17));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){4});
    tsl_node *node = node_builder_add(&b, TSL_OP_UNKNOWN, 0);
    node->op_type = "Print";
    node->domain = "stranger";
    b.graph->inputs = b.graph->outputs = b.inputs;
    b.graph->n_inputs = b.graph->n_outputs = 1;
    assert_int_equal(tslim_graph_measure(b.graph, NULL, 0, &totals), TSLIM_OK);
    node_builder_free(&b);
}

static void there_are_not_too_many_outputs(void **state) {
    (void)state;
    node_builder b;
    assert_true(node_builder_init(&b, 17));
    node_builder_value(&b, TSLIM_DTYPE_FLOAT, 1, (const int64_t[]){4});
    uint32_t *outputs = calloc(5000, sizeof(*outputs)); // all value 0
    assert_non_null(outputs);
    b.graph->inputs = b.inputs;
    b.graph->n_inputs = 1;
    b.graph->outputs = outputs;
    b.graph->n_outputs = 5000;
    assert_int_equal(tsl_graph_verify(b.graph, TSLIM_ERROR_BAD_FILE), TSLIM_ERROR_LIMIT);
    node_builder_free(&b);
    free(outputs);
}

// ---- Constants that a few bytes ask for ----

static void folding_has_a_budget(void **state) {
    (void)state;
    static const int64_t dims[1] = {(int64_t)1 << 20};
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.limits.arena_bytes = (uint64_t)16 << 20;
    tslim_context *ctx;
    tslim_graph *graph;
    uint32_t outputs[16], list, index;
    void *data;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    assert_int_equal(tsl_graph_create(ctx, &graph), TSLIM_OK);
    graph->opset = 17;
    assert_int_equal(
        tsl_graph_add_constant(graph, "dims", TSLIM_DTYPE_INT64, 1, (const int64_t[]){1}, &list, &data),
        TSLIM_OK);
    memcpy(data, dims, sizeof(dims));
    for (int i = 0; i < 16; i++) {
        assert_int_equal(tsl_graph_add_value(graph, "y", TSLIM_DTYPE_NONE, &outputs[i]), TSLIM_OK);
        assert_int_equal(
            tsl_graph_add_node(graph, TSL_OP_CONSTANT_OF_SHAPE, "node", 1, &list, 1, &outputs[i], &index),
            TSLIM_OK);
    }
    graph->outputs = outputs;
    graph->n_outputs = 16;
    assert_int_equal(tsl_pass_infer_and_fold(graph, tsl_evaluate_on_cpu, NULL), TSLIM_OK);
    size_t bytes = 0;
    for (uint32_t v = 0; v < graph->n_values; v++) bytes += graph->values[v].bytes;
    assert_in_range(bytes, 1 << 20, 17 << 20); // and not 64 MiB
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

// ---- Things that are no files ----

static void only_files_are_read(void **state) {
    (void)state;
    char folder[] = "/tmp/test_hostile_XXXXXX", pipe[64];
    tslim_context *ctx;
    tslim_graph *graph;
    assert_non_null(mkdtemp(folder));
    snprintf(pipe, sizeof(pipe), "%s/pipe.onnx", folder);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    assert_int_equal(
        tslim_graph_load_file(ctx, pipe, &graph), TSLIM_ERROR_IO); // and does not wait for a writer
    assert_int_equal(tslim_graph_load_file(ctx, folder, &graph), TSLIM_ERROR_IO);
    assert_int_equal(tslim_graph_load_file(ctx, "/dev/zero", &graph), TSLIM_ERROR_IO);
    tslim_context_destroy(ctx);
    unlink(pipe);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_weights_stay_usable),
        cmocka_unit_test(packed_weights_must_have_their_size),
        cmocka_unit_test(packed_weights_are_not_to_be_changed),
        cmocka_unit_test(only_products_read_packed_weights),
        cmocka_unit_test(bounds_are_single_numbers),
        cmocka_unit_test(training_mode_is_a_single_number),
        cmocka_unit_test(kernels_read_lists_as_shape_inference_does),
        cmocka_unit_test(unknown_attributes_are_no_operands),
        cmocka_unit_test(a_product_has_three_operands),
        cmocka_unit_test(nodes_without_results_are_measured),
        cmocka_unit_test(there_are_not_too_many_outputs),
        cmocka_unit_test(folding_has_a_budget),
        cmocka_unit_test(only_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
