// SPDX-License-Identifier: Apache-2.0
// Sensitivity analysis: the same bytes in one run, resumed and from shards; plots; ratios chosen from curves.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tinyslim/tinyslim.h>

#include "prune/sensitivity_data.h"
#include "support/graph_builder.h"
#include "support/small_network.h"

enum { SAMPLES = 12, LONGEST = 1 << 16 };

static tslim_context *ctx;
static tslim_graph *graph;
static tslim_dataset *samples;
static char folder[] = "/tmp/tinyslim_sensitivity_XXXXXX";

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        if ((expr) != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));                                  \
    } while (0)

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

static int set_up(void **state) {
    (void)state;
    tslim_tensor_info shape = {.name = "input",
        .dtype = TSLIM_DTYPE_FLOAT,
        .rank = 3,
        .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    if (!mkdtemp(folder) || tslim_context_create(NULL, &ctx) != TSLIM_OK) return 1;
    if (small_network_create(ctx, 1, &graph) != TSLIM_OK) return 1;
    return tslim_dataset_from_callback(ctx, SAMPLES, &shape, 1, true, sample, NULL, &samples) != TSLIM_OK;
}

static int tear_down(void **state) {
    (void)state;
    tslim_dataset_destroy(samples);
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
    return rmdir(folder);
}

static const char *path_of(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static size_t read_file(const char *name, char *bytes) {
    FILE *file = fopen(path_of(name), "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, LONGEST - 1, file);
    fclose(file);
    bytes[size] = 0;
    return size;
}

static void expect_same_files(const char *a, const char *b) {
    static char x[LONGEST], y[LONGEST];
    size_t size = read_file(a, x);
    assert_int_equal(size, read_file(b, y));
    assert_memory_equal(x, y, size);
}

static tslim_sensitivity_options options_for(tslim_sensitivity_metric metric, const char *file) {
    static const double ratios[] = {0.25, 0.5, 0.75};
    tslim_sensitivity_options options;
    tslim_sensitivity_options_init(&options);
    options.metric = metric;
    options.ratios = ratios;
    options.n_ratios = 3;
    options.batch = 4;
    options.file = file;
    return options;
}

static void analyze(tslim_sensitivity_metric metric, const char *name) {
    tslim_sensitivity *sensitivity;
    tslim_sensitivity_options options = options_for(metric, path_of(name));
    assert_ok(tslim_sensitivity_analyze(graph, samples, &options, &sensitivity));
    assert_true(tslim_sensitivity_group_count(sensitivity) > 1);
    for (uint32_t g = 0; g < tslim_sensitivity_group_count(sensitivity); g++)
        for (uint32_t r = 0; r < 3; r++) assert_true(isfinite(tslim_sensitivity_value(sensitivity, g, r)));
    tslim_sensitivity_destroy(sensitivity);
}

static void test_metrics(void **state) {
    (void)state;
    for (int metric = TSLIM_SENSITIVITY_TOP1; metric <= TSLIM_SENSITIVITY_DISTANCE; metric++) {
        analyze((tslim_sensitivity_metric)metric, "metric.json");
        unlink(path_of("metric.json"));
    }
}

// Cancels once so many points are done.
static bool stop_at(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)what;
    assert_true(done <= total);
    return done < *(const uint64_t *)user;
}

static void test_resume(void **state) {
    (void)state;
    analyze(TSLIM_SENSITIVITY_LOSS, "whole.json");
    for (uint64_t stop = 0; stop < 6; stop++) {
        tslim_sensitivity *sensitivity;
        tslim_sensitivity_options options = options_for(TSLIM_SENSITIVITY_LOSS, path_of("resumed.json"));
        options.progress = stop_at;
        options.progress_user = &stop;
        assert_int_equal(
            tslim_sensitivity_analyze(graph, samples, &options, &sensitivity), TSLIM_ERROR_CANCELLED);
        analyze(TSLIM_SENSITIVITY_LOSS, "resumed.json");
        expect_same_files("whole.json", "resumed.json");
        unlink(path_of("resumed.json"));
    }
    analyze(TSLIM_SENSITIVITY_LOSS, "whole.json"); // a finished one stays as it is
    // Another analysis is not continued.
    tslim_sensitivity *sensitivity;
    tslim_sensitivity_options options = options_for(TSLIM_SENSITIVITY_TOP1, path_of("whole.json"));
    assert_int_equal(
        tslim_sensitivity_analyze(graph, samples, &options, &sensitivity), TSLIM_ERROR_INVALID_ARGUMENT);
    unlink(path_of("whole.json"));
}

static void test_shards(void **state) {
    (void)state;
    analyze(TSLIM_SENSITIVITY_LOSS, "whole.json");
    tslim_sensitivity *parts[3], *merged;
    for (uint32_t shard = 1; shard <= 3; shard++) {
        tslim_sensitivity_options options = options_for(TSLIM_SENSITIVITY_LOSS, NULL);
        options.shard = shard;
        options.n_shards = 3;
        assert_ok(tslim_sensitivity_analyze(graph, samples, &options, &parts[shard - 1]));
    }
    assert_ok(tslim_sensitivity_merge((const tslim_sensitivity *const *)parts, 3, &merged));
    assert_ok(tslim_sensitivity_save_file(merged, path_of("merged.json")));
    expect_same_files("whole.json", "merged.json");
    tslim_sensitivity_destroy(merged);
    for (int i = 0; i < 3; i++) tslim_sensitivity_destroy(parts[i]);
    unlink(path_of("whole.json"));
    unlink(path_of("merged.json"));
}

static void test_plot(void **state) {
    (void)state;
    static char text[LONGEST];
    tslim_sensitivity *sensitivity;
    tslim_sensitivity_options options = options_for(TSLIM_SENSITIVITY_TOP1, NULL);
    assert_ok(tslim_sensitivity_analyze(graph, samples, &options, &sensitivity));
    assert_ok(tslim_sensitivity_save_plot(sensitivity, path_of("plot.svg")));
    read_file("plot.svg", text);
    assert_non_null(strstr(text, "<svg"));
    assert_non_null(strstr(text, "</svg>"));
    for (uint32_t g = 0; g < tslim_sensitivity_group_count(sensitivity); g++)
        assert_non_null(strstr(text, tslim_sensitivity_group_name(sensitivity, g)));
    tslim_sensitivity_destroy(sensitivity);
    unlink(path_of("plot.svg"));
}

static void test_without_labels(void **state) {
    (void)state;
    tslim_tensor_info shape = {
        .dtype = TSLIM_DTYPE_FLOAT, .rank = 3, .dims = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    tslim_dataset *unlabelled;
    tslim_sensitivity *sensitivity;
    assert_ok(tslim_dataset_from_callback(ctx, 4, &shape, 1, false, sample, NULL, &unlabelled));
    tslim_sensitivity_options options = options_for(TSLIM_SENSITIVITY_TOP1, NULL);
    assert_int_equal(
        tslim_sensitivity_analyze(graph, unlabelled, &options, &sensitivity), TSLIM_ERROR_INVALID_ARGUMENT);
    options.metric = TSLIM_SENSITIVITY_DISTANCE;
    assert_ok(tslim_sensitivity_analyze(graph, unlabelled, &options, &sensitivity));
    assert_true(tslim_sensitivity_baseline(sensitivity) == 0);
    tslim_sensitivity_destroy(sensitivity);
    tslim_dataset_destroy(unlabelled);
}

// ---- Ratios from curves ----

// Two layers of 32 channels; the curves say that `a` costs much and `b` little.
static void test_max_loss(void **state) {
    (void)state;
    static const char curves[] =
        "{\"schema\": \"tinyslim.sensitivity/1\", \"model\": \"0\", \"metric\": \"top1\", \"criterion\": "
        "\"l1\","
        "\"seed\": \"0\", \"samples\": 10, \"baseline\": 0.9, \"ratios\": [0.25, 0.5, 0.75], \"groups\": ["
        "{\"name\": \"a\", \"channels\": 32, \"values\": [0.88, 0.84, 0.5]},"
        "{\"name\": \"b\", \"channels\": 32, \"values\": [0.9, 0.89, 0.85]}]}";
    builder b;
    builder_start(&b, ctx, 1);
    uint32_t x = build_input(&b, "input", 4, (const int64_t[]){1, 3, 8, 8});
    x = build_conv(&b, "a", x, 32, 3, 1, 1, true);
    x = build_conv(&b, "b", x, 32, 3, 1, 1, true);
    build_output(&b, build_conv(&b, "c", x, 5, 3, 1, 1, true));
    FILE *file = fopen(path_of("curves.json"), "wb");
    assert_non_null(file);
    fwrite(curves, 1, sizeof(curves) - 1, file);
    fclose(file);
    tslim_sensitivity *sensitivity;
    assert_ok(tslim_sensitivity_load_file(ctx, path_of("curves.json"), &sensitivity));
    double ratio;
    assert_true(tsl_sensitivity_ratio_at(sensitivity, "a", 0.02, &ratio) && fabs(ratio - 0.25) < 1e-9);
    assert_true(tsl_sensitivity_ratio_at(sensitivity, "a", 0.04, &ratio) && fabs(ratio - 0.375) < 1e-9);
    assert_true(tsl_sensitivity_ratio_at(sensitivity, "a", 0.01, &ratio) && fabs(ratio - 0.125) < 1e-9);
    assert_true(tsl_sensitivity_ratio_at(sensitivity, "b", 0.9, &ratio) && ratio == 0.75);
    assert_false(tsl_sensitivity_ratio_at(sensitivity, "c", 0.9, &ratio));

    tslim_prune_options options;
    tslim_prune_plan *plan;
    tslim_prune_plan_group info = {.struct_size = sizeof(info)};
    tslim_graph_totals before = {.struct_size = sizeof(before)}, after = before;
    tslim_prune_options_init(&options);
    options.sensitivity = sensitivity;
    options.max_loss = 0.02;
    options.shallow_ratio = 1;
    options.round_to = 1;
    assert_ok(tslim_prune_plan_create(b.graph, &options, &plan));
    assert_ok(tslim_prune_plan_group_info(plan, 0, &info));
    assert_int_equal(info.pruned, 8);
    assert_ok(tslim_prune_plan_group_info(plan, 1, &info));
    assert_int_equal(info.pruned, 18); // between 0.01 at a half and 0.05 at three quarters
    tslim_prune_plan_destroy(plan);
    options.round_to = 16; // a loss is a promise: rounding never takes more
    assert_ok(tslim_prune_plan_create(b.graph, &options, &plan));
    assert_ok(tslim_prune_plan_group_info(plan, 0, &info));
    assert_int_equal(info.pruned, 0);
    assert_ok(tslim_prune_plan_group_info(plan, 1, &info));
    assert_int_equal(info.pruned, 16);
    tslim_prune_plan_destroy(plan);
    options.round_to = 12; // 14 would stay: rounding to 12 would cost more than was allowed
    assert_ok(tslim_prune_plan_create(b.graph, &options, &plan));
    assert_ok(tslim_prune_plan_group_info(plan, 1, &info));
    assert_int_equal(info.pruned, 32 - 24);
    tslim_prune_plan_destroy(plan);
    options.round_to = 1;
    options.target_macs = 0.25; // more than that loss allows: it is raised for both
    assert_ok(tslim_prune_plan_create(b.graph, &options, &plan));
    assert_ok(tslim_prune_plan_totals(plan, &before, &after));
    assert_true((double)after.macs <= 0.25 * (double)before.macs);
    tslim_prune_plan_destroy(plan);
    tslim_sensitivity_destroy(sensitivity);
    tslim_graph_destroy(b.graph);
    unlink(path_of("curves.json"));
}

static void test_bad_files(void **state) {
    (void)state;
    static const char *const texts[] = {"", "{", "{\"schema\": \"tinyslim.plan/1\"}",
        "{\"schema\": \"tinyslim.sensitivity/1\"}",
        "{\"schema\": \"tinyslim.sensitivity/1\", \"model\": \"0\", \"metric\": \"top1\", \"criterion\": "
        "\"l1\","
        "\"seed\": \"0\", \"samples\": 10, \"baseline\": 0.9, \"ratios\": [0.5, 0.25], \"groups\": []}",
        "{\"schema\": \"tinyslim.sensitivity/1\", \"model\": \"0\", \"metric\": \"top1\", \"criterion\": "
        "\"l1\","
        "\"seed\": \"0\", \"samples\": 10, \"baseline\": 0.9, \"ratios\": [0.5], \"groups\": ["
        "{\"name\": \"a\", \"channels\": 32, \"values\": [0.88, 0.84]}]}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tslim_sensitivity *sensitivity = NULL;
        FILE *file = fopen(path_of("bad.json"), "wb");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(
            tslim_sensitivity_load_file(ctx, path_of("bad.json"), &sensitivity), TSLIM_ERROR_BAD_FILE);
        assert_non_null(strstr(tslim_context_message(ctx), "bad.json"));
        assert_null(sensitivity);
        unlink(path_of("bad.json"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_plot),
        cmocka_unit_test(test_without_labels),
        cmocka_unit_test(test_max_loss),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
