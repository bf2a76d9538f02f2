// SPDX-License-Identifier: Apache-2.0
// Sessions: fused and plain plans agree, shapes change, memory is the caller's or the session's, nothing is
// allocated in a run, and what does not fit is said with names and numbers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tinyslim/tinyslim.h>

#include "support/failing_allocator.h"
#include "support/graph_builder.h"
#include "support/small_network.h"

#define PIXELS (3 * SMALL_NETWORK_SIZE * SMALL_NETWORK_SIZE)
#define MOST_BATCH 4

typedef struct fixture {
    failing_allocator allocator;
    tslim_context *ctx;
    tslim_graph *graph;
    float pixels[MOST_BATCH * PIXELS];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    if (!f) return 1;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.n_threads = 1;
    options.allocator = failing_allocator_interface(&f->allocator);
    if (tslim_context_create(&options, &f->ctx) != TSLIM_OK) return 1;
    if (small_network_create(f->ctx, 3, &f->graph) != TSLIM_OK) return 1;
    for (size_t i = 0; i < MOST_BATCH * PIXELS; i++) f->pixels[i] = (float)((i * 37) % 101) / 50.0f - 1.0f;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    tslim_graph_destroy(f->graph);
    tslim_context_destroy(f->ctx);
    int leaked = f->allocator.live != 0;
    free(f);
    return leaked;
}

static tslim_input_shape shape_of(int64_t batch) {
    return (tslim_input_shape){
        .name = "input", .rank = 4, .dims = {batch, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
}

static tslim_session *create(fixture *f, int64_t batch, bool no_fusion) {
    tslim_input_shape shape = shape_of(batch);
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    options.no_fusion = no_fusion;
    tslim_session *session;
    assert_int_equal(tslim_session_create(f->graph, &options, &session), TSLIM_OK);
    return session;
}

static tslim_tensor input_of(fixture *f, int64_t batch) {
    return (tslim_tensor){.dtype = TSLIM_DTYPE_FLOAT,
        .rank = 4,
        .dims = {batch, 3, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE},
        .data = f->pixels,
        .bytes = (size_t)batch * PIXELS * sizeof(float)};
}

static void run(fixture *f, tslim_session *session, int64_t batch, float *scores) {
    tslim_tensor input = input_of(f, batch);
    tslim_tensor output = {.data = scores, .bytes = (size_t)batch * SMALL_NETWORK_CLASSES * sizeof(float)};
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_OK);
    assert_int_equal(output.rank, 2);
    assert_int_equal(output.dims[0], batch);
    assert_int_equal(output.dims[1], SMALL_NETWORK_CLASSES);
}

static void assert_close(const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(b[i]))))
            fail_msg("element %zu: %g and %g", i, (double)a[i], (double)b[i]);
}

static void test_fused_equals_plain(void **state) {
    fixture *f = *state;
    float fused[2 * SMALL_NETWORK_CLASSES], plain[2 * SMALL_NETWORK_CLASSES];
    tslim_session *a = create(f, 2, false), *b = create(f, 2, true);
    assert_true(tslim_session_step_count(a) < tslim_session_step_count(b));
    run(f, a, 2, fused);
    run(f, b, 2, plain);
    assert_close(fused, plain, 2 * SMALL_NETWORK_CLASSES);
    assert_true(fabsf(fused[0]) + fabsf(fused[1]) > 1e-3f); // something was computed
    tslim_session_destroy(a);
    tslim_session_destroy(b);
}

// Each sample of a batch is what it is alone, at every size, and going back gives the same bits.
static void test_resize(void **state) {
    fixture *f = *state;
    float batch[MOST_BATCH * SMALL_NETWORK_CLASSES], alone[SMALL_NETWORK_CLASSES],
        again[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    run(f, session, 1, alone);
    tslim_input_shape shape = shape_of(MOST_BATCH);
    assert_int_equal(tslim_session_resize(session, &shape, 1), TSLIM_OK);
    run(f, session, MOST_BATCH, batch);
    assert_close(batch, alone, SMALL_NETWORK_CLASSES);
    shape = shape_of(1);
    assert_int_equal(tslim_session_resize(session, &shape, 1), TSLIM_OK);
    run(f, session, 1, again);
    assert_memory_equal(again, alone, sizeof(alone));

    // A shape that does not fit leaves the session as it was.
    tslim_input_shape wrong = {
        .name = "input", .rank = 4, .dims = {1, 4, SMALL_NETWORK_SIZE, SMALL_NETWORK_SIZE}};
    assert_int_equal(tslim_session_resize(session, &wrong, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(f->ctx), "'input' is Nx3x12x12, not 1x4x12x12"));
    run(f, session, 1, again);
    assert_memory_equal(again, alone, sizeof(alone));
    tslim_session_destroy(session);
}

static void test_run_allocates_nothing(void **state) {
    fixture *f = *state;
    float scores[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    uint64_t calls = f->allocator.calls;
    for (int i = 0; i < 3; i++) run(f, session, 1, scores);
    assert_int_equal(f->allocator.calls, calls);
    tslim_session_destroy(session);
}

static void test_caller_memory(void **state) {
    fixture *f = *state;
    float own[SMALL_NETWORK_CLASSES], lent[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    run(f, session, 1, own);
    size_t bytes = tslim_session_arena_bytes(session);
    tslim_session_destroy(session);

    enum { GUARD = 256 };
    uint8_t *memory = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
    assert_non_null(memory);
    memset(memory, 0xa5, bytes + GUARD); // nothing may depend on what is there
    tslim_input_shape shape = shape_of(1);
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.shapes = &shape;
    options.n_shapes = 1;
    options.arena = memory;
    options.arena_bytes = bytes;
    assert_int_equal(tslim_session_create(f->graph, &options, &session), TSLIM_OK);
    run(f, session, 1, lent);
    assert_memory_equal(own, lent, sizeof(own));
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(memory[bytes + i], 0xa5);
    tslim_session_destroy(session);

    options.arena_bytes = bytes - 64;
    assert_int_equal(tslim_session_create(f->graph, &options, &session), TSLIM_ERROR_LIMIT);
    assert_null(session);
    options.arena = memory + 1;
    assert_int_equal(tslim_session_create(f->graph, &options, &session), TSLIM_ERROR_INVALID_ARGUMENT);
    free(memory);
}

static void test_graph_and_context_may_go(void **state) {
    (void)state;
    tslim_context *ctx;
    tslim_graph *graph;
    tslim_session *session, *clone;
    assert_int_equal(tslim_context_create(NULL, &ctx), TSLIM_OK);
    assert_int_equal(small_network_create(ctx, 4, &graph), TSLIM_OK);
    assert_int_equal(tslim_session_create(graph, NULL, &session), TSLIM_OK);
    tslim_graph_destroy(graph);
    assert_int_equal(tslim_session_clone(session, &clone), TSLIM_OK);
    tslim_context_destroy(ctx);
    fixture f = {.pixels = {0.5f, -0.25f, 1.0f}};
    float a[SMALL_NETWORK_CLASSES], b[SMALL_NETWORK_CLASSES];
    run(&f, session, 1, a);
    tslim_session_destroy(session);
    run(&f, clone, 1, b);
    assert_memory_equal(a, b, sizeof(a));
    tslim_session_destroy(clone);
}

static void test_wrong_arguments(void **state) {
    fixture *f = *state;
    float scores[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    tslim_tensor output = {.data = scores, .bytes = sizeof(scores)};
    tslim_tensor input = input_of(f, 2);
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(
        strstr(tslim_context_message(f->ctx), "float32 1x3x12x12 in this session, not float32 2x3x12x12"));
    input = input_of(f, 1);
    input.bytes -= 1;
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    input = input_of(f, 1);
    output.bytes = sizeof(scores) - 1;
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tslim_session_run(session, &input, 0, &output, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 2), TSLIM_ERROR_INVALID_ARGUMENT);
    tslim_input_shape other = {.name = "no such", .rank = 1, .dims = {1}};
    assert_int_equal(tslim_session_resize(session, &other, 1), TSLIM_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(tslim_context_message(f->ctx), "no input 'no such'"));
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.backend = TSLIM_BACKEND_CUDA;
    tslim_session *none;
    assert_int_equal(tslim_session_create(f->graph, &options, &none), TSLIM_ERROR_UNAVAILABLE);
    assert_null(none);
    tslim_session_destroy(session);
}

static void test_arena_limit(void **state) {
    fixture *f = *state;
    tslim_context_options options;
    tslim_context_options_init(&options);
    options.limits.arena_bytes = 4096;
    tslim_context *ctx;
    tslim_graph *graph;
    tslim_session *session;
    assert_int_equal(tslim_context_create(&options, &ctx), TSLIM_OK);
    assert_int_equal(small_network_create(ctx, 3, &graph), TSLIM_OK);
    assert_int_equal(tslim_session_create(graph, NULL, &session), TSLIM_ERROR_LIMIT);
    assert_non_null(strstr(tslim_context_message(f->ctx), "the limit is 4096"));
    tslim_graph_destroy(graph);
    tslim_context_destroy(ctx);
}

typedef struct seen {
    uint32_t count, stop_after;
    bool input, relu, scores;
    float last[SMALL_NETWORK_CLASSES];
} seen;

static bool watch(void *user, const char *name, const tslim_tensor *values) {
    seen *s = user;
    s->count++;
    s->input |= strcmp(name, "input") == 0;
    if (strcmp(name, "stem_relu") == 0) {
        s->relu = true;
        assert_int_equal(values->dims[1], 16);
        for (size_t i = 0; i < values->bytes / sizeof(float); i++)
            assert_true(((float *)values->data)[i] >= 0);
    }
    if (strcmp(name, "scores") == 0) {
        s->scores = true;
        memcpy(s->last, values->data, sizeof(s->last));
    }
    return s->count != s->stop_after;
}

static void test_tap(void **state) {
    fixture *f = *state;
    float scores[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    seen s = {0};
    assert_int_equal(tslim_session_set_tap(session, watch, &s), TSLIM_OK);
    run(f, session, 1, scores);
    assert_true(s.input && s.relu && s.scores);
    assert_memory_equal(s.last, scores, sizeof(scores));
    s = (seen){.stop_after = 2};
    tslim_tensor input = input_of(f, 1), output = {.data = scores, .bytes = sizeof(scores)};
    assert_int_equal(tslim_session_run(session, &input, 1, &output, 1), TSLIM_ERROR_CANCELLED);
    tslim_session_destroy(session);
}

static void test_profile(void **state) {
    fixture *f = *state;
    float scores[SMALL_NETWORK_CLASSES];
    tslim_session *session = create(f, 1, false);
    assert_int_equal(tslim_session_profile(session, true), TSLIM_OK);
    for (int i = 0; i < 4; i++) run(f, session, 1, scores);
    uint64_t macs = 0;
    for (uint32_t i = 0; i < tslim_session_step_count(session); i++) {
        tslim_step_profile profile;
        assert_int_equal(tslim_session_step_profile(session, i, &profile), TSLIM_OK);
        assert_int_equal(profile.runs, 4);
        assert_non_null(profile.kernel);
        macs += profile.macs;
    }
    tslim_graph_totals totals = {.struct_size = sizeof(totals)};
    assert_int_equal(tslim_graph_measure(f->graph, NULL, 0, &totals), TSLIM_OK);
    assert_int_equal(macs, totals.macs);
    // 12x12 pixels, 3x3 kernels: 3 to 16, 16 to 24, 24 to 16 channels, depthwise 16; then 16 to 5.
    assert_int_equal(totals.macs, 144 * 9 * (3 * 16 + 16 * 24 + 24 * 16 + 16) + 16 * 5);
    tslim_session_destroy(session);
}

// The kernel of a session's convolution.
static bool has_kernel(const tslim_session *session, const char *start) {
    for (uint32_t i = 0; i < tslim_session_step_count(session); i++) {
        tslim_step_profile profile;
        assert_int_equal(tslim_session_step_profile(session, i, &profile), TSLIM_OK);
        if (strcmp(profile.op_type, "Conv") == 0) return strncmp(profile.kernel, start, strlen(start)) == 0;
    }
    return false;
}

static void test_no_winograd(void **state) {
    fixture *f = *state;
    builder b;
    builder_start(&b, f->ctx, 3);
    uint32_t x = build_input(&b, "x", 4, (const int64_t[]){1, 64, 28, 28});
    build_output(&b, build_conv(&b, "conv", x, 64, 3, 1, 1, true));
    tslim_session_options options;
    tslim_session_options_init(&options);
    for (int without = 0; without < 2; without++) {
        options.no_winograd = without;
        tslim_session *session, *clone;
        assert_int_equal(tslim_session_create(b.graph, &options, &session), TSLIM_OK);
        assert_int_equal(tslim_session_clone(session, &clone), TSLIM_OK);
        assert_true(has_kernel(session, without ? "conv f32" : "winograd f32"));
        assert_true(has_kernel(clone, without ? "conv f32" : "winograd f32"));
        tslim_session_destroy(session);
        tslim_session_destroy(clone);
    }
    tslim_graph_destroy(b.graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fused_equals_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resize, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_caller_memory, set_up, tear_down),
        cmocka_unit_test(test_graph_and_context_may_go),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arena_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_profile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_winograd, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
