// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once: load, prune, repair, differentiate, calibrate, quantize, save, session, run.
// Each time the call at hand says NO_MEMORY, what it was given is unharmed, and nothing is leaked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tinyslim/tinyslim.h>

#include "ir/shape_infer.h"
#include "plan/specialize.h"
#include "support/control_models.h"
#include "support/failing_allocator.h"
#include "support/small_network.h"
#include "train/differentiate.h"
#include "train/trainable.h"

static char folder[] = "/tmp/tsl_oom_XXXXXX";
static char onnx_path[64], tslim_path[64], int8_path[64], other_path[64];

static void set_paths(void) {
    snprintf(onnx_path, sizeof(onnx_path), "%s/network.onnx", folder);
    snprintf(tslim_path, sizeof(tslim_path), "%s/network.tslim", folder);
    snprintf(other_path, sizeof(other_path), "%s/other.onnx", folder);
    snprintf(int8_path, sizeof(int8_path), "%s/int8.tslim", folder);
}

static tslim_status sample(
    void *user, uint64_t index, tslim_tensor *inputs, uint32_t n_inputs, int64_t *label) {
    (void)user;
    (void)n_inputs;
    float *pixels = inputs[0].data;
    for (size_t i = 0; i < inputs[0].bytes / sizeof(float); i++)
        pixels[i] = (float)((i * 7 + index * 13) % 29) / 14.0f - 1.0f;
    if (label) *label = (int64_t)(index % SMALL_NETWORK_CLASSES);
    return TSLIM_OK;
}

static tslim_status open_samples(tslim_context *ctx, tslim_dataset **dataset) {
    tslim_tensor_info shape = {.name = "input",
        .dtype = TSLIM_DTYPE_FLOAT,
        .rank = 3,
        .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    return tslim_dataset_from_callback(ctx, 6, &shape, 1, true, sample, NULL, dataset);
}

static tslim_status run_once(tslim_graph *graph) {
    tslim_session *session = NULL;
    tslim_status status = tslim_session_create(graph, NULL, &session);
    if (status == TSLIM_OK) {
        static float pixels[3 * SMALL_NETWORK_SIZE * SMALL_NETWORK_SIZE];
        tslim_tensor input = {.dtype = TSLIM_DTYPE_FLOAT,
            .rank = 4,
            .dims = {1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE},
            .data = pixels,
            .bytes = sizeof(pixels)};
        tslim_tensor output = {0};
        status = tslim_session_run(session, &input, 1, &output, 1);
    }
    tslim_session_destroy(session);
    return status;
}

static tslim_status load_and_run(tslim_context *ctx) {
    tslim_graph *graph = NULL;
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = run_once(graph);
    tslim_graph_destroy(graph);
    return status;
}

static tslim_status load_int8_and_run(tslim_context *ctx) {
    tslim_graph *graph = NULL;
    tslim_status status = tslim_graph_load_file(ctx, int8_path, &graph);
    if (status == TSLIM_OK) status = run_once(graph);
    tslim_graph_destroy(graph);
    return status;
}

// Bodies within bodies, and a second stage that is planned as it runs; saved in both formats.
static tslim_status run_control(tslim_context *ctx) {
    static proto model;
    float x[3] = {1, -2, 3};
    tslim_input_shape shape = {.name = "x", .rank = 1, .dims = {3}};
    tslim_tensor outputs[2] = {{0}};
    tslim_tensor input = {.dtype = TSLIM_DTYPE_FLOAT, .rank = 1, .dims = {3}, .data = x, .bytes = sizeof(x)};
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    if (model.size == 0) control_mixed_model(&model);
    tslim_graph *graph = NULL;
    tslim_session *session = NULL;
    tslim_status status = tslim_graph_load_memory(ctx, model.data, model.size, &graph);
    if (status == TSLIM_OK) status = tslim_graph_save_file(graph, tslim_path, TSLIM_FORMAT_TSLIM);
    if (status == TSLIM_OK) status = tslim_graph_save_file(graph, other_path, TSLIM_FORMAT_ONNX);
    tslim_graph_destroy(graph);
    graph = NULL;
    if (status == TSLIM_OK) status = tslim_graph_load_file(ctx, tslim_path, &graph);
    if (status == TSLIM_OK) status = tslim_session_create(graph, &options, &session);
    if (status == TSLIM_OK) status = tslim_session_run(session, &input, 1, outputs, 2);
    tslim_session_destroy(session);
    tslim_graph_destroy(graph);
    return status;
}

static tslim_status prune_and_save(tslim_context *ctx) {
    tslim_graph *graph = NULL;
    tslim_prune_plan *plan = NULL;
    tslim_prune_options options;
    tslim_prune_options_init(&options);
    options.ratio = 0.5;
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = tslim_prune_plan_create(graph, &options, &plan);
    if (status == TSLIM_OK) status = tslim_prune(graph, plan);
    if (status == TSLIM_OK) status = tslim_graph_save_file(graph, tslim_path, TSLIM_FORMAT_TSLIM);
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(graph);
    return status;
}

static tslim_status prune_and_repair(tslim_context *ctx) {
    tslim_graph *graph = NULL, *original = NULL;
    tslim_dataset *dataset = NULL;
    tslim_prune_plan *plan = NULL;
    tslim_prune_options options;
    tslim_prune_options_init(&options);
    options.ratio = 0.5;
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &original);
    if (status == TSLIM_OK) status = tslim_graph_clone(original, &graph);
    if (status == TSLIM_OK) status = tslim_prune_plan_create(graph, &options, &plan);
    if (status == TSLIM_OK) status = tslim_prune(graph, plan);
    if (status == TSLIM_OK) status = open_samples(ctx, &dataset);
    if (status == TSLIM_OK) status = tslim_repair(graph, original, dataset, NULL);
    tslim_dataset_destroy(dataset);
    tslim_prune_plan_destroy(plan);
    tslim_graph_destroy(graph);
    tslim_graph_destroy(original);
    return status;
}

static tslim_status quantize_and_save(tslim_context *ctx) {
    tslim_graph *graph = NULL;
    tslim_dataset *dataset = NULL;
    tslim_calibration *calibration = NULL;
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = open_samples(ctx, &dataset);
    if (status == TSLIM_OK) status = tslim_calibrate(graph, dataset, NULL, &calibration);
    if (status == TSLIM_OK) status = tslim_quantize(graph, calibration, NULL, NULL, NULL);
    if (status == TSLIM_OK) status = tslim_graph_save_file(graph, int8_path, TSLIM_FORMAT_TSLIM);
    tslim_calibration_destroy(calibration);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
    return status;
}

static tslim_status loss_and_gradients(tslim_graph *graph, const tsl_trainable *t) {
    uint32_t targets[64], gradients[64], loss, node;
    for (uint32_t i = 0; i < t->n_parameters && i < 64; i++)
        targets[i] = graph->inputs[t->parameters[i].input];
    TSL_TRY(tsl_graph_add_value(graph, "loss", TSLIM_DTYPE_FLOAT, &loss));
    TSL_TRY(tsl_graph_add_node(graph, TSL_OP_REDUCE_SUM, NULL, 1, &graph->outputs[0], 1, &loss, &node));
    TSL_TRY(tsl_infer_node(graph, node));
    TSL_TRY(tsl_differentiate(graph, loss, targets, t->n_parameters, gradients));
    graph->outputs[0] = gradients[0];
    tslim_session *session;
    TSL_TRY(tslim_session_create(graph, NULL, &session));
    tslim_session_destroy(session);
    return TSLIM_OK;
}

static tslim_status differentiate(tslim_context *ctx) {
    tslim_graph *graph = NULL, *specialized = NULL;
    tsl_trainable t = {0};
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = tsl_make_trainable(graph, NULL, &t);
    if (status == TSLIM_OK) status = tsl_graph_specialize(graph, NULL, 0, &specialized);
    if (status == TSLIM_OK) status = loss_and_gradients(specialized, &t);
    tsl_trainable_free(&t);
    tslim_graph_destroy(specialized);
    tslim_graph_destroy(graph);
    return status;
}

static tslim_status evaluate(tslim_context *ctx) {
    tslim_graph *graph = NULL;
    tslim_dataset *dataset = NULL;
    tslim_metrics metrics = {.struct_size = sizeof(metrics)};
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = open_samples(ctx, &dataset);
    if (status == TSLIM_OK) status = tslim_evaluate(graph, dataset, NULL, &metrics);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(graph);
    return status;
}

// With the same data for validation, which the first epoch's weights are measured on.
static tslim_status finetune(tslim_context *ctx) {
    tslim_graph *graph = NULL, *teacher = NULL;
    tslim_dataset *dataset = NULL, *held_out = NULL;
    tslim_train_options options;
    tslim_train_options_init(&options);
    options.epochs = 1;
    options.batch = 3;
    options.average_decay = 0.9;
    tslim_status status = tslim_graph_load_file(ctx, onnx_path, &graph);
    if (status == TSLIM_OK) status = tslim_graph_load_file(ctx, onnx_path, &teacher);
    if (status == TSLIM_OK) status = open_samples(ctx, &dataset);
    if (status == TSLIM_OK) status = open_samples(ctx, &held_out);
    options.teacher = teacher;
    options.validation = held_out;
    options.checkpoint = other_path;
    if (status == TSLIM_OK) status = tslim_finetune(graph, dataset, &options, NULL, NULL);
    tslim_dataset_destroy(held_out);
    tslim_dataset_destroy(dataset);
    tslim_graph_destroy(teacher);
    tslim_graph_destroy(graph);
    return status;
}

// Runs `work` with the Nth allocation failing, for N = 1, 2, ... until it is not reached any more. Of long
// work with many alike only some are tried, each one `sparser`-th further than the one before.
static void fail_some(tslim_status (*work)(tslim_context *ctx), uint64_t sparser) {
    for (uint64_t n = 1;; n += sparser ? 1 + n / sparser : 1) {
        failing_allocator allocator = {.fail_at = n};
        tslim_context_options options;
        tslim_context_options_init(&options);
        options.n_threads = 1;
        options.allocator = failing_allocator_interface(&allocator);
        tslim_context *ctx = NULL;
        tslim_status status = tslim_context_create(&options, &ctx);
        if (status == TSLIM_OK) status = work(ctx);
        tslim_context_destroy(ctx);
        if (allocator.live != 0 || allocator.live_bytes != 0)
            fail_msg("allocation %llu failed: %lld allocations, %lld bytes are leaked", (unsigned long long)n,
                (long long)allocator.live, (long long)allocator.live_bytes);
        if (allocator.calls < n) {
            assert_int_equal(status, TSLIM_OK);
            assert_true(n > 20); // something was tried
            return;
        }
        if (status != TSLIM_ERROR_NO_MEMORY)
            fail_msg("allocation %llu failed, but the status is %s", (unsigned long long)n,
                tslim_status_name(status));
    }
}

static void fail_each(tslim_status (*work)(tslim_context *ctx)) {
    fail_some(work, 0);
}

static void test_load_and_run(void **state) {
    (void)state;
    fail_each(load_and_run);
}
static void test_prune(void **state) {
    (void)state;
    fail_each(prune_and_save);
}
static void test_repair(void **state) {
    (void)state;
    fail_some(prune_and_repair, 40);
}
static void test_quantize(void **state) {
    (void)state;
    fail_each(quantize_and_save);
}
static void test_differentiate(void **state) {
    (void)state;
    fail_each(differentiate);
}
static void test_load_int8(void **state) {
    (void)state;
    fail_each(load_int8_and_run);
}
static void test_evaluate(void **state) {
    (void)state;
    fail_each(evaluate);
}

static void test_finetune(void **state) {
    (void)state;
    fail_each(finetune);
}

static void test_control(void **state) {
    (void)state;
    fail_each(run_control);
}

static int set_up(void **state) {
    (void)state;
    tslim_context *ctx;
    tslim_graph *graph;
    if (!mkdtemp(folder)) return 1;
    set_paths();
    if (tslim_context_create(NULL, &ctx) != TSLIM_OK || small_network_create(ctx, 1, &graph) != TSLIM_OK)
        return 1;
    tslim_status status = tslim_graph_save_file(graph, onnx_path, TSLIM_FORMAT_ONNX);
    tslim_graph_destroy(graph);
    if (status == TSLIM_OK) status = quantize_and_save(ctx);
    if (status != TSLIM_OK) fprintf(stderr, "%s\n", tslim_context_message(ctx));
    tslim_context_destroy(ctx);
    return status == TSLIM_OK ? 0 : 1;
}

static int tear_down(void **state) {
    (void)state;
    unlink(onnx_path);
    unlink(tslim_path);
    unlink(int8_path);
    unlink(other_path);
    return rmdir(folder); // fails when a temporary file is left
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_and_run),
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_differentiate),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_load_int8),
        cmocka_unit_test(test_evaluate),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_finetune),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
