// SPDX-License-Identifier: Apache-2.0
// Rewrites that change operators: the rewritten network computes what the plain one does, and is rewritten
// indeed.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tinyslim/session.h>

#include "support/graph_builder.h"

#define SIZE 5

static tslim_context *ctx;

static void check(tslim_status status) {
    if (status != TSLIM_OK) fail_msg("%s", tslim_context_message(ctx));
}

// The results of one run, and whether a step of that operator was in it.
static float *run(
    const tslim_graph *graph, int64_t channels, bool plain, const char *op, size_t *count, bool *seen) {
    tslim_session_options options;
    tslim_session_options_init(&options);
    options.no_fusion = plain;
    tslim_session *session;
    check(tslim_session_create(graph, &options, &session));
    size_t n = (size_t)(2 * channels * SIZE * SIZE);
    float *x = test_malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) x[i] = (float)((i * 37 + 11) % 101) / 50 - 1;
    tslim_tensor input = {TSLIM_DTYPE_FLOAT, 4, {2, channels, SIZE, SIZE}, x, n * sizeof(float)},
                 output = {0};
    check(tslim_session_run(session, &input, 1, &output, 1));
    *count = 1;
    for (uint32_t d = 0; d < output.rank; d++) *count *= (size_t)output.dims[d];
    float *y = test_malloc(*count * sizeof(float));
    memcpy(y, output.data, *count * sizeof(float));
    *seen = false;
    for (uint32_t i = 0; i < tslim_session_step_count(session); i++) {
        tslim_step_profile step;
        check(tslim_session_step_profile(session, i, &step));
        if (strcmp(step.op_type, op) == 0) *seen = true;
    }
    tslim_session_destroy(session);
    test_free(x);
    return y;
}

// Output channels, kernel, group: kernel 2 is as large as the builder's stride.
static void compare_conv_transpose(
    int64_t channels, int64_t kernel, int64_t group, bool relu, bool rewritten) {
    const int64_t in = 6;
    builder b;
    builder_start(&b, ctx, 7);
    uint32_t x = build_input(&b, "x", 4, (const int64_t[]){2, in, SIZE, SIZE});
    uint32_t y = build_conv_transpose(&b, "up", x, channels, kernel, group);
    if (relu) y = build_unary(&b, TSL_OP_RELU, y);
    build_output(&b, y);
    bool seen;
    size_t count, plain_count;
    float *fused = run(b.graph, in, false, "DepthToSpace", &count, &seen);
    assert_int_equal(seen, rewritten);
    float *plain = run(b.graph, in, true, "DepthToSpace", &plain_count, &seen);
    assert_false(seen);
    assert_int_equal(count, plain_count);
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(fused[i] - plain[i]) <= 1e-5f))
            fail_msg("element %zu: %g, not %g", i, (double)fused[i], (double)plain[i]);
    test_free(fused);
    test_free(plain);
    tslim_graph_destroy(b.graph);
}

static void test_pixel_shuffle(void **state) {
    (void)state;
    compare_conv_transpose(1, 2, 1, false, true);
    compare_conv_transpose(1, 2, 1, true, true);
    compare_conv_transpose(5, 2, 1, true, true);
    compare_conv_transpose(8, 2, 1, false, true);
    compare_conv_transpose(9, 2, 1, false, false); // its panels are filled well enough
    compare_conv_transpose(4, 3, 1, false, false); // kernel positions overlap
    compare_conv_transpose(6, 2, 2, false, false);
}

static int set_up(void **state) {
    (void)state;
    return tslim_context_create(NULL, &ctx) == TSLIM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    tslim_context_destroy(ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pixel_shuffle)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
