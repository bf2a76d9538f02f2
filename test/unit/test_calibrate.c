// SPDX-License-Identifier: Apache-2.0
// Calibration: ranges against the samples themselves, shards against one run, files against hostile bytes.
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

#include "base/file.h"
#include "base/rng.h"
#include "quant/calibration.h"
#include "support/samples.h"
#include "support/small_network.h"

#define SAMPLES 22

typedef struct fixture {
    tslim_context *ctx;
    tslim_graph *graph;
    tslim_dataset *dataset;
    char folder[32], a[64], b[64];
} fixture;

static int set_up(void **state) {
    static fixture f;
    f = (fixture){.folder = "/tmp/tsl_calibrate_XXXXXX"};
    assert_int_equal(tslim_context_create(NULL, &f.ctx), TSLIM_OK);
    assert_int_equal(small_network_create(f.ctx, 5, &f.graph), TSLIM_OK);
    const int64_t dims[3] = {3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE};
    f.dataset = samples_create(f.ctx, "input", SAMPLES, 3, dims);
    assert_non_null(f.dataset);
    assert_non_null(mkdtemp(f.folder));
    snprintf(f.a, sizeof(f.a), "%s/a", f.folder);
    snprintf(f.b, sizeof(f.b), "%s/b", f.folder);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    unlink(f->a);
    unlink(f->b);
    assert_int_equal(rmdir(f->folder), 0);
    tslim_dataset_destroy(f->dataset);
    tslim_graph_destroy(f->graph);
    tslim_context_destroy(f->ctx);
    return 0;
}

static tslim_calibration *calibrate(
    fixture *f, tslim_calibration_method method, uint32_t shard, uint32_t n_shards) {
    tslim_calibration_options options;
    tslim_calibration_options_init(&options);
    options.method = method;
    options.batch = 4;
    options.shard = shard;
    options.n_shards = n_shards;
    tslim_calibration *calibration = NULL;
    assert_int_equal(tslim_calibrate(f->graph, f->dataset, &options, &calibration), TSLIM_OK);
    return calibration;
}

static void assert_same_files(fixture *f, const char *a, const char *b) {
    tsl_buffer *x, *y;
    assert_int_equal(tsl_file_map(f->ctx, a, &x), TSLIM_OK);
    assert_int_equal(tsl_file_map(f->ctx, b, &y), TSLIM_OK);
    assert_int_equal(x->size, y->size);
    assert_memory_equal(x->data, y->data, x->size);
    tsl_buffer_release(x);
    tsl_buffer_release(y);
}

static void test_ranges(void **state) {
    fixture *f = *state;
    tslim_calibration *calibration = calibrate(f, TSLIM_CALIBRATION_MINMAX, 0, 0);
    assert_int_equal(tslim_calibration_samples(calibration), SAMPLES);
    float lo = INFINITY, hi = -INFINITY;
    static float pixels[3 * SMALL_NETWORK_SIZE * SMALL_NETWORK_SIZE];
    for (uint64_t i = 0; i < SAMPLES; i++) {
        tslim_tensor tensor = {.dtype = TSLIM_DTYPE_FLOAT,
            .rank = 4,
            .dims = {1, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE},
            .data = pixels,
            .bytes = sizeof(pixels)};
        assert_int_equal(tslim_dataset_read(f->dataset, i, 1, &tensor, 1, NULL), TSLIM_OK);
        for (size_t k = 0; k < sizeof(pixels) / sizeof(float); k++) {
            lo = fminf(lo, pixels[k]);
            hi = fmaxf(hi, pixels[k]);
        }
    }
    // One number for both sides: the range is what symmetric INT8 will keep of [lo, hi].
    float minimum, maximum;
    assert_int_equal(tslim_calibration_range(calibration, "input", &minimum, &maximum), TSLIM_OK);
    assert_true(minimum == lo && maximum == hi);
    // Values that fusion removes are not watched; those that remain are.
    assert_int_equal(
        tslim_calibration_range(calibration, "stem", &minimum, &maximum), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(f->ctx), "'stem'"));
    assert_int_equal(tslim_calibration_range(calibration, "stem_relu", &minimum, &maximum), TSLIM_OK);
    assert_true(minimum == 0 && maximum > 0);
    assert_int_equal(tslim_calibration_range(calibration, "scores", &minimum, &maximum), TSLIM_OK);

    float previous = maximum;
    assert_int_equal(tslim_calibration_set_method(calibration, TSLIM_CALIBRATION_PERCENTILE, 50), TSLIM_OK);
    assert_int_equal(tslim_calibration_range(calibration, "scores", &minimum, &maximum), TSLIM_OK);
    assert_true(maximum < previous);
    assert_int_equal(tslim_calibration_set_method(calibration, TSLIM_CALIBRATION_MOVING_AVERAGE, 50),
        TSLIM_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tslim_calibration_set_method(calibration, TSLIM_CALIBRATION_PERCENTILE, 0),
        TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_calibration_destroy(calibration);
}

static void test_shards(void **state) {
    fixture *f = *state;
    tslim_calibration *whole = calibrate(f, TSLIM_CALIBRATION_MSE, 0, 0);
    assert_int_equal(tslim_calibration_save_file(whole, f->a), TSLIM_OK);
    // 6 batches on 8 shards: two of them are empty.
    for (uint32_t n_shards = 2; n_shards <= 8; n_shards += 3) {
        tslim_calibration *parts[8], *merged;
        for (uint32_t i = 0; i < n_shards; i++) {
            // Through files, and in an order of their own.
            tslim_calibration *part = calibrate(f, TSLIM_CALIBRATION_MSE, (i + 1) % n_shards + 1, n_shards);
            assert_int_equal(tslim_calibration_save_file(part, f->b), TSLIM_OK);
            tslim_calibration_destroy(part);
            assert_int_equal(tslim_calibration_load_file(f->ctx, f->b, &parts[i]), TSLIM_OK);
        }
        assert_int_equal(
            tslim_calibration_merge((const tslim_calibration *const *)parts, n_shards, &merged), TSLIM_OK);
        assert_int_equal(tslim_calibration_save_file(merged, f->b), TSLIM_OK);
        assert_same_files(f, f->a, f->b);
        tslim_calibration_destroy(merged);
        for (uint32_t i = 0; i < n_shards; i++) tslim_calibration_destroy(parts[i]);
    }
    tslim_calibration *other = calibrate(f, TSLIM_CALIBRATION_MINMAX, 0, 0), *merged;
    const tslim_calibration *both[2] = {whole, other};
    assert_int_equal(tslim_calibration_merge(both, 2, &merged), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_calibration_destroy(other);
    tslim_calibration_destroy(whole);
}

static void test_files(void **state) {
    fixture *f = *state;
    tslim_input_preparation preparation = {.struct_size = sizeof(preparation),
        .scale = 1 / 255.0f,
        .n_channels = 3,
        .mean = {0.485f, 0.456f, 0.406f},
        .std = {0.229f, 0.224f, 0.225f},
        .height = 12,
        .width = 12};
    assert_int_equal(tslim_graph_set_preparation(f->graph, &preparation), TSLIM_OK);
    for (int method = 0; method <= TSLIM_CALIBRATION_MSE; method++) {
        tslim_calibration *calibration = calibrate(f, (tslim_calibration_method)method, 0, 0), *loaded;
        assert_int_equal(tslim_calibration_save_file(calibration, f->a), TSLIM_OK);
        assert_int_equal(tslim_calibration_load_file(f->ctx, f->a, &loaded), TSLIM_OK);
        assert_int_equal(tslim_calibration_save_file(loaded, f->b), TSLIM_OK);
        assert_same_files(f, f->a, f->b);
        assert_int_equal(tslim_calibration_value_count(loaded), tslim_calibration_value_count(calibration));
        assert_true(loaded->preparation.std[2] == preparation.std[2] && loaded->preparation.width == 12);
        for (uint32_t i = 0; i < tslim_calibration_value_count(loaded); i++) {
            const char *name = tslim_calibration_value_name(loaded, i);
            float range[4];
            assert_int_equal(tslim_calibration_range(calibration, name, &range[0], &range[1]), TSLIM_OK);
            assert_int_equal(tslim_calibration_range(loaded, name, &range[2], &range[3]), TSLIM_OK);
            assert_true(range[0] == range[2] && range[1] == range[3]);
        }
        tslim_calibration_destroy(loaded);
        tslim_calibration_destroy(calibration);
    }
}

// Damaged files are refused, or read as another calibration that is sound in itself.
static void test_damage(void **state) {
    fixture *f = *state;
    tslim_calibration *calibration = calibrate(f, TSLIM_CALIBRATION_MSE, 0, 0), *loaded;
    assert_int_equal(tslim_calibration_save_file(calibration, f->a), TSLIM_OK);
    tslim_calibration_destroy(calibration);
    tsl_buffer *file;
    assert_int_equal(tsl_file_map(f->ctx, f->a, &file), TSLIM_OK);
    char *bytes = malloc(file->size);
    assert_non_null(bytes);
    tsl_rng rng;
    tsl_rng_seed(&rng, 6);
    unsigned refused = 0;
    for (int round = 0; round < 400; round++) {
        memcpy(bytes, file->data, file->size);
        size_t size = round % 4 == 0 ? (size_t)tsl_rng_below(&rng, file->size) : file->size;
        // Half of the damage is where structure is dense.
        size_t where = (size_t)tsl_rng_below(&rng, round % 2 ? 400 : file->size);
        bytes[where] = "0-9.e\"[{}],\0x"[tsl_rng_below(&rng, 13)];
        assert_int_equal(tsl_file_write(f->ctx, f->b, bytes, size), TSLIM_OK);
        tslim_status status = tslim_calibration_load_file(f->ctx, f->b, &loaded);
        assert_true(status == TSLIM_OK || status == TSLIM_ERROR_BAD_FILE);
        refused += status != TSLIM_OK;
        if (status == TSLIM_OK)
            tslim_calibration_destroy(loaded);
        else
            assert_non_null(strstr(tslim_context_message(f->ctx), f->b));
    }
    assert_true(refused > 150);
    free(bytes);
    tsl_buffer_release(file);
    assert_int_equal(tslim_calibration_load_file(f->ctx, f->folder, &loaded), TSLIM_ERROR_IO);
}

// Channels that are not what a calibration writes.
static void test_damaged_channels(void **state) {
    fixture *f = *state;
    static const char *const bad[] = {"{}", "[]", "[[]]", "[[0,0,0,0]]", "[[0,0,0,0,[]],7]", "[[1,0,1,0,[]]]",
        "[[0,1,0,0,[1]]]", "[[0,1e99,128,0,[1]]]", "[[0,0.5,0.5,0,[1]]]", "[[0,0.5,999,0,[1]]]",
        "[[0,0.5,0,-1,[1]]]", "[[0,0.5,0,0.5,[1]]]", "[[0,0.5,0,0,[-129]]]", "[[0,0.5,0,0,[-128,1]]]",
        "[[0,0.5,0,0,[1e17]]]", "[[0,0.5,0,0,[1]],[0,0.5,0,0,[1],2]]", "[[0,0.5,0,0,\"\"]]", "[null]"};
    static const char *const good[] = {"[[0,0.5,0,2,[-127,1]]]", "[[-0.25,0.5,0,0,[]],[0,0,-100,0,[]]]"};
    char text[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + sizeof(good) / sizeof(good[0]); i++) {
        bool is_bad = i < sizeof(bad) / sizeof(bad[0]);
        int length = snprintf(text, sizeof(text),
            "{\"schema\":\"tinyslim.calibration/1\",\"method\":\"mse\",\"percentile\":99,\"samples\":1,"
            "\"bins\":%d,\"values\":[{\"name\":\"x\",\"count\":1,\"zeros\":1,\"invalid\":0,\"minimum\":0,"
            "\"maximum\":0,\"exponent\":0,\"histogram\":[],\"channels\":%s}]}",
            TSL_OBSERVER_BINS, is_bad ? bad[i] : good[i - sizeof(bad) / sizeof(bad[0])]);
        assert_int_equal(tsl_file_write(f->ctx, f->a, text, (size_t)length), TSLIM_OK);
        tslim_calibration *loaded = NULL;
        tslim_status status = tslim_calibration_load_file(f->ctx, f->a, &loaded);
        if (status != (is_bad ? TSLIM_ERROR_BAD_FILE : TSLIM_OK)) fail_msg("%s: %d", text, (int)status);
        tslim_calibration_destroy(loaded);
    }
}

static bool stop_at_8(void *user, const char *what, uint64_t done, uint64_t total) {
    assert_string_equal(what, "samples");
    assert_int_equal(total, SAMPLES);
    *(uint64_t *)user = done;
    return done < 8;
}

static void test_failures(void **state) {
    fixture *f = *state;
    tslim_calibration *calibration = NULL;
    tslim_calibration_options options;
    tslim_calibration_options_init(&options);
    uint64_t done = 0;
    options.batch = 4;
    options.progress = stop_at_8;
    options.progress_user = &done;
    assert_int_equal(tslim_calibrate(f->graph, f->dataset, &options, &calibration), TSLIM_ERROR_CANCELLED);
    assert_int_equal(done, 8);
    assert_null(calibration);

    tslim_calibration_options_init(&options);
    options.shard = 3;
    options.n_shards = 2;
    assert_int_equal(
        tslim_calibrate(f->graph, f->dataset, &options, &calibration), TSLIM_ERROR_INVALID_ARGUMENT);

    tslim_calibration_options_init(&options);
    tslim_input_shape shape = {.name = "input", .rank = 4, .dims = {1, 3, 24, 24}};
    options.shapes = &shape;
    options.n_shapes = 1;
    assert_int_equal(
        tslim_calibrate(f->graph, f->dataset, &options, &calibration), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(f->ctx), "1x3x24x24"));

    const int64_t dims[3] = {4, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE};
    tslim_dataset *wrong = samples_create(f->ctx, "input", 4, 3, dims);
    assert_int_equal(tslim_calibrate(f->graph, wrong, NULL, &calibration), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_dataset_destroy(wrong);

    tslim_calibration_method method;
    assert_int_equal(tslim_calibration_method_from_name("entropy", &method), TSLIM_OK);
    assert_int_equal(method, TSLIM_CALIBRATION_ENTROPY);
    assert_int_equal(tslim_calibration_method_from_name("median", &method), TSLIM_ERROR_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_channels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
